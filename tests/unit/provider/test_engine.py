"""The plugin through the real engine."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess

import pytest

from sandbox.engine.yaml import ensure_yaml_host

from .conftest import QUIET, Engine
from .vertex import Vertex

PROGRAM = """
import pulumi
from modelberth.vertex import DeployedModel, Model
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
deployed = DeployedModel(
    "churn",
    endpoint="7",
    model=model.version_name,
    dedicated_resources={"machine_spec": {"machine_type": "n1-standard-2"}, "min_replica_count": 1},
)
pulumi.export("version", model.version_name)
pulumi.export("traffic", deployed.traffic)
"""
ENDPOINT = "projects/acme/locations/europe-west4/endpoints/7"


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
    assert "+ 3 to create" in bare_engine("preview", "--suppress-progress")


@pytest.mark.timeout(300)
def test_a_stack_through_its_life(engine: Engine, vertex: Vertex) -> None:
    endpoint = vertex.add_endpoint(ENDPOINT)
    engine("config", "set", "--secret", "token", "hush-hush")
    engine.up(PROGRAM)
    ((model,),) = [list(versions.values()) for versions in vertex.models.values()]
    assert model["containerSpec"]["env"] == [{"name": "TOKEN", "value": "hush-hush"}]
    before = endpoint["deployedModels"][0]["id"]
    assert json.loads(engine("stack", "output", "--json")) == {"version": f"{model['name']}@1", "traffic": 100}
    engine.up(None, "--expect-no-changes")
    engine("refresh", *QUIET, "--expect-no-changes")
    assert "hush-hush" not in engine("stack", "export")

    engine("config", "set", "description", "Who leaves")
    engine("config", "set", "--secret", "token", "hush-again")
    assert "2 replaced" in engine.up()
    ((model,),) = [list(versions.values()) for versions in vertex.models.values()]
    assert (model["description"], model["containerSpec"]["env"][0]["value"]) == ("Who leaves", "hush-again")
    (deployed,) = endpoint["deployedModels"]
    assert deployed["model"] == f"{model['name']}@1"
    assert endpoint["trafficSplit"] == {deployed["id"]: 100}
    assert deployed["id"] != before
    engine("destroy", *QUIET)
    assert (vertex.models, endpoint["deployedModels"]) == ({}, [])


@pytest.mark.timeout(240)
def test_an_upload_outlives_its_provider_and_is_not_repeated(engine: Engine, vertex: Vertex) -> None:
    vertex.add_endpoint(ENDPOINT)
    (engine.folder / "__main__.py").write_text(PROGRAM)
    vertex.hold.clear()
    running = engine.start("up", *QUIET)
    assert vertex.begun.acquire(timeout=60)
    os.kill(provider_of(running), signal.SIGKILL)
    running.communicate(timeout=60)
    assert running.returncode != 0
    again = engine.start("up", *QUIET)
    vertex.hold.set()
    said = again.communicate(timeout=60)[0]
    assert again.returncode == 0, said
    assert (vertex.count("POST", "models:upload"), len(vertex.models)) == (1, 1)


@pytest.mark.timeout(240)
def test_an_interrupt_leaves_the_upload_and_the_next_update_waits_for_it(engine: Engine, vertex: Vertex) -> None:
    vertex.add_endpoint(ENDPOINT)
    engine("config", "set", "--secret", "token", "hush-hush")
    (engine.folder / "__main__.py").write_text(PROGRAM)
    vertex.hold.clear()
    running = engine.start("up", *QUIET)
    assert vertex.begun.acquire(timeout=60)
    running.send_signal(signal.SIGINT)
    said = running.communicate(timeout=60)[0]
    assert "the upload goes on at Google, and the next update waits for it" in said
    assert "hush-hush" not in engine("stack", "export")
    vertex.hold.set()
    engine.up()
    assert "hush-hush" not in engine("stack", "export")
    assert (vertex.count("POST", "models:upload"), len(vertex.models)) == (1, 1)


YAML = """
name: models
runtime: yaml
resources:
  churn:
    type: modelberth:vertex:Model
    properties:
      displayName: Churn
      artifactUri: gs://models/churn
      containerSpec:
        imageUri: europe-west4-docker.pkg.dev/acme/serving/modelberth:1
        ports: [{containerPort: 8080}]
outputs:
  version: ${churn.versionName}
"""


@pytest.mark.timeout(400)
@pytest.mark.skipif(shutil.which("go") is None, reason="the host of YAML programs is built with Go")
def test_a_program_in_yaml(engine: Engine, vertex: Vertex) -> None:
    engine.environment["PATH"] = f"{ensure_yaml_host()}:{engine.environment['PATH']}"
    (engine.folder / "Pulumi.yaml").write_text(YAML.replace("imageUri", "imageUrl"))
    # The host itself judges the program, by the schema.
    assert "imageUri: Missing required property 'imageUri'" in engine("preview", fails=True)
    (engine.folder / "Pulumi.yaml").write_text(YAML)
    engine.up()
    (name,) = vertex.models
    assert json.loads(engine("stack", "output", "--json")) == {"version": f"{name}@1"}
    engine("destroy", *QUIET)
    assert not vertex.models
