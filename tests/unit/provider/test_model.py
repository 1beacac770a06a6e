"""`modelberth:vertex:Model` through the real engine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from typing import Any

import pytest

from .conftest import Engine
from .vertex import Refusal, Vertex

PLACE = "projects/acme/locations/europe-west4"
PROGRAM = """
import pulumi
from modelberth.vertex import Model
config = pulumi.Config()
model = Model(
    "churn",
    display_name="Churn",
    description=config.get("description"),
    version_aliases=["champion"],
    artifact_uri="gs://models/churn",
    container_spec={
        "image_uri": "europe-west4-docker.pkg.dev/acme/serving/modelberth:1",
        "predict_route": "/predict",
        "health_route": "/health",
        "ports": [{"container_port": 8080}],
        "env": [{"name": "TOKEN", "value": config.get_secret("token") or "none"}],
    },
    labels={"team": "growth"},
)
pulumi.export("version", model.version_name)
"""


def live(vertex: Vertex) -> list[dict[str, Any]]:
    return [version for versions in vertex.models.values() for version in versions.values()]


def provider_of(engine: subprocess.Popen[str]) -> int:
    """The process of our provider, found below the engine's."""
    children = subprocess.run(["ps", "-eo", "pid,ppid,args"], capture_output=True, text=True, check=True).stdout
    for line in children.splitlines()[1:]:
        number, parent, command = line.split(None, 2)
        if int(parent) == engine.pid and "modelberth_provider" in command:
            return int(number)
    raise AssertionError(children)


@pytest.mark.timeout(120)
def test_a_preview_needs_no_credentials(bare_engine: Engine) -> None:
    (bare_engine.folder / "__main__.py").write_text(PROGRAM)
    assert "+ 2 to create" in bare_engine("preview", "--suppress-progress")


@pytest.mark.timeout(240)
def test_a_model_through_its_life(engine: Engine, vertex: Vertex) -> None:
    engine("config", "set", "--secret", "token", "hush-hush")
    engine.up(PROGRAM)
    (model,) = live(vertex)
    assert model["labels"] == {"team": "growth"}
    assert model["versionAliases"] == ["champion", "default"]
    assert model["containerSpec"]["env"] == [{"name": "TOKEN", "value": "hush-hush"}]
    assert json.loads(engine("stack", "output", "--json"))["version"] == f"{model['name']}@1"
    assert "hush-hush" not in engine("stack", "export")
    engine.up(None, "--expect-no-changes")
    engine("refresh", "-y", "--suppress-progress", "--expect-no-changes")
    assert "hush-hush" not in engine("stack", "export")

    engine("config", "set", "description", "Who leaves")
    assert "1 updated" in engine.up()
    assert live(vertex)[0]["description"] == "Who leaves"
    engine.up(PROGRAM.replace('["champion"]', '["challenger"]'))
    assert live(vertex)[0]["versionAliases"] == ["default", "challenger"]

    live(vertex)[0]["labels"]["team"] = "sales"
    assert "1 updated" in engine("refresh", "-y", "--suppress-progress")
    engine.up()
    assert live(vertex)[0]["labels"] == {"team": "growth"}

    engine("config", "set", "--secret", "token", "hush-again")
    assert "1 replaced" in engine.up()
    (model,) = live(vertex)
    assert model["containerSpec"]["env"][0]["value"] == "hush-again"
    assert vertex.count("POST", "models:upload") == 2
    engine("destroy", "-y", "--skip-preview", "--suppress-progress")
    assert not vertex.models


VERSIONS = (
    PROGRAM
    + """
second = Model("second", display_name="Churn", parent_model=model.name, version_aliases=["default"],
    artifact_uri="gs://models/second", container_spec={"image_uri": "europe-west4-docker.pkg.dev/acme/serving/m:1"})
pulumi.export("second", second.version_id)
"""
)


@pytest.mark.timeout(240)
def test_versions_of_one_model(engine: Engine, vertex: Vertex) -> None:
    engine.up(VERSIONS)
    first, second = live(vertex)
    assert (first["name"], second["versionId"]) == (second["name"], "2")
    assert (first["versionAliases"], second["versionAliases"]) == (["champion"], ["default"])
    engine.up(None, "--expect-no-changes")
    engine.up(PROGRAM)
    (left,) = live(vertex)
    assert left["versionAliases"] == ["champion", "default"]
    engine("destroy", "-y", "--skip-preview", "--suppress-progress")
    assert not vertex.models


@pytest.mark.timeout(240)
def test_an_upload_outlives_its_provider_and_is_not_repeated(engine: Engine, vertex: Vertex) -> None:
    (engine.folder / "__main__.py").write_text(VERSIONS)
    vertex.hold.clear()
    running = engine.start("up", "-y", "--skip-preview")
    assert vertex.begun.acquire(timeout=60)
    os.kill(provider_of(running), signal.SIGKILL)
    assert running.wait(timeout=60) != 0, running.stdout and running.stdout.read()
    assert vertex.count("POST", "models:upload") == 1
    again = engine.start("up", "-y", "--skip-preview")
    vertex.hold.set()
    said = again.communicate(timeout=60)[0]
    assert again.returncode == 0, said
    assert vertex.count("POST", "models:upload") == 2
    assert len(live(vertex)) == 2
    assert "modelberth-creation" not in str(live(vertex))


@pytest.mark.timeout(240)
def test_an_interrupt_leaves_the_upload_and_the_next_update_waits_for_it(engine: Engine, vertex: Vertex) -> None:
    (engine.folder / "__main__.py").write_text(PROGRAM)
    vertex.hold.clear()
    running = engine.start("up", "-y", "--skip-preview")
    assert vertex.begun.acquire(timeout=60)
    running.send_signal(signal.SIGINT)
    said = running.communicate(timeout=60)[0]
    assert "the upload goes on at Google, and the next update waits for it" in said
    vertex.hold.set()
    engine.up()
    assert vertex.count("POST", "models:upload") == 1
    engine.up(None, "--expect-no-changes")
    engine("destroy", "-y", "--skip-preview", "--suppress-progress")
    assert not vertex.models


@pytest.mark.timeout(240)
def test_a_replacement_that_was_asked_for_is_a_new_model(engine: Engine, vertex: Vertex) -> None:
    engine.up(PROGRAM)
    before = live(vertex)[0]["name"]
    engine.up(None, "--replace", "urn:pulumi:dev::models::modelberth:vertex:Model::churn")
    (model,) = live(vertex)
    assert model["name"] != before


@pytest.mark.timeout(240)
def test_an_import_changes_nothing(engine: Engine, vertex: Vertex) -> None:
    engine.up(PROGRAM)
    (model,) = live(vertex)
    name = f"{model['name']}@1"
    engine("state", "delete", "-y", "urn:pulumi:dev::models::modelberth:vertex:Model::churn")
    imported = PROGRAM.replace(
        '    display_name="Churn",',
        f'    display_name="Churn", model_id="{model["name"].rpartition("/")[2]}",'
        f' opts=pulumi.ResourceOptions(import_="{name}"),',
    )
    asked = vertex.count("PATCH", "")
    assert "1 imported" in engine.up(imported)
    engine.up(None, "--expect-no-changes")
    assert vertex.count("PATCH", "") == asked


@pytest.mark.timeout(240)
def test_what_google_refuses_is_told_with_its_cure(engine: Engine, vertex: Vertex) -> None:
    info = "type.googleapis.com/google.rpc.ErrorInfo"
    disabled = {"service": "aiplatform.googleapis.com", "consumer": "projects/acme"}
    vertex.failures += [
        ("models:upload", Refusal(503, "UNAVAILABLE", "Come later.")),
        (
            "models:upload",
            Refusal(
                403,
                "PERMISSION_DENIED",
                "Vertex AI API has not been used.",
                [{"@type": info, "reason": "SERVICE_DISABLED", "metadata": disabled}],
            ),
        ),
    ]
    said = engine.up(PROGRAM, fails=True)
    assert "Enable the API: gcloud services enable aiplatform.googleapis.com --project acme" in said
    assert "Traceback" not in said
    vertex.broken.append({"code": 9, "message": "The image cannot be pulled."})
    assert "uploading churn-" in (said := engine.up(fails=True)), said
    assert "failed: The image cannot be pulled." in said
    engine.up()
    assert len(live(vertex)) == 1


@pytest.mark.timeout(240)
def test_all_that_is_wrong_is_told_at_once_and_before_any_call(engine: Engine, vertex: Vertex) -> None:
    wrong = PROGRAM.replace("gs://", "s3://").replace("8080", "'80'")
    said = engine.up(wrong, fails=True)
    for part in (
        "containerSpec.ports[0].containerPort",
        "'80' must be a valid integer",
        "'s3://models/churn' is no folder in Cloud Storage: it begins gs://",
    ):
        assert part in said, said
    assert not vertex.asked
