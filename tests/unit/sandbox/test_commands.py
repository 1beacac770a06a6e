"""What the sandbox's commands say where the machine or the stack's file is not as they need it."""

import os
import shutil
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import pytest

from model_packaging.errors import ModelberthError
from sandbox import stack_file
from sandbox.containers import free_port
from sandbox.engine import install
from sandbox.report import equal
from sandbox.settings import ROOT, shell_lines

Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine without Pulumi, without Go and with an empty cache."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


def test_without_pulumi_and_go_both_are_named_with_how_to_get_them(bare: Path) -> None:
    with pytest.raises(ModelberthError) as told:
        install.ensure_engine(bare / "bin")
    assert str(told.value).startswith("There is neither Pulumi nor Go on this machine")
    assert "https://www.pulumi.com/docs/install/" in str(told.value)
    assert "https://go.dev/doc/install" in str(told.value)
    assert not (bare / "bin").exists()


def test_a_full_disk_is_told_before_the_build(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (bare / "go").write_text("#!/bin/sh\nexit 1\n")
    (bare / "go").chmod(0o755)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(10, 10, 10**9))
    with pytest.raises(ModelberthError) as told:
        install.ensure_engine(bare / "bin")
    assert str(told.value).startswith(f"Building the engine needs 4 GB in {bare / 'cache' / 'modelberth' / 'engine'}")
    assert "0.9 GB are free" in str(told.value)


def test_a_build_that_fails_shows_the_end_of_its_output(bare: Path) -> None:
    (bare / "go").write_text("#!/bin/sh\necho no such module >&2\nexit 3\n")
    (bare / "go").chmod(0o755)
    with pytest.raises(ModelberthError) as told:
        install.ensure_engine(bare / "bin")
    assert "(go exited with 3); the end of its output:\nno such module" in str(told.value)
    assert list((bare / "cache" / "modelberth" / "engine").iterdir()) == []


@pytest.mark.parametrize(("version", "used"), [("v3.259.0", True), ("v3.100.0", False), ("nonsense", False)])
def test_an_installed_pulumi_is_used_if_it_is_recent_enough(bare: Path, version: str, used: bool) -> None:
    (bare / "pulumi").write_text(f"#!/bin/sh\necho {version}\n")
    (bare / "pulumi").chmod(0o755)
    found = install.installed_engine()
    assert (found is not None) is used
    if found is not None:
        assert (found.folder, found.version, found.installed) == (bare, version, True)


def command(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return subprocess.run(
        [sys.executable, "-m", "sandbox", *arguments],
        cwd=ROOT,
        env=kept | {"AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": os.devnull} | variables,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_real_stack_without_credentials_is_refused_before_anything_is_done(tmp_path: Path) -> None:
    told = command("up", "prod", AWS_SHARED_CREDENTIALS_FILE=os.devnull, XDG_CACHE_HOME=str(tmp_path))
    assert told.returncode == 1
    assert (
        "stacks/Pulumi.prod.yaml: the stack is on a real AWS account, but there are no usable credentials"
        in told.stderr
    )
    assert "aws sso login" in told.stderr
    assert "Traceback" not in told.stderr
    assert told.stdout == ""
    assert list(tmp_path.iterdir()) == []


def test_env_is_not_for_a_real_account() -> None:
    told = command("env", "prod")
    assert told.returncode == 1
    assert told.stdout == ""
    assert told.stderr == "error: the stack prod is on a real account: use your own credentials\n"


@pytest.fixture
def stacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of its own."""
    folder = tmp_path / "stacks"
    folder.mkdir()
    monkeypatch.setattr(stack_file, "ROOT", tmp_path)
    monkeypatch.setattr(stack_file, "FOLDER", folder)
    return folder


def refused(stacks: Path, text: str) -> list[str]:
    (stacks / "Pulumi.dev.yaml").write_text(text)
    with pytest.raises(ModelberthError) as told:
        stack_file.read("dev")
    return told.value.problems


def test_two_models_of_one_name_are_named_with_their_lines(stacks: Path) -> None:
    text = "config:\n  modelberth:models:\n    churn: {package: a}\n    fraud: {package: b}\n    churn: {package: c}\n"
    assert refused(stacks, text) == [
        "stacks/Pulumi.dev.yaml: modelberth:models.churn: is written twice, in lines 3 and 5; give one of them another "
        "name"
    ]


def test_what_is_no_stack_file(stacks: Path) -> None:
    assert refused(stacks, "config: {a: [}")[0].startswith("stacks/Pulumi.dev.yaml: no YAML: ")
    assert refused(stacks, "- 1\n") == ["stacks/Pulumi.dev.yaml: has no `config:` with the stack's settings"]


@pytest.mark.parametrize(
    ("address", "local"),
    [("http://127.0.0.1:5566", True), ("http://localhost:1", True), ("https://s3.example.org", False)],
)
def test_only_loopback_is_an_emulator(stacks: Path, address: str, local: bool) -> None:
    (stacks / "Pulumi.dev.yaml").write_text(f"config:\n  aws:endpoints: [{{s3: '{address}'}}]\n")
    assert stack_file.read("dev").emulator_url == (address if local else None)


def test_a_shell_forgets_what_would_lead_its_clients_elsewhere() -> None:
    script = shell_lines({"AWS_ENDPOINT_URL": "http://127.0.0.1:1", "ODD": "it's $HOME"})
    told = subprocess.run(
        ["bash", "-c", f'{script}\necho "$AWS_ENDPOINT_URL|$ODD|${{AWS_PROFILE-none}}"'],
        env={**os.environ, "AWS_PROFILE": "work"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout == "http://127.0.0.1:1|it's $HOME|none\n"


def test_predictions_are_compared_number_by_number() -> None:
    assert equal({"label": "a", "p": {"a": 0.5}}, {"label": "a", "p": {"a": 0.5 + 1e-9}}, 1e-6)
    assert not equal({"label": "a", "p": {"a": 0.5}}, {"label": "a", "p": {"a": 0.6}}, 1e-6)
    assert not equal({"label": "a"}, {"label": "b"}, 1e-6)
    assert not equal({"label": "a"}, {"label": "a", "p": 1.0}, 1e-6)


def test_a_bucket_that_cannot_be_reached_is_told_by_its_address(tmp_path: Path) -> None:
    address = f"s3://absent/packages/churn/{'0' * 64}@sha256:{'0' * 64}"
    told = subprocess.run(
        [sys.executable, "-m", "model_packaging", "show", address],
        env={
            **os.environ,
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{free_port()}",
            "AWS_ACCESS_KEY_ID": "a",
            "AWS_SECRET_ACCESS_KEY": "b",
            "MODELBERTH_CACHE": str(tmp_path),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 1
    assert "s3://absent/packages/churn" in told.stderr
    assert "Traceback" not in told.stderr
