"""SNS: topics, their policies and subscriptions."""

from __future__ import annotations

from sandbox.providers.aws.cloud import ROLE_NOT_READY, Call, tag_list, tag_map
from sandbox.providers.aws.tags import sync_tags
from sandbox.providers.check import AutoName
from sandbox.providers.resource import Change, Resource, Values

_GONE = ("NotFound", "NotFoundException", "ResourceNotFoundException")

# Property: attribute. https://docs.aws.amazon.com/sns/latest/api/API_SetTopicAttributes.html
_TOPIC = {
    "archivePolicy": "ArchivePolicy",
    "contentBasedDeduplication": "ContentBasedDeduplication",
    "deliveryPolicy": "DeliveryPolicy",
    "displayName": "DisplayName",
    "fifoThroughputScope": "FifoThroughputScope",
    "fifoTopic": "FifoTopic",
    "kmsMasterKeyId": "KmsMasterKeyId",
    "policy": "Policy",
    "signatureVersion": "SignatureVersion",
    "tracingConfig": "TracingConfig",
}
for _protocol, _attribute in (
    ("application", "Application"),
    ("firehose", "Firehose"),
    ("http", "HTTP"),
    ("lambda", "Lambda"),
    ("sqs", "SQS"),
):
    _TOPIC[f"{_protocol}FailureFeedbackRoleArn"] = f"{_attribute}FailureFeedbackRoleArn"
    _TOPIC[f"{_protocol}SuccessFeedbackRoleArn"] = f"{_attribute}SuccessFeedbackRoleArn"
    _TOPIC[f"{_protocol}SuccessFeedbackSampleRate"] = f"{_attribute}SuccessFeedbackSampleRate"

_SUBSCRIPTION = {
    "deliveryPolicy": "DeliveryPolicy",
    "filterPolicy": "FilterPolicy",
    "filterPolicyScope": "FilterPolicyScope",
    "rawMessageDelivery": "RawMessageDelivery",
    "redrivePolicy": "RedrivePolicy",
    "replayPolicy": "ReplayPolicy",
    "subscriptionRoleArn": "SubscriptionRoleArn",
}


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _value(text: str | None, like: object = None) -> object:
    if text in (None, ""):
        return None
    if text in ("true", "false"):
        return text == "true"
    return int(text) if isinstance(like, int) and str(text).isdigit() else text


def _create_topic(call: Call, values: Values) -> str:
    attributes: Values = {}
    if values.get("fifoTopic"):
        attributes["FifoTopic"] = "true"
    arn = call.do(
        "create_topic", Name=values["name"], Attributes=attributes, Tags=tag_list(values.get("tagsAll") or {})
    )["TopicArn"]
    for name, attribute in _TOPIC.items():
        if name != "fifoTopic" and values.get(name) not in (None, "", False):
            _set_topic(call, arn, attribute, values[name])
    return arn


def _set_topic(call: Call, arn: str, attribute: str, value: object) -> None:
    call.retry(
        "set_topic_attributes",
        ROLE_NOT_READY,
        TopicArn=arn,
        AttributeName=attribute,
        AttributeValue=_text(value if value is not None else ""),
    )


def _read_topic(call: Call, identifier: str, state: Values) -> Values | None:
    answer = call.find("get_topic_attributes", _GONE, TopicArn=identifier)
    if answer is None:
        return None
    attributes = answer["Attributes"]
    result: Values = {}
    for name, attribute in _TOPIC.items():
        like = 0 if name.endswith("SampleRate") or name == "signatureVersion" else None
        result[name] = _value(attributes.get(attribute), like)
    result["fifoTopic"] = bool(result["fifoTopic"])
    result["contentBasedDeduplication"] = bool(result["contentBasedDeduplication"])
    tags = call.do("list_tags_for_resource", ResourceArn=identifier).get("Tags")
    return result | {
        "name": identifier.rsplit(":", 1)[-1],
        "arn": identifier,
        "owner": attributes.get("Owner") or identifier.split(":")[4],
        "beginningArchiveTime": attributes.get("BeginningArchiveTime", ""),
        "tagsAll": tag_map(tags),
    }


def _update_topic(call: Call, identifier: str, change: Change) -> None:
    for name, attribute in _TOPIC.items():
        if change.touches(name):
            _set_topic(call, identifier, attribute, change.new.get(name))
    sync_tags(
        change,
        lambda tags: call.do("tag_resource", ResourceArn=identifier, Tags=tag_list(tags)),
        lambda keys: call.do("untag_resource", ResourceArn=identifier, TagKeys=keys),
    )


def _delete_topic(call: Call, identifier: str, state: Values) -> None:
    call.remove("delete_topic", _GONE, TopicArn=identifier)


def _put_policy(call: Call, values: Values) -> str:
    _set_topic(call, values["arn"], "Policy", values["policy"])
    return values["arn"]


def _read_policy(call: Call, identifier: str, state: Values) -> Values | None:
    answer = call.find("get_topic_attributes", _GONE, TopicArn=identifier)
    if answer is None or not answer["Attributes"].get("Policy"):
        return None
    attributes = answer["Attributes"]
    return {
        "arn": identifier,
        "policy": attributes["Policy"],
        "owner": attributes.get("Owner") or identifier.split(":")[4],
    }


def _update_policy(call: Call, identifier: str, change: Change) -> None:
    _put_policy(call, change.new)


def _default_policy(arn: str) -> str:
    """The policy that SNS gives a new topic, and gets back when a policy of one's own goes."""
    import json

    actions = (
        "GetTopicAttributes",
        "SetTopicAttributes",
        "AddPermission",
        "RemovePermission",
        "DeleteTopic",
        "Subscribe",
        "ListSubscriptionsByTopic",
        "Publish",
    )
    statement = {
        "Sid": "__default_statement_ID",
        "Effect": "Allow",
        "Principal": {"AWS": "*"},
        "Action": [f"SNS:{action}" for action in actions],
        "Resource": arn,
        "Condition": {"StringEquals": {"AWS:SourceOwner": arn.split(":")[4]}},
    }
    return json.dumps({"Version": "2008-10-17", "Id": "__default_policy_ID", "Statement": [statement]})


def _delete_policy(call: Call, identifier: str, state: Values) -> None:
    call.remove(
        "set_topic_attributes",
        _GONE,
        TopicArn=identifier,
        AttributeName="Policy",
        AttributeValue=_default_policy(identifier),
    )


def _subscribe(call: Call, values: Values) -> str:
    attributes = {
        attribute: _text(values[name])
        for name, attribute in _SUBSCRIPTION.items()
        if values.get(name) not in (None, "", False)
    }
    return call.retry(
        "subscribe",
        ROLE_NOT_READY,
        TopicArn=values["topic"],
        Protocol=values["protocol"],
        Endpoint=values["endpoint"],
        Attributes=attributes,
        ReturnSubscriptionArn=True,
    )["SubscriptionArn"]


def _read_subscription(call: Call, identifier: str, state: Values) -> Values | None:
    answer = call.find("get_subscription_attributes", _GONE, SubscriptionArn=identifier)
    if answer is None:
        return None
    attributes = answer["Attributes"]
    result: Values = {name: _value(attributes.get(member)) for name, member in _SUBSCRIPTION.items()}
    if not result.get("filterPolicy"):
        result.pop("filterPolicyScope", None)
    return result | {
        "arn": identifier,
        "topic": attributes["TopicArn"],
        "protocol": attributes["Protocol"],
        "endpoint": attributes["Endpoint"],
        "ownerId": attributes.get("Owner") or identifier.split(":")[4],
        "pendingConfirmation": attributes.get("PendingConfirmation") == "true",
        "confirmationWasAuthenticated": attributes.get("ConfirmationWasAuthenticated") == "true",
        "rawMessageDelivery": attributes.get("RawMessageDelivery") == "true",
    }


def _update_subscription(call: Call, identifier: str, change: Change) -> None:
    for name, attribute in _SUBSCRIPTION.items():
        if change.touches(name):
            value = change.new.get(name)
            empty = "{}" if attribute.endswith("Policy") else "false"
            call.do(
                "set_subscription_attributes",
                SubscriptionArn=identifier,
                AttributeName=attribute,
                AttributeValue=empty if value is None else _text(value),
            )


def _unsubscribe(call: Call, identifier: str, state: Values) -> None:
    call.remove("unsubscribe", (*_GONE, "InvalidParameter"), SubscriptionArn=identifier)


RESOURCES = (
    Resource(
        token="aws:sns/topic:Topic",
        service="sns",
        create=_create_topic,
        read=_read_topic,
        update=_update_topic,
        delete=_delete_topic,
        force_new=frozenset({"name", "namePrefix", "fifoTopic"}),
        auto_name=AutoName(length=256, suffix=lambda inputs: ".fifo" if inputs.get("fifoTopic") else ""),
        computed=frozenset({"fifoThroughputScope", "namePrefix", "policy", "signatureVersion", "tracingConfig"}),
        policies=frozenset({"policy"}),
        json=frozenset({"deliveryPolicy", "archivePolicy"}),
        defaults={"fifoTopic": False, "contentBasedDeduplication": False},
        unsupported=frozenset({"maximumMessageSize"}),
    ),
    Resource(
        token="aws:sns/topicPolicy:TopicPolicy",
        service="sns",
        create=_put_policy,
        read=_read_policy,
        update=_update_policy,
        delete=_delete_policy,
        force_new=frozenset({"arn"}),
        policies=frozenset({"policy"}),
    ),
    Resource(
        token="aws:sns/topicSubscription:TopicSubscription",
        service="sns",
        create=_subscribe,
        read=_read_subscription,
        update=_update_subscription,
        delete=_unsubscribe,
        force_new=frozenset({"topic", "protocol", "endpoint"}),
        computed=frozenset({"filterPolicyScope"}),
        json=frozenset({"deliveryPolicy", "filterPolicy", "redrivePolicy", "replayPolicy"}),
        defaults={
            "confirmationTimeoutInMinutes": 1,
            "endpointAutoConfirms": False,
            "rawMessageDelivery": False,
        },
    ),
)
