"""Cloud Scheduler through Google's discovery client, on a clock that runs fast."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from googleapiclient.errors import HttpError

from sandbox.cron import next_after
from sandbox.google.scheduler.firing import _pause
from sandbox.google.server import Handle, start
from tests.unit.google_emulator.conftest import PROJECT, Hook, wait_for

PARENT = f"projects/{PROJECT}/locations/europe-west4"


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Handle]:
    handle = start(folder=tmp_path_factory.mktemp("scheduler") / "work", speed=600)
    yield handle
    failures = handle.get("failures")
    handle.stop()
    assert failures == []


@pytest.fixture(scope="module")
def jobs(discovery: Callable[..., Any]) -> Any:
    return discovery("cloudscheduler", "v1").projects().locations().jobs()


@pytest.fixture
def create(jobs: Any) -> Iterator[Callable[..., dict[str, Any]]]:
    made: list[str] = []

    def make(name: str, schedule: str = "*/5 * * * *", **more: Any) -> dict[str, Any]:
        body = {"name": f"{PARENT}/jobs/{name}", "schedule": schedule, **more}
        made.append(jobs.create(parent=PARENT, body=body).execute()["name"])
        return dict(jobs.get(name=made[-1]).execute())

    yield make
    for name in made:
        jobs.delete(name=name).execute()


def to(url: str, content: object, **more: Any) -> dict[str, Any]:
    body = base64.b64encode(json.dumps(content).encode()).decode()
    return {"uri": url, "body": body, "headers": {"Content-Type": "application/json"}, **more}


def refused(request: Any, status: int, text: str) -> None:
    with pytest.raises(HttpError, match=text) as caught:
        request.execute()
    assert caught.value.status_code == status


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def test_a_job_fires_pauses_and_resumes(jobs: Any, create: Any, hook: Hook) -> None:
    made = create("fires", httpTarget=to(hook.url, {"a": 1}), timeZone="Europe/Berlin", description="d")
    assert made["state"] == "ENABLED" and made["retryConfig"]["minBackoffDuration"] == "5s"
    assert made["httpTarget"]["httpMethod"] == "POST" and made["attemptDeadline"] == "180s"
    (headers, body), (later, _) = hook.got.get(timeout=10), hook.got.get(timeout=10)
    assert json.loads(body) == {"a": 1} and headers["User-Agent"] == "Google-Cloud-Scheduler"
    assert headers["X-CloudScheduler"] == "true" and headers["X-CloudScheduler-JobName"] == "fires"
    first, second = (moment(one["X-CloudScheduler-ScheduleTime"]) for one in (headers, later))
    assert (second - first).total_seconds() == 300 and first.minute % 5 == 0
    paused = jobs.pause(name=made["name"]).execute()
    assert paused["state"] == "PAUSED"
    refused(jobs.pause(name=made["name"]), 400, "must be in the state ENABLED; it is PAUSED")
    changed = {"description": "e"}
    assert jobs.patch(name=made["name"], updateMask="description", body=changed).execute()["state"] == "PAUSED"
    while not hook.got.empty():
        hook.got.get()
    jobs.run(name=made["name"], body={}).execute()
    hook.got.get(timeout=10)
    assert jobs.resume(name=made["name"]).execute()["state"] == "ENABLED"
    hook.got.get(timeout=10)


def test_a_failed_attempt_is_tried_again(jobs: Any, create: Any, hook: Hook) -> None:
    hook.statuses = [500]
    made = create("retries", "0 0 1 1 *", httpTarget=to(hook.url, {}), retryConfig={"retryCount": 3})
    jobs.run(name=made["name"], body={}).execute()
    assert hook.got.get(timeout=10)[0] == hook.got.get(timeout=10)[0]
    done = wait_for(lambda: (one := jobs.get(name=made["name"]).execute()).get("status") == {} and one)
    assert moment(done["lastAttemptTime"]) > moment(done["userUpdateTime"])


def test_google_apis_want_an_access_token(
    emulator: Handle, jobs: Any, create: Any, account: str, discovery: Callable[..., Any]
) -> None:
    pubsub = discovery("pubsub", "v1").projects()
    topic, subscription = f"projects/{PROJECT}/topics/t12", f"projects/{PROJECT}/subscriptions/s12"
    pubsub.topics().create(name=topic, body={}).execute()
    pubsub.subscriptions().create(name=subscription, body={"topic": topic}).execute()
    url = f"https://pubsub.googleapis.com/v1/{topic}:publish"
    message = {"messages": [{"attributes": {"from": "http"}}]}
    good = create("good", "0 0 1 1 *", httpTarget=to(url, message, oauthToken={"serviceAccountEmail": account}))
    assert good["httpTarget"]["oauthToken"]["scope"] == "https://www.googleapis.com/auth/cloud-platform"
    identity = create("identity", "0 0 1 1 *", httpTarget=to(url, message, oidcToken={"serviceAccountEmail": account}))
    direct = create("direct", "0 0 1 1 *", pubsubTarget={"topicName": topic, "attributes": {"from": "target"}})
    for job in (good, identity, direct):
        jobs.run(name=job["name"], body={}).execute()
    failed = wait_for(lambda: jobs.get(name=identity["name"]).execute().get("status"))
    assert failed["code"] == 16 and "Expected OAuth 2 access token" in failed["message"]
    assert [one["error"] for one in emulator.get("outbox") if one["channel"] == identity["name"]]
    wait_for(lambda: all(jobs.get(name=one["name"]).execute().get("status") == {} for one in (good, direct)))
    got = pubsub.subscriptions().pull(subscription=subscription, body={"maxMessages": 9}).execute()["receivedMessages"]
    assert {one["message"]["attributes"]["from"] for one in got} == {"http", "target"}


def test_a_target_takes_the_place_of_another(jobs: Any, create: Any) -> None:
    made = create("turns", "0 0 1 1 *", httpTarget=to("http://127.0.0.1:9/", {}))
    target = {"topicName": f"projects/{PROJECT}/topics/x12", "attributes": {"a": "b"}}
    refused(jobs.patch(name=made["name"], body={"pubsubTarget": {"topicName": "x"}}), 400, "topic_name")
    assert "httpTarget" in jobs.get(name=made["name"]).execute()
    changed = jobs.patch(name=made["name"], body={"pubsubTarget": target}).execute()
    assert "httpTarget" not in changed and changed["pubsubTarget"] == target


def test_jobs_are_refused(jobs: Any) -> None:
    target = to("https://example.com/", {})

    def asks(**body: Any) -> Any:
        return jobs.create(parent=PARENT, body={"schedule": "0 0 * * *", "httpTarget": target, **body})

    refused(asks(schedule="0 25 * * *"), 400, "Schedule or time zone is invalid")
    refused(asks(timeZone="Mars/Base"), 400, "Schedule or time zone is invalid")
    refused(asks(pubsubTarget={"topicName": "projects/p/topics/t", "data": "eA=="}), 400, "exactly one of")
    refused(asks(httpTarget={**target, "httpMethod": "GET"}), 400, "A GET has no body")
    refused(asks(httpTarget={**target, "uri": "example.com"}), 400, "must begin with http")
    stranger = {"serviceAccountEmail": "stranger@test-project.iam.gserviceaccount.com"}
    refused(asks(httpTarget={**target, "oauthToken": stranger}), 403, "lacks IAM permission .*actAs.*stranger@")
    refused(asks(retryConfig={"retryCount": 6}), 400, "from 0 to 5")
    refused(asks(attemptDeadline="5s"), 400, "from 15 seconds")
    refused(asks(name=f"{PARENT}/jobs/a b"), 400, "letters, digits")
    refused(jobs.get(name=f"{PARENT}/jobs/none"), 404, "Job not found")


def test_pauses_double_then_grow_evenly() -> None:
    # The example of "Retry jobs", Max doublings: 10 s, 3 doublings, at most 300 s.
    config = {
        "retryCount": 5,
        "maxRetryDuration": "0s",
        "minBackoffDuration": "10s",
        "maxBackoffDuration": "300s",
        "maxDoublings": 3,
    }
    found = [_pause({**config, "retryCount": 9}, attempt, 1.0) for attempt in range(1, 10)]
    assert found == [10, 20, 40, 80, 160, 240, 300, 300, 300]
    assert _pause(config, 6, 1.0) is None
    assert _pause({**config, "retryCount": 0}, 1, 1.0) is None
    assert _pause({**config, "retryCount": 0, "maxRetryDuration": "60s"}, 1, 1.0) == 10


def test_a_time_that_does_not_exist_is_skipped() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    before = datetime(2026, 3, 28, 12, tzinfo=UTC)
    assert next_after("30 2 * * *", berlin, before) == datetime(2026, 3, 30, 0, 30, tzinfo=UTC)
