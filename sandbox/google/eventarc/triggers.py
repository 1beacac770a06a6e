"""Triggers: each has a push subscription of its own, which calls the workflow.

Source: Eventarc API v1, projects.locations.triggers (fields, what the service makes in transport.pubsub, which topic it
deletes with the trigger). The texts of refusals are not Google's own words.
"""

from __future__ import annotations

import copy
import re
import secrets
import uuid

from sandbox.google import masks
from sandbox.google.api import Api, Call, Collection, Resource, check_etag
from sandbox.google.errors import GoogleError, Violation, invalid
from sandbox.google.iam.accounts import require_account
from sandbox.google.operations import Operation
from sandbox.google.pubsub.api import SUBSCRIPTIONS, TOPICS
from sandbox.google.pubsub.delivery import delivery_of
from sandbox.google.pubsub.subscriptions import new as new_subscription
from sandbox.google.store import etag

api = Api("eventarc", "v1", "google.cloud.eventarc.v1", not_found=lambda kind, name: f"Resource '{name}' was not found")
TRIGGERS = "projects.locations.triggers"
MESSAGE_PUBLISHED = "google.cloud.pubsub.topic.v1.messagePublished"
_ID = re.compile(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?")

api.add(Collection(TRIGGERS, "trigger", has_etag=True))


def _check(call: Call, trigger: Resource) -> None:
    problems: list[Violation] = []
    filters = {one.get("attribute"): one.get("value") for one in trigger.get("eventFilters", [])}
    if "type" not in filters:
        problems.append(("trigger.event_filters", 'All triggers must provide a filter for the "type" attribute.'))
    elif filters["type"] != MESSAGE_PUBLISHED:
        raise GoogleError("UNIMPLEMENTED", f"The sandbox has events of the type {MESSAGE_PUBLISHED} only.")
    destination = trigger.get("destination", {})
    kinds = [key for key in destination if key != "networkConfig"]
    if len(kinds) != 1:
        problems.append(("trigger.destination", "Exactly one destination must be set."))
    elif kinds != ["workflow"]:
        raise GoogleError("UNIMPLEMENTED", f"The sandbox delivers events to workflows only, not to {kinds[0]}.")
    elif not re.fullmatch(r"projects/[^/]+/locations/[^/]+/workflows/[^/]+", destination["workflow"]):
        problems.append(("trigger.destination.workflow", "It must be projects/…/locations/…/workflows/…."))
    if not trigger.get("serviceAccount"):
        problems.append(("trigger.service_account", "A trigger for a workflow needs a service account."))
    if problems:
        raise invalid("; ".join(f"{field}: {why}" for field, why in problems), problems)
    require_account(call, trigger["serviceAccount"])
    workflow = call.canonical(destination["workflow"])
    if workflow not in call.emulator.store.table("workflows.projects.locations.workflows"):
        raise GoogleError("NOT_FOUND", f"The workflow {workflow} was not found.")
    topic = trigger.get("transport", {}).get("pubsub", {}).get("topic")
    if topic and call.canonical(topic) not in call.emulator.store.table(f"pubsub.{TOPICS}"):
        raise GoogleError("NOT_FOUND", f"The topic {call.canonical(topic)} was not found.")


def _push(call: Call, trigger: Resource, topic: str) -> Resource:
    workflow = call.canonical(trigger["destination"]["workflow"])
    url = f"https://workflowexecutions.googleapis.com/v1/{workflow}:triggerPubsubExecution"
    return {
        "pushEndpoint": f"{url}?__GCP_CloudEventsMode=CUSTOM_PUBSUB_{topic.replace('/', '%2F')}",
        "oidcToken": {"serviceAccountEmail": trigger["serviceAccount"], "audience": url},
    }


@api.method(f"{TRIGGERS}.create")
def create(call: Call) -> Resource:
    parent, number = call.canonical(call.name), str(call.query.get("triggerId", ""))
    if not _ID.fullmatch(number):
        text = "It has 1 to 63 lowercase letters, digits and hyphens, begins with a letter and ends with no hyphen."
        raise invalid(f'trigger_id "{number}": {text}', [("trigger_id", text)])
    trigger = {**copy.deepcopy(call.body), "name": f"{parent}/triggers/{number}", "uid": str(uuid.uuid4())}
    _check(call, trigger)
    if trigger["name"] in call.table():
        raise GoogleError("ALREADY_EXISTS", f"Resource '{trigger['name']}' already exists")
    trigger.setdefault("eventDataContentType", "application/json")
    call.touch(trigger, new=True)
    project, location = parent.split("/")[1], parent.split("/")[3]

    def work(operation: Operation) -> Resource:
        pubsub = trigger.setdefault("transport", {}).setdefault("pubsub", {})
        suffix = secrets.token_hex(2)[:3]
        with call.emulator.store.lock:
            if not pubsub.get("topic"):
                pubsub["topic"] = f"projects/{project}/topics/eventarc-{location}-{number}-{suffix}"
                made = {"name": pubsub["topic"], "state": "ACTIVE", "labels": {"goog-eventarc": ""}}
                call.emulator.store.table(f"pubsub.{TOPICS}")[pubsub["topic"]] = made
            pubsub["topic"] = call.canonical(pubsub["topic"])
            pubsub["subscription"] = f"projects/{project}/subscriptions/eventarc-{location}-{number}-sub-{suffix}"
            call.emulator.store.table(f"pubsub.{SUBSCRIPTIONS}")[pubsub["subscription"]] = new_subscription(
                pubsub["subscription"],
                pubsub["topic"],
                pushConfig=_push(call, trigger, pubsub["topic"]),
                messageRetentionDuration="86400s",
                retryPolicy={"minimumBackoff": "10s", "maximumBackoff": "600s"},
                labels={"goog-eventarc": ""},
            )
            trigger["etag"] = etag(trigger)
            call.table()[trigger["name"]] = trigger
        return call.any("Trigger", trigger)

    return call.operation_on(trigger["name"], "create", work)


@api.method(f"{TRIGGERS}.patch")
def patch(call: Call) -> Resource:
    schema, mask = str(call.method.request), str(call.query.get("updateMask") or "")
    fixed = ("name", "uid", "createTime", "updateTime", "etag", "transport")
    with call.emulator.store.lock:
        trigger = call.find()
        check_etag(call, trigger, call.body.get("etag"))
        paths = (
            masks.paths_of(mask, call.api.schemas, schema) if mask not in ("", "*") else [[name] for name in call.body]
        )
        changed = masks.merge(trigger, call.body, [path for path in paths if path[0] not in fixed])
        _check(call, changed)
        call.touch(changed)

    def work(operation: Operation) -> Resource:
        pubsub = changed["transport"]["pubsub"]
        with call.emulator.store.lock:
            subscription = call.emulator.store.table(f"pubsub.{SUBSCRIPTIONS}").get(pubsub["subscription"])
            if subscription is not None:
                subscription["pushConfig"] = _push(call, changed, pubsub["topic"])
            trigger.clear()
            trigger.update(changed)
        return call.any("Trigger", changed)

    return call.operation_on(changed["name"], "update", work)


@api.method(f"{TRIGGERS}.delete")
def delete(call: Call) -> Resource:
    trigger = copy.deepcopy(call.find())
    check_etag(call, trigger, call.query.get("etag"))

    def work(operation: Operation) -> Resource:
        pubsub = trigger["transport"]["pubsub"]
        store = call.emulator.store
        with store.lock:
            call.table().pop(trigger["name"], None)
            store.table(f"pubsub.{SUBSCRIPTIONS}").pop(pubsub["subscription"], None)
            topic = store.table(f"pubsub.{TOPICS}").get(pubsub["topic"], {})
            # A topic that the trigger was given stays.
            if "goog-eventarc" in topic.get("labels", {}):
                del store.table(f"pubsub.{TOPICS}")[pubsub["topic"]]
        delivery_of(call.emulator).forget(pubsub["subscription"])
        return call.any("Trigger", trigger)

    return call.operation_on(trigger["name"], "delete", work)
