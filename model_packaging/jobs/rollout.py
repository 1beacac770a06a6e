"""`modelberth rollout`: moves an endpoint's replicas from one Deployment to another inside a Kubernetes cluster.

The Deployments of an endpoint share a label, and a Service in front of them shares requests by replicas. The new one
gets its canary's share beside the old, then all of them while the old goes to none, and the alarms are watched after
each step. One that fires brings the old back. Where KEDA scales the Deployments, it is held meanwhile: it would bring
back the replicas that a rollout takes away. A run that was broken off goes on where it was: what served before it began
is noted in a ConfigMap, because the replicas alone no longer tell.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Protocol

from model_packaging.errors import ModelberthError
from model_packaging.jobs.cluster import Api, Deployment

ROLLED_BACK = 3
"""The exit code of a rollout that an alarm brought back."""

_LOOK_SECONDS = 2.0
_MOST_RESTARTS = 3


class RolledBack(ModelberthError):
    """An alarm fired, and the old replicas are back."""


@dataclass(frozen=True)
class Settings:
    """What goes where, all from the environment: MODELBERTH_ROLLOUT_ and the field's name in capitals."""

    deployment: str
    """The Deployment that is to serve."""

    endpoint: str
    """The label that it shares with those that served before."""

    replicas: int
    """How many replicas serve in the end, at least: as many as served before if those were more."""

    canary: float = 0.0
    """The share of them that the new one gets first; 0 for no canary."""

    bake_seconds: float = 300.0
    """How long the alarms are watched after each step."""

    ready_seconds: float = 600.0
    """How long replicas may take to become ready."""

    prometheus: str = ""
    """The Prometheus that knows which alarms fire; without one only the replicas are watched."""

    alarms: tuple[str, ...] = ()
    """The names of the alarms that bring the old package back, separated by commas."""

    record: str = ""
    """The ConfigMap in which a run that is broken off finds what it began with; without one it begins anew."""

    keda: bool = False
    """Whether KEDA scales the Deployments, each by the ScaledObject of its name: AUTOSCALER is keda."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Settings:
        """Reads every setting. ModelberthError lists all the ones that are missing or wrong."""
        problems: list[str] = []

        def text(name: str) -> str:
            value = environment.get(f"MODELBERTH_ROLLOUT_{name}", "").strip()
            if not value:
                problems.append(f"MODELBERTH_ROLLOUT_{name} is not set")
            return value

        def number(name: str, default: str | None, most: float) -> float:
            value = environment.get(f"MODELBERTH_ROLLOUT_{name}", "").strip() or default or text(name)
            try:
                found = float(value)
            except ValueError:
                found = math.nan
            if not 0 <= found <= most and value:
                problems.append(f'MODELBERTH_ROLLOUT_{name} is "{value}": it must be a number of 0 to {most:g}')
            return found

        alarms = environment.get("MODELBERTH_ROLLOUT_ALARMS", "").split(",")
        settings = cls(
            deployment=text("DEPLOYMENT"),
            endpoint=text("ENDPOINT"),
            replicas=int(number("REPLICAS", "1", 10_000)) if not problems else 1,
            canary=number("CANARY", "0", 1),
            bake_seconds=number("BAKE_SECONDS", "300", 86_400),
            ready_seconds=number("READY_SECONDS", "600", 86_400),
            prometheus=environment.get("MODELBERTH_ROLLOUT_PROMETHEUS", "").strip().rstrip("/"),
            alarms=tuple(name.strip() for name in alarms if name.strip()),
            record=environment.get("MODELBERTH_ROLLOUT_RECORD", "").strip(),
            keda=environment.get("MODELBERTH_ROLLOUT_AUTOSCALER", "").strip() == "keda",
        )
        if problems:
            raise ModelberthError(*problems)
        return settings


class Cluster(Protocol):
    """What a rollout needs of a cluster and of what watches it."""

    def deployments(self, endpoint: str) -> list[Deployment]:
        """All Deployments of an endpoint."""
        ...

    def scale(self, name: str, replicas: int) -> None:
        """Set how many replicas a Deployment wants."""
        ...

    def autoscale(self, name: str, on: bool) -> None:
        """Let KEDA scale a Deployment, or hold it."""
        ...

    def restarts(self, endpoint: str, deployment: str) -> int:
        """How often a container of a Deployment's pods has ended and was started again, at most."""
        ...

    def firing(self, alarms: Sequence[str]) -> list[str]:
        """Which of the alarms fire."""
        ...

    def reasons(self, endpoint: str, deployment: str) -> list[str]:
        """Why pods of a Deployment don't become ready, one sentence each."""
        ...

    def recall(self, record: str) -> dict[str, str]:
        """What a ConfigMap holds."""
        ...

    def remember(self, record: str, values: Mapping[str, str | None]) -> None:
        """Write into a ConfigMap; None takes a key out of it."""
        ...


@dataclass(frozen=True)
class _Begun:
    """What a rollout found when it began, and how far it is."""

    old: dict[str, int]
    """How many replicas each other Deployment had."""

    firing: list[str]
    """The alarms that fired before anything had moved: they say nothing of the new package."""

    canary_done: bool = False


def roll_out(
    settings: Settings,
    cluster: Cluster,
    say: Callable[[str], None],
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Move the traffic.

    Raises:
        RolledBack: an alarm fired; the old replicas are back.
        ModelberthError: the new replicas did not become ready; the old ones serve on.
    """
    found = {one.name: one for one in cluster.deployments(settings.endpoint)}
    if settings.deployment not in found:
        raise ModelberthError(f"there is no Deployment {settings.deployment} of the endpoint {settings.endpoint}")
    begun = _recalled(settings, cluster, found)
    if begun is None:
        old = {name: one.wanted for name, one in found.items() if name != settings.deployment and one.wanted > 0}
        begun = _Begun(old, cluster.firing(settings.alarms))
        _note(settings, cluster, begun)
    else:
        say("goes on with what was broken off")
    old = begun.old
    # Well before any of them loses a replica: the new ones have to become ready first.
    _autoscale(settings, cluster, found.keys() - {settings.deployment}, on=False)
    total = max(settings.replicas, sum(old.values()))
    if begun.firing:
        say(f"fires already, and is not watched: {', '.join(begun.firing)}")
    watched = [alarm for alarm in settings.alarms if alarm not in begun.firing]

    def step(replicas: int, others: Mapping[str, int], bake: float) -> None:
        cluster.scale(settings.deployment, replicas)
        _await_ready(settings, cluster, replicas, old, clock, sleep)
        for name, count in others.items():
            cluster.scale(name, count)
        say(f"{settings.deployment} serves with {replicas} of {replicas + sum(others.values())} replicas")
        if old and bake:
            _bake(settings, cluster, watched, bake, old, say, clock, sleep)

    canary = min(max(1, round(settings.canary * total)), total) if settings.canary else 0
    if old and canary and canary < total and not begun.canary_done:
        step(canary, _shrunk(old, total - canary), settings.bake_seconds)
        _note(settings, cluster, replace(begun, canary_done=True))
    step(total, dict.fromkeys(old, 0), settings.bake_seconds)
    _autoscale(settings, cluster, {settings.deployment}, on=True)
    _note(settings, cluster, None)


def _autoscale(settings: Settings, cluster: Cluster, names: Collection[str], *, on: bool) -> None:
    if settings.keda:
        for name in sorted(names):
            cluster.autoscale(name, on)


def _recalled(settings: Settings, cluster: Cluster, found: Mapping[str, Deployment]) -> _Begun | None:
    """What an earlier run for the same Deployment began with, if it was broken off."""
    noted = cluster.recall(settings.record).get(settings.deployment) if settings.record else None
    if noted is None:
        return None
    begun = _Begun(**json.loads(noted))
    return replace(begun, old={name: count for name, count in begun.old.items() if name in found})


def _note(settings: Settings, cluster: Cluster, begun: _Begun | None) -> None:
    """Keep what a rollout began with until it has ended; what is kept of any other rollout is over."""
    if settings.record:
        others = dict.fromkeys(cluster.recall(settings.record))
        kept = None if begun is None else json.dumps(asdict(begun), sort_keys=True)
        cluster.remember(settings.record, {**others, settings.deployment: kept})


def _shrunk(counts: Mapping[str, int], total: int) -> dict[str, int]:
    """As many replicas in all, in about the same proportions."""
    left, result = total, dict[str, int]()
    for name in sorted(counts, key=lambda key: -counts[key]):
        result[name] = min(counts[name], left)
        left -= result[name]
    return result


def _await_ready(
    settings: Settings,
    cluster: Cluster,
    replicas: int,
    old: Mapping[str, int],
    clock: Callable[[], float],
    sleep: Callable[[float], None],
) -> None:
    deadline = clock() + settings.ready_seconds
    while True:
        now = {one.name: one for one in cluster.deployments(settings.endpoint)}
        if now[settings.deployment].ready >= replicas:
            return
        # One that ends again and again will not become ready by waiting longer.
        if clock() >= deadline or cluster.restarts(settings.endpoint, settings.deployment) >= _MOST_RESTARTS:
            ready = now[settings.deployment].ready
            # Before the pods are gone that could tell why.
            reasons = cluster.reasons(settings.endpoint, settings.deployment)
            _go_back(settings, cluster, old, clock, sleep)
            outcome = "was rolled back" if old else "does not serve"
            raise ModelberthError(
                f"endpoint {settings.endpoint} {outcome}: {ready} of {replicas} replicas of {settings.deployment} were "
                f"ready after {settings.ready_seconds:g} s",
                *reasons,
            )
        sleep(_LOOK_SECONDS)


def _bake(
    settings: Settings,
    cluster: Cluster,
    watched: Sequence[str],
    seconds: float,
    old: Mapping[str, int],
    say: Callable[[str], None],
    clock: Callable[[], float],
    sleep: Callable[[float], None],
) -> None:
    say(f"watching {', '.join(watched) or 'its replicas'} for {seconds:g} s")
    until = clock() + seconds
    while clock() < until:
        sleep(min(_LOOK_SECONDS, max(0.0, until - clock())))
        try:
            firing = cluster.firing(watched)
        except ModelberthError as error:
            # Nobody knows how the new replicas do, so what served before serves again.
            _go_back(settings, cluster, old, clock, sleep)
            raise ModelberthError(
                f"endpoint {settings.endpoint} was rolled back: {settings.deployment} could not be watched",
                *error.problems,
            ) from error
        if firing:
            _go_back(settings, cluster, old, clock, sleep)
            raise RolledBack(
                f"endpoint {settings.endpoint} was rolled back: {', '.join(firing)} fired while "
                f"{settings.deployment} was watched; what served before serves again"
            )


def _go_back(
    settings: Settings,
    cluster: Cluster,
    old: Mapping[str, int],
    clock: Callable[[], float],
    sleep: Callable[[float], None],
) -> None:
    """Bring the old replicas up, and the new ones down once the old ones are ready: no request may find nobody."""
    others = {one.name for one in cluster.deployments(settings.endpoint)} - {settings.deployment}
    if not old:
        _autoscale(settings, cluster, others, on=True)
        return
    for name, count in old.items():
        cluster.scale(name, count)
    deadline = clock() + settings.ready_seconds
    while clock() < deadline:
        now = {one.name: one.ready for one in cluster.deployments(settings.endpoint)}
        if all(now.get(name, 0) >= count for name, count in old.items()):
            break
        sleep(_LOOK_SECONDS)
    _autoscale(settings, cluster, {settings.deployment}, on=False)
    cluster.scale(settings.deployment, 0)
    _autoscale(settings, cluster, others, on=True)
    _note(settings, cluster, None)


def rollout() -> None:
    """Move an endpoint's replicas to one of its Deployments; runs in a pod, its settings are MODELBERTH_ROLLOUT_….

    Exit codes: 0 it serves; 1 its replicas did not become ready; 3 an alarm fired and brought back what served before.

    Example: modelberth rollout
    """
    settings = Settings.from_environment()

    def say(text: str) -> None:
        print(text, flush=True)

    try:
        roll_out(settings, Api(settings.prometheus), say)
    except RolledBack as error:
        say(f"error: {error}")
        raise SystemExit(ROLLED_BACK) from None
