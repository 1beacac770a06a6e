"""Schedules of Vertex AI, on a clock that runs sixty times as fast: a minute takes a second."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage
from googleapiclient.discovery import build
from googleapiclient.errors import HttpError

from sandbox.google.server import Handle, start
from sandbox.google.vertex.schedules import next_run
from tests.unit.google_emulator.conftest import PROJECT, wait_for

PARENT = f"projects/{PROJECT}/locations/europe-west4"
PYTHON = "europe-west4-docker.pkg.dev/test-project/images/python:3"


@pytest.fixture(scope="module")
def fast(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Handle]:
    handle = start(speed=60, folder=tmp_path_factory.mktemp("schedules") / "work")
    handle.post("images", reference=PYTHON, entrypoint=[sys.executable])
    handle.post("operations", seconds=0.01)
    storage.Client(
        project=PROJECT, credentials=AnonymousCredentials(), client_options={"api_endpoint": handle.url}
    ).create_bucket("scheduled", location="europe-west4")
    yield handle
    failures = handle.get("failures")
    handle.stop()
    assert failures == []


@pytest.fixture(scope="module")
def locations(fast: Handle, credentials: Any) -> Any:
    options = {"api_endpoint": f"{fast.url}/aiplatform.googleapis.com/"}
    api = build("aiplatform", "v1", static_discovery=True, credentials=credentials, client_options=options)
    return api.projects().locations()


def schedule(text: str = "pass", cron: str = "* * * * *", **more: Any) -> dict[str, Any]:
    spec = {
        "pipelineInfo": {"name": "scheduled"},
        "schemaVersion": "2.1.0",
        "root": {"dag": {"tasks": {"run": {"componentRef": {"name": "comp-run"}}}}},
        "components": {"comp-run": {"executorLabel": "exec-run"}},
        "deploymentSpec": {"executors": {"exec-run": {"container": {"image": PYTHON, "args": ["-c", text]}}}},
    }
    job = {"displayName": "run", "pipelineSpec": spec, "runtimeConfig": {"gcsOutputDirectory": "gs://scheduled/root"}}
    request = {"parent": PARENT, "pipelineJob": job}
    found = {"displayName": "s", "cron": cron, "maxConcurrentRunCount": "1", "createPipelineJobRequest": request}
    return found | more


@pytest.fixture
def make(locations: Any) -> Iterator[Any]:
    names: list[str] = []

    def create(*given: Any, **more: Any) -> dict[str, Any]:
        made: dict[str, Any] = locations.schedules().create(parent=PARENT, body=schedule(*given, **more)).execute()
        names.append(made["name"])
        return made

    yield create
    for name in names:
        locations.schedules().delete(name=name).execute()


def jobs_of(locations: Any, name: str) -> list[dict[str, Any]]:
    found = locations.pipelineJobs().list(parent=PARENT).execute().get("pipelineJobs", [])
    return [one for one in found if one.get("scheduleName") == name]


def time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def test_runs_come_with_the_minutes_until_they_are_counted_out(locations: Any, make: Any) -> None:
    made = make(maxRunCount="2")
    assert (made["state"], made["startedRunCount"]) == ("ACTIVE", "0")
    assert timedelta(0) < time(made["nextRunTime"]) - time(made["createTime"]) <= timedelta(minutes=1)

    def completed() -> dict[str, Any] | None:
        found: dict[str, Any] = locations.schedules().get(name=made["name"]).execute()
        return found if found["state"] == "COMPLETED" else None

    done = wait_for(completed)
    assert done is not None and done["startedRunCount"] == "2" and "nextRunTime" not in done
    jobs = jobs_of(locations, made["name"])
    assert len(jobs) == 2
    last = done["lastScheduledRunResponse"]
    assert last["runResponse"] in {one["name"] for one in jobs}
    assert time(last["scheduledRunTime"]) == time(made["nextRunTime"]) + timedelta(minutes=1)
    wait_for(lambda: {one["state"] for one in jobs_of(locations, made["name"])} == {"PIPELINE_STATE_SUCCEEDED"})
    with pytest.raises(HttpError, match="COMPLETED and cannot be updated"):
        locations.schedules().patch(name=made["name"], updateMask="cron", body={"cron": "0 0 * * *"}).execute()


def test_a_paused_schedule_catches_up_when_asked(locations: Any, make: Any) -> None:
    made = make(maxRunCount="4")
    schedules = locations.schedules()
    schedules.pause(name=made["name"], body={}).execute()
    paused = schedules.get(name=made["name"]).execute()
    assert paused["state"] == "PAUSED" and "nextRunTime" not in paused and paused["lastPauseTime"]
    with pytest.raises(HttpError, match="only an active one is paused"):
        schedules.pause(name=made["name"], body={}).execute()
    begun = int(paused["startedRunCount"])

    def hour_passed() -> bool:
        probe = schedules.create(parent=PARENT, body=schedule(cron="0 0 1 1 *")).execute()
        schedules.delete(name=probe["name"]).execute()
        return time(probe["createTime"]) - time(paused["lastPauseTime"]) > timedelta(minutes=5)

    wait_for(hour_passed)
    assert schedules.get(name=made["name"]).execute()["startedRunCount"] == str(begun)
    schedules.resume(name=made["name"], body={"catchUp": True}).execute()
    resumed = schedules.get(name=made["name"]).execute()
    assert resumed["catchUp"] is True and resumed["lastResumeTime"]
    wait_for(lambda: schedules.get(name=made["name"]).execute()["state"] == "COMPLETED")
    last = schedules.get(name=made["name"]).execute()["lastScheduledRunResponse"]["scheduledRunTime"]
    # The missed runs were made up for: the last one was due before the schedule was resumed.
    assert time(last) < time(resumed["lastResumeTime"])


def test_runs_beyond_the_limit_are_skipped_or_wait(locations: Any, make: Any) -> None:
    sleeping = "import time; time.sleep(20)"
    skipping = make(sleeping, maxConcurrentActiveRunCount="1")
    queueing = make(sleeping, maxConcurrentActiveRunCount="1", allowQueueing=True)
    wait_for(lambda: jobs_of(locations, skipping["name"]) and jobs_of(locations, queueing["name"]))
    schedules = locations.schedules()
    due = time(schedules.get(name=skipping["name"]).execute()["nextRunTime"])
    wait_for(lambda: time(schedules.get(name=skipping["name"]).execute()["nextRunTime"]) > due + timedelta(minutes=2))
    assert len(jobs_of(locations, skipping["name"])) == len(jobs_of(locations, queueing["name"])) == 1
    waiting = schedules.get(name=queueing["name"]).execute()
    # It is behind its schedule.
    assert time(waiting["nextRunTime"]) < time(schedules.get(name=skipping["name"]).execute()["nextRunTime"])
    [running] = jobs_of(locations, queueing["name"])
    locations.pipelineJobs().cancel(name=running["name"], body={}).execute()
    wait_for(lambda: len(jobs_of(locations, queueing["name"])) == 2)
    for one in (skipping, queueing):
        schedules.pause(name=one["name"], body={}).execute()
        for job in jobs_of(locations, one["name"]):
            locations.pipelineJobs().cancel(name=job["name"], body={}).execute()


def test_a_patch_plans_anew(locations: Any, make: Any) -> None:
    made = make(cron="0 0 1 1 *")
    body = {"cron": "TZ=Europe/Berlin 30 4 * * *", "displayName": "daily"}
    patched = locations.schedules().patch(name=made["name"], updateMask="cron,displayName", body=body).execute()
    assert patched["displayName"] == "daily"
    following = time(patched["nextRunTime"])
    assert following - time(patched["updateTime"]) <= timedelta(days=1)
    assert following == next_run(body["cron"], time(patched["updateTime"]))


def test_times_are_those_of_the_zone() -> None:
    summer = datetime(2026, 7, 1, 12, tzinfo=UTC)
    assert next_run("30 4 * * *", summer) == datetime(2026, 7, 2, 4, 30, tzinfo=UTC)
    assert next_run("TZ=Europe/Berlin 30 4 * * *", summer) == datetime(2026, 7, 2, 2, 30, tzinfo=UTC)
    winter = datetime(2026, 1, 1, 12, tzinfo=UTC)
    assert next_run("CRON_TZ=America/New_York 0 0 * * 1", winter) == datetime(2026, 1, 5, 5, tzinfo=UTC)


def test_what_cannot_be_is_refused(locations: Any) -> None:
    given = schedule(cron="TZ=Mars/Olympus * * * * *", maxRunCount="0")
    given["createPipelineJobRequest"]["parent"] = PARENT.replace("europe-west4", "us-central1")
    with pytest.raises(HttpError) as caught:
        locations.schedules().create(parent=PARENT, body=given).execute()
    [detail] = json.loads(caught.value.content)["error"]["details"]
    assert [one["field"] for one in detail["fieldViolations"]] == [
        "schedule.cron",
        "schedule.max_run_count",
        "schedule.create_pipeline_job_request.parent",
    ]
    assert "Mars/Olympus is no time zone" in detail["fieldViolations"][0]["description"]
    for cron in ("every day", "61 * * * *", "* * * * * *"):
        with pytest.raises(HttpError, match=r"schedule\.cron"):
            locations.schedules().create(parent=PARENT, body=schedule(cron=cron)).execute()
