"""Shares of an endpoint's traffic, which always sum to 100 or are empty.

Source: Vertex AI REST reference v1, Endpoint.trafficSplit.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

Split = Mapping[str, int]


def with_share(
    split: Split, identifier: str, percentage: int, siblings: Collection[str] = frozenset()
) -> dict[str, int]:
    """The split in which one deployed model has its percentage.

    It is taken from its siblings first, and what they cannot give from all others, who keep their proportions. Alone
    it has all, because the shares must sum to 100; alone and without a share there is no traffic at all.
    """
    others = {key: share for key, share in split.items() if key != identifier and share > 0}
    if not others:
        return {identifier: 100} if percentage or split.get(identifier) else {}
    own = {identifier: percentage} if percentage else {}
    near = {key: share for key, share in others.items() if key in siblings}
    far = {key: share for key, share in others.items() if key not in siblings}
    left = 100 - percentage - sum(far.values())
    if not near or left < 0:
        return _scaled(far or near, 100 - percentage) | own
    return _scaled(near, left) | far | own


def without(split: Split, identifier: str, siblings: Sequence[str], heir: str | None) -> dict[str, int]:
    """The split without one deployed model: its siblings, newest first, take its share; if it has none, the others in
    their proportions; if they had none, the heir."""
    share = split.get(identifier, 0)
    others = {key: part for key, part in split.items() if key != identifier and part > 0}
    if not share:
        return others
    near = {key: part for key, part in others.items() if key in siblings} or {key: 1 for key in siblings[:1]}
    if near:
        far = {key: part for key, part in others.items() if key not in near}
        return _scaled(near, 100 - sum(far.values())) | far
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
