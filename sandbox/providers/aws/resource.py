"""What a resource type is to the provider: its rules, and functions that make, read, change and delete it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from sandbox.providers.aws.check import AutoName
from sandbox.providers.aws.cloud import Call

Values = dict[str, Any]

ALL_BUT_TAGS = frozenset({"*"})
"""`force_new` of a resource that can only be replaced, save for its tags."""


@dataclass(frozen=True)
class Change:
    """An update: the state before, the inputs after, and the top-level properties that differ."""

    old: Values
    new: Values
    changed: frozenset[str]

    def touches(self, *names: str) -> bool:
        return not self.changed.isdisjoint(names)


@dataclass(frozen=True)
class Resource:
    """One resource type. The rules are those of the Terraform provider that the official plugin bridges."""

    token: str
    service: str
    create: Callable[[Call, Values], str]
    """Makes it and returns its id. Raises CloudError, or CreateFailed when it exists but is not usable."""
    read: Callable[[Call, str, Values], Values | None]
    """Every property that AWS tells, `None` for one that is not set; None when the thing is gone."""
    delete: Callable[[Call, str, Values], None]
    update: Callable[[Call, str, Change], None] | None = None
    force_new: frozenset[str] = frozenset()
    force_new_presence: frozenset[str] = frozenset()
    """Paths whose appearing or disappearing forces replacement, while a change inside does not."""
    auto_name: AutoName | None = None
    computed: frozenset[str] = frozenset()
    """Inputs that AWS fills in when they are not given: unknown at preview."""
    policies: frozenset[str] = frozenset()
    """Properties that hold a policy, compared by meaning."""
    json: frozenset[str] = frozenset()
    """Properties that hold JSON, compared by value."""
    sets: frozenset[str] = frozenset()
    """Lists whose order means nothing."""
    defaults: Values = field(default_factory=dict)
    recomputed: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Outputs that a change of the property makes unknown until it is done."""
    unsupported: frozenset[str] = frozenset()
    regional: bool = True
    verify: Callable[[Values], list[tuple[str, str]]] | None = None
    """Further problems of the inputs, as (path, reason): what the official provider refuses at preview."""

    def forces_new(self, name: str) -> bool:
        if self.force_new is ALL_BUT_TAGS:
            return name not in ("tags", "tagsAll")
        return name in self.force_new or (name == "region" and self.regional)


def sync_tags(
    change: Change,
    put: Callable[[dict[str, str]], object],
    remove: Callable[[list[str]], object],
) -> None:
    """Bring tags from what they were to what is asked for (`tagsAll` holds the provider's default tags too)."""
    old: dict[str, str] = change.old.get("tagsAll") or {}
    new: dict[str, str] = change.new.get("tagsAll") or {}
    gone = sorted(old.keys() - new.keys())
    added = {key: value for key, value in new.items() if old.get(key) != value}
    if gone:
        remove(gone)
    if added:
        put(added)
