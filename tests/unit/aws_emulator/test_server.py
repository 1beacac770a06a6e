"""The emulator's process: its port, its end, and requests that no client would send."""

import http.client
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import psutil
import pytest

from sandbox.aws.server import Handle, start
from tests.unit.aws_emulator.conftest import IMAGE, Account, refused, wait_for
from tests.unit.aws_emulator.test_jobs import training

STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); "
    "[time.sleep(1) for _ in iter(int, 1)]"
)


def test_an_occupied_port_names_the_process_that_holds_it(account: Account) -> None:
    port = str(urlsplit(account.handle.url).port)
    ended = subprocess.run(
        [sys.executable, "-m", "sandbox.aws", "--port", port], capture_output=True, text=True, timeout=60
    )
    assert ended.returncode == 1
    assert ended.stderr.startswith(f"error: port {port} of 127.0.0.1 is taken by ")
    assert f"process {account.handle.process.pid}:" in ended.stderr
    assert "MODELBERTH_SANDBOX_PORT" in ended.stderr and "Traceback" not in ended.stderr


@pytest.fixture
def busy() -> Iterator[tuple[Handle, list[psutil.Process]]]:
    """An emulator that runs a job whose program ignores SIGTERM, and all processes of it."""
    handle = start()
    account = Account(handle)
    algorithm = {
        "TrainingImage": IMAGE,
        "TrainingInputMode": "File",
        "ContainerEntrypoint": ["python3", "-c", STUBBORN],
    }
    account("sagemaker").create_training_job(**training(account, AlgorithmSpecification=algorithm))
    wait_for(lambda: account("logs").describe_log_groups(logGroupNamePrefix="/aws/sagemaker/")["logGroups"])
    processes = psutil.Process(handle.process.pid).children(recursive=True)
    assert len(processes) == 2  # the launcher and the program
    yield handle, processes
    handle.stop()


def test_it_stops_within_five_seconds_and_leaves_no_process(busy: tuple[Handle, list[psutil.Process]]) -> None:
    handle, processes = busy
    began = time.monotonic()
    handle.process.terminate()
    assert handle.process.wait(10) == 0
    assert time.monotonic() - began < 5
    assert not [one for one in processes if one.is_running()]
    assert "Traceback" not in handle.log.read_text()


def test_killed_it_leaves_no_process_either(busy: tuple[Handle, list[psutil.Process]]) -> None:
    handle, processes = busy
    handle.process.kill()
    handle.process.wait()
    _, alive = psutil.wait_procs(processes, timeout=8)
    assert not alive


def signed(service: str, region: str = "eu-central-1") -> dict[str, str]:
    credential = f"AWS4-HMAC-SHA256 Credential=A/20260101/{region}/{service}/aws4_request, Signature=0"
    return {"Authorization": credential}


def test_no_malformed_request_ends_it(account: Account) -> None:
    host = urlsplit(account.handle.url)
    assert host.hostname is not None
    sagemaker = signed("sagemaker") | {"Content-Type": "application/x-amz-json-1.1"}
    create = sagemaker | {"X-Amz-Target": "SageMaker.CreateTrainingJob"}
    cases: list[tuple[str, str, dict[str, str], bytes]] = [
        ("POST", "/", create, b"{"),
        ("POST", "/", create, b"[1, 2]"),
        ("POST", "/", create, b'"text"'),
        ("POST", "/", create, b"\xff\xfe\x00"),
        ("POST", "/", create, b'{"TrainingJobName": {"a": 1}, "ResourceConfig": []}'),
        ("POST", "/", create, json.dumps({"TrainingJobName": "x" * 100_000}).encode()),
        ("POST", "/", create, b"[" * 100_000),
        ("POST", "/", sagemaker | {"X-Amz-Target": "SageMaker.Nonsense"}, b"{}"),
        ("POST", "/", sagemaker | {"X-Amz-Target": "SageMaker.ListModels"}, b'{"NextToken": "abc"}'),
        ("POST", "/", create | signed("sagemaker", "nowhere-9"), b"{}"),
        ("POST", "/", signed("nonsense"), b"{}"),
        ("POST", "/schedules/x", signed("scheduler"), b"{"),
        ("GET", "/schedules/%ff%00", signed("scheduler"), b""),
        ("POST", "/", signed("monitoring") | {"Content-Type": "application/x-www-form-urlencoded"}, b"Action=&%zz"),
        ("POST", "/endpoints/x/invocations", signed("sagemaker"), b""),
        ("POST", "/", {"Content-Length": "many"}, b""),
        ("PATCH", "/%2e%2e/%2e%2e", {}, b"x"),
        ("GET", "/?Action=ConfirmSubscription", {}, b""),
        ("POST", "/_sandbox/faults", {}, b"[]"),
        ("POST", "/_sandbox/images", {}, b'{"reference": 3}'),
        ("GET", "/_sandbox/nothing", {}, b""),
    ]
    for method, path, headers, body in cases:
        connection = http.client.HTTPConnection(host.hostname, host.port or 80, timeout=20)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            answer.read()
            assert 400 <= answer.status <= 501 or method == "PATCH", (method, path, body[:30], answer.status)
            if headers is create:
                assert answer.status == 400, (path, body[:30], answer.status)
        finally:
            connection.close()
    assert account.handle.get("health")["pid"] == account.handle.process.pid
    code, message = refused(account("sagemaker").list_models, NextToken="abc")
    assert (code, message) == ("ValidationException", "The NextToken abc is invalid.")


def test_the_log_of_a_failed_start_is_told() -> None:
    with socket.socket() as holder, pytest.raises(RuntimeError, match="the AWS emulator did not start: error: port"):
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        start(port=int(holder.getsockname()[1]))
