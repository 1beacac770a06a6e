"""Pub/Sub, Eventarc, Workflows and Cloud Scheduler: what tells others that something has happened, or is due."""

from __future__ import annotations

from sandbox.providers.gcp.cloud import Call
from sandbox.providers.gcp.policies import Membership
from sandbox.providers.gcp.rest import NAME, Rest, same_resource
from sandbox.providers.gcp.services import EVENTARC, PUBSUB, SCHEDULER, WORKFLOWS
from sandbox.providers.resource import Change, Values

_JOB = "projects/{project}/locations/{region}/jobs/{name}"
_TRIGGER = "projects/{project}/locations/{location}/triggers"
_WORKFLOW = "projects/{project}/locations/{region}/workflows"


def _topic(values: Values, body: Values) -> None:
    if "topic" in body and "/" not in body["topic"]:
        body["topic"] = f"projects/{values['project']}/topics/{body['topic']}"


def _decode_job(answer: Values, told: Values) -> None:
    told["paused"] = answer.get("state") == "PAUSED"


def _pause(call: Call, path: str, change: Change) -> None:
    paused = bool(change.new.get("paused"))
    if paused != bool(change.old.get("paused")):
        call.send("POST", f"{path}:{'pause' if paused else 'resume'}", {})


RESOURCES = [
    Rest(
        token="gcp:pubsub/topic:Topic",
        service=PUBSUB,
        schema="Topic",
        path="projects/{project}/topics/{name}",
        create="projects/{project}/topics/{name}",
        create_verb="PUT",
        wrapped="topic",
        short=frozenset({"name"}),
        auto_name=NAME,
        force_new=frozenset({"name", "tags"}),
        computed=frozenset({"messageStoragePolicy"}),
    ).resource(),
    Rest(
        token="gcp:pubsub/subscription:Subscription",
        service=PUBSUB,
        schema="Subscription",
        path="projects/{project}/subscriptions/{name}",
        create="projects/{project}/subscriptions/{name}",
        create_verb="PUT",
        wrapped="subscription",
        short=frozenset({"name"}),
        encode=_topic,
        auto_name=NAME,
        force_new=frozenset({"name", "topic", "filter", "enableMessageOrdering", "tags"}),
        computed=frozenset({"ackDeadlineSeconds", "expirationPolicy"}),
        alike={"topic": same_resource},
        defaults={"messageRetentionDuration": "604800s"},
    ).resource(),
    Membership(
        "gcp:pubsub/topicIAMMember:TopicIAMMember",
        PUBSUB,
        "projects/{project}/topics/{topic}",
        get_verb="GET",
        complete=lambda values: values | {"topic": values["topic"].rpartition("/")[2]},
    ).resource(),
    Rest(
        token="gcp:cloudscheduler/job:Job",
        service=SCHEDULER,
        schema="Job",
        path=_JOB,
        create="projects/{project}/locations/{region}/jobs",
        fixed={"name": _JOB},
        short=frozenset({"name"}),
        decode=_decode_job,
        settle=_pause,
        auto_name=NAME,
        force_new=frozenset({"name"}),
        computed=frozenset({"paused"}),
        alike={"attemptDeadline": lambda old, new: float(old.rstrip("s")) == float(new.rstrip("s"))},
        defaults={"attemptDeadline": "180s", "timeZone": "Etc/UTC"},
    ).resource(),
    Rest(
        token="gcp:eventarc/trigger:Trigger",
        service=EVENTARC,
        schema="Trigger",
        path=f"{_TRIGGER}/{{name}}",
        create=f"{_TRIGGER}?triggerId={{name}}",
        fixed={"name": f"{_TRIGGER}/{{name}}"},
        short=frozenset({"name"}),
        names={"matchingCriterias": "eventFilters", "cloudRunService": "cloudRun"},
        auto_name=NAME,
        force_new=frozenset({"name", "location", "channel", "transport"}),
        computed=frozenset({"eventDataContentType", "transport"}),
        sets=frozenset({"matchingCriterias"}),
        alike={"serviceAccount": same_resource},
    ).resource(),
    Rest(
        token="gcp:workflows/workflow:Workflow",
        service=WORKFLOWS,
        schema="Workflow",
        path=f"{_WORKFLOW}/{{name}}",
        create=f"{_WORKFLOW}?workflowId={{name}}",
        short=frozenset({"name"}),
        auto_name=NAME,
        force_new=frozenset({"name", "tags"}),
        computed=frozenset({"description", "serviceAccount"}),
        alike={"serviceAccount": same_resource},
        defaults={"deletionProtection": True},
    ).resource(),
]
