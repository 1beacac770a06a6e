"""Messages on their way from topics to subscribers.

Sources: Pub/Sub, "Push subscriptions" (the request's form, the statuses that acknowledge, back-off from 100 ms to
60 s), "Payload unwrapping", "Handle message failures" (retry policy, dead-letter topics), "Filter messages". Deadlines
and back-off run on this machine's time, since subscribers do. Ordering keys are kept and not enforced; acknowledged
messages are not retained.
"""

from __future__ import annotations

import base64
import json
import threading
import time
import uuid
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from sandbox.google.errors import GoogleError
from sandbox.google.filters import compile_filter
from sandbox.google.operations import timestamp
from sandbox.google.outbound import Unreachable, identity_token, send
from sandbox.google.pubsub.api import SUBSCRIPTIONS, TOPICS, not_found

if TYPE_CHECKING:
    from sandbox.google.emulator import Emulator

PULL_SECONDS = 3.0
"""How long a pull waits for a first message."""
PUSH_BACKOFF_SECONDS = (0.1, 60.0)
RETRY_BACKOFF_SECONDS = (10.0, 600.0)
ACKNOWLEDGING = {102, 200, 201, 202, 204}
TICK_SECONDS = 0.1


@dataclass
class Pending:
    """A message that a subscription has not acknowledged. `ready` is when it may be delivered (again)."""

    message: dict[str, Any]
    published: datetime
    ready: float = 0.0
    attempts: int = 0
    ack_id: str = ""


@dataclass
class Backlog:
    """What waits in a subscription, in the order of publishing."""

    pending: list[Pending] = field(default_factory=list)


class Delivery:
    """The backlogs of all subscriptions."""

    def __init__(self, emulator: Emulator) -> None:
        self.emulator = emulator
        self._backlogs: dict[str, Backlog] = defaultdict(Backlog)
        self._changed = threading.Condition()
        self._ids = count(10**15)

    def publish(
        self, topic: str, data: bytes = b"", attributes: dict[str, str] | None = None, ordering_key: str = ""
    ) -> str:
        """Publish a message as a service does; gives its id. Raises NOT_FOUND for a topic that does not exist."""
        store = self.emulator.store
        message: dict[str, Any] = {"messageId": str(next(self._ids))}
        if data:
            message["data"] = base64.b64encode(data).decode()
        if attributes:
            message["attributes"] = dict(attributes)
        if ordering_key:
            message["orderingKey"] = ordering_key
        with store.lock:
            if topic not in store.table(f"pubsub.{TOPICS}"):
                raise GoogleError("NOT_FOUND", not_found("topic", topic))
            subscribers = [
                one
                for one in store.table(f"pubsub.{SUBSCRIPTIONS}").values()
                if one["topic"] == topic and not one.get("detached")
            ]
        now = self.emulator.clock.now()
        message["publishTime"] = timestamp(now)
        with self._changed:
            for one in subscribers:
                if compile_filter(one.get("filter", ""))({"attributes": attributes or {}}):
                    self._backlogs[one["name"]].pending.append(Pending(message, now))
            self._changed.notify_all()
        return str(message["messageId"])

    def pull(self, subscription: dict[str, Any], most: int, *, wait: bool) -> list[dict[str, Any]]:
        """Messages with the ids that acknowledge them."""
        deadline = time.monotonic() + (PULL_SECONDS if wait else 0.0)
        with self._changed:
            while not (found := self._take(subscription, most)):
                left = deadline - time.monotonic()
                if left <= 0 or self.emulator.stopping.is_set():
                    break
                self._changed.wait(min(left, 0.2))
        counted = "deadLetterPolicy" in subscription
        return [
            {"ackId": one.ack_id, "message": one.message} | ({"deliveryAttempt": one.attempts} if counted else {})
            for one in found
        ]

    def _take(self, subscription: dict[str, Any], most: int) -> list[Pending]:
        now = time.monotonic()
        backlog = self._backlogs[subscription["name"]]
        for one in [one for one in backlog.pending if one.ready <= now and self._is_dead(subscription, one)]:
            backlog.pending.remove(one)
            threading.Thread(target=self._bury, args=(subscription, one), daemon=True).start()
        found = [one for one in backlog.pending if one.ready <= now][:most]
        for one in found:
            one.attempts += 1
            one.ack_id = f"{one.message['messageId']}-{uuid.uuid4().hex}"
            one.ready = now + float(subscription["ackDeadlineSeconds"])
        return found

    def acknowledge(self, subscription: str, ack_ids: set[str]) -> None:
        """Forget messages; an unknown or outdated id means nothing."""
        with self._changed:
            backlog = self._backlogs[subscription]
            backlog.pending = [one for one in backlog.pending if one.ack_id not in ack_ids]

    def set_deadline(self, subscription: dict[str, Any], ack_ids: set[str], seconds: float) -> None:
        """Move the deadline of delivered messages; 0 gives them back."""
        with self._changed:
            for one in self._backlogs[subscription["name"]].pending:
                if one.ack_id in ack_ids:
                    delay = seconds
                    if not seconds and "retryPolicy" in subscription:
                        delay = _backoff(subscription, one.attempts)
                    one.ready = time.monotonic() + delay
            self._changed.notify_all()

    def seek(self, subscription: str, moment: datetime) -> None:
        """Acknowledge what was published before a time."""
        with self._changed:
            backlog = self._backlogs[subscription]
            backlog.pending = [one for one in backlog.pending if one.published >= moment]

    def forget(self, subscription: str) -> None:
        """A subscription is gone."""
        with self._changed:
            self._backlogs.pop(subscription, None)

    def _is_dead(self, subscription: dict[str, Any], one: Pending) -> bool:
        policy = subscription.get("deadLetterPolicy")
        return policy is not None and one.attempts >= int(policy.get("maxDeliveryAttempts") or 5)

    def _bury(self, subscription: dict[str, Any], one: Pending) -> None:
        attributes = {
            **one.message.get("attributes", {}),
            "CloudPubSubDeadLetterSourceDeliveryCount": str(one.attempts),
            "CloudPubSubDeadLetterSourceSubscription": subscription["name"].rpartition("/")[2],
            "CloudPubSubDeadLetterSourceSubscriptionProject": subscription["name"].split("/")[1],
            "CloudPubSubDeadLetterSourceTopicPublishTime": one.message["publishTime"],
        }
        data = base64.b64decode(one.message.get("data", ""))
        try:
            self.publish(subscription["deadLetterPolicy"]["deadLetterTopic"], data, attributes)
        except GoogleError as error:
            self.note(subscription, f"the dead-letter topic does not take the message: {error.message}")

    def note(self, subscription: dict[str, Any], problem: str) -> None:
        """Let the outbox tell what a push subscription did not deliver."""
        self.emulator.outbox.append(
            {
                "channel": subscription["name"],
                "type": "push",
                "to": subscription.get("pushConfig", {}).get("pushEndpoint", ""),
                "error": problem,
                "time": timestamp(self.emulator.clock.now()),
            }
        )

    def run(self) -> None:
        """Push what is there, until the emulator stops."""
        while not self.emulator.stopping.is_set():
            with self._changed:
                self._changed.wait(TICK_SECONDS)
            store = self.emulator.store
            with store.lock:
                pushed = [
                    dict(one)
                    for one in store.table(f"pubsub.{SUBSCRIPTIONS}").values()
                    if one.get("pushConfig", {}).get("pushEndpoint")
                ]
            for subscription in pushed:
                with self._changed:
                    taken = self._take(subscription, 10)
                for one in taken:
                    threading.Thread(target=self._push, args=(subscription, one), daemon=True).start()

    def _push(self, subscription: dict[str, Any], one: Pending) -> None:
        ack_id = one.ack_id
        url, headers, body = push_request(self.emulator, subscription, one)
        try:
            timeout = float(subscription["ackDeadlineSeconds"])
            status, _, answer = send(self.emulator, "POST", url, headers, body, timeout)
            problem = (
                None if status in ACKNOWLEDGING else f"{url} answered {status}: {answer[:500].decode(errors='replace')}"
            )
        except Unreachable as error:
            problem = str(error)
        if problem is None:
            self.acknowledge(subscription["name"], {ack_id})
            return
        if one.attempts == 1:
            self.note(subscription, problem)
        with self._changed:
            if one.ack_id == ack_id:
                one.ready = time.monotonic() + _backoff(subscription, one.attempts)


def _backoff(subscription: dict[str, Any], attempts: int) -> float:
    """The pause before a message is delivered again, in seconds."""
    policy = subscription.get("retryPolicy")
    least, most = RETRY_BACKOFF_SECONDS if policy is not None else PUSH_BACKOFF_SECONDS
    if policy:
        least = float(policy.get("minimumBackoff", f"{least}s").removesuffix("s"))
        most = float(policy.get("maximumBackoff", f"{most}s").removesuffix("s"))
    return min(most, least * 2.0 ** min(attempts - 1, 30))


def push_request(emulator: Emulator, subscription: dict[str, Any], one: Pending) -> tuple[str, dict[str, str], bytes]:
    """The URL, headers and body of a push."""
    config, message = subscription["pushConfig"], one.message
    headers = {"Content-Type": "application/json", "User-Agent": "CloudPubSub-Google"}
    if token := config.get("oidcToken"):
        audience = token.get("audience") or config["pushEndpoint"]
        headers["Authorization"] = f"Bearer {identity_token(emulator, token['serviceAccountEmail'], audience)}"
    if (bare := config.get("noWrapper")) is not None:
        if bare.get("writeMetadata"):
            headers |= {str(key): str(value) for key, value in message.get("attributes", {}).items()}
            headers |= {
                "x-goog-pubsub-subscription-name": subscription["name"],
                "x-goog-pubsub-message-id": message["messageId"],
                "x-goog-pubsub-publish-time": message["publishTime"],
            }
        return config["pushEndpoint"], headers, base64.b64decode(message.get("data", ""))
    wrapped: dict[str, Any] = {
        # Both spellings are in a push, from the time before the v1 API.
        "message": {**message, "message_id": message["messageId"], "publish_time": message["publishTime"]},
        "subscription": subscription["name"],
    }
    if "deadLetterPolicy" in subscription:
        wrapped["deliveryAttempt"] = one.attempts
    return config["pushEndpoint"], headers, json.dumps(wrapped).encode()


_all: WeakKeyDictionary[Emulator, Delivery] = WeakKeyDictionary()


def delivery_of(emulator: Emulator) -> Delivery:
    """The messages of an emulator."""
    return _all[emulator]


def prepare(emulator: Emulator) -> None:
    """Let an emulator's push subscriptions push from its start."""
    _all[emulator] = Delivery(emulator)
    emulator.in_background(_all[emulator].run)
