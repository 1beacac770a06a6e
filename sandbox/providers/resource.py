"""What a resource type is to the provider: its rules, and functions that make, read, change and delete it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from sandbox.providers.check import AutoName

Values = dict[str, Any]


class CloudError(Exception):
    """A call that the cloud refused. The text is for people: operation, thing, code and message."""

    def __init__(self, text: str, code: str = "") -> None:
        super().__init__(text)
        self.code = code


class Cancelled(Exception):
    """The user interrupted the update."""


class CreateFailed(Exception):
    """The resource exists under this id, but did not become usable."""

    def __init__(self, identifier: str, reason: str) -> None:
        super().__init__(reason)
        self.identifier = identifier


class Call(Protocol):
    """One operation on one resource, as the provider sees it; each cloud's own call has the means to do it."""

    thing: str
    timeout_seconds: float | None

    def wait(self, seconds: float) -> None:
        """Wait, unless the update is interrupted. Raises Cancelled."""
        ...


Alike = Callable[[str, str], bool]
"""Whether two texts mean the same."""

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
    create: Callable[[Any, Values], str]
    """Makes it and returns its id. Raises CloudError, or CreateFailed when it exists but is not usable."""
    read: Callable[[Any, str, Values], Values | None]
    """Every property that the cloud tells, `None` for one that is not set; None when the thing is gone."""
    delete: Callable[[Any, str, Values], None]
    update: Callable[[Any, str, Change], None] | None = None
    force_new: frozenset[str] = frozenset()
    force_new_presence: frozenset[str] = frozenset()
    """Paths whose appearing or disappearing forces replacement, while a change inside does not."""
    auto_name: AutoName | None = None
    computed: frozenset[str] = frozenset()
    """Inputs that the cloud fills in when they are not given: unknown at preview."""
    policies: frozenset[str] = frozenset()
    """Properties that hold a policy, compared by meaning."""
    json: frozenset[str] = frozenset()
    """Properties that hold JSON, compared by value."""
    alike: Mapping[str, Alike] = field(default_factory=dict)
    """Properties of which different texts may mean the same; the state keeps the cloud's."""
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
