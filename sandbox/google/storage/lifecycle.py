"""Lifecycle rules and the end of soft-deleted objects, by the emulator's clock.

Source: Cloud Storage, "Object Lifecycle Management" (conditions are all to hold; Delete comes before SetStorageClass).
"""

from __future__ import annotations

import fnmatch
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sandbox.google.storage.state import Bucket, Stored, is_live, storage_of

if TYPE_CHECKING:
    from sandbox.google.emulator import Emulator

_DAY = 86400.0
_SWEEP_SECONDS = 1.0


def prepare(emulator: Emulator) -> None:
    """Let rules act while the emulator runs."""
    storage_of(emulator)

    def run() -> None:
        while not emulator.stopping.wait(_SWEEP_SECONDS):
            sweep(emulator)

    emulator.in_background(run)


def sweep(emulator: Emulator) -> None:
    """Apply every bucket's rules once."""
    storage, now = storage_of(emulator), emulator.clock.now()
    with storage.lock:
        for bucket in storage.buckets.values():
            rules = bucket.resource.get("lifecycle", {}).get("rule", [])
            rules = sorted(rules, key=lambda rule: rule["action"]["type"] != "Delete")
            for name, versions in list(bucket.objects.items()):
                for one in list(versions):
                    if one.soft_deleted:
                        if _time(one.resource["hardDeleteTime"]) <= now:
                            storage.erase(bucket, name, one)
                        continue
                    rule = next((rule for rule in rules if _meets(rule["condition"], bucket, name, one, now)), None)
                    if rule is None:
                        continue
                    if rule["action"]["type"] == "SetStorageClass":
                        one.resource["storageClass"] = rule["action"]["storageClass"]
                    elif rule["action"]["type"] == "Delete":
                        if is_live(one):
                            storage.remove_live(bucket, name)
                        else:
                            storage.remove(bucket, name, one)


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def _days(since: str | None, now: datetime) -> float:
    return (now - _time(since)).total_seconds() / _DAY if since else -1.0


def _meets(condition: dict[str, Any], bucket: Bucket, name: str, one: Stored, now: datetime) -> bool:
    resource, live = one.resource, is_live(one)
    newer = sum(1 for other in bucket.objects[name] if other.generation > one.generation and not other.soft_deleted)
    checks = {
        "age": lambda value: _days(resource["timeCreated"], now) >= float(value),
        "createdBefore": lambda value: resource["timeCreated"][:10] < str(value),
        "isLive": lambda value: live is bool(value),
        "numNewerVersions": lambda value: newer >= int(value),
        "daysSinceNoncurrentTime": lambda value: not live and _days(resource["timeDeleted"], now) >= float(value),
        "noncurrentTimeBefore": lambda value: not live and resource["timeDeleted"][:10] < str(value),
        "daysSinceCustomTime": lambda value: _days(resource.get("customTime"), now) >= float(value),
        "customTimeBefore": lambda value: bool(resource.get("customTime")) and resource["customTime"][:10] < str(value),
        "matchesStorageClass": lambda value: resource["storageClass"] in value,
        "matchesPrefix": lambda value: any(name.startswith(prefix) for prefix in value),
        "matchesSuffix": lambda value: any(name.endswith(suffix) for suffix in value),
        "matchesPattern": lambda value: fnmatch.fnmatchcase(name, str(value)),
    }
    return all(check(condition[key]) for key, check in checks.items() if key in condition)
