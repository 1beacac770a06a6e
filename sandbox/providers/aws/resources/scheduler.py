"""EventBridge Scheduler: schedules."""

from __future__ import annotations

import datetime
import time

from sandbox.providers import schema
from sandbox.providers.aws import convert
from sandbox.providers.aws.cloud import ROLE_NOT_READY, Call
from sandbox.providers.check import AutoName
from sandbox.providers.resource import Change, Resource, Values

_TOKEN = "aws:scheduler/schedule:Schedule"
_GONE = ("ResourceNotFoundException",)
_NAMES = {
    "sagemakerPipelineParameters": "SageMakerPipelineParameters",
    "pipelineParameters": "PipelineParameterList",
    "eventbridgeParameters": "EventBridgeParameters",
}


def _parameters(call: Call, operation: str, values: Values) -> Values:
    result = convert.to_aws(values, schema.resource(_TOKEN).inputs, call.shape(operation), _NAMES)
    for member in ("StartDate", "EndDate"):
        if isinstance(result.get(member), str):
            result[member] = datetime.datetime.fromisoformat(result[member].replace("Z", "+00:00"))
    # The API wants a token for each request.
    return result | {"ClientToken": f"pulumi-{time.time_ns()}"}


def _create(call: Call, values: Values) -> str:
    call.retry("create_schedule", ROLE_NOT_READY, **_parameters(call, "CreateSchedule", values))
    return f"{values['groupName']}/{values['name']}"


def _schedule_of(identifier: str) -> tuple[str, str]:
    group, _, name = identifier.rpartition("/")
    return group or "default", name


def _read(call: Call, identifier: str, state: Values) -> Values | None:
    group, name = _schedule_of(identifier)
    answer = call.find("get_schedule", _GONE, GroupName=group, Name=name)
    if answer is None:
        return None
    shape = call.shape("GetSchedule", output=True)
    inputs = schema.resource(_TOKEN).inputs
    result: Values = {
        key: None for key in inputs if key != "region" and convert.has_member(key, shape, _NAMES)
    } | convert.from_aws(answer, inputs, shape, _NAMES)
    result.setdefault("scheduleExpressionTimezone", "UTC")
    return result | {"arn": answer["Arn"], "groupName": group, "name": name}


def _update(call: Call, identifier: str, change: Change) -> None:
    call.retry("update_schedule", ROLE_NOT_READY, **_parameters(call, "UpdateSchedule", change.new))


def _delete(call: Call, identifier: str, state: Values) -> None:
    group, name = _schedule_of(identifier)
    call.remove("delete_schedule", _GONE, GroupName=group, Name=name)


RESOURCES = (
    Resource(
        token=_TOKEN,
        service="scheduler",
        create=_create,
        read=_read,
        update=_update,
        delete=_delete,
        force_new=frozenset({"name", "namePrefix", "groupName"}),
        auto_name=AutoName(length=64),
        computed=frozenset({"groupName", "namePrefix", "actionAfterCompletion"}),
        defaults={"groupName": "default", "scheduleExpressionTimezone": "UTC", "state": "ENABLED"},
    ),
)
