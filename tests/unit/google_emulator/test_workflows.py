"""Workflows and Eventarc through Google's discovery client, up to the job that an alert starts."""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from googleapiclient.errors import HttpError

from sandbox.google.server import Handle, start
from tests.unit.google_emulator.conftest import PROJECT, Hook, wait_for

PARENT = f"projects/{PROJECT}"
PLACE = f"{PARENT}/locations/europe-west4"


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Handle]:
    handle = start(folder=tmp_path_factory.mktemp("workflows") / "work", speed=60)
    handle.post("operations", seconds=0.01)
    yield handle
    failures = handle.get("failures")
    handle.stop()
    assert failures == []


@pytest.fixture(scope="module")
def locations(discovery: Callable[..., Any]) -> Callable[[str], Any]:
    return lambda api: discovery(api, "v1").projects().locations()


@pytest.fixture(scope="module")
def done(locations: Any) -> Callable[[str, Any], dict[str, Any]]:
    def until(api: str, request: Any) -> dict[str, Any]:
        operation = request.execute()
        get = locations(api).operations().get(name=operation["name"])
        found = wait_for(lambda: (one := get.execute()).get("done") and one)
        assert "error" not in found, found
        return dict(found["response"])

    return until


@pytest.fixture(scope="module")
def workflow(locations: Any, done: Any, account: str) -> Callable[..., str]:
    def make(name: str, source: object, **more: Any) -> str:
        body = {"sourceContents": source if isinstance(source, str) else json.dumps(source), "serviceAccount": account}
        request = locations("workflows").workflows().create(parent=PLACE, workflowId=name, body={**body, **more})
        return str(done("workflows", request)["name"])

    return make


@pytest.fixture(scope="module")
def run(locations: Any) -> Callable[..., dict[str, Any]]:
    executions = locations("workflowexecutions").workflows().executions()

    def execute(name: str, argument: object = None) -> dict[str, Any]:
        body = {} if argument is None else {"argument": json.dumps(argument)}
        started = executions.create(parent=name, body=body).execute()
        get = executions.get(name=started["name"])
        return dict(wait_for(lambda: (one := get.execute())["state"] != "ACTIVE" and one))

    return execute


def refused(request: Any, status: int, text: str) -> None:
    with pytest.raises(HttpError, match=text) as caught:
        request.execute()
    assert caught.value.status_code == status


PROGRAM = """
main:
  params: [input]
  steps:
    - prepare:
        assign:
          - total: 0
          - seen: {}
          - seen.first.name: ${input.words[0]}
          - project: ${sys.get_env("GOOGLE_CLOUD_PROJECT_ID")}
          - extra: ${default(map.get(input, "extra"), "none")}
    - add:
        for:
          value: word
          index: i
          in: ${input.words}
          steps:
            - skip:
                switch:
                  - condition: ${word == "" or not (len(word) < 9)}
                    next: continue
            - sum:
                assign:
                  - total: ${total + len(word) * (i + 1)}
    - choose:
        switch:
          - condition: ${total > 100}
            next: too_many
          - condition: true
            next: call_it
    - too_many:
        raise: ${"too many, " + string(total)}
    - call_it:
        call: describe
        args: {total: "${total}"}
        result: told
    - finish:
        return: ["${told}", "${seen}", "${project}", "${extra}", "${if(total > 5, \\"big\\", \\"small\\")}"]
describe:
  params: [total, unit: letters]
  steps:
    - answer:
        return: ${string(total) + " " + unit}
"""


def test_a_program_assigns_loops_chooses_and_calls(workflow: Any, run: Any) -> None:
    name = workflow("program", PROGRAM)
    found = run(name, {"words": ["ab", "", "abc", "much too long"]})
    assert found["state"] == "SUCCEEDED"
    assert json.loads(found["result"]) == ["11 letters", {"first": {"name": "ab"}}, PROJECT, "none", "big"]
    assert found["name"].split("/")[1].isdigit() and found["workflowRevisionId"].startswith("000001-")
    failed = run(name, {"words": ["12345678"] * 9})
    assert failed["state"] == "FAILED" and json.loads(failed["error"]["payload"]) == "too many, 360"
    assert failed["status"]["currentSteps"] == [{"routine": "main", "step": "too_many"}]
    lacking = run(name, {})
    assert json.loads(lacking["error"]["payload"])["tags"] == ["KeyError", "LookupError"]


def test_requests_are_retried_and_their_errors_caught(workflow: Any, run: Any, hook: Hook) -> None:
    post = {"call": "http.post", "args": {"url": hook.url, "body": {"a": 1}}, "result": "answer"}
    caught = {
        "as": "e",
        "steps": [{"told": {"return": ["${e.code}", "${e.tags}"]}}],
    }
    steps: list[Any] = [
        {"send": {"try": post, "retry": "${http.default_retry}", "except": caught}},
        {"done": {"return": "${answer.code}"}},
    ]
    name = workflow("sends", {"main": {"steps": steps}})
    hook.statuses = [503, 429]
    assert json.loads(run(name)["result"]) == 204
    sent = [hook.got.get(timeout=5) for _ in range(3)]
    assert {json.loads(body)["a"] for _, body in sent} == {1}
    assert sent[0][0]["Content-Type"].startswith("application/json")
    hook.statuses = [404]
    assert json.loads(run(name)["result"]) == [404, ["HttpError"]]


def test_programs_are_refused_when_they_are_made(locations: Any, account: str) -> None:
    def asks(source: str, **more: Any) -> Any:
        body = {"sourceContents": source, "serviceAccount": account, **more}
        return locations("workflows").workflows().create(parent=PLACE, workflowId="bad", body=body)

    refused(asks("main: ["), 400, "neither YAML nor JSON")
    refused(asks("main: {steps: [{a: {asign: []}}]}"), 400, "main.a: unknown field asign")
    refused(asks('main: {steps: [{a: {return: "${1 +}"}}]}'), 400, "cannot be read")
    refused(asks('main: {steps: [{a: {return: "${hash.compute(1)}"}}]}'), 501, "the function hash.compute")
    refused(asks("main: {steps: [{a: {call: googleapis.x.v1.y, args: {}}}]}"), 501, "call of googleapis.x.v1.y")
    good = "main: {steps: [{a: {return: 1}}]}"
    refused(asks(good, serviceAccount="nobody@test-project.iam.gserviceaccount.com"), 403, "actAs.*nobody@")
    refused(asks(good, userEnvVars={"GOOGLE_X": "y"}), 400, "user_env_vars")


def test_a_new_program_is_a_new_revision(locations: Any, workflow: Any, done: Any, run: Any) -> None:
    name = workflow("revised", "main: {steps: [{a: {return: 1}}]}")
    workflows = locations("workflows").workflows()
    only = workflows.patch(name=name, updateMask="description", body={"description": "d"})
    assert done("workflows", only)["revisionId"].startswith("000001-")
    body = {"sourceContents": "main: {steps: [{a: {return: 2}}]}"}
    changed = done("workflows", workflows.patch(name=name, updateMask="source_contents", body=body))
    assert changed["revisionId"].startswith("000002-") and changed["description"] == "d"
    assert run(name)["result"] == "2"
    sleeping = workflow("sleeping", "main: {steps: [{a: {call: sys.sleep, args: {seconds: 86400}}}]}")
    executions = locations("workflowexecutions").workflows().executions()
    started = executions.create(parent=sleeping, body={}).execute()
    assert executions.cancel(name=started["name"], body={}).execute()["state"] == "CANCELLED"
    done("workflows", workflows.delete(name=sleeping))
    refused(executions.list(parent=sleeping), 404, "not found")


def test_an_alert_starts_a_custom_job(
    emulator: Handle,
    discovery: Callable[..., Any],
    locations: Any,
    done: Any,
    workflow: Any,
    account: str,
) -> None:
    """The whole way: incident, topic, trigger, workflow, job."""
    image = "europe-west4-docker.pkg.dev/test-project/images/job:1"
    emulator.post("images", reference=image, entrypoint=[sys.executable, "-c", "print('trained')"])
    job = {
        "displayName": "retraining",
        "jobSpec": {
            "workerPoolSpecs": [
                {
                    "machineSpec": {"machineType": "n1-standard-4"},
                    "replicaCount": "1",
                    "containerSpec": {"imageUri": image},
                }
            ]
        },
    }
    steps: list[Any] = [
        {
            "read": {
                "assign": [
                    {"notification": "${json.decode(base64.decode(event.data.message.data))}"},
                    {"job": base64.b64encode(json.dumps(job).encode()).decode()},
                ]
            }
        },
        {
            "only_opened": {
                "switch": [{"condition": '${notification.incident.state != "open"}', "return": "not open"}],
            }
        },
        {
            "start": {
                "try": {
                    "call": "http.post",
                    "args": {
                        "url": f"https://europe-west4-aiplatform.googleapis.com/v1/{PLACE}/customJobs",
                        "auth": {"type": "OAuth2"},
                        "body": "${json.decode(base64.decode(job))}",
                    },
                    "result": "started",
                },
                "retry": "${http.default_retry}",
            }
        },
        {"done": {"return": "${started.body.name}"}},
    ]
    name = workflow("retrain", {"main": {"params": ["event"], "steps": steps}})
    pubsub, policy = discovery("pubsub", "v1").projects(), discovery("cloudresourcemanager", "v1").projects()
    topic = f"{PARENT}/topics/drift"
    pubsub.topics().create(name=topic, body={}).execute()
    number = policy.get(projectId=PROJECT).execute()["projectNumber"]
    agent = f"serviceAccount:service-{number}@gcp-sa-monitoring-notification.iam.gserviceaccount.com"
    publisher = {"role": "roles/pubsub.publisher", "members": [agent]}
    pubsub.topics().setIamPolicy(resource=topic, body={"policy": {"bindings": [publisher]}}).execute()
    trigger = {
        "eventFilters": [{"attribute": "type", "value": "google.cloud.pubsub.topic.v1.messagePublished"}],
        "destination": {"workflow": name},
        "transport": {"pubsub": {"topic": topic}},
        "serviceAccount": account,
    }
    triggers = locations("eventarc").triggers()
    made = done("eventarc", triggers.create(parent=PLACE, triggerId="drift", body=trigger))
    subscription = made["transport"]["pubsub"]["subscription"]
    assert pubsub.topics().subscriptions().list(topic=topic).execute()["subscriptions"] == [subscription]

    monitoring = discovery("monitoring", "v3").projects()

    def write(value: float) -> None:
        series = {
            "metric": {"type": "custom.googleapis.com/drift"},
            "resource": {"type": "global"},
            "points": [{"interval": {"endTime": datetime.now(UTC).isoformat()}, "value": {"doubleValue": value}}],
        }
        monitoring.timeSeries().create(name=PARENT, body={"timeSeries": [series]}).execute()

    write(0.0)
    channel = {"type": "pubsub", "labels": {"topic": topic}}
    channel_name = monitoring.notificationChannels().create(name=PARENT, body=channel).execute()["name"]
    condition = {
        "displayName": "drift",
        "conditionThreshold": {
            "filter": 'metric.type = "custom.googleapis.com/drift" AND resource.type = "global"',
            "comparison": "COMPARISON_GT",
            "thresholdValue": 0.5,
            "duration": "0s",
            "aggregations": [{"alignmentPeriod": "60s", "perSeriesAligner": "ALIGN_NEXT_OLDER"}],
        },
    }
    alert = {
        "displayName": "drift",
        "combiner": "OR",
        "conditions": [condition],
        "notificationChannels": [channel_name],
    }
    monitoring.alertPolicies().create(name=PARENT, body=alert).execute()
    write(0.9)

    # Without the right to start executions the trigger's pushes are refused, and repeated.
    refusals = wait_for(lambda: [one for one in emulator.get("outbox") if one["channel"] == subscription])
    assert "workflows.executions.create" in refusals[0]["error"]
    invoker = {"role": "roles/workflows.invoker", "members": [f"serviceAccount:{account}"]}
    policy.setIamPolicy(resource=PROJECT, body={"policy": {"bindings": [invoker]}}).execute()

    jobs = locations("aiplatform").customJobs()
    [job_found] = wait_for(lambda: jobs.list(parent=PLACE).execute().get("customJobs"), seconds=40)
    executions = locations("workflowexecutions").workflows().executions()
    ended = wait_for(
        lambda: [
            one
            for one in executions.list(parent=name, view="FULL").execute()["executions"]
            if one["state"] == "SUCCEEDED" and json.loads(one["result"]) == job_found["name"]
        ]
    )
    event = json.loads(ended[0]["argument"])
    assert event["source"] == f"//pubsub.googleapis.com/{topic}" and event["data"]["subscription"] == subscription
    wait_for(lambda: jobs.get(name=job_found["name"]).execute()["state"] == "JOB_STATE_SUCCEEDED")
    entries = discovery("logging", "v2").entries()
    wanted = f'resource.type = "ml_job" AND resource.labels.job_id = "{job_found["name"].rpartition("/")[2]}"'
    [line] = entries.list(body={"resourceNames": [PARENT], "filter": wanted}).execute()["entries"]
    assert line["textPayload"] == "trained"
    done("eventarc", triggers.delete(name=made["name"]))
    assert "subscriptions" not in pubsub.topics().subscriptions().list(topic=topic).execute()
    assert topic in [one["name"] for one in pubsub.topics().list(project=PARENT).execute()["topics"]]
