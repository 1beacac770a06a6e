"""The AWS provider's stand-in under the real engine: a program with one of every resource."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from sandbox.engine.install import ensure_engine, write_launcher

PROGRAM = Path(__file__).with_name("every_resource.py")
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def pulumi(tmp_path: Path, cloud_url: str, monkeypatch: pytest.MonkeyPatch) -> Run:
    """The engine's command line on a project of its own, with the stand-in as its AWS plugin."""
    from moto.sagemaker.responses import SageMakerResponse

    def update_endpoint(self: SageMakerResponse) -> str:
        # moto has no UpdateEndpoint; the sandbox's own emulation does.
        body = json.loads(self.body)
        endpoint = self.sagemaker_backend.endpoints[body["EndpointName"]]
        endpoint.endpoint_config_name = body["EndpointConfigName"]
        return json.dumps({"EndpointArn": endpoint.arn})

    monkeypatch.setattr(SageMakerResponse, "update_endpoint", update_endpoint, raising=False)
    binaries, project = tmp_path / "bin", tmp_path / "project"
    engine = ensure_engine(binaries)
    write_launcher(binaries / "pulumi-resource-aws", "-m sandbox.providers.aws")
    project.mkdir()
    (tmp_path / "state").mkdir()
    (project / "Pulumi.yaml").write_text("name: every\nruntime: python\n")
    shutil.copy(PROGRAM, project / "__main__.py")
    environment = {
        **os.environ,
        "PATH": f"{binaries}:{engine.folder}:{os.environ['PATH']}",
        "PULUMI_BACKEND_URL": (tmp_path / "state").as_uri(),
        "PULUMI_CONFIG_PASSPHRASE": "test",
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        "AWS_ENDPOINT_URL": cloud_url,
        "AWS_REGION": "eu-central-1",
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "b",
    }

    def run(*arguments: str, fails: bool = False) -> subprocess.CompletedProcess[str]:
        command = ["pulumi", *arguments, "--non-interactive", "--color", "never"]
        done = subprocess.run(
            command, cwd=project, env=environment, capture_output=True, text=True, timeout=240, check=False
        )
        assert (done.returncode != 0) == fails, done.stdout + done.stderr
        return done

    run("stack", "init", "dev")
    return run


@pytest.mark.timeout(600)
def test_every_resource_through_its_life(pulumi: Run) -> None:
    up = ("up", "-y", "--skip-preview", "--suppress-progress")
    pulumi(*up)
    again = pulumi(*up, "--expect-no-changes")
    assert "34 unchanged" in again.stdout
    pulumi("refresh", "-y", "--skip-preview", "--suppress-progress", "--expect-no-changes")
    assert "hush" not in pulumi("stack", "export").stdout
    pulumi("config", "set", "revision", "two")
    changed = pulumi(*up).stdout
    assert "+-2 replaced" in changed
    assert "10 updated" in changed
    pulumi(*up, "--expect-no-changes")
    gone = pulumi("destroy", "-y", "--skip-preview", "--suppress-progress")
    assert "34 deleted" in gone.stdout


@pytest.mark.timeout(300)
def test_unpublished_property_is_refused_at_preview(pulumi: Run, tmp_path: Path) -> None:
    program = "import pulumi\npulumi.CustomResource('aws:sqs/queue:Queue', 'q', {'delaySecond': 1}, None)\n"
    (tmp_path / "project" / "__main__.py").write_text(program)
    done = pulumi("preview", fails=True)
    assert "did you mean delaySeconds?" in done.stdout
