"""CloudWatch Logs: log groups."""

from __future__ import annotations

from sandbox.providers.aws.cloud import Call
from sandbox.providers.aws.tags import sync_tags
from sandbox.providers.check import AutoName
from sandbox.providers.resource import Change, Resource, Values

_GONE = ("ResourceNotFoundException",)


def _create(call: Call, values: Values) -> str:
    name = values["name"]
    parameters: Values = {"logGroupName": name}
    if values.get("kmsKeyId"):
        parameters["kmsKeyId"] = values["kmsKeyId"]
    if values.get("logGroupClass"):
        parameters["logGroupClass"] = values["logGroupClass"]
    if values.get("tagsAll"):
        parameters["tags"] = values["tagsAll"]
    call.do("create_log_group", **parameters)
    if values.get("retentionInDays"):
        call.do("put_retention_policy", logGroupName=name, retentionInDays=values["retentionInDays"])
    return name


def _read(call: Call, identifier: str, state: Values) -> Values | None:
    groups = call.do("describe_log_groups", logGroupNamePrefix=identifier).get("logGroups", [])
    group = next((item for item in groups if item["logGroupName"] == identifier), None)
    if group is None:
        return None
    arn = str(group["arn"]).removesuffix(":*")
    return {
        "name": identifier,
        "arn": arn,
        "kmsKeyId": group.get("kmsKeyId"),
        "logGroupClass": group.get("logGroupClass") or "STANDARD",
        "retentionInDays": group.get("retentionInDays", 0),
        "tagsAll": call.do("list_tags_for_resource", resourceArn=arn).get("tags") or {},
    }


def _update(call: Call, identifier: str, change: Change) -> None:
    if change.touches("retentionInDays"):
        days = change.new.get("retentionInDays")
        if days:
            call.do("put_retention_policy", logGroupName=identifier, retentionInDays=days)
        else:
            call.do("delete_retention_policy", logGroupName=identifier)
    if change.touches("kmsKeyId"):
        key = change.new.get("kmsKeyId")
        if key:
            call.do("associate_kms_key", logGroupName=identifier, kmsKeyId=key)
        else:
            call.do("disassociate_kms_key", logGroupName=identifier)
    arn = change.old["arn"]
    sync_tags(
        change,
        lambda tags: call.do("tag_resource", resourceArn=arn, tags=tags),
        lambda keys: call.do("untag_resource", resourceArn=arn, tagKeys=keys),
    )


def _delete(call: Call, identifier: str, state: Values) -> None:
    if not state.get("skipDestroy"):
        call.remove("delete_log_group", _GONE, logGroupName=identifier)


# https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutRetentionPolicy.html
_RETENTIONS = (
    *(0, 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731),
    *(1096, 1827, 2192, 2557, 2922, 3288, 3653),
)


def _verify(inputs: Values) -> list[tuple[str, str]]:
    days = inputs.get("retentionInDays")
    if isinstance(days, int) and days not in _RETENTIONS:
        return [("retentionInDays", f"must be one of {', '.join(map(str, _RETENTIONS))}, not {days}")]
    return []


RESOURCES = (
    Resource(
        token="aws:cloudwatch/logGroup:LogGroup",
        service="logs",
        create=_create,
        read=_read,
        update=_update,
        delete=_delete,
        force_new=frozenset({"name", "namePrefix", "logGroupClass"}),
        auto_name=AutoName(length=512),
        computed=frozenset({"logGroupClass", "namePrefix"}),
        defaults={"retentionInDays": 0, "skipDestroy": False},
        verify=_verify,
    ),
)
