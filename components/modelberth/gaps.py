"""What a platform can't do of what the specification can ask: one table for each platform, `platforms/<name>/gaps.py`.

A table feeds three readers: the error that a user gets, the strict expectations of the conformance suite, and the
support table of the documentation.
"""

from dataclasses import dataclass
from typing import Literal

from . import registry
from .errors import choices


@dataclass(frozen=True)
class Gap:
    """Attributes: `kind`, whose it is to close: ours, the vendor's or never; `reason`, why, with what to do instead."""

    kind: Literal["ours", "vendor", "never"]
    reason: str


FEATURES: dict[str, str] = {
    "bake_over_an_hour": "watch the alarms for more than an hour after each step of an update",
    "bake_with_kserve": "watch the alarms during an update where KServe serves",
    "canary_of_one_replica": "give a canary its share of the traffic where one replica runs",
    "canary_with_kserve": "give a canary its share of the traffic where KServe serves",
    "day_and_weekday": "restrict both the day of the month and the day of the week of a schedule",
    "disk_utilization": "measure how full the disks of the replicas are",
    "flexible_window": "start a scheduled run later than it is due",
    "flexible_window_over_a_day": "start a scheduled run more than a day late",
    "scale_to_zero": "run no replica while nobody asks",
    "several_runs": "count how often the monitor ran",
    "shadow": "copy requests to a shadow",
    "shadow_with_kserve": "copy requests to a shadow where KServe serves",
    "shadow_without_gateway": "copy requests to a shadow without a gateway",
    "variants": "share traffic between variants by weight",
    "variants_with_kserve": "share traffic between variants by weight where KServe serves",
    "variants_without_gateway": "share traffic between variants by weight without a gateway",
}
"""What can be asked for and some platform lacks, by name. Whatever is not here works everywhere."""


def gaps_of(platform: str) -> dict[str, Gap]:
    """Return the table of one platform."""
    return registry.load(platform, "gaps").GAPS


def gap_of(platform: str, feature: str) -> Gap | None:
    """Return a platform's gap for a feature, or for what the feature is a case of: who copies no requests to a shadow
    copies none where KServe serves either."""
    found = gaps_of(platform)
    return found.get(feature) or found.get(feature.partition("_with")[0])


def refusal(platform: str, feature: str, where: str) -> str:
    """Return what to say where `where` asks a platform for what it lacks, with the platforms that have it."""
    able = [name for name in registry.PLATFORMS if name != platform and gap_of(name, feature) is None]
    others = f"; {choices(able)} can" if able else ""
    return f"{where}: {platform} can't {FEATURES[feature]}: {gaps_of(platform)[feature].reason}{others}"
