"""Shares of an endpoint's traffic, which always sum to 100 or are empty.

Source: Vertex AI REST reference v1, Endpoint.trafficSplit.
"""

from __future__ import annotations

from collections.abc import Mapping

Split = Mapping[str, int]


def with_share(split: Split, identifier: str, percentage: int) -> dict[str, int]:
    """The split in which one deployed model has its percentage and all others keep their proportions.

    Alone it has all, because the shares must sum to 100; alone and without a share there is no traffic at all.
    """
    others = {key: share for key, share in split.items() if key != identifier and share > 0}
    if not others:
        return {identifier: 100} if percentage or split.get(identifier) else {}
    return _scaled(others, 100 - percentage) | ({identifier: percentage} if percentage else {})


def without(split: Split, identifier: str, heir: str | None) -> dict[str, int]:
    """The split without one deployed model: the others keep their proportions, or the heir takes all."""
    if not split.get(identifier):
        return {key: share for key, share in split.items() if key != identifier and share > 0}
    others = {key: share for key, share in split.items() if key != identifier and share > 0}
    if others:
        return _scaled(others, 100)
    return {heir: 100} if heir else {}


def _scaled(split: Split, total: int) -> dict[str, int]:
    """Whole numbers in the proportions of `split` that sum to `total`, by the largest remainder."""
    before = sum(split.values())
    floors = {key: share * total // before for key, share in split.items()}
    left = total - sum(floors.values())
    by_remainder = sorted(split, key=lambda key: (-(split[key] * total % before), key))
    for key in by_remainder[:left]:
        floors[key] += 1
    return {key: share for key, share in floors.items() if share}
