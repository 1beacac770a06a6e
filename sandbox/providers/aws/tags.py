"""Tags, which most services set by calls of their own."""

from __future__ import annotations

from collections.abc import Callable

from sandbox.providers.resource import Change


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
