"""Executions of workflows.

Sources: Workflow Executions API v1, projects.locations.workflows.executions and triggerPubsubExecution; "CloudEvents,
JSON event format" of Eventarc for Workflows (the argument that a Pub/Sub message becomes); "Trigger a workflow with
events or Pub/Sub messages" (an event is delivered once its execution starts; a message starts one execution within 24
hours); "Roles and permissions for Workflows targets" (roles/workflows.invoker).
"""

from __future__ import annotations

import base64
import copy
import json
import sys
import threading
import time
import traceback
import uuid
from datetime import timedelta
from typing import Any

from sandbox.google.api import Call, Collection, Resource
from sandbox.google.errors import GoogleError, error_info, invalid
from sandbox.google.operations import timestamp
from sandbox.google.outbound import Unreachable, access_token, claims_of, identity_token, send
from sandbox.google.pubsub.api import SUBSCRIPTIONS
from sandbox.google.store import page
from sandbox.google.workflows.api import EXECUTIONS, WORKFLOWS, running
from sandbox.google.workflows.expressions import Raised, error
from sandbox.google.workflows.program import Cancelled, Run, read

INVOKERS = {"roles/workflows.invoker", "roles/workflows.editor", "roles/workflows.admin", "roles/editor", "roles/owner"}
MOST_ARGUMENT_BYTES = 512 * 1024
_BASIC = ("name", "startTime", "endTime", "duration", "state", "workflowRevisionId", "labels")

# Executions are kept apart from what a stack made: they are no resources that somebody has to delete.
running.add(Collection(EXECUTIONS, "execution", times=None))
_runs: dict[str, Run] = {}


def _table(call: Call) -> dict[str, Resource]:
    return call.emulator.store.table("_executions")


def _workflow(call: Call, name: str) -> Resource:
    named = call.emulator.projects.named(name)
    found = call.emulator.store.table(f"workflows.{WORKFLOWS}").get(named)
    if found is None:
        raise GoogleError("NOT_FOUND", f"Resource '{named}' was not found")
    return copy.deepcopy(found)


def _find(call: Call) -> Resource:
    found = _table(call).get(call.canonical(call.name))
    if found is None:
        raise GoogleError("NOT_FOUND", f"Resource '{call.canonical(call.name)}' was not found")
    return found


def _start(call: Call, workflow: Resource, argument: str, **more: Any) -> Resource:
    """Begin an execution."""
    try:
        value = json.loads(argument) if argument else None
    except ValueError as problem:
        text = f"The argument is no JSON: {problem}"
        raise invalid(text, [("execution.argument", text)]) from problem
    if len(argument.encode()) > MOST_ARGUMENT_BYTES:
        raise invalid("The argument is too large.", [("execution.argument", "The argument is too large.")])
    emulator = call.emulator
    labels = {**workflow.get("labels", {}), **more.get("labels", {})}
    execution: Resource = {
        "name": f"{emulator.projects.numbered(workflow['name'])}/executions/{uuid.uuid4()}",
        "createTime": call.now,
        "startTime": call.now,
        "state": "ACTIVE",
        "workflowRevisionId": workflow["revisionId"],
        "callLogLevel": more.get("callLogLevel", "CALL_LOG_LEVEL_UNSPECIFIED"),
        **({"argument": argument} if argument else {}),
        **({"labels": labels} if labels else {}),
    }
    project, location = workflow["name"].split("/")[1], workflow["name"].split("/")[3]
    account = workflow["serviceAccount"].rpartition("/")[2]

    def request(
        method: str, url: str, headers: dict[str, str], body: bytes | None, auth: dict[str, Any], timeout: float
    ) -> tuple[int, dict[str, str], bytes]:
        if auth.get("type") == "OAuth2":
            headers = {**headers, "Authorization": f"Bearer {access_token(account)}"}
        elif auth.get("type") == "OIDC":
            headers = {
                **headers,
                "Authorization": f"Bearer {identity_token(emulator, account, auth.get('audience') or url)}",
            }
        try:
            return send(emulator, method, url, headers, body, timeout)
        except Unreachable as problem:
            raise error(str(problem), "ConnectionError") from problem

    run = Run(
        read(workflow["sourceContents"]),
        request,
        {
            "GOOGLE_CLOUD_PROJECT_ID": project,
            "GOOGLE_CLOUD_PROJECT_NUMBER": emulator.projects.number(project),
            "GOOGLE_CLOUD_LOCATION": location,
            "GOOGLE_CLOUD_WORKFLOW_ID": workflow["name"].rpartition("/")[2],
            "GOOGLE_CLOUD_WORKFLOW_REVISION_ID": workflow["revisionId"],
            "GOOGLE_CLOUD_WORKFLOW_EXECUTION_ID": execution["name"].rpartition("/")[2],
            "GOOGLE_CLOUD_SERVICE_ACCOUNT_NAME": account,
            **workflow.get("userEnvVars", {}),
        },
        emulator.clock.wait,
    )
    with emulator.store.lock:
        _table(call)[execution["name"]] = execution
    _runs[execution["name"]] = run
    threading.Thread(target=_execute, args=(call, execution, run, value), daemon=True).start()
    return copy.deepcopy(execution)


def _execute(call: Call, execution: Resource, run: Run, argument: Any) -> None:
    emulator, began = call.emulator, call.emulator.clock.now()
    try:
        result = run.main(argument)
        ended: Resource = {"state": "SUCCEEDED", "result": json.dumps(result, default=_shown)}
    except Cancelled:
        ended = {"state": "CANCELLED", "error": {"payload": json.dumps("Execution cancelled")}}
    except Raised as problem:
        ended = {"state": "FAILED", "error": _told(run, problem.value)}
    except Exception as problem:
        traceback.print_exc(file=sys.stderr)
        emulator.failures.append(f"{execution['name']}: {problem!r}")
        ended = {"state": "FAILED", "error": _told(run, "Internal error")}
    now = emulator.clock.now()
    with emulator.store.lock:
        execution.update(ended)
        execution["endTime"] = timestamp(now)
        execution["duration"] = f"{(now - began) / timedelta(seconds=1):.9f}s"
        execution["status"] = {"currentSteps": [{"routine": run.at[0], "step": run.at[1]}]}
    _runs.pop(execution["name"], None)


def _shown(value: Any) -> Any:
    return base64.b64encode(value).decode() if isinstance(value, bytes) else str(value)


def _told(run: Run, value: Any) -> Resource:
    """The error of a failed execution."""
    routine, step = run.at
    message = value.get("message", "") if isinstance(value, dict) else str(value)
    return {
        "payload": json.dumps(value, default=_shown),
        "context": f'{message}\nin step "{step}", routine "{routine}"',
        "stackTrace": {"elements": [{"routine": routine, "step": step}]},
    }


@running.method(f"{EXECUTIONS}.create")
def create(call: Call) -> Resource:
    workflow = _workflow(call, call.name)
    more = {key: call.body[key] for key in ("labels", "callLogLevel") if key in call.body}
    return _start(call, workflow, call.body.get("argument", ""), **more)


@running.method(f"{EXECUTIONS}.get")
def get(call: Call) -> Resource:
    with call.emulator.store.lock:
        found = copy.deepcopy(_find(call))
    return {key: found[key] for key in _BASIC if key in found} if call.query.get("view") == "BASIC" else found


@running.method(f"{EXECUTIONS}.list")
def list_executions(call: Call) -> Resource:
    _workflow(call, call.name)
    found = call.emulator.store.below("_executions", call.canonical(call.name))
    found.sort(key=lambda one: one["createTime"], reverse=True)
    if call.query.get("view") != "FULL":
        found = [{key: one[key] for key in _BASIC if key in one} for one in found]
    items, token = page(found, call.query)
    return ({"executions": items} if items else {}) | ({"nextPageToken": token} if token else {})


@running.method(f"{EXECUTIONS}.cancel")
def cancel(call: Call) -> Resource:
    with call.emulator.store.lock:
        execution = _find(call)
        run = _runs.get(execution["name"])
        if run is not None:
            run.cancelled.set()
    deadline = time.monotonic() + 5
    while execution["state"] == "ACTIVE" and time.monotonic() < deadline:
        time.sleep(0.01)
    return copy.deepcopy(execution)


@running.method(f"{WORKFLOWS}.triggerPubsubExecution")
def trigger(call: Call) -> Resource:
    """What a push subscription of Eventarc calls."""
    workflow = _workflow(call, call.name)
    email = claims_of(call.headers.get("authorization", "").removeprefix("Bearer ").strip()).get("email", "")
    project = workflow["name"].split("/")[1]
    owner = f"//cloudresourcemanager.googleapis.com/projects/{project}"
    if email and not call.emulator.policies.grants(f"serviceAccount:{email}", INVOKERS, owner):
        permission = "workflows.executions.create"
        raise GoogleError(
            "PERMISSION_DENIED",
            f"Permission '{permission}' denied on resource '{workflow['name']}' (or it may not exist).",
            [
                error_info(
                    "IAM_PERMISSION_DENIED",
                    "workflowexecutions.googleapis.com",
                    resource=workflow["name"],
                    permission=permission,
                )
            ],
        )
    message, subscription = call.body.get("message", {}), str(call.body.get("subscription", ""))
    known = call.emulator.store.table(f"pubsub.{SUBSCRIPTIONS}").get(subscription, {})
    event = {
        "specversion": "1.0",
        "id": message.get("messageId", ""),
        "source": f"//pubsub.googleapis.com/{known.get('topic', '')}",
        "type": "google.cloud.pubsub.topic.v1.messagePublished",
        "datacontenttype": "application/json",
        "time": message.get("publishTime", call.now),
        "data": {"message": message, "subscription": subscription},
    }
    with call.emulator.store.lock:
        for one in _table(call).values():
            before = json.loads(one.get("argument", "null"))
            same = isinstance(before, dict) and (before.get("id"), before.get("source")) == (
                event["id"],
                event["source"],
            )
            if same and call.emulator.projects.named(one["name"]).startswith(f"{workflow['name']}/"):
                return copy.deepcopy(one)
    return _start(call, workflow, json.dumps(event))
