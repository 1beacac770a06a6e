"""SQS: queues and their policies."""

from __future__ import annotations

from sandbox.providers.aws.cloud import ROLE_NOT_READY, Call
from sandbox.providers.aws.tags import sync_tags
from sandbox.providers.check import AutoName
from sandbox.providers.resource import Change, Resource, Values

_GONE = ("AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist")

# Property: (attribute, kind). https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/
_ATTRIBUTES = {
    "contentBasedDeduplication": ("ContentBasedDeduplication", bool),
    "deduplicationScope": ("DeduplicationScope", str),
    "delaySeconds": ("DelaySeconds", int),
    "fifoQueue": ("FifoQueue", bool),
    "fifoThroughputLimit": ("FifoThroughputLimit", str),
    "kmsDataKeyReusePeriodSeconds": ("KmsDataKeyReusePeriodSeconds", int),
    "kmsMasterKeyId": ("KmsMasterKeyId", str),
    "maxMessageSize": ("MaximumMessageSize", int),
    "messageRetentionSeconds": ("MessageRetentionPeriod", int),
    "policy": ("Policy", str),
    "receiveWaitTimeSeconds": ("ReceiveMessageWaitTimeSeconds", int),
    "redriveAllowPolicy": ("RedriveAllowPolicy", str),
    "redrivePolicy": ("RedrivePolicy", str),
    "sqsManagedSseEnabled": ("SqsManagedSseEnabled", bool),
    "visibilityTimeoutSeconds": ("VisibilityTimeout", int),
}


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _create_queue(call: Call, values: Values) -> str:
    attributes = {
        attribute: _text(values[name])
        for name, (attribute, _) in _ATTRIBUTES.items()
        if values.get(name) not in (None, "", False)
    }
    if values.get("sqsManagedSseEnabled") is False:
        attributes["SqsManagedSseEnabled"] = "false"
    parameters: Values = {"QueueName": values["name"], "Attributes": attributes}
    if values.get("tagsAll"):
        parameters["tags"] = values["tagsAll"]
    return call.retry("create_queue", ("queuedeletedrecently", *ROLE_NOT_READY), **parameters)["QueueUrl"]


def _attributes(call: Call, url: str) -> dict[str, str] | None:
    answer = call.find("get_queue_attributes", _GONE, QueueUrl=url, AttributeNames=["All"])
    return None if answer is None else answer.get("Attributes", {})


def _read_queue(call: Call, identifier: str, state: Values) -> Values | None:
    attributes = _attributes(call, identifier)
    if attributes is None:
        return None
    result: Values = {}
    for name, (attribute, kind) in _ATTRIBUTES.items():
        text = attributes.get(attribute)
        if kind is bool:
            # Absent means off, save for what an emulator does not tell.
            result[name] = text == "true" if text is not None else bool(state.get(name))
        elif text not in (None, ""):
            result[name] = int(str(text)) if kind is int else text
        else:
            result[name] = None
    tags = call.do("list_queue_tags", QueueUrl=identifier).get("Tags") or {}
    return result | {
        "name": identifier.rsplit("/", 1)[-1],
        "url": identifier,
        "arn": attributes["QueueArn"],
        "tagsAll": tags,
    }


def _update_queue(call: Call, identifier: str, change: Change) -> None:
    attributes: Values = {}
    for name, (attribute, _) in _ATTRIBUTES.items():
        if change.touches(name):
            value = change.new.get(name)
            attributes[attribute] = "" if value is None else _text(value)
    if attributes:
        call.retry("set_queue_attributes", ROLE_NOT_READY, QueueUrl=identifier, Attributes=attributes)
    sync_tags(
        change,
        lambda tags: call.do("tag_queue", QueueUrl=identifier, Tags=tags),
        lambda keys: call.do("untag_queue", QueueUrl=identifier, TagKeys=keys),
    )


def _delete_queue(call: Call, identifier: str, state: Values) -> None:
    call.remove("delete_queue", _GONE, QueueUrl=identifier)


def _put_policy(call: Call, values: Values) -> str:
    call.retry(
        "set_queue_attributes",
        ROLE_NOT_READY,
        QueueUrl=values["queueUrl"],
        Attributes={"Policy": values["policy"]},
    )
    return values["queueUrl"]


def _read_policy(call: Call, identifier: str, state: Values) -> Values | None:
    attributes = _attributes(call, identifier)
    if not attributes or not attributes.get("Policy"):
        return None
    return {"queueUrl": identifier, "policy": attributes["Policy"]}


def _update_policy(call: Call, identifier: str, change: Change) -> None:
    _put_policy(call, change.new)


def _delete_policy(call: Call, identifier: str, state: Values) -> None:
    call.remove("set_queue_attributes", _GONE, QueueUrl=identifier, Attributes={"Policy": ""})


RESOURCES = (
    Resource(
        token="aws:sqs/queue:Queue",
        service="sqs",
        create=_create_queue,
        read=_read_queue,
        update=_update_queue,
        delete=_delete_queue,
        force_new=frozenset({"name", "namePrefix", "fifoQueue"}),
        auto_name=AutoName(length=80, suffix=lambda inputs: ".fifo" if inputs.get("fifoQueue") else ""),
        computed=frozenset(
            {
                "deduplicationScope",
                "fifoThroughputLimit",
                "kmsDataKeyReusePeriodSeconds",
                "namePrefix",
                "policy",
                "redriveAllowPolicy",
                "redrivePolicy",
                "sqsManagedSseEnabled",
            }
        ),
        policies=frozenset({"policy"}),
        json=frozenset({"redrivePolicy", "redriveAllowPolicy"}),
        defaults={
            "delaySeconds": 0,
            "maxMessageSize": 262144,
            "messageRetentionSeconds": 345600,
            "receiveWaitTimeSeconds": 0,
            "visibilityTimeoutSeconds": 30,
            "fifoQueue": False,
            "contentBasedDeduplication": False,
        },
    ),
    Resource(
        token="aws:sqs/queuePolicy:QueuePolicy",
        service="sqs",
        create=_put_policy,
        read=_read_policy,
        update=_update_policy,
        delete=_delete_policy,
        force_new=frozenset({"queueUrl"}),
        policies=frozenset({"policy"}),
    ),
)
