"""Notification channels and their types.

Sources: Cloud Monitoring API v3, projects.notificationChannels (verification, force) and
projects.notificationChannelDescriptors; "Create and manage notification channels by API". The texts of refusals are not
Google's own words. Email addresses and webhooks work at once, as they do for channels made through the API; text
messages need a code, which is in the outbox.
"""

from __future__ import annotations

import copy
import random
import re
from datetime import timedelta
from typing import Any

from sandbox.google import api as standard
from sandbox.google import masks
from sandbox.google.api import Call, Collection, Resource, listed
from sandbox.google.errors import GoogleError, invalid, precondition
from sandbox.google.monitoring.api import CHANNELS, POLICIES, api, check_user_labels, mutation, refuse
from sandbox.google.operations import timestamp

TYPES: dict[str, tuple[str, tuple[str, ...], tuple[str, ...]]] = {
    "email": ("Email", ("email_address",), ()),
    "pagerduty": ("PagerDuty", ("service_key",), ()),
    "pubsub": ("Cloud Pub/Sub", ("topic",), ()),
    "slack": ("Slack", ("channel_name", "auth_token"), ("team",)),
    "sms": ("SMS", ("number",), ()),
    "webhook_basicauth": ("Webhook with basic authentication", ("url", "username", "password"), ()),
    "webhook_tokenauth": ("Webhook with token authentication", ("url",), ()),
}
"""The types: their title, the labels that they need, and those that they may have."""
_SECRETS = {"password", "auth_token", "service_key"}
_NEEDS_CODE = {"sms"}
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
_TOPIC = re.compile(r"projects/[^/]+/topics/[^/]+")


def _check(call: Call, channel: Resource) -> None:
    at, kind = "notification_channel", str(channel.get("type", ""))
    if kind not in TYPES:
        raise refuse(f"{at}.type", kind, f"must be one of {', '.join(TYPES)}.")
    _, needed, possible = TYPES[kind]
    labels = channel.get("labels", {})
    for label in needed:
        if not labels.get(label):
            raise refuse(f"{at}.labels['{label}']", labels.get(label, ""), f"a channel of type {kind} must have it.")
    if unknown := sorted(set(labels) - {*needed, *possible}):
        raise refuse(f"{at}.labels", ", ".join(unknown), f"a channel of type {kind} has no such label.")
    if kind == "email" and not _EMAIL.fullmatch(labels["email_address"]):
        raise refuse(f"{at}.labels['email_address']", labels["email_address"], "must be an email address.")
    if kind == "pubsub" and not _TOPIC.fullmatch(labels["topic"]):
        raise refuse(f"{at}.labels['topic']", labels["topic"], "must be projects/PROJECT/topics/TOPIC.")
    if kind.startswith("webhook") and not re.match(r"https?://[^/]", labels["url"]):
        raise refuse(f"{at}.labels['url']", labels["url"], "must be a URL.")
    if len(channel.get("displayName", "")) > 512:
        raise refuse(f"{at}.display_name", channel["displayName"], "at most 512 characters are allowed.")
    if len(channel.get("description", "")) > 1024:
        raise refuse(f"{at}.description", channel["description"], "at most 1024 characters are allowed.")
    check_user_labels(at, channel.get("userLabels", {}))


def _complete(call: Call, channel: Resource) -> None:
    channel.setdefault("enabled", True)
    if call.method.verb == "create":
        channel["creationRecord"] = mutation(call)
        if channel["type"] in _NEEDS_CODE:
            channel["verificationStatus"] = "UNVERIFIED"
    else:
        channel.setdefault("mutationRecords", []).append(mutation(call))


def _deletable(call: Call, channel: Resource) -> None:
    users = [one for one in call.table(POLICIES).values() if channel["name"] in one.get("notificationChannels", [])]
    if users and not call.query.get("force"):
        raise precondition(
            f"Cannot delete notification channel {channel['name']}. One or more alerting policies use it: "
            f"{', '.join(one['name'] for one in users)}"
        )
    for one in users:
        one["notificationChannels"].remove(channel["name"])


api.add(
    Collection(CHANNELS, "notification channel", check=_check, complete=_complete, deletable=_deletable, times=None)
)


def _without_secrets(channel: Resource) -> Resource:
    """A channel as it is read: its secrets are hidden."""
    shown = copy.deepcopy(channel)
    for label in _SECRETS & set(shown.get("labels", {})):
        shown["labels"][label] = "*" * 8 + shown["labels"][label][-4:]
    return shown


@api.method(f"{CHANNELS}.create")
def create(call: Call) -> Resource:
    for name in ("name", "verificationStatus"):
        call.body.pop(name, None)
    return _without_secrets(standard.create(call))


@api.method(f"{CHANNELS}.get")
def get(call: Call) -> Resource:
    return _without_secrets(standard.get(call))


@api.method(f"{CHANNELS}.list")
def list_channels(call: Call) -> Resource:
    found = call.emulator.store.below(f"monitoring.{CHANNELS}", call.canonical(call.name))
    return listed(call, [_without_secrets(one) for one in found])


@api.method(f"{CHANNELS}.patch")
def patch(call: Call) -> Resource:
    schema = str(call.method.request)
    mask = str(call.query.get("updateMask") or "")
    read_only = {"name", "type", "verificationStatus", "creationRecord", "mutationRecords"}
    with call.emulator.store.lock:
        channel = call.find()
        if call.body.get("type", channel["type"]) != channel["type"]:
            raise refuse("notification_channel.type", call.body["type"], "the type of a channel cannot be changed.")
        paths = masks.paths_of(mask, call.api.schemas, schema) if mask else [[name] for name in call.body]
        changed = masks.merge(channel, call.body, [path for path in paths if path[0] not in read_only])
        _check(call, changed)
        _complete(call, changed)
        channel.clear()
        channel.update(changed)
        return _without_secrets(channel)


def _codes(call: Call) -> dict[str, Resource]:
    return call.emulator.store.table("_verification_codes")


@api.method(f"{CHANNELS}.sendVerificationCode")
def send_code(call: Call) -> Resource:
    channel = call.find(CHANNELS)
    code = f"G-{random.randrange(10**5, 10**6)}"
    _codes(call)[channel["name"]] = {"code": code}
    call.emulator.outbox.append(
        {
            "channel": channel["name"],
            "type": channel["type"],
            "to": "".join(channel["labels"].values()),
            "subject": "Verification code",
            "message": code,
            "time": call.now,
        }
    )
    return {}


@api.method(f"{CHANNELS}.verify")
def verify(call: Call) -> Resource:
    with call.emulator.store.lock:
        channel = call.find(CHANNELS)
        sent = _codes(call).get(channel["name"], {})
        if not call.body.get("code") or call.body["code"] != sent.get("code"):
            raise invalid("The verification code is not valid.", [("code", "The verification code is not valid.")])
        channel["verificationStatus"] = "VERIFIED"
        return _without_secrets(channel)


@api.method(f"{CHANNELS}.getVerificationCode")
def get_code(call: Call) -> Resource:
    channel = call.find(CHANNELS)
    if channel.get("verificationStatus") != "VERIFIED":
        raise precondition("A verification code can be had for a verified channel only.")
    code = _codes(call)[channel["name"]]["code"]
    expires = call.body.get("expireTime") or timestamp(call.emulator.clock.now() + timedelta(days=1))
    return {"code": code, "expireTime": expires}


def _descriptor(call: Call, kind: str) -> dict[str, Any]:
    title, needed, possible = TYPES[kind]
    project = call.canonical(call.name).split("/")[1]
    return {
        "name": f"projects/{project}/notificationChannelDescriptors/{kind}",
        "type": kind,
        "displayName": title,
        "labels": [{"key": label} for label in (*needed, *possible)],
        "launchStage": "GA",
    }


@api.method("projects.notificationChannelDescriptors.get")
def get_descriptor(call: Call) -> Resource:
    kind = call.name.rpartition("/")[2]
    if kind not in TYPES:
        raise GoogleError("NOT_FOUND", f"Could not find notification channel descriptor '{kind}'.")
    return _descriptor(call, kind)


@api.method("projects.notificationChannelDescriptors.list")
def list_descriptors(call: Call) -> Resource:
    return listed(call, [_descriptor(call, kind) for kind in TYPES])
