"""`make up`, `make env` and `make down`, in the order in which a person meets them."""

import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.end_to_end.conftest import STACK_FILE, Make

pytestmark = pytest.mark.timeout(900)

_CALL = """
import boto3, json, pathlib
package = pathlib.Path({package!r})
examples = json.loads((package / "examples.json").read_text())
answer = boto3.client("sagemaker-runtime").invoke_endpoint(
    EndpointName="modelberth-local-sagemaker-flights-endpoint",
    ContentType="application/json",
    Body=json.dumps({{"instances": examples["inputs"][:3]}}),
)
given = json.load(answer["Body"])["predictions"]
for one, recorded in zip(given, examples["predictions"], strict=False):
    assert one["label"] == recorded["label"]
    for name, value in recorded["probabilities"].items():
        assert abs(one["probabilities"][name] - value) < 1e-6
print("agreed on", len(given))
"""


def shell(checkout: Path, command: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a shell that has done what `make env` says, outside the project."""
    text = f'eval "$(make -s -o .venv/.ready -C {checkout} env)" && cd / && {command}'
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return subprocess.run(["bash", "-c", text], env=environment, capture_output=True, text=True, check=False)


def listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_an_occupied_port_is_told_by_its_process(make: Make, port: int) -> None:
    with socket.create_server(("127.0.0.1", port)):
        told = make("up", fails=True)
    assert f"port {port} of 127.0.0.1 is taken by" in told.stderr
    assert f"process {os.getpid()}" in told.stderr
    assert "Traceback" not in told.stderr + told.stdout


def test_up_ends_with_the_table(make: Make, checkout: Path) -> None:
    told = make("up").stdout
    digest = re.search(r"package +(sha256:[0-9a-f]{64})", told)
    assert digest is not None
    for label in ("endpoint", "address", "prediction", "recorded", "alarm latency_p95", "retraining", "call it"):
        assert re.search(rf"^  {label} ", told, re.MULTILINE), label
    assert (checkout / "packages" / "flights" / "card.html").is_file()
    predicted, recorded = (re.search(rf"{label} +(\{{.*\}})", told) for label in ("prediction", "recorded"))
    assert predicted is not None and recorded is not None
    assert predicted.group(1) == recorded.group(1)
    assert "NOT THE SAME" not in told


def test_up_again_changes_nothing(make: Make, checkout: Path) -> None:
    before = (checkout / STACK_FILE).read_bytes()
    told = make("up").stdout
    changes = re.search(r"Resources:\n((?: +.*\n)+)", told)
    assert changes is not None
    assert re.fullmatch(r"\s+\d+ unchanged\s+", changes.group(1))
    assert (checkout / STACK_FILE).read_bytes() == before


def test_ordinary_clients_work_after_make_env(make: Make, checkout: Path) -> None:
    script = checkout / ".sandbox" / "call.py"
    script.write_text(_CALL.format(package=str(checkout / "packages" / "flights")))
    told = shell(checkout, f"{sys.executable} {script}")
    assert told.stdout.strip() == "agreed on 3", told.stderr
    told = shell(checkout, f"cd {checkout} && pulumi --stack local-sagemaker preview --non-interactive")
    assert told.returncode == 0, told.stdout + told.stderr
    assert re.search(r"\d+ unchanged", told.stdout)


@pytest.mark.skipif(shutil.which("aws") is None, reason="the aws command line is not installed")
def test_the_command_that_the_table_shows_works(make: Make, checkout: Path) -> None:
    command = re.search(r"call it +(.*)", make("up").stdout)
    assert command is not None
    written = command.group(1).replace("make -s", "make -s -o .venv/.ready")
    told = shell(checkout, f"cd {checkout} && {written}")
    assert '"predictions"' in told.stdout, told.stderr


def test_a_sandbox_that_lost_everything_is_refreshed_first(make: Make, port: int) -> None:
    (emulator,) = [
        process
        for process in psutil.process_iter(["cmdline"])
        if "sandbox.aws" in (process.info["cmdline"] or []) and str(port) in process.info["cmdline"]
    ]
    emulator.kill()
    emulator.wait(30)
    told = make("up").stdout
    assert "created" in told
    assert re.search(r"^  prediction ", told, re.MULTILINE)


def test_unknown_stack_names_the_nearest(make: Make) -> None:
    told = make("up", "STACK=local-sagemkaer", fails=True).stderr
    assert "unknown stack 'local-sagemkaer'" in told
    assert "did you mean local-sagemaker?" in told


def test_without_a_node_kubernetes_previews_by_a_real_api_server(make: Make) -> None:
    """Here the machine lacks nft, which the folders left in PATH do not hold."""
    without = f"PATH={Path(sys.executable).parent}:/usr/bin:/bin"
    assert shutil.which("nft", path=without.removeprefix("PATH=")) is None
    told = make("up", "STACK=local-kubernetes", without, fails=True)
    assert re.search(r"\+ +kubernetes:apps/v1:Deployment .* create", told.stdout)
    assert "nothing was deployed, because this machine can't run what the stack needs" in told.stderr
    assert re.search(r"a node needs these packages, which are not installed: .*nftables", told.stderr)
    assert "Traceback" not in told.stdout + told.stderr
    make("down", "STACK=local-kubernetes", without)


def test_down_leaves_no_process_and_no_port(make: Make, checkout: Path, port: int) -> None:
    assert listening(port)
    make("down")
    assert not listening(port)
    left = [
        process.info["cmdline"]
        for process in psutil.process_iter(["cmdline"])
        if str(checkout) in " ".join(process.info["cmdline"] or [])
    ]
    assert left == []
    assert make("down").returncode == 0
