"""Deliveries of SNS and events of EventBridge, which moto stores or sends incompletely.

Sources: SNS developer guide, "Fanout to HTTP/S endpoints" (confirmation before any delivery, the message-type
header, the JSON forms) and "Email notifications"; EventBridge user guide, "Targets" (SageMaker pipelines).

An http(s) subscription gets a SubscriptionConfirmation and nothing more until its SubscribeURL is visited. Email goes
to the outbox; the sandbox stands for the reader who follows the confirmation link at once.
"""

from __future__ import annotations

import copy
import json
import threading
import urllib.parse
import uuid
from collections import deque
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import requests
from moto.events.models import Rule
from moto.events.utils import EventTemplateParser
from moto.sns.models import SNSBackend, Subscription, sns_backends

from sandbox.aws.api import ACCOUNT, ApiError, Call, operation

if TYPE_CHECKING:
    from sandbox.aws.emulator import Emulator

MAX_OUTBOX = 1000
DELIVERY_SECONDS = 15

_publish_by_moto = Subscription.publish
_subscribe_by_moto = SNSBackend.subscribe
_send_by_moto = Rule.send_to_targets


class Notifications:
    """What was delivered to people, and the subscriptions that wait for their confirmation."""

    def __init__(self, emulator: Emulator) -> None:
        self.emulator = emulator
        self._outbox: deque[dict[str, Any]] = deque(maxlen=MAX_OUTBOX)
        self.tokens: dict[str, Subscription] = {}
        Subscription.publish = self._patched_publish()
        SNSBackend.subscribe = self._patched_subscribe()
        Rule.send_to_targets = self._patched_send()

    @property
    def outbox(self) -> list[dict[str, Any]]:
        return list(self._outbox)

    def publish(self, topic_arn: str, subject: str, message: str) -> str | None:
        """Publish as another service does; the error's text where the topic does not take it."""
        region = topic_arn.split(":")[3]
        try:
            sns_backends[ACCOUNT][region].publish(message=message, arn=topic_arn, subject=subject[:100])
        except Exception as error:  # moto's many exceptions: the action has failed, the alarm goes on
            return str(error)
        return None

    def send_event(self, region: str, source: str, kind: str, detail: dict[str, Any], resources: list[str]) -> None:
        """Put an event of a service on the default bus."""
        from moto.events.models import events_backends

        entry = {"Source": source, "DetailType": kind, "Detail": json.dumps(detail), "Resources": resources}
        events_backends[ACCOUNT][region].put_events([entry])

    def _patched_publish(self) -> Any:
        def publish(
            subscription: Subscription,
            message: str,
            message_id: str,
            subject: str | None = None,
            message_attributes: dict[str, Any] | None = None,
            group_id: str | None = None,
            deduplication_id: str | None = None,
            message_structure: str | None = None,
        ) -> None:
            if subscription.protocol not in {"http", "https", "email", "email-json"}:
                _publish_by_moto(
                    subscription,
                    message,
                    message_id,
                    subject,
                    message_attributes,
                    group_id,
                    deduplication_id,
                    message_structure,
                )
                return
            if str(subscription.attributes.get("PendingConfirmation")).lower() == "true":
                return
            if message_structure == "json":
                parts = json.loads(message)
                message = parts.get(subscription.protocol, parts["default"])
            body = {
                "Type": "Notification",
                "MessageId": message_id,
                "TopicArn": subscription.topic.arn,
                **({"Subject": subject} if subject else {}),
                "Message": message,
                "Timestamp": _now(),
            }
            self._deliver(subscription, body)

        return publish

    def _patched_subscribe(self) -> Any:
        def subscribe(backend: SNSBackend, topic_arn: str, endpoint: str, protocol: str) -> Subscription:
            known = set(backend.subscriptions)
            subscription = _subscribe_by_moto(backend, topic_arn, endpoint, protocol)
            if subscription.arn in known or protocol not in {"http", "https"}:
                return subscription
            subscription.attributes["PendingConfirmation"] = True
            token = uuid.uuid4().hex * 2
            self.tokens[token] = subscription
            link = urllib.parse.urlencode({"Action": "ConfirmSubscription", "TopicArn": topic_arn, "Token": token})
            self._deliver(
                subscription,
                {
                    "Type": "SubscriptionConfirmation",
                    "MessageId": str(uuid.uuid4()),
                    "Token": token,
                    "TopicArn": topic_arn,
                    "Message": f"You have chosen to subscribe to the topic {topic_arn}.\n"
                    "To confirm the subscription, visit the SubscribeURL included in this message.",
                    "SubscribeURL": f"{self.emulator.url}/?{link}",
                    "Timestamp": _now(),
                },
            )
            return subscription

        return subscribe

    def _deliver(self, subscription: Subscription, body: dict[str, Any]) -> None:
        if subscription.protocol.startswith("email"):
            self._outbox.append(
                {
                    "topic": subscription.topic.arn,
                    "subscription": subscription.arn,
                    "protocol": subscription.protocol,
                    "endpoint": subscription.endpoint,
                    "subject": body.get("Subject"),
                    "message": body["Message"],
                    "time": body["Timestamp"],
                }
            )
            return
        threading.Thread(target=_post, args=(subscription, body), daemon=True).start()

    def _patched_send(self) -> Any:
        def send_to_targets(rule: Rule, original_event: Any, transform_input: bool = True) -> None:
            if rule.state != "ENABLED" or not rule.event_pattern.matches_event(original_event):
                return
            pipelines = [one for one in rule.targets if ":pipeline/" in one["Arn"]]
            others = [one for one in rule.targets if one["Arn"].split(":")[2] in {"logs", "sqs", "events"}]
            topics = [one for one in rule.targets if one["Arn"].split(":")[2] == "sns"]
            event = copy.deepcopy(original_event)
            if isinstance(event.get("time"), (int, float)):
                event["time"] = datetime.fromtimestamp(event["time"], UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            for target in topics:
                self.publish(target["Arn"], "", target.get("Input") or json.dumps(_transformed(target, event)))
            for target in pipelines:
                self.emulator.schedules.start_target(rule.region_name, target, rule.arn, event)
            if others:
                delegate = copy.copy(rule)
                delegate.targets = others
                _send_by_moto(delegate, original_event, transform_input)

        return send_to_targets


def _transformed(target: dict[str, Any], event: dict[str, Any]) -> Any:
    transformer = target.get("InputTransformer", {})
    return EventTemplateParser.parse(
        input_template=transformer.get("InputTemplate"),
        input_paths_map=transformer.get("InputPathsMap", {}),
        event=event,  # type: ignore[arg-type]
    )


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def _post(subscription: Subscription, body: dict[str, Any]) -> None:
    """Deliver with SNS's headers; three attempts, as its delivery policy retries."""
    raw = str(subscription.attributes.get("RawMessageDelivery", False)).lower() == "true"
    is_raw = raw and body["Type"] == "Notification"
    headers = {
        "Content-Type": "text/plain; charset=UTF-8",
        "User-Agent": "Amazon Simple Notification Service Agent",
        "x-amz-sns-message-type": body["Type"],
        "x-amz-sns-message-id": body["MessageId"],
        "x-amz-sns-topic-arn": body["TopicArn"],
        "x-amz-sns-subscription-arn": subscription.arn,
    }
    if is_raw:
        headers["x-amz-sns-rawdelivery"] = "true"
    content = body["Message"] if is_raw else json.dumps(body)
    for attempt in range(3):
        try:
            answer = requests.post(subscription.endpoint, content.encode(), headers=headers, timeout=DELIVERY_SECONDS)
            if answer.status_code < 500:
                return
        except requests.RequestException:
            pass
        threading.Event().wait(0.5 * (attempt + 1))


@operation("sns", "ConfirmSubscription")
def confirm_subscription(call: Call) -> dict[str, Any]:
    subscription = call.emulator.notifications.tokens.get(call.params["Token"])
    if subscription is None or subscription.topic.arn != call.params["TopicArn"]:
        raise ApiError("InvalidParameter", "Invalid parameter: Invalid token")
    subscription.attributes["PendingConfirmation"] = False
    return {"SubscriptionArn": subscription.arn}
