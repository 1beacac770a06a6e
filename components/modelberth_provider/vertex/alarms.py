"""The alarms that a rollout watches: alerting policies of Cloud Monitoring, and whether any of them fires.

Source: Cloud Monitoring API v3, projects.alerts and projects.alertPolicies.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from modelberth_provider.google import GoogleError, Json
from modelberth_provider.resource import Call, Refused

PAUSE_SECONDS = 5.0
"""Between two looks."""


class Fired(Exception):
    """An alarm fires; the text says which, and since when."""


class Alarms:
    """Some alerting policies of one project, by their display names or their whole names."""

    def __init__(self, call: Call, project: str, names: Sequence[str]) -> None:
        """Refused if there is no such policy: a rollout that watches nothing is not what was asked for."""
        self._call, self._parent, self._names = call, f"projects/{project}", frozenset(names)
        self._known: set[str] = set()
        """Alerts that were open before anything had moved: they say nothing of the new model."""
        if not names:
            return
        policies = call.monitoring.list(f"{self._parent}/alertPolicies", "alertPolicies", call.waiting)
        there = {str(one.get(key)) for one in policies for key in ("name", "displayName")}
        if missing := sorted(self._names - there):
            raise Refused(
                f"project {project} has no alerting policy {' and no '.join(missing)}, which the rollout would watch: "
                "correct rollout.alarms, or make the policy first"
            )

    def __bool__(self) -> bool:
        return bool(self._names)

    def disregard_open(self) -> None:
        """Leave out the alerts that are open now."""
        if not self:
            return
        for alert in self._open():
            self._known.add(str(alert["name"]))
            self._call.warn(f"{_told(alert)} already, and is not watched")

    def check(self) -> None:
        """Raise Fired if an alarm fires, or if nobody knows."""
        try:
            found = [one for one in self._open() if str(one["name"]) not in self._known]
        except GoogleError as error:
            raise Fired(f"its alarms cannot be asked: {error}") from error
        if found:
            raise Fired(" and ".join(_told(alert) for alert in found))

    def _open(self) -> list[Json]:
        alerts = self._call.monitoring.list(
            f"{self._parent}/alerts", "alerts", self._call.waiting, filter='state="OPEN"'
        )
        return [one for one in alerts if one.get("state") == "OPEN" and self._is_watched(one)]

    def _is_watched(self, alert: Json) -> bool:
        policy = cast(Json, alert.get("policy") or {})
        return not self._names.isdisjoint({str(policy.get("name")), str(policy.get("displayName"))})


def _told(alert: Json) -> str:
    policy = cast(Json, alert.get("policy") or {})
    return f"{policy.get('displayName') or policy.get('name')} fires (since {alert.get('openTime', 'a while')})"
