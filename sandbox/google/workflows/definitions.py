"""Workflows as resources.

Source: Workflows API v1, projects.locations.workflows (ids, revisions, which change makes a new one, the default
service account). The words with which a program is refused are ours.
"""

from __future__ import annotations

import copy
import re
import secrets

from sandbox.google import masks
from sandbox.google.api import Call, Collection, Resource
from sandbox.google.errors import GoogleError, Violation, invalid
from sandbox.google.iam.accounts import require_account
from sandbox.google.operations import Operation
from sandbox.google.workflows.api import WORKFLOWS, api
from sandbox.google.workflows.expressions import Malformed, NotEmulated
from sandbox.google.workflows.program import read

_ID = re.compile(r"[A-Za-z]([A-Za-z0-9_-]{0,62}[A-Za-z0-9])?")
_LABEL = re.compile(r"[a-z][a-z0-9_-]{0,62}")
_NEW_REVISION = {"sourceContents", "serviceAccount"}
MOST_BYTES = 128 * 1024

api.add(Collection(WORKFLOWS, "workflow"))


def _check(call: Call, workflow: Resource) -> None:
    problems: list[Violation] = []
    source = str(workflow.get("sourceContents", ""))
    if not source or len(source.encode()) > MOST_BYTES:
        problems.append(("workflow.source_contents", "The source must be there, and have at most 128 KB."))
    if len(workflow.get("description", "")) > 1000:
        problems.append(("workflow.description", "The description has at most 1000 characters."))
    if bad := [key for key in workflow.get("labels", {}) if not _LABEL.fullmatch(key)]:
        problems.append(("workflow.labels", f"Invalid label keys: {', '.join(bad)}."))
    variables = workflow.get("userEnvVars", {})
    if len(variables) > 20 or any(not key or key.startswith(("GOOGLE", "WORKFLOWS")) for key in variables):
        problems.append(("workflow.user_env_vars", "At most 20, and none that begins with GOOGLE or WORKFLOWS."))
    if problems:
        raise invalid("; ".join(f"{field}: {why}" for field, why in problems), problems)
    try:
        read(source)
    except NotEmulated as problem:
        raise GoogleError("UNIMPLEMENTED", f"The sandbox does not emulate this of Workflows: {problem}") from problem
    except Malformed as problem:
        raise invalid(f"main.yaml: {problem}", [("workflow.source_contents", str(problem))]) from problem


def _complete(call: Call, workflow: Resource, project: str) -> None:
    given = str(workflow.get("serviceAccount", "")).rpartition("/")[2]
    email = given or f"{call.emulator.projects.number(project)}-compute@developer.gserviceaccount.com"
    require_account(call, email)
    workflow["serviceAccount"] = f"projects/{project}/serviceAccounts/{email}"


def _revise(call: Call, workflow: Resource, number: int) -> None:
    workflow["revisionId"] = f"{number:06d}-{secrets.token_hex(2)[:3]}"
    workflow["revisionCreateTime"] = call.now


@api.method(f"{WORKFLOWS}.create")
def create(call: Call) -> Resource:
    parent, number = call.canonical(call.name), str(call.query.get("workflowId", ""))
    if not _ID.fullmatch(number):
        text = "It has 1 to 64 letters, digits, _ and -, begins with a letter and ends with a letter or digit."
        raise invalid(f'workflow_id "{number}": {text}', [("workflow_id", text)])
    workflow = copy.deepcopy(call.body)
    workflow.pop("tags", None)
    workflow["name"] = f"{parent}/workflows/{number}"
    _check(call, workflow)
    _complete(call, workflow, parent.split("/")[1])
    with call.emulator.store.lock:
        if workflow["name"] in call.table():
            raise GoogleError("ALREADY_EXISTS", f"Resource '{workflow['name']}' already exists")
    workflow["state"] = "ACTIVE"
    workflow.setdefault("callLogLevel", "CALL_LOG_LEVEL_UNSPECIFIED")
    _revise(call, workflow, 1)
    call.touch(workflow, new=True)

    def work(operation: Operation) -> Resource:
        with call.emulator.store.lock:
            call.table()[workflow["name"]] = workflow
        return call.any("Workflow", workflow)

    return call.operation_on(workflow["name"], "create", work)


@api.method(f"{WORKFLOWS}.patch")
def patch(call: Call) -> Resource:
    mask = str(call.query.get("updateMask") or "")
    with call.emulator.store.lock:
        workflow = call.find()
        fields = ("name", "state", "createTime", "updateTime", "revisionId", "revisionCreateTime")
        if mask:
            paths = masks.paths_of(mask, call.api.schemas, str(call.method.request))
            changed = masks.merge(workflow, call.body, [path for path in paths if path[0] not in fields])
        else:
            changed = {**copy.deepcopy(call.body), **{key: workflow[key] for key in fields}}
        changed.pop("tags", None)
        _check(call, changed)
        _complete(call, changed, workflow["name"].split("/")[1])
        if any(changed.get(key) != workflow.get(key) for key in _NEW_REVISION):
            _revise(call, changed, int(workflow["revisionId"].partition("-")[0]) + 1)
        call.touch(changed)

    def work(operation: Operation) -> Resource:
        with call.emulator.store.lock:
            workflow.clear()
            workflow.update(changed)
        return call.any("Workflow", changed)

    return call.operation_on(changed["name"], "update", work)


@api.method(f"{WORKFLOWS}.delete")
def delete(call: Call) -> Resource:
    name = call.find()["name"]

    def work(operation: Operation) -> Resource:
        with call.emulator.store.lock:
            call.table().pop(name, None)
            executions = call.emulator.store.table("_executions")
            for one in [key for key in executions if call.emulator.projects.named(key).startswith(f"{name}/")]:
                del executions[one]
        return {"@type": "type.googleapis.com/google.protobuf.Empty"}

    return call.operation_on(name, "delete", work)
