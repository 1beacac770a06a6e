"""Notifications of incidents: to email, webhooks and Pub/Sub topics.

Sources: "Create and manage notification channels" (the JSON of webhooks and Pub/Sub messages, schema version 1.2; the
service agent that must be allowed to publish), "Annotate notifications with user-defined documentation" (variables).
Email, and what goes to services that are not emulated, is in the outbox. The words of a summary are those that
notifications are seen to have for a threshold; for an absent metric they are not Google's own.
"""

from __future__ import annotations

import base64
import json
import re
import threading
from typing import TYPE_CHECKING, Any

from sandbox.google.errors import GoogleError
from sandbox.google.monitoring.api import CHANNELS
from sandbox.google.monitoring.descriptors import RESOURCES, find_metric
from sandbox.google.operations import timestamp
from sandbox.google.outbound import Unreachable, send
from sandbox.google.pubsub.delivery import delivery_of

if TYPE_CHECKING:
    from sandbox.google.emulator import Emulator
    from sandbox.google.monitoring.incidents import Incident

ATTEMPTS = 3
PUBLISHERS = {"roles/pubsub.publisher", "roles/pubsub.editor", "roles/pubsub.admin", "roles/editor", "roles/owner"}
_SEVERITIES = {"CRITICAL": "Critical", "ERROR": "Error", "WARNING": "Warning"}
_VARIABLE = re.compile(r"\$\{([\w.]+)\}")


def notify(emulator: Emulator, incident: Incident, channels: list[str]) -> None:
    """Tell channels of an incident's state, each beside the others."""
    for name in channels:
        channel = emulator.store.table(f"monitoring.{CHANNELS}").get(name)
        if channel is None or not channel.get("enabled", True) or channel.get("verificationStatus") == "UNVERIFIED":
            continue
        content = message(emulator, incident)
        threading.Thread(target=_deliver, args=(emulator, dict(channel), content), daemon=True).start()


def message(emulator: Emulator, incident: Incident) -> dict[str, Any]:
    """What a webhook or a topic gets."""
    policy, condition, alert = incident.policy, incident.condition, incident.alert
    project = policy["name"].split("/")[1]
    series = incident.observed.series
    descriptor = find_metric(emulator, project, series.metric_type) or {}
    title = descriptor.get("displayName") or series.metric_type
    resource_title = RESOURCES.get(series.resource_type, (series.resource_type, ()))[0]
    labels = ", ".join(f"{key}={value}" for key, value in sorted(series.resource_labels.items()))
    resource_name = f"{project} {resource_title} labels {{{labels}}}"
    is_open = incident.closed is None
    number = alert["name"].rpartition("/")[2]
    severity = _SEVERITIES.get(policy.get("severity", ""), "No severity")
    found: dict[str, Any] = {
        "incident_id": number,
        "scoping_project_id": project,
        "scoping_project_number": int(emulator.projects.number(project)),
        "url": f"https://console.cloud.google.com/monitoring/alerting/alerts/{number}?project={project}",
        "started_at": int(incident.opened.timestamp()),
        "ended_at": None if incident.closed is None else int(incident.closed.timestamp()),
        "state": "open" if is_open else "closed",
        "summary": f"{title} for {resource_name}{_metric_labels(series.metric_labels)} {_happened(incident)}",
        "observed_value": incident.value,
        "resource": {"type": series.resource_type, "labels": dict(series.resource_labels)},
        "resource_type_display_name": resource_title,
        "resource_id": "",
        "resource_display_name": resource_title,
        "resource_name": resource_name,
        "metric": {"type": series.metric_type, "displayName": title, "labels": dict(series.metric_labels)},
        "metadata": {"system_labels": {}, "user_labels": {}},
        "policy_name": policy["displayName"],
        "condition_name": condition["displayName"],
        "condition": condition,
        "severity": severity,
    }
    if policy.get("userLabels"):
        found["policy_user_labels"] = policy["userLabels"]
    threshold = condition.get("conditionThreshold")
    if threshold is not None:
        found["threshold_value"] = f"{float(threshold.get('thresholdValue', 0)):g}"
    found["documentation"] = _documentation(policy, found)
    return {"version": "1.2", "incident": found}


def _metric_labels(labels: dict[str, str]) -> str:
    told = ", ".join(f"{key}={value}" for key, value in sorted(labels.items()))
    return f" with metric labels {{{told}}}" if told else ""


def _happened(incident: Incident) -> str:
    if incident.closed is not None:
        return f"returned to normal with a value of {incident.value}."
    threshold = incident.condition.get("conditionThreshold")
    if threshold is None:
        return "is absent."
    side = "above" if threshold["comparison"] == "COMPARISON_GT" else "below"
    limit = float(threshold.get("thresholdValue", 0))
    return f"is {side} the threshold of {limit:.3f} with a value of {incident.value}."


def _documentation(policy: dict[str, Any], incident: dict[str, Any]) -> dict[str, Any]:
    given = policy.get("documentation", {})
    state = "ALERT" if incident["state"] == "open" else "RESOLVED"
    known = {
        "condition.display_name": incident["condition_name"],
        "condition.name": incident["condition"]["name"],
        "metric.display_name": incident["metric"]["displayName"],
        "metric.type": incident["metric"]["type"],
        "policy.display_name": policy["displayName"],
        "policy.name": policy["name"],
        "project": incident["scoping_project_id"],
        "resource.project": incident["scoping_project_id"],
        "resource.type": incident["resource"]["type"],
        **{f"metric.label.{key}": value for key, value in incident["metric"]["labels"].items()},
        **{f"resource.label.{key}": value for key, value in incident["resource"]["labels"].items()},
        **{f"policy.user_label.{key}": value for key, value in policy.get("userLabels", {}).items()},
    }

    def filled(text: str) -> str:
        return _VARIABLE.sub(lambda found: str(known.get(found[1], "(none)")), text)

    subject = given.get("subject") or f"[{state} - {incident['severity']}] {policy['displayName']}"
    answer: dict[str, Any] = {
        "content": filled(given.get("content", "")),
        "mime_type": given.get("mimeType", ""),
        "subject": filled(subject).encode()[:255].decode(errors="ignore"),
    }
    if given.get("links"):
        answer["links"] = [
            {"displayName": one.get("displayName", ""), "url": filled(one.get("url", ""))} for one in given["links"]
        ]
    return answer


def _deliver(emulator: Emulator, channel: dict[str, Any], content: dict[str, Any]) -> None:
    labels, kind = channel["labels"], channel["type"]
    incident = content["incident"]
    noted = {
        "channel": channel["name"],
        "type": kind,
        "to": labels.get("email_address") or labels.get("topic") or labels.get("url") or labels.get("number", ""),
        "subject": incident["documentation"]["subject"],
        "message": incident["summary"],
        "incident": incident["incident_id"],
        "state": incident["state"],
        "time": timestamp(emulator.clock.now()),
    }
    problem: str | None = None
    if kind.startswith("webhook"):
        problem = _post(emulator, labels, content)
    elif kind == "pubsub":
        problem = _publish(emulator, channel["name"].split("/")[1], labels["topic"], content)
    emulator.outbox.append({**noted, "error": problem} if problem else noted)


def _post(emulator: Emulator, labels: dict[str, str], content: dict[str, Any]) -> str | None:
    """Send to a webhook; what went wrong, if anything did."""
    headers = {"Content-Type": "application/json; charset=utf-8", "User-Agent": "Google-Alerts"}
    if labels.get("username"):
        credentials = f"{labels['username']}:{labels.get('password', '')}".encode()
        headers["Authorization"] = "Basic " + base64.b64encode(credentials).decode()
    problem: str | None = None
    for attempt in range(ATTEMPTS):
        try:
            status, _, _ = send(emulator, "POST", labels["url"], headers, json.dumps(content).encode(), timeout=15)
        except Unreachable as error:
            problem = str(error)
        else:
            problem = None if status < 300 else f"{labels['url']} answered {status}"
            if status < 500 and status != 429:
                return problem
        if emulator.clock.wait(emulator.stopping, 2.0**attempt):
            break
    return problem


def _publish(emulator: Emulator, project: str, topic: str, content: dict[str, Any]) -> str | None:
    """Publish to a topic, as Monitoring's service agent; what went wrong, if anything did."""
    number = emulator.projects.number(project)
    agent = f"serviceAccount:service-{number}@gcp-sa-monitoring-notification.iam.gserviceaccount.com"
    topic = emulator.projects.named(topic)
    owner = f"//cloudresourcemanager.googleapis.com/projects/{topic.split('/')[1]}"
    if not emulator.policies.grants(agent, PUBLISHERS, f"//pubsub.googleapis.com/{topic}", owner):
        return f"{agent} lacks roles/pubsub.publisher on {topic}"
    try:
        delivery_of(emulator).publish(topic, json.dumps(content).encode())
    except GoogleError as error:
        return error.message
    return None
