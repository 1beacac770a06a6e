"""Pub/Sub through Google's discovery client."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
from googleapiclient.errors import HttpError

from sandbox.google.server import Handle
from tests.unit.google_emulator.conftest import PROJECT, Hook

TOPIC = f"projects/{PROJECT}/topics"
SUBSCRIPTION = f"projects/{PROJECT}/subscriptions"


@pytest.fixture(scope="module")
def pubsub(discovery: Callable[..., Any]) -> Any:
    return discovery("pubsub", "v1").projects()


@pytest.fixture
def topic(pubsub: Any, request: pytest.FixtureRequest) -> str:
    name = f"{TOPIC}/{request.node.name[:60]}"
    return str(pubsub.topics().create(name=name, body={"labels": {"a": "b"}}).execute()["name"])


@pytest.fixture
def subscribe(pubsub: Any, topic: str) -> Callable[..., str]:
    def make(name: str, **more: Any) -> str:
        body = {"topic": topic, **more}
        return str(pubsub.subscriptions().create(name=f"{SUBSCRIPTION}/{name}", body=body).execute()["name"])

    return make


@pytest.fixture
def publish(pubsub: Any, topic: str) -> Callable[..., str]:
    def send(data: bytes, **attributes: str) -> str:
        message = {"data": base64.b64encode(data).decode(), "attributes": attributes}
        return str(pubsub.topics().publish(topic=topic, body={"messages": [message]}).execute()["messageIds"][0])

    return send


@pytest.fixture
def pull(pubsub: Any) -> Callable[..., list[dict[str, Any]]]:
    def take(name: str, most: int = 10, **more: Any) -> list[dict[str, Any]]:
        body = {"maxMessages": most, **more}
        return list(pubsub.subscriptions().pull(subscription=name, body=body).execute().get("receivedMessages", []))

    return take


def refused(request: Any, status: int, text: str) -> None:
    with pytest.raises(HttpError, match=text) as caught:
        request.execute()
    assert caught.value.status_code == status


def test_messages_stay_until_they_are_acknowledged(pubsub: Any, subscribe: Any, publish: Any, pull: Any) -> None:
    name, other = subscribe("pulled"), subscribe("filtered", filter='attributes.kind = "b"')
    numbers = [publish(b"one", kind="a"), publish(b"two", kind="b")]
    found = pull(name)
    assert [one["message"]["messageId"] for one in found] == numbers
    assert base64.b64decode(found[0]["message"]["data"]) == b"one"
    assert [one["message"]["messageId"] for one in pull(other)] == numbers[1:]
    # While its deadline runs a message is with nobody else.
    assert pull(name, returnImmediately=True) == []
    subscriptions = pubsub.subscriptions()
    subscriptions.acknowledge(subscription=name, body={"ackIds": [found[0]["ackId"]]}).execute()
    back = {"ackIds": [found[1]["ackId"]], "ackDeadlineSeconds": 0}
    subscriptions.modifyAckDeadline(subscription=name, body=back).execute()
    assert [one["message"]["messageId"] for one in pull(name)] == numbers[1:]
    subscriptions.seek(subscription=name, body={"time": "2100-01-01T00:00:00Z"}).execute()
    subscriptions.modifyAckDeadline(subscription=name, body=back).execute()
    assert pull(name, returnImmediately=True) == []


def test_a_push_is_repeated_until_it_is_taken(account: str, hook: Hook, subscribe: Any, publish: Any) -> None:
    token = {"serviceAccountEmail": account, "audience": "us"}
    name = subscribe("pushed", pushConfig={"pushEndpoint": hook.url, "oidcToken": token})
    hook.statuses = [503]
    number = publish(b"hello", kind="a")
    (headers, first), (_, second) = hook.got.get(timeout=10), hook.got.get(timeout=10)
    assert first == second
    pushed = json.loads(first)
    assert pushed["subscription"] == name
    assert pushed["message"]["messageId"] == pushed["message"]["message_id"] == number
    assert base64.b64decode(pushed["message"]["data"]) == b"hello"
    claims = headers["Authorization"].removeprefix("Bearer ").split(".")[1]
    told = json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))
    assert told["email"] == token["serviceAccountEmail"] and told["aud"] == "us"


def test_a_push_without_wrapper_is_the_data(hook: Hook, subscribe: Any, publish: Any) -> None:
    subscribe("bare", pushConfig={"pushEndpoint": hook.url, "noWrapper": {"writeMetadata": True}})
    number = publish(b'{"a": 1}', kind="a")
    headers, body = hook.got.get(timeout=10)
    assert body == b'{"a": 1}' and headers["x-goog-pubsub-message-id"] == number and headers["kind"] == "a"


def test_what_nobody_takes_goes_to_the_dead_letter_topic(
    pubsub: Any, topic: str, subscribe: Any, publish: Any, pull: Any
) -> None:
    letters = pubsub.topics().create(name=f"{TOPIC}/letters", body={}).execute()["name"]
    pubsub.subscriptions().create(name=f"{SUBSCRIPTION}/letters", body={"topic": letters}).execute()
    name = subscribe("unlucky", deadLetterPolicy={"deadLetterTopic": letters, "maxDeliveryAttempts": 5})
    publish(b"bad")
    for attempt in range(1, 6):
        [found] = pull(name)
        assert found["deliveryAttempt"] == attempt
        back = {"ackIds": [found["ackId"]], "ackDeadlineSeconds": 0}
        pubsub.subscriptions().modifyAckDeadline(subscription=name, body=back).execute()
    assert pull(name, returnImmediately=True) == []
    [letter] = pull(f"{SUBSCRIPTION}/letters")
    assert letter["message"]["attributes"]["CloudPubSubDeadLetterSourceDeliveryCount"] == "5"


def test_topics_and_subscriptions_change_and_go(pubsub: Any, topic: str, subscribe: Any) -> None:
    name = subscribe("changes")
    made = pubsub.subscriptions().get(subscription=name).execute()
    assert made["ackDeadlineSeconds"] == 10 and made["expirationPolicy"] == {"ttl": "2678400s"}
    body = {"subscription": {"ackDeadlineSeconds": 60}, "updateMask": "ackDeadlineSeconds"}
    assert pubsub.subscriptions().patch(name=name, body=body).execute()["ackDeadlineSeconds"] == 60
    fixed = {"subscription": {"topic": "x"}, "updateMask": "topic"}
    refused(pubsub.subscriptions().patch(name=name, body=fixed), 400, "topic is not a mutable Subscription field")
    assert pubsub.topics().subscriptions().list(topic=topic).execute()["subscriptions"] == [name]
    binding = {"role": "roles/pubsub.publisher", "members": ["user:a@example.com"]}
    pubsub.topics().setIamPolicy(resource=topic, body={"policy": {"bindings": [binding]}}).execute()
    refused(pubsub.topics().create(name=topic, body={}), 409, "Resource already exists in the project")
    pubsub.topics().delete(topic=topic).execute()
    assert pubsub.subscriptions().get(subscription=name).execute()["topic"] == "_deleted-topic_"
    pubsub.topics().create(name=topic, body={}).execute()
    assert "bindings" not in pubsub.topics().getIamPolicy(resource=topic).execute()


def test_requests_are_refused(emulator: Handle, pubsub: Any, topic: str) -> None:
    refused(pubsub.topics().create(name=f"{TOPIC}/1x", body={}), 400, "Invalid resource name given")
    refused(pubsub.topics().get(topic=f"{TOPIC}/none"), 404, r"Resource not found \(resource=none\)")
    refused(
        pubsub.topics().publish(topic=topic, body={"messages": [{}]}), 400, "messages in the publish request is empty"
    )
    subscriptions, name = pubsub.subscriptions(), f"{SUBSCRIPTION}/refused"
    refused(subscriptions.create(name=name, body={"topic": f"{TOPIC}/none"}), 404, r"resource=none")
    refused(subscriptions.create(name=name, body={"topic": topic, "ackDeadlineSeconds": 5}), 400, "from 10 to 600")
    push = {"topic": topic, "pushConfig": {"pushEndpoint": "http://example.com/x"}}
    refused(subscriptions.create(name=name, body=push), 400, "Invalid push endpoint given")
    assert name not in emulator.get("resources").get("pubsub.projects.subscriptions", [])
