"""Topics.

Source: Pub/Sub API v1, projects.topics (names, publish, what becomes of the subscriptions of a deleted topic).
"""

from __future__ import annotations

import base64
import copy

from sandbox.google import masks
from sandbox.google.api import Call, Collection, Resource
from sandbox.google.errors import invalid
from sandbox.google.pubsub.api import DELETED_TOPIC, SUBSCRIPTIONS, TOPICS, api, forget_policy, new_name
from sandbox.google.pubsub.delivery import delivery_of
from sandbox.google.schema import is_output_only, missing_fields
from sandbox.google.store import page

_FIXED = {"name", "kmsKeyName", "tags"}
MOST_MESSAGES = 1000
MOST_BYTES = 10_000_000


def _check(call: Call, topic: Resource) -> None:
    retention = float(topic.get("messageRetentionDuration", "600s").removesuffix("s"))
    if not 600 <= retention <= 31 * 86_400:
        raise invalid("Message retention duration must be from 10 minutes to 31 days.")


def _delete(call: Call, topic: Resource) -> None:
    forget_policy(call, topic)
    with call.emulator.store.lock:
        for one in call.table(SUBSCRIPTIONS).values():
            if one["topic"] == topic["name"]:
                one["topic"] = DELETED_TOPIC


api.add(Collection(TOPICS, "topic", check=_check, delete=_delete, times=None))


@api.method(f"{TOPICS}.create")
def create(call: Call) -> Resource:
    with call.emulator.store.lock:
        name = new_name(call)
        topic = {**copy.deepcopy(call.body), "name": name, "state": "ACTIVE"}
        topic.pop("tags", None)
        _check(call, topic)
        call.table()[name] = topic
        return copy.deepcopy(topic)


@api.method(f"{TOPICS}.patch")
def patch(call: Call) -> Resource:
    return update(call, "topic", "Topic", _FIXED, _check)


def update(call: Call, field: str, schema: str, fixed: set[str], check: object) -> Resource:
    """Change the fields that the request's mask names."""
    if missing := [one for one in (field, "updateMask") if not call.body.get(one)]:
        raise missing_fields(missing)
    with call.emulator.store.lock:
        resource = call.find()
        paths = masks.paths_of(str(call.body["updateMask"]), call.api.schemas, schema)
        described = call.api.schemas.properties(schema)
        if refused := [path[0] for path in paths if path[0] in fixed or is_output_only(described[path[0]])]:
            raise invalid(
                f"Invalid update_mask provided in the {schema} update request: {', '.join(refused)} is not a mutable "
                f"{schema} field."
            )
        changed = masks.merge(resource, call.body[field], paths)
        if callable(check):
            check(call, changed)
        resource.clear()
        resource.update(changed)
        return copy.deepcopy(resource)


@api.method(f"{TOPICS}.publish")
def publish(call: Call) -> Resource:
    name = call.find(TOPICS)["name"]
    messages = call.body.get("messages", [])
    if not messages or len(messages) > MOST_MESSAGES:
        raise invalid(f"The value for message_count must be from 1 to {MOST_MESSAGES}; it is {len(messages)}.")
    if any(not one.get("data") and not one.get("attributes") for one in messages):
        raise invalid(
            "One or more messages in the publish request is empty. Each message must contain either non-empty data, or "
            "at least one attribute."
        )
    decoded = [base64.b64decode(one.get("data", "").replace("-", "+").replace("_", "/")) for one in messages]
    if sum(len(one) for one in decoded) > MOST_BYTES:
        raise invalid(f"The request size is above {MOST_BYTES} bytes.")
    delivery = delivery_of(call.emulator)
    return {
        "messageIds": [
            delivery.publish(name, data, one.get("attributes"), one.get("orderingKey", ""))
            for one, data in zip(messages, decoded, strict=True)
        ]
    }


@api.method(f"{TOPICS}.subscriptions.list")
def list_subscriptions(call: Call) -> Resource:
    name = call.find(TOPICS)["name"]
    found = [{"name": one["name"]} for one in call.table(SUBSCRIPTIONS).values() if one["topic"] == name]
    items, token = page(found, call.query)
    answer: Resource = {"subscriptions": [one["name"] for one in items]} if items else {}
    return answer | ({"nextPageToken": token} if token else {})
