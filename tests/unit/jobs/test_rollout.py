"""A rollout against a cluster in memory and a clock that runs as fast as one looks at it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import pytest

from model_packaging.errors import ModelberthError
from model_packaging.jobs import rollout as module
from model_packaging.jobs.cluster import Deployment
from model_packaging.jobs.rollout import ROLLED_BACK, RolledBack, Settings, roll_out, rollout

BAKE = 60.0


@dataclass
class Cluster:
    """Deployments whose replicas become ready some seconds after they were wanted."""

    wanted: dict[str, int]
    start_seconds: float = 5.0
    never_ready: set[str] = field(default_factory=set)
    ends_again: set[str] = field(default_factory=set)
    alarms: Callable[["Cluster"], list[str]] = lambda cluster: []
    now: float = 0.0
    history: list[dict[str, int]] = field(default_factory=list)
    least_ready: int = 10_000
    records: dict[str, dict[str, str]] = field(default_factory=lambda: {"churn-rollout": {}})
    keda: dict[str, int] = field(default_factory=dict[str, int])
    """The least replicas that KEDA keeps, by what it scales."""
    held: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._ready_at = {name: [0.0] * count for name, count in self.wanted.items()}
        self._existing = set(self.wanted)

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        for name, least in self.keda.items():
            if name not in self.held and self.wanted[name] < least:
                self.scale(name, least)
        assert self.now < 100_000, "it never ends"

    def ready(self, name: str) -> int:
        return 0 if name in self.never_ready else sum(at <= self.now for at in self._ready_at[name])

    def deployments(self, endpoint: str) -> list[Deployment]:
        assert endpoint == "churn"
        return [Deployment(name, count, self.ready(name)) for name, count in self.wanted.items()]

    def scale(self, name: str, replicas: int) -> None:
        before = self._ready_at[name]
        self._ready_at[name] = before[:replicas] + [self.now + self.start_seconds] * (replicas - len(before))
        self.wanted[name] = replicas
        self.history.append(dict(self.wanted))
        self.least_ready = min(self.least_ready, sum(self.ready(one) for one in self.wanted))

    def autoscale(self, name: str, on: bool) -> None:
        (self.held.discard if on else self.held.add)(name)

    def restarts(self, endpoint: str, deployment: str) -> int:
        return 3 if deployment in self.ends_again else 0

    def firing(self, alarms: Sequence[str]) -> list[str]:
        return sorted(set(alarms) & set(self.alarms(self)))

    def recall(self, record: str) -> dict[str, str]:
        return dict(self.records[record])

    def remember(self, record: str, values: Mapping[str, str | None]) -> None:
        merged = self.records[record] | dict(values)
        self.records[record] = {key: value for key, value in merged.items() if value is not None}

    def reasons(self, endpoint: str, deployment: str) -> list[str]:
        return [f"pod {deployment}-x: container serve: CrashLoopBackOff"] if self.wanted[deployment] else []


def run(cluster: Cluster, **changes: object) -> list[str]:
    """Roll out the Deployment `new` and return what was said."""
    settings = Settings(
        "new",
        "churn",
        4,
        canary=0.25,
        bake_seconds=BAKE,
        ready_seconds=120,
        alarms=("slow", "late"),
        record="churn-rollout",
    )
    said: list[str] = []
    fields = {**settings.__dict__, **changes}
    roll_out(Settings(**fields), cluster, said.append, cluster.clock, cluster.sleep)  # pyright: ignore
    return said


def test_the_first_rollout_has_nothing_to_watch() -> None:
    cluster = Cluster({"new": 0})
    assert run(cluster) == ["new serves with 4 of 4 replicas"]
    assert cluster.wanted == {"new": 4}
    assert cluster.now < BAKE


def test_a_canary_gets_its_share_and_all_follow_after_the_bake_time() -> None:
    cluster = Cluster({"old": 4, "new": 0})
    said = run(cluster)
    assert cluster.history == [
        {"old": 4, "new": 1},
        {"old": 3, "new": 1},
        {"old": 3, "new": 4},
        {"old": 0, "new": 4},
    ]
    assert cluster.least_ready >= 4
    assert cluster.now >= 2 * BAKE
    assert said == [
        "new serves with 1 of 4 replicas",
        "watching slow, late for 60 s",
        "new serves with 4 of 4 replicas",
        "watching slow, late for 60 s",
    ]


def test_without_a_canary_all_change_at_once_and_are_watched() -> None:
    cluster = Cluster({"old": 4, "new": 0})
    run(cluster, canary=0.0)
    assert cluster.history == [{"old": 4, "new": 4}, {"old": 0, "new": 4}]
    assert cluster.least_ready >= 4
    assert cluster.now >= BAKE


@pytest.mark.parametrize(("canary", "first"), [(0.01, 1), (0.1, 1), (0.25, 2), (0.5, 5)])
def test_a_canary_is_a_share_of_replicas_and_at_least_one(canary: float, first: int) -> None:
    cluster = Cluster({"old": 10, "new": 0})
    run(cluster, canary=canary, replicas=2)
    assert cluster.history[1] == {"old": 10 - first, "new": first}
    assert cluster.wanted == {"old": 0, "new": 10}, "as many as served before, since there were more than the least"


def test_several_old_deployments_shrink_together_and_all_go() -> None:
    cluster = Cluster({"older": 1, "old": 3, "oldest": 0, "new": 0})
    run(cluster)
    assert cluster.history[-1] == {"older": 0, "old": 0, "oldest": 0, "new": 4}
    canary = next(state for state in cluster.history if state["new"] == 1 and sum(state.values()) == 4)
    assert canary["old"] + canary["older"] == 3
    assert cluster.least_ready >= 4


@pytest.mark.parametrize("step", ["canary", "all"])
def test_an_alarm_brings_the_old_replicas_back(step: str) -> None:
    share = {"canary": 1, "all": 4}[step]
    cluster = Cluster({"old": 4, "new": 0}, alarms=lambda now: ["slow"] if now.ready("new") == share else [])
    with pytest.raises(RolledBack) as caught:
        run(cluster)
    assert str(caught.value) == (
        "endpoint churn was rolled back: slow fired while new was watched; what served before serves again"
    )
    assert cluster.wanted == {"old": 4, "new": 0}
    # The new ones go only when the old ones are ready: no request finds nobody.
    assert cluster.ready("old") == 4
    assert cluster.least_ready >= 4


def test_another_alarm_is_none_of_its_business() -> None:
    cluster = Cluster({"old": 4, "new": 0}, alarms=lambda now: ["drift"])
    assert len(run(cluster)) == 4
    assert cluster.wanted == {"old": 0, "new": 4}


def test_what_fires_before_says_nothing_of_the_new_package() -> None:
    cluster = Cluster({"old": 4, "new": 0}, alarms=lambda now: ["late"])
    said = run(cluster)
    assert said[:3] == [
        "fires already, and is not watched: late",
        "new serves with 1 of 4 replicas",
        "watching slow for 60 s",
    ]


def test_a_replica_that_never_is_ready_brings_the_old_back_with_the_reason() -> None:
    cluster = Cluster({"old": 4, "new": 0}, never_ready={"new"})
    with pytest.raises(ModelberthError) as caught:
        run(cluster)
    assert not isinstance(caught.value, RolledBack)
    assert caught.value.problems == [
        "endpoint churn was rolled back: 0 of 1 replicas of new were ready after 120 s",
        "pod new-x: container serve: CrashLoopBackOff",
    ]
    assert cluster.wanted == {"old": 4, "new": 0}
    assert 120 <= cluster.now < 130


def test_one_that_ends_again_and_again_is_not_waited_for() -> None:
    cluster = Cluster({"old": 4, "new": 0}, never_ready={"new"}, ends_again={"new"})
    with pytest.raises(ModelberthError, match="was rolled back: 0 of 1 replicas"):
        run(cluster)
    assert cluster.now < 10


def test_the_first_that_never_is_ready_stays_to_be_looked_at() -> None:
    cluster = Cluster({"new": 0}, never_ready={"new"})
    with pytest.raises(ModelberthError, match="endpoint churn does not serve: 0 of 4 replicas of new"):
        run(cluster)
    assert cluster.wanted == {"new": 4}


def test_one_that_can_not_be_watched_is_brought_back() -> None:
    def gone(now: Cluster) -> list[str]:
        if now.wanted["new"]:
            raise ModelberthError("http://prometheus/api/v1/query: 503 ")
        return []

    cluster = Cluster({"old": 4, "new": 0}, alarms=gone)
    with pytest.raises(ModelberthError) as caught:
        run(cluster)
    assert caught.value.problems == [
        "endpoint churn was rolled back: new could not be watched",
        "http://prometheus/api/v1/query: 503 ",
    ]
    assert cluster.wanted == {"old": 4, "new": 0}


class BrokenOff(BaseException):
    """The node that ran the rollout is gone."""


@pytest.mark.parametrize("after", range(1, 5))
def test_one_that_was_broken_off_goes_on(after: int) -> None:
    cluster = Cluster({"old": 4, "new": 0})
    scale = cluster.scale

    def scaled(name: str, replicas: int) -> None:
        scale(name, replicas)
        if len(cluster.history) == after:
            raise BrokenOff

    cluster.scale = scaled  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(BrokenOff):
        run(cluster)
    cluster.scale = scale  # pyright: ignore[reportAttributeAccessIssue]
    run(cluster)
    assert cluster.wanted == {"old": 0, "new": 4}
    assert cluster.least_ready >= 4


def broken_off(cluster: Cluster, at: Callable[[Cluster], bool], **changes: object) -> None:
    """Roll out until the cluster is so, and no further."""
    sleep = cluster.sleep

    def watched(seconds: float) -> None:
        sleep(seconds)
        if at(cluster):
            raise BrokenOff

    cluster.sleep = watched  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(BrokenOff):
        run(cluster, **changes)
    cluster.sleep = sleep  # pyright: ignore[reportAttributeAccessIssue]


def test_one_broken_off_in_its_last_bake_is_watched_again_and_can_go_back() -> None:
    cluster = Cluster({"old": 4, "new": 0})
    broken_off(cluster, lambda now: now.wanted["old"] == 0)
    assert cluster.wanted == {"old": 0, "new": 4}
    # It fires before the second run begins, because of what the first has moved.
    cluster.alarms = lambda now: ["slow"] if now.wanted["new"] == 4 else []

    with pytest.raises(RolledBack, match="slow fired"):
        run(cluster)

    assert cluster.wanted == {"old": 4, "new": 0}
    assert cluster.records == {"churn-rollout": {}}


def test_one_broken_off_in_its_last_bake_has_no_second_canary() -> None:
    cluster = Cluster({"old": 4, "new": 0})
    broken_off(cluster, lambda now: now.wanted["old"] == 0)
    before = cluster.now

    assert run(cluster)[0] == "goes on with what was broken off"

    assert BAKE <= cluster.now - before < 2 * BAKE
    assert cluster.wanted == {"old": 0, "new": 4}


def test_one_broken_off_after_its_canary_keeps_the_replicas_above_the_least() -> None:
    cluster = Cluster({"old": 10, "new": 0})
    broken_off(cluster, lambda now: now.wanted == {"old": 8, "new": 2}, replicas=2)

    run(cluster, replicas=2)

    assert cluster.wanted == {"old": 0, "new": 10}
    assert cluster.least_ready >= 10


def test_what_another_rollout_began_with_is_over() -> None:
    cluster = Cluster({"old": 4, "new": 0, "newer": 0})
    broken_off(cluster, lambda now: now.wanted["new"] > 0)

    run(cluster, deployment="newer")

    assert cluster.wanted == {"old": 0, "new": 0, "newer": 4 + 1}
    assert cluster.records == {"churn-rollout": {}}


def test_one_that_is_done_does_nothing_when_run_again() -> None:
    cluster = Cluster({"old": 0, "new": 4})
    assert run(cluster) == ["new serves with 4 of 4 replicas"]
    assert cluster.wanted == {"old": 0, "new": 4}


def test_more_replicas_are_no_update() -> None:
    cluster = Cluster({"new": 2})
    run(cluster, replicas=5)
    assert cluster.wanted == {"new": 5}
    assert cluster.now < BAKE


def test_keda_brings_back_nothing_that_a_rollout_takes_away() -> None:
    cluster, plain = Cluster({"old": 4, "new": 0}, keda={"old": 4}), Cluster({"old": 4, "new": 0})
    run(cluster, keda=True)
    run(plain)
    assert cluster.history == plain.history
    assert cluster.held == {"old"}


def test_keda_goes_on_with_what_serves_again() -> None:
    cluster = Cluster({"old": 4, "new": 0}, keda={"old": 4}, alarms=lambda now: ["slow"] if now.ready("new") else [])
    with pytest.raises(RolledBack):
        run(cluster, keda=True)
    assert cluster.wanted == {"old": 4, "new": 0}
    assert "old" not in cluster.held


def test_keda_goes_on_with_what_sleeps_when_the_new_one_never_is_ready() -> None:
    cluster = Cluster({"old": 0, "new": 0}, keda={"old": 0}, never_ready={"new"})
    with pytest.raises(ModelberthError, match="does not serve"):
        run(cluster, keda=True, replicas=1)
    assert cluster.held == set()


def test_keda_goes_on_with_a_deployment_that_serves_once_more() -> None:
    cluster = Cluster({"new": 0, "later": 4}, keda={"new": 2, "later": 2}, held={"new"})
    run(cluster, keda=True)
    assert cluster.wanted == {"new": 4, "later": 0}
    assert cluster.held == {"later"}


def test_nobody_else_is_held_where_keda_scales_nothing() -> None:
    cluster = Cluster({"old": 4, "new": 0})
    run(cluster)
    assert cluster.held == set()


def test_a_deployment_that_is_gone() -> None:
    with pytest.raises(ModelberthError, match="there is no Deployment new of the endpoint churn"):
        run(Cluster({"old": 4}))


def test_what_scales_the_deployments_is_told() -> None:
    given = {"MODELBERTH_ROLLOUT_DEPLOYMENT": "new", "MODELBERTH_ROLLOUT_ENDPOINT": "churn"}
    assert not Settings.from_environment(given).keda
    assert Settings.from_environment(given | {"MODELBERTH_ROLLOUT_AUTOSCALER": "keda"}).keda


def test_settings_are_told_all_at_once() -> None:
    given = {
        "MODELBERTH_ROLLOUT_CANARY": "ten",
        "MODELBERTH_ROLLOUT_BAKE_SECONDS": "-1",
        "MODELBERTH_ROLLOUT_READY_SECONDS": "1e9",
    }
    with pytest.raises(ModelberthError) as caught:
        Settings.from_environment(given)
    assert caught.value.problems == [
        "MODELBERTH_ROLLOUT_DEPLOYMENT is not set",
        "MODELBERTH_ROLLOUT_ENDPOINT is not set",
        'MODELBERTH_ROLLOUT_CANARY is "ten": it must be a number of 0 to 1',
        'MODELBERTH_ROLLOUT_BAKE_SECONDS is "-1": it must be a number of 0 to 86400',
        'MODELBERTH_ROLLOUT_READY_SECONDS is "1e9": it must be a number of 0 to 86400',
    ]


def test_the_exit_code_of_one_that_was_brought_back(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster = Cluster({"old": 1, "new": 0}, alarms=lambda now: ["slow"] if now.ready("new") else [])
    monkeypatch.setenv("MODELBERTH_ROLLOUT_DEPLOYMENT", "new")
    monkeypatch.setenv("MODELBERTH_ROLLOUT_ENDPOINT", "churn")
    monkeypatch.setenv("MODELBERTH_ROLLOUT_ALARMS", "slow, late")
    monkeypatch.setattr(module, "Api", lambda prometheus: cluster)
    monkeypatch.setattr(
        module,
        "roll_out",
        lambda settings, api, say: roll_out(settings, api, say, cluster.clock, cluster.sleep),
    )
    with pytest.raises(SystemExit) as caught:
        rollout()
    assert caught.value.code == ROLLED_BACK == 3
    assert "error: endpoint churn was rolled back: slow fired" in capsys.readouterr().out
