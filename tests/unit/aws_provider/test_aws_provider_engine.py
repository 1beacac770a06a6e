"""The AWS provider's stand-in under the real engine: a program with one of every resource."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.provider_engine import Project

PROGRAM = Path(__file__).with_name("every_resource.py")


@pytest.fixture
def pulumi(tmp_path: Path, cloud_url: str, monkeypatch: pytest.MonkeyPatch) -> Project:
    """The engine's command line on a project of its own, with the stand-in as its AWS plugin."""
    from moto.sagemaker.responses import SageMakerResponse

    def update_endpoint(self: SageMakerResponse) -> str:
        # moto has no UpdateEndpoint; the sandbox's own emulation does.
        body = json.loads(self.body)
        endpoint = self.sagemaker_backend.endpoints[body["EndpointName"]]
        endpoint.endpoint_config_name = body["EndpointConfigName"]
        return json.dumps({"EndpointArn": endpoint.arn})

    monkeypatch.setattr(SageMakerResponse, "update_endpoint", update_endpoint, raising=False)
    return Project(
        tmp_path,
        PROGRAM,
        {"aws": "sandbox.providers.aws"},
        {
            "AWS_ENDPOINT_URL": cloud_url,
            "AWS_REGION": "eu-central-1",
            "AWS_ACCESS_KEY_ID": "a",
            "AWS_SECRET_ACCESS_KEY": "b",
        },
    )


@pytest.mark.timeout(600)
def test_every_resource_through_its_life(pulumi: Project) -> None:
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
def test_unpublished_property_is_refused_at_preview(pulumi: Project, tmp_path: Path) -> None:
    program = "import pulumi\npulumi.CustomResource('aws:sqs/queue:Queue', 'q', {'delaySecond': 1}, None)\n"
    (tmp_path / "project" / "__main__.py").write_text(program)
    done = pulumi("preview", fails=True)
    assert "did you mean delaySeconds?" in done.stdout
