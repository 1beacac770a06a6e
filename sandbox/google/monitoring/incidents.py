"""Incidents: opened and closed as the policies say, on the emulator's clock; the resource `alerts` shows them.

Sources: "Behavior of metric-based alerting policies" (which incidents a policy with several conditions has; a policy or
condition that is changed, disabled or deleted ends its incidents), "Incidents for metric-based alerting policies" (an
incident closes when its condition is no longer met, or after 7 days without data), AlertStrategy (autoClose,
notificationPrompts, renotifyInterval); Cloud Monitoring API v3, projects.alerts. Snoozes are not emulated.
"""

from __future__ import annotations

import copy
import json
import random
import string
import sys
import threading
import traceback
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from sandbox.google.api import Call, Collection, Resource, listed
from sandbox.google.monitoring.api import POLICIES, api, seconds
from sandbox.google.monitoring.conditions import STEP, Observed, Watch
from sandbox.google.monitoring.notifications import notify
from sandbox.google.operations import timestamp

if TYPE_CHECKING:
    from sandbox.google.emulator import Emulator

PATH = "projects.alerts"
AUTO_CLOSE_SECONDS = 7 * 86_400
TICK_SECONDS = 0.1
ARRIVAL_SECONDS = 0.2
"""How long, in this machine's time, the points of a minute may take to arrive before they are looked at."""
CANCELLED = "Incident cancelled because the alert policy condition was deleted or modified while incident was active."


@dataclass
class Incident:
    """One incident: its alert as the API shows it, and what the notifications tell beside it."""

    alert: Resource
    policy: Resource
    condition: Resource
    observed: Observed
    value: str
    opened: datetime
    closed: datetime | None = None
    reminded: dict[str, datetime] = field(default_factory=dict)


@dataclass
class _Policy:
    """A policy as it is being evaluated."""

    definition: Resource
    watches: list[Watch]
    due: datetime
    open: dict[tuple[str, str], Incident] = field(default_factory=dict)


class Incidents:
    """Evaluates every policy each minute of the emulator's clock."""

    def __init__(self, emulator: Emulator) -> None:
        self.emulator = emulator
        self._policies: dict[str, _Policy] = {}
        self._lock = threading.Lock()

    def run(self) -> None:
        """Evaluate until the emulator stops."""
        while not self.emulator.stopping.wait(TICK_SECONDS):
            self.look()

    def look(self) -> None:
        """Evaluate what is due."""
        with self._lock:
            clock = self.emulator.clock
            now = clock.now()
            arrived = now - timedelta(seconds=ARRIVAL_SECONDS * clock.speed)
            with self.emulator.store.lock:
                policies = copy.deepcopy(self.emulator.store.table(f"monitoring.{POLICIES}"))
            self._follow(policies, now)
            for policy in self._policies.values():
                try:
                    while policy.due <= arrived:
                        self._evaluate(policy, policy.due)
                        policy.due += STEP
                except Exception as error:
                    # One policy that cannot be evaluated must not end the others.
                    traceback.print_exc(file=sys.stderr)
                    self.emulator.failures.append(f"{policy.definition['name']}: {error!r}")
                    policy.due = now + STEP

    def _follow(self, policies: dict[str, Resource], now: datetime) -> None:
        """Begin to watch new policies; end the incidents of conditions that are no more what they were."""
        for name in self._policies.keys() - policies.keys():
            gone = self._policies.pop(name)
            for incident in list(gone.open.values()):
                self._close(gone, incident, now, CANCELLED)
        for name, definition in policies.items():
            known = self._policies.get(name)
            if known is not None and known.definition == definition:
                continue
            if known is None:
                known = self._policies[name] = _Policy(definition, [], now)
            conditions = definition["conditions"] if definition.get("enabled", True) else []
            same = {one.condition["name"]: one for one in known.watches if one.condition in conditions}
            known.definition = definition
            project = name.split("/")[1]
            known.watches = [same.get(one["name"]) or Watch(project, one) for one in conditions]
            known.due = now
            for (condition, _), incident in list(known.open.items()):
                if condition not in same:
                    self._close(known, incident, now, CANCELLED)

    def _evaluate(self, policy: _Policy, at: datetime) -> None:
        for watch in policy.watches:
            watch.evaluate(self.emulator, at)
        silent = at - timedelta(
            seconds=seconds(policy.definition.get("alertStrategy", {}).get("autoClose")) or AUTO_CLOSE_SECONDS
        )
        for watch in policy.watches:
            watch.forget(silent)
        wanted = _wanted(policy)
        for key, incident in list(policy.open.items()):
            if key not in wanted:
                value = incident.observed.value
                self._close(policy, incident, at, "no data" if value is None else f"{value:.3f}")
        for key, (watch, observed) in wanted.items():
            if key not in policy.open:
                policy.open[key] = self._opened(policy, watch, observed, at)
            else:
                self._remind(policy, policy.open[key], at)

    def _opened(self, policy: _Policy, watch: Watch, observed: Observed, at: datetime) -> Incident:
        definition, series = policy.definition, observed.series
        project = definition["name"].split("/")[1]
        number = "0." + "".join(random.choices(string.digits + string.ascii_lowercase, k=12))
        snapshot = {key: definition[key] for key in ("name", "displayName", "userLabels") if key in definition}
        snapshot["severity"] = definition.get("severity", "SEVERITY_UNSPECIFIED")
        described = series.described
        alert = {
            "name": f"projects/{project}/alerts/{number}",
            "state": "OPEN",
            "openTime": timestamp(at),
            "policy": snapshot,
            "metric": described["metric"],
            "resource": described["resource"],
        }
        with self.emulator.store.lock:
            self.emulator.store.table("_alerts")[alert["name"]] = alert
        shown = "no data" if observed.value is None else f"{observed.value:.3f}"
        incident = Incident(alert, copy.deepcopy(definition), watch.condition, observed, shown, at)
        self._notify(incident, "OPENED", definition.get("notificationChannels", []), at)
        return incident

    def _close(self, policy: _Policy, incident: Incident, at: datetime, value: str) -> None:
        incident.closed, incident.value = at, value
        with self.emulator.store.lock:
            incident.alert["state"] = "CLOSED"
            incident.alert["closeTime"] = timestamp(at)
        policy.open = {key: one for key, one in policy.open.items() if one is not incident}
        self._notify(incident, "CLOSED", incident.policy.get("notificationChannels", []), at)

    def _remind(self, policy: _Policy, incident: Incident, at: datetime) -> None:
        strategies = policy.definition.get("alertStrategy", {}).get("notificationChannelStrategy", [])
        for strategy in strategies:
            every = timedelta(seconds=seconds(strategy.get("renotifyInterval")))
            for channel in strategy.get("notificationChannelNames", []) if every else []:
                if at - incident.reminded.get(channel, at) >= every:
                    self._notify(incident, "OPENED", [channel], at)

    def _notify(self, incident: Incident, prompt: str, channels: list[str], at: datetime) -> None:
        prompts = incident.policy.get("alertStrategy", {}).get("notificationPrompts") or ["OPENED", "CLOSED"]
        if prompt in prompts:
            notify(self.emulator, incident, channels)
        incident.reminded |= dict.fromkeys(channels, at)


def _wanted(policy: _Policy) -> dict[tuple[str, str], tuple[Watch, Observed]]:
    """The series that have an incident, with their conditions, as the combiner says."""
    met = [(watch, watch.met) for watch in policy.watches]
    combiner = policy.definition["combiner"]
    if combiner == "AND" and not all(series for _, series in met):
        return {}
    resources: set[str] | None = None
    if combiner == "AND_WITH_MATCHING_RESOURCE":
        each = [{_resource(one) for one in series.values()} for _, series in met]
        resources = set.intersection(*each) if each else set()
    return {
        (watch.condition["name"], key): (watch, one)
        for watch, series in met
        for key, one in series.items()
        if resources is None or _resource(one) in resources
    }


def _resource(observed: Observed) -> str:
    return json.dumps([observed.series.resource_type, observed.series.resource_labels], sort_keys=True)


_all: WeakKeyDictionary[Emulator, Incidents] = WeakKeyDictionary()


def prepare(emulator: Emulator) -> None:
    """Evaluate the policies of an emulator from its start."""
    _all[emulator] = Incidents(emulator)
    emulator.in_background(_all[emulator].run)


# Alerts are kept apart from what a stack made: they are no resources that somebody has to delete.
api.add(Collection(PATH, "alert", times=None))


@api.method(f"{PATH}.list")
def list_alerts(call: Call) -> Resource:
    found = call.emulator.store.below("_alerts", call.canonical(call.name))
    call.query.setdefault("orderBy", "open_time desc")
    call.query.setdefault("pageSize", 50)
    return listed(call, found)


@api.method(f"{PATH}.get")
def get_alert(call: Call) -> Resource:
    with call.emulator.store.lock:
        found = call.emulator.store.table("_alerts").get(call.canonical(call.name))
        if found is None:
            call.find()
        return copy.deepcopy(found or {})
