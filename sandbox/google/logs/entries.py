"""Log entries.

Source: Cloud Logging API v2, entries.write, entries.list, projects.logs; LogEntry (defaults, duplicates by insertId).
Nothing is kept longer than the emulator lives, and the last 100,000 entries only.
"""

from __future__ import annotations

import copy
import re
import uuid
from collections import deque
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from sandbox.google.api import Call, Resource
from sandbox.google.errors import GoogleError, invalid
from sandbox.google.logs.api import api, select
from sandbox.google.logs.metrics import count
from sandbox.google.operations import timestamp
from sandbox.google.store import page

if TYPE_CHECKING:
    from sandbox.google.emulator import Emulator

_LOG = re.compile(r"projects/[^/]+/logs/[A-Za-z0-9_.%-]{1,512}")
_all: WeakKeyDictionary[Emulator, deque[Resource]] = WeakKeyDictionary()


def _entries(emulator: Emulator) -> deque[Resource]:
    return _all.setdefault(emulator, deque(maxlen=100_000))


def write(emulator: Emulator, entry: Resource) -> None:
    """Keep an entry, and count it in the metrics that it matches."""
    now = timestamp(emulator.clock.now())
    entry["logName"] = emulator.projects.named(entry["logName"])
    entry.setdefault("timestamp", now)
    entry.setdefault("insertId", uuid.uuid4().hex[:16])
    entry["receiveTimestamp"] = now
    _entries(emulator).append(entry)
    count(emulator, entry)


def write_text(
    emulator: Emulator,
    project: str,
    log: str,
    resource_type: str,
    resource_labels: dict[str, str],
    text: str,
    severity: str = "INFO",
) -> None:
    """Write a line of a program's output, as the services that run containers do."""
    resource = {"type": resource_type, "labels": {"project_id": project, **resource_labels}}
    name = f"projects/{project}/logs/{log}"
    write(emulator, {"logName": name, "resource": resource, "textPayload": text, "severity": severity})


@api.method("entries.write")
def write_entries(call: Call) -> Resource:
    body, written = call.body, []
    for number, given in enumerate(body.get("entries", [])):
        entry: dict[str, Any] = copy.deepcopy(given)
        entry["logName"] = entry.get("logName") or body.get("logName", "")
        entry["resource"] = entry.get("resource") or body.get("resource", {})
        labels = {**body.get("labels", {}), **entry.get("labels", {})}
        if labels:
            entry["labels"] = labels
        if not _LOG.fullmatch(entry["logName"]):
            raise invalid(f"Log name must be specified as projects/PROJECT/logs/LOG: entries[{number}].log_name.")
        if not entry["resource"].get("type"):
            raise invalid(f"Missing required field resource.type: entries[{number}].resource.")
        if sum(key in entry for key in ("textPayload", "jsonPayload", "protoPayload")) > 1:
            raise invalid(f"An entry has one payload only: entries[{number}].")
        written.append(entry)
    if not written:
        raise invalid("At least one log entry must be specified.", [("entries", "must be specified")])
    if not body.get("dryRun"):
        for entry in written:
            write(call.emulator, entry)
    return {}


@api.method("entries.list")
def list_entries(call: Call) -> Resource:
    names = [*call.body.get("resourceNames", []), *(f"projects/{one}" for one in call.body.get("projectIds", []))]
    if not names:
        raise invalid("resource_names must be specified.", [("resource_names", "must be specified")])
    projects = {call.emulator.projects.named("/".join(one.split("/")[:2])) for one in names}
    order = call.body.get("orderBy") or "timestamp asc"
    if order not in ("timestamp asc", "timestamp desc", "timestamp"):
        raise invalid("order_by can be timestamp asc or timestamp desc.", [("order_by", "is not supported")])
    passes = select(str(call.body.get("filter") or ""))
    found: dict[tuple[str, str], Resource] = {}
    for one in list(_entries(call.emulator)):
        if "/".join(one["logName"].split("/")[:2]) in projects and passes(one):
            found.setdefault((one["timestamp"], one["insertId"]), copy.deepcopy(one))
    entries = sorted(found.values(), key=lambda one: one["timestamp"], reverse=order.endswith("desc"))
    query = {key: call.body.get(key) for key in ("pageSize", "pageToken")}
    items, token = page(entries, query, size=50)
    return ({"entries": items} if items else {}) | ({"nextPageToken": token} if token else {})


@api.method("logs.list", "projects.logs.list")
def list_logs(call: Call) -> Resource:
    prefix = f"{call.canonical(call.name)}/logs/"
    names = sorted({one["logName"] for one in list(_entries(call.emulator)) if one["logName"].startswith(prefix)})
    return {"logNames": names} if names else {}


@api.method("logs.delete", "projects.logs.delete")
def delete_log(call: Call) -> Resource:
    entries, project = _entries(call.emulator), call.canonical(call.name)
    log = project.replace(project.split("/logs/")[1], project.split("/logs/")[1].replace("/", "%2F"))
    kept = [one for one in list(entries) if one["logName"] != log]
    if len(kept) == len(entries):
        raise GoogleError("NOT_FOUND", f"Log {log} does not exist.")
    entries.clear()
    entries.extend(kept)
    return {}
