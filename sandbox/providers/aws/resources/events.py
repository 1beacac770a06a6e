"""EventBridge: rules and targets."""

from __future__ import annotations

import time

from sandbox.providers import schema
from sandbox.providers.aws import convert
from sandbox.providers.aws.cloud import ROLE_NOT_READY, Call, tag_list, tag_map
from sandbox.providers.aws.tags import sync_tags
from sandbox.providers.check import AutoName
from sandbox.providers.resource import Change, CloudError, Resource, Values

_GONE = ("ResourceNotFoundException",)


def _put_rule(call: Call, values: Values, tags: bool = True) -> str:
    parameters: Values = {"Name": values["name"]}
    for name, member in (
        ("description", "Description"),
        ("eventPattern", "EventPattern"),
        ("scheduleExpression", "ScheduleExpression"),
        ("roleArn", "RoleArn"),
        ("eventBusName", "EventBusName"),
    ):
        if values.get(name):
            parameters[member] = values[name]
    state = values.get("state")
    if values.get("isEnabled") is False:
        state = "DISABLED"
    parameters["State"] = state or "ENABLED"
    if tags and values.get("tagsAll"):
        parameters["Tags"] = tag_list(values["tagsAll"])
    call.retry("put_rule", ROLE_NOT_READY, **parameters)
    bus = values.get("eventBusName") or "default"
    return values["name"] if bus == "default" else f"{bus}/{values['name']}"


def _rule_of(identifier: str) -> tuple[str, str]:
    bus, _, name = identifier.rpartition("/")
    return bus or "default", name


def _read_rule(call: Call, identifier: str, state: Values) -> Values | None:
    bus, name = _rule_of(identifier)
    answer = call.find("describe_rule", _GONE, Name=name, EventBusName=bus)
    if answer is None:
        return None
    arn = answer["Arn"]
    tags = call.do("list_tags_for_resource", ResourceARN=arn).get("Tags")
    return {
        "name": name,
        "arn": arn,
        "eventBusName": answer.get("EventBusName") or bus,
        "description": answer.get("Description") or None,
        "eventPattern": answer.get("EventPattern") or None,
        "scheduleExpression": answer.get("ScheduleExpression") or None,
        "roleArn": answer.get("RoleArn"),
        "state": answer.get("State"),
        "isEnabled": answer.get("State") != "DISABLED",
        "tagsAll": tag_map(tags),
    }


def _update_rule(call: Call, identifier: str, change: Change) -> None:
    if change.changed - {"tags", "tagsAll", "forceDestroy"}:
        values = dict(change.new)
        # The two say the same; the one that did not change must not undo the other.
        if change.touches("state") and not change.touches("isEnabled"):
            values.pop("isEnabled", None)
        elif change.touches("isEnabled") and not change.touches("state"):
            values.pop("state", None)
        _put_rule(call, values, tags=False)
    arn = change.old["arn"]
    sync_tags(
        change,
        lambda tags: call.do("tag_resource", ResourceARN=arn, Tags=tag_list(tags)),
        lambda keys: call.do("untag_resource", ResourceARN=arn, TagKeys=keys),
    )


def _delete_rule(call: Call, identifier: str, state: Values) -> None:
    bus, name = _rule_of(identifier)
    # A target that is being deleted beside it may take a moment to be gone.
    deadline = time.monotonic() + 120
    while True:
        try:
            force = bool(state.get("forceDestroy"))
            call.remove("delete_rule", _GONE, Name=name, EventBusName=bus, Force=force)
            return
        except CloudError as error:
            if "targets" not in str(error) or time.monotonic() > deadline:
                raise
        call.wait(1)


def _verify_rule(inputs: Values) -> list[tuple[str, str]]:
    if "eventPattern" not in inputs and "scheduleExpression" not in inputs:
        return [("eventPattern", "one of eventPattern and scheduleExpression is needed")]
    return []


# Targets

_TARGET = "aws:cloudwatch/eventTarget:EventTarget"
_TARGET_NAMES = {
    "arn": "Arn",
    "rule": "",
    "targetId": "Id",
    "sagemakerPipelineTarget": "SageMakerPipelineParameters",
    "pipelineParameterLists": "PipelineParameterList",
    "inputTransformer": "InputTransformer",
    "inputPaths": "InputPathsMap",
    "sqsTarget": "SqsParameters",
    "kinesisTarget": "KinesisParameters",
    "httpTarget": "HttpParameters",
    "inputPath": "InputPath",
}


def _put_target(call: Call, values: Values) -> str:
    shape = call.shape("PutTargets").members["Targets"].member
    target = convert.to_aws(values, schema.resource(_TARGET).inputs, shape, _TARGET_NAMES)
    identifier = values.get("targetId") or f"terraform-{time.time_ns()}"
    bus = values.get("eventBusName") or "default"
    answer = call.retry(
        "put_targets",
        ROLE_NOT_READY,
        Rule=values["rule"],
        EventBusName=bus,
        Targets=[target | {"Id": identifier}],
    )
    if answer.get("FailedEntryCount"):
        failed = answer["FailedEntries"][0]
        code = str(failed.get("ErrorCode"))
        raise CloudError(f"put_targets on EventBridge {call.thing}: {code}: {failed.get('ErrorMessage')}", code)
    values["targetId"] = identifier
    values["eventBusName"] = bus
    prefix = "" if bus == "default" else f"{bus}-"
    return f"{prefix}{values['rule']}-{identifier}"


def _target_of(identifier: str, state: Values) -> tuple[str, str, str]:
    """(bus, rule, target): from the state, or from an import's `bus/rule/target`."""
    if state.get("rule") and state.get("targetId"):
        return state.get("eventBusName") or "default", state["rule"], state["targetId"]
    parts = identifier.split("/")
    if len(parts) == 2:
        parts = ["default", *parts]
    if len(parts) != 3:
        raise CloudError(f'an event target is imported as "bus/rule/target" or "rule/target", not "{identifier}"')
    return parts[0], parts[1], parts[2]


def _read_target(call: Call, identifier: str, state: Values) -> Values | None:
    bus, rule, target = _target_of(identifier, state)
    answer = call.find("list_targets_by_rule", _GONE, Rule=rule, EventBusName=bus)
    found = next((item for item in (answer or {}).get("Targets", []) if item["Id"] == target), None)
    if found is None:
        return None
    shape = call.shape("ListTargetsByRule", output=True).members["Targets"].member
    inputs = schema.resource(_TARGET).inputs
    result: Values = {
        name: None for name in inputs if convert.has_member(name, shape, _TARGET_NAMES)
    } | convert.from_aws(found, inputs, shape, _TARGET_NAMES)
    prefix = "" if bus == "default" else f"{bus}-"
    return result | {
        "id": f"{prefix}{rule}-{target}",
        "rule": rule,
        "targetId": target,
        "eventBusName": bus,
    }


def _update_target(call: Call, identifier: str, change: Change) -> None:
    _put_target(call, change.new)


def _delete_target(call: Call, identifier: str, state: Values) -> None:
    bus, rule, target = _target_of(identifier, state)
    force = bool(state.get("forceDestroy"))
    call.remove("remove_targets", _GONE, Rule=rule, EventBusName=bus, Ids=[target], Force=force)


RESOURCES = (
    Resource(
        token="aws:cloudwatch/eventRule:EventRule",
        service="events",
        create=_put_rule,
        read=_read_rule,
        update=_update_rule,
        delete=_delete_rule,
        force_new=frozenset({"name", "namePrefix", "eventBusName"}),
        auto_name=AutoName(length=64),
        computed=frozenset({"namePrefix"}),
        json=frozenset({"eventPattern"}),
        defaults={"eventBusName": "default", "forceDestroy": False},
        verify=_verify_rule,
    ),
    Resource(
        token=_TARGET,
        service="events",
        create=_put_target,
        read=_read_target,
        update=_update_target,
        delete=_delete_target,
        force_new=frozenset({"rule", "targetId", "eventBusName"}),
        computed=frozenset({"targetId"}),
        json=frozenset({"input"}),
        defaults={"eventBusName": "default", "forceDestroy": False},
    ),
)
