"""Model monitors of Vertex AI by Google's discovery client: their resources, and what their schedules start."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from googleapiclient.discovery import build
from googleapiclient.errors import HttpError

from sandbox.google.server import Handle, start
from tests.unit.google_emulator.conftest import PROJECT, wait_for

PARENT = f"projects/{PROJECT}/locations/europe-west4"
IMAGE = "europe-west4-docker.pkg.dev/test-project/images/test:1"


@pytest.fixture(scope="module")
def fast(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Handle]:
    """An emulator in which a minute takes a second."""
    handle = start(speed=60, folder=tmp_path_factory.mktemp("monitors") / "work")
    handle.post("images", reference=IMAGE, entrypoint=[sys.executable, str(Path(__file__).with_name("container.py"))])
    handle.post("operations", seconds=0.01)
    yield handle
    failures = handle.get("failures")
    handle.stop()
    assert failures == []


@pytest.fixture(scope="module")
def locations(fast: Handle, credentials: Any) -> dict[str, Any]:
    options = {"api_endpoint": f"{fast.url}/aiplatform.googleapis.com/"}
    made: dict[str, Any] = {}
    for version in ("v1", "v1beta1"):
        api = build("aiplatform", version, static_discovery=True, credentials=credentials, client_options=options)
        made[version] = api.projects().locations()
    return made


def done(locations: Any, operation: dict[str, Any]) -> dict[str, Any]:
    # The location's own method takes an operation by the number alone.
    name = f"{PARENT}/operations/{operation['name'].rpartition('/')[2]}"

    def probe() -> dict[str, Any] | None:
        found: dict[str, Any] = locations.operations().get(name=name).execute()
        return found if found.get("done") else None

    found = wait_for(probe)
    assert found is not None and "error" not in found, found
    response: dict[str, Any] = found["response"]
    return response


@pytest.fixture(scope="module")
def model(locations: dict[str, Any]) -> str:
    body = {"model": {"displayName": "m", "containerSpec": {"imageUri": IMAGE}}}
    v1 = locations["v1"]
    return str(done(v1, v1.models().upload(parent=PARENT, body=body).execute())["model"])


@pytest.fixture(scope="module")
def endpoint(locations: dict[str, Any], model: str) -> dict[str, Any]:
    v1 = locations["v1"]
    name = done(v1, v1.endpoints().create(parent=PARENT, body={"displayName": "e"}).execute())["name"]
    resources = {"machineSpec": {"machineType": "n1-standard-2"}, "minReplicaCount": 1}
    body = {"deployedModel": {"model": model, "dedicatedResources": resources}, "trafficSplit": {"0": 100}}
    done(v1, v1.endpoints().deployModel(endpoint=name, body=body).execute())
    return dict(v1.endpoints().get(name=name).execute())


def deployment_job(endpoint: dict[str, Any], deployed: str) -> dict[str, Any]:
    return {
        "displayName": "monitoring",
        "endpoint": endpoint["name"],
        "loggingSamplingStrategy": {"randomSampleConfig": {"sampleRate": 0.5}},
        "modelDeploymentMonitoringScheduleConfig": {"monitorInterval": "3600s"},
        "modelDeploymentMonitoringObjectiveConfigs": [{"deployedModelId": deployed, "objectiveConfig": {}}],
    }


def test_an_endpoints_monitoring_is_paused_resumed_and_changed(
    locations: dict[str, Any], endpoint: dict[str, Any]
) -> None:
    v1, jobs = locations["v1"], locations["v1"].modelDeploymentMonitoringJobs()
    [deployed] = [one["id"] for one in endpoint["deployedModels"]]
    with pytest.raises(HttpError, match="42 is no DeployedModel"):
        jobs.create(parent=PARENT, body=deployment_job(endpoint, "42")).execute()
    job = jobs.create(parent=PARENT, body=deployment_job(endpoint, deployed)).execute()
    assert job["state"] == "JOB_STATE_RUNNING" and job["nextScheduleTime"] > job["createTime"]
    assert v1.endpoints().get(name=endpoint["name"]).execute()["modelDeploymentMonitoringJob"] == job["name"]
    with pytest.raises(HttpError, match="has a monitoring job already"):
        jobs.create(parent=PARENT, body=deployment_job(endpoint, deployed)).execute()
    jobs.pause(name=job["name"], body={}).execute()
    assert jobs.get(name=job["name"]).execute()["state"] == "JOB_STATE_PAUSED"
    with pytest.raises(HttpError, match="not JOB_STATE_RUNNING"):
        jobs.pause(name=job["name"], body={}).execute()
    changed = done(v1, jobs.patch(name=job["name"], updateMask="displayName", body={"displayName": "d"}).execute())
    assert changed["displayName"] == "d"
    jobs.resume(name=job["name"], body={}).execute()
    assert jobs.get(name=job["name"]).execute()["state"] == "JOB_STATE_RUNNING"
    done(v1, jobs.delete(name=job["name"]).execute())
    assert "modelDeploymentMonitoringJob" not in v1.endpoints().get(name=endpoint["name"]).execute()


def test_an_explanation_needs_its_specification(locations: dict[str, Any], endpoint: dict[str, Any]) -> None:
    with pytest.raises(HttpError, match="have no explanation_spec") as caught:
        locations["v1"].endpoints().explain(endpoint=endpoint["name"], body={"instances": [1]}).execute()
    assert json.loads(caught.value.content)["error"]["status"] == "FAILED_PRECONDITION"


def monitor(model: str) -> dict[str, Any]:
    return {"displayName": "monitor", "modelMonitoringTarget": {"vertexModel": {"model": model}}}


def test_a_models_monitor_has_jobs_and_is_deleted_with_its_schedules(locations: dict[str, Any], model: str) -> None:
    beta = locations["v1beta1"]
    monitors = beta.modelMonitors()
    with pytest.raises(HttpError, match="Model does not exist"):
        monitors.create(parent=PARENT, body=monitor(f"{PARENT}/models/none")).execute()
    with pytest.raises(HttpError, match="63 characters"):
        monitors.create(parent=PARENT, modelMonitorId="Bad", body=monitor(model)).execute()
    made = done(beta, monitors.create(parent=PARENT, modelMonitorId="churn", body=monitor(model)).execute())
    assert made["name"].endswith("/modelMonitors/churn")
    body = {"displayName": "changed"}
    changed = done(beta, monitors.patch(name=made["name"], updateMask="displayName", body=body).execute())
    assert changed["displayName"] == "changed" and changed["modelMonitoringTarget"]["vertexModel"]["model"] == model
    job = monitors.modelMonitoringJobs().create(parent=made["name"], body={"displayName": "by hand"}).execute()
    assert job["state"] == "JOB_STATE_RUNNING"
    jobs = monitors.modelMonitoringJobs()
    wait_for(lambda: jobs.get(name=job["name"]).execute()["state"] == "JOB_STATE_SUCCEEDED")
    request = {"parent": made["name"], "modelMonitoringJob": {"displayName": "by schedule"}}
    given = {"displayName": "s", "cron": "* * * * *", "maxConcurrentRunCount": "1", "maxRunCount": "1"}
    schedule = (
        beta.schedules().create(parent=PARENT, body=given | {"createModelMonitoringJobRequest": request}).execute()
    )
    wait_for(lambda: beta.schedules().get(name=schedule["name"]).execute()["state"] == "COMPLETED")
    started = [one for one in jobs.list(parent=made["name"]).execute()["modelMonitoringJobs"] if "schedule" in one]
    assert [one["schedule"] for one in started] == [schedule["name"]] and started[0]["displayName"] == "by schedule"
    # The other version shows the schedule without the request that it does not know.
    seen = locations["v1"].schedules().get(name=schedule["name"]).execute()
    assert seen["state"] == "COMPLETED" and "createModelMonitoringJobRequest" not in seen
    with pytest.raises(HttpError, match=r"has schedules: .*set force"):
        monitors.delete(name=made["name"]).execute()
    done(beta, monitors.delete(name=made["name"], force=True).execute())
    assert beta.schedules().list(parent=PARENT).execute() == {}
    assert jobs.list(parent=made["name"]).execute() == {}
