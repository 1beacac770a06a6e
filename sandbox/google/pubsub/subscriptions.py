"""Subscriptions, pull and push.

Source: Pub/Sub API v1, projects.subscriptions (the fields' descriptions for defaults and limits; pull, acknowledge,
modifyAckDeadline, modifyPushConfig, seek, detach). BigQuery, Cloud Storage and Bigtable subscriptions, message
transforms, snapshots and the functions of filters are not emulated.
"""

from __future__ import annotations

import copy
from datetime import datetime
from urllib.parse import urlsplit

from sandbox.google.api import Call, Collection, Resource
from sandbox.google.errors import GoogleError, invalid, precondition
from sandbox.google.filters import compile_filter
from sandbox.google.iam.accounts import require_account
from sandbox.google.pubsub.api import SUBSCRIPTIONS, TOPICS, api, forget_policy, new_name, not_found
from sandbox.google.pubsub.delivery import delivery_of
from sandbox.google.pubsub.topics import update

_FIXED = {"name", "topic", "filter", "enableMessageOrdering", "tags", "detached"}
_NOT_EMULATED = ("bigqueryConfig", "cloudStorageConfig", "bigtableConfig", "messageTransforms")
_DEFAULTS: Resource = {
    "ackDeadlineSeconds": 10,
    "messageRetentionDuration": "604800s",
    "expirationPolicy": {"ttl": "2678400s"},
    "pushConfig": {},
    "state": "ACTIVE",
}


def new(name: str, topic: str, **more: object) -> Resource:
    """A subscription with what is not given as the service sets it."""
    return {**copy.deepcopy(_DEFAULTS), **more, "name": name, "topic": topic}


def _check(call: Call, subscription: Resource) -> None:
    for field in _NOT_EMULATED:
        if subscription.get(field):
            raise GoogleError("UNIMPLEMENTED", f"The sandbox does not emulate {field} of subscriptions.")
    seconds = int(subscription.get("ackDeadlineSeconds") or 10)
    if not 10 <= seconds <= 600:
        raise invalid(f"Invalid ack deadline given: {seconds}. It must be from 10 to 600 seconds.")
    retention = float(subscription.get("messageRetentionDuration", "604800s").removesuffix("s"))
    if not 600 <= retention <= 31 * 86_400:
        raise invalid("Message retention duration must be from 10 minutes to 31 days.")
    ttl = subscription.get("expirationPolicy", {}).get("ttl")
    if ttl and float(ttl.removesuffix("s")) < 86_400:
        raise invalid("Subscription expiration TTL must be at least 1 day.")
    if "(" in subscription.get("filter", "").replace("NOT (", ""):
        raise GoogleError("UNIMPLEMENTED", "The sandbox does not emulate functions in filters of subscriptions.")
    compile_filter(subscription.get("filter", ""))
    dead = subscription.get("deadLetterPolicy", {})
    if dead:
        if not 5 <= int(dead.get("maxDeliveryAttempts") or 5) <= 100:
            raise invalid("max_delivery_attempts must be from 5 to 100.")
        dead["deadLetterTopic"] = call.canonical(str(dead.get("deadLetterTopic", "")))
        if dead["deadLetterTopic"] not in call.table(TOPICS):
            raise GoogleError("NOT_FOUND", not_found("topic", dead["deadLetterTopic"]))
    _check_push(call, subscription.get("pushConfig", {}))


def _check_push(call: Call, config: Resource) -> None:
    endpoint = str(config.get("pushEndpoint", ""))
    parts = urlsplit(endpoint)
    on_loopback = parts.scheme == "http" and parts.hostname in ("127.0.0.1", "localhost", "::1")
    if endpoint and not (parts.hostname and (parts.scheme == "https" or on_loopback)):
        raise invalid(
            f"Invalid push endpoint given (endpoint={endpoint}). Refer to "
            "https://cloud.google.com/pubsub/docs/subscriber#create for more information."
        )
    if "oidcToken" in config and not config["oidcToken"].get("serviceAccountEmail"):
        raise invalid("An OIDC token needs a service account: set oidc_token.service_account_email.")
    require_account(call, config.get("oidcToken", {}).get("serviceAccountEmail", ""))


def _delete(call: Call, subscription: Resource) -> None:
    forget_policy(call, subscription)
    delivery_of(call.emulator).forget(subscription["name"])


api.add(Collection(SUBSCRIPTIONS, "subscription", check=_check, delete=_delete, times=None))


@api.method(f"{SUBSCRIPTIONS}.create")
def create(call: Call) -> Resource:
    with call.emulator.store.lock:
        name = new_name(call)
        topic = call.canonical(str(call.body.pop("topic", "")))
        subscription = new(name, topic, **copy.deepcopy(call.body))
        subscription["ackDeadlineSeconds"] = subscription["ackDeadlineSeconds"] or 10
        subscription.pop("tags", None)
        call.find(TOPICS, subscription["topic"])
        _check(call, subscription)
        call.table()[name] = subscription
        return copy.deepcopy(subscription)


@api.method(f"{SUBSCRIPTIONS}.patch")
def patch(call: Call) -> Resource:
    return update(call, "subscription", "Subscription", _FIXED, _check)


@api.method(f"{SUBSCRIPTIONS}.pull")
def pull(call: Call) -> Resource:
    subscription = call.find(SUBSCRIPTIONS)
    most = int(call.body.get("maxMessages") or 0)
    if most < 1:
        raise invalid("The value for max_messages must be greater than 0.")
    if subscription.get("detached") or subscription.get("pushConfig", {}).get("pushEndpoint"):
        raise precondition(f"This method is not supported for this subscription type ({subscription['name']}).")
    wait = not call.body.get("returnImmediately")
    found = delivery_of(call.emulator).pull(copy.deepcopy(subscription), min(most, 1000), wait=wait)
    return {"receivedMessages": found} if found else {}


@api.method(f"{SUBSCRIPTIONS}.acknowledge")
def acknowledge(call: Call) -> Resource:
    name = call.find(SUBSCRIPTIONS)["name"]
    delivery_of(call.emulator).acknowledge(name, set(call.body.get("ackIds", [])))
    return {}


@api.method(f"{SUBSCRIPTIONS}.modifyAckDeadline")
def modify_deadline(call: Call) -> Resource:
    seconds = int(call.body.get("ackDeadlineSeconds") or 0)
    if not 0 <= seconds <= 600:
        raise invalid(f"Invalid ack deadline given: {seconds}. It must be from 0 to 600 seconds.")
    subscription = copy.deepcopy(call.find(SUBSCRIPTIONS))
    delivery_of(call.emulator).set_deadline(subscription, set(call.body.get("ackIds", [])), seconds)
    return {}


@api.method(f"{SUBSCRIPTIONS}.modifyPushConfig")
def modify_push(call: Call) -> Resource:
    config = copy.deepcopy(call.body.get("pushConfig", {}))
    _check_push(call, config)
    with call.emulator.store.lock:
        call.find(SUBSCRIPTIONS)["pushConfig"] = config
    return {}


@api.method(f"{SUBSCRIPTIONS}.seek")
def seek(call: Call) -> Resource:
    name = call.find(SUBSCRIPTIONS)["name"]
    if not call.body.get("time"):
        raise GoogleError("UNIMPLEMENTED", "The sandbox seeks to a time only: it has no snapshots.")
    delivery_of(call.emulator).seek(name, datetime.fromisoformat(call.body["time"].replace("Z", "+00:00")))
    return {}


@api.method(f"{SUBSCRIPTIONS}.detach")
def detach(call: Call) -> Resource:
    with call.emulator.store.lock:
        subscription = call.find(SUBSCRIPTIONS)
        subscription["detached"] = True
    delivery_of(call.emulator).forget(subscription["name"])
    return {}
