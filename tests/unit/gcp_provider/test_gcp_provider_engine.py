"""The Google Cloud provider's stand-in under the real engine, beside the project's own plugin, as in the sandbox."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import requests
from google.cloud import aiplatform

from sandbox.clouds import google
from sandbox.emulator_process import Handle
from sandbox.stack_file import StackFile
from tests.provider_engine import Project
from tests.unit.gcp_provider.conftest import REGION, custom_endpoints

PROGRAM = Path(__file__).with_name("every_resource.py")
CONTAINER = Path(__file__).parents[1] / "google_emulator" / "container.py"
NAME = "engine-project"
IMAGE = f"{REGION}-docker.pkg.dev/{NAME}/images/test:1"


@pytest.fixture
def stack(emulator: Handle) -> StackFile:
    """A stack's file as the sandbox reads it."""
    emulator.post("images", reference=IMAGE, entrypoint=[sys.executable, str(CONTAINER)])
    endpoints = {f"gcp:{key}": value for key, value in custom_endpoints(emulator.url).items()}
    return StackFile("dev", Path("Pulumi.dev.yaml"), {"gcp:project": NAME, "gcp:region": REGION} | endpoints)


@pytest.mark.timeout(600)
def test_a_model_on_vertex_through_its_life(stack: StackFile, emulator: Handle, tmp_path: Path) -> None:
    plugins = {"gcp": "sandbox.providers.gcp", "modelberth": "modelberth_provider"}
    config = stack.config | {"gcp:accessToken": google.TOKEN, "every:image": IMAGE}
    pulumi = Project(tmp_path, PROGRAM, plugins, google.variables(stack), **config)
    options = ("-y", "--skip-preview", "--suppress-progress")
    planned = pulumi("preview", "--suppress-progress")
    assert "19 to create" in planned.stdout
    pulumi("up", *options)
    assert "19 unchanged" in pulumi("up", *options, "--expect-no-changes").stdout
    pulumi("refresh", *options, "--expect-no-changes")

    outputs = json.loads(pulumi("stack", "output", "--json").stdout)
    assert google.predict({"name": outputs["endpoint"]}, {"a": 1}, stack) == ""
    aiplatform.initializer.global_config.__init__()
    assert google.alarm_states(["errors", "none"], stack) == {"errors": "OK"}

    # What somebody changes by hand is seen and set right.
    bucket = f"{emulator.url}/storage/v1/b/{outputs['bucket']}"
    requests.patch(bucket, json={"versioning": {"enabled": False}}, timeout=10).raise_for_status()
    assert "1 to update" in pulumi("preview", "--refresh", "--suppress-progress").stdout
    pulumi("config", "set", "revision", "two")
    changed = pulumi("up", "--refresh", *options).stdout
    assert requests.get(bucket, timeout=10).json()["versioning"]["enabled"] is True
    assert "9 updated" in changed
    assert "+-1 replaced" in changed
    pulumi("up", *options, "--expect-no-changes")
    assert "19 deleted" in pulumi("destroy", *options).stdout
    assert not [one for one in emulator.get("resources") if NAME in one]
