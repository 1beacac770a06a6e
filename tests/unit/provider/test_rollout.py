"""How a new deployment gets its traffic: from what served before it, watched by alarms, and back where one fires."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from modelberth_provider.vertex import traffic

from .direct import Direct, Failed, Start
from .test_deployed_model import ENDPOINT, PLACE, TOKEN, WANTED
from .vertex import Refusal, Vertex

Json = dict[str, Any]
ALARM = "shop-dev-churn-error-rate"
POLICY = {"name": "projects/acme/alertPolicies/7", "displayName": ALARM}
NEW = WANTED | {"model": f"{PLACE}/models/churn@2", "displayName": "primary"}
ROLLOUT = {"firstPercentage": 10, "stepPercentage": 100, "intervalSeconds": 0, "alarms": [ALARM]}
WATCHED = NEW | {"rollout": ROLLOUT}


def alert(name: str = "1", **changes: Any) -> Json:
    found: Json = {"name": f"projects/acme/alerts/{name}", "state": "OPEN", "openTime": "2026-11-25T08:00:00Z"}
    return found | {"policy": POLICY} | changes


@pytest.fixture
def deployed(start: Start) -> Direct:
    return start(TOKEN)


@pytest.fixture
def serving(vertex: Vertex) -> Json:
    """An endpoint with what served before, and with another's model."""
    vertex.policies.append(POLICY)
    endpoint = vertex.add_endpoint(ENDPOINT)
    endpoint["deployedModels"] += [
        {"id": "1", "createTime": "2026", "displayName": "primary"},
        {"id": "2", "createTime": "2027", "displayName": "somebody-elses"},
    ]
    endpoint["trafficSplit"] = {"1": 80, "2": 20}
    return endpoint


def splits(vertex: Vertex) -> list[Json]:
    return [one["trafficSplit"] for one in vertex.bodies if "trafficSplit" in one]


def test_the_canary_comes_first_and_then_all_that_served_before(
    deployed: Direct, serving: Json, vertex: Vertex
) -> None:
    identifier, state = deployed.create(deployed.checked(WATCHED))
    number = state["deploymentId"]
    assert splits(vertex) == [{"1": 70, "2": 20, number: 10}, {"2": 20, number: 80}]
    assert serving["labels"] == {}
    # Looked at before anything moved, and after each step.
    assert vertex.count("GET", "/alerts") == 3
    deployed.delete(identifier, state)
    assert serving["trafficSplit"] == {"2": 20, "1": 80}


@pytest.mark.parametrize("share", [10, 80])
def test_an_alarm_takes_all_of_it_back_and_says_which(
    share: int, deployed: Direct, serving: Json, vertex: Vertex
) -> None:
    def alerts() -> list[Json]:
        # The new one's share is the endpoint's that is neither the old one's nor the stranger's.
        others = sum(serving["trafficSplit"].get(one, 0) for one in ("1", "2"))
        return [alert()] if 100 - others == share else []

    vertex.alerts = alerts
    with pytest.raises(Failed) as caught:
        deployed.create(deployed.checked(WATCHED))
    assert str(caught.value) == (
        f"endpoint 7 was rolled back because {ALARM} fires (since 2026-11-25T08:00:00Z). It serves what it served "
        f"before, and nothing of {PLACE}/models/churn@2 is left on it"
    )
    assert [one["id"] for one in serving["deployedModels"]] == ["1", "2"]
    assert (serving["trafficSplit"], serving["labels"]) == ({"2": 20, "1": 80}, {})


def test_what_fired_before_or_belongs_to_others_says_nothing_of_the_new_one(
    deployed: Direct, serving: Json, vertex: Vertex
) -> None:
    strange = {"name": "projects/acme/alertPolicies/8", "displayName": "another"}
    vertex.alerts = lambda: [alert(), alert("2", policy=strange), alert("3", state="CLOSED")]
    _, state = deployed.create(deployed.checked(WATCHED))
    assert serving["trafficSplit"] == {"2": 20, state["deploymentId"]: 80}


def test_a_first_deployment_has_nothing_to_go_back_to(deployed: Direct, vertex: Vertex) -> None:
    vertex.policies.append(POLICY)
    endpoint = vertex.add_endpoint(ENDPOINT)
    vertex.alerts = lambda: [alert()] if endpoint["trafficSplit"] else []
    _, state = deployed.create(deployed.checked(WATCHED))
    assert state["traffic"] == 100


def test_an_alarm_that_is_none_is_told_before_anything_is_begun(
    deployed: Direct, serving: Json, vertex: Vertex
) -> None:
    vertex.policies.clear()
    with pytest.raises(Failed, match=f"project acme has no alerting policy {ALARM}, which the rollout would watch"):
        deployed.create(deployed.checked(WATCHED))
    assert vertex.count("POST", ":deployModel") == 0


def test_alarms_that_cannot_be_asked_bring_the_old_one_back(deployed: Direct, serving: Json, vertex: Vertex) -> None:
    denied = {"reason": "IAM_PERMISSION_DENIED", "metadata": {"permission": "monitoring.alerts.list", "resource": "p"}}
    detail = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", **denied}

    def alerts() -> list[Json]:
        if len(serving["deployedModels"]) > 2 and serving["trafficSplit"]["1"] < 80:
            raise Refusal(403, "PERMISSION_DENIED", "Permission denied.", [detail])
        return []

    vertex.alerts = alerts
    with pytest.raises(Failed, match="was rolled back because its alarms cannot be asked: Permission denied") as caught:
        deployed.create(deployed.checked(WATCHED))
    assert "Whoever runs this needs monitoring.alerts.list on p" in str(caught.value)
    assert serving["trafficSplit"] == {"1": 80, "2": 20}


def test_a_watch_that_was_broken_off_begins_again(deployed: Direct, serving: Json, vertex: Vertex) -> None:
    slow = NEW | {"rollout": ROLLOUT | {"intervalSeconds": 60}}
    with pytest.raises(Failed, match=r"the watch over 10 % of the traffic takes longer than 2 s") as caught:
        deployed.create(deployed.checked(slow), timeout=2)
    begun = caught.value
    assert begun.state["deploymentId"] in serving["trafficSplit"]
    vertex.alerts = lambda: [alert()]
    with pytest.raises(Failed, match=f"was rolled back because {ALARM} fires"):
        deployed.update(begun.identifier, begun.state, deployed.checked(slow))
    assert [one["id"] for one in serving["deployedModels"]] == ["1", "2"]
    assert serving["trafficSplit"] == {"1": 80, "2": 20}


def test_a_share_of_ones_own_is_taken_from_what_served_before(deployed: Direct, serving: Json) -> None:
    serving["trafficSplit"] = {"1": 75, "2": 25}
    identifier, state = deployed.create(deployed.checked(NEW | {"trafficPercentage": 50}))
    number = state["deploymentId"]
    assert serving["trafficSplit"] == {"1": 25, "2": 25, number: 50}
    state = deployed.update(identifier, state, deployed.checked(NEW | {"trafficPercentage": 90}))
    assert serving["trafficSplit"] == {"2": 10, number: 90}
    deployed.delete(identifier, state)
    assert serving["trafficSplit"] == {"2": 10, "1": 90}


def test_a_model_that_does_not_start_beside_another_is_told_as_a_rollback(
    deployed: Direct, serving: Json, vertex: Vertex
) -> None:
    vertex.broken.append({"code": 9, "message": "Model server exited unexpectedly."})
    with pytest.raises(Failed, match="endpoint 7 was rolled back, and serves what it served before: deploying to 7"):
        deployed.create(deployed.checked(WATCHED))
    assert serving["trafficSplit"] == {"1": 80, "2": 20}


@given(
    st.dictionaries(st.sampled_from(["1", "2", "3", "4"]), st.integers(1, 100), min_size=1).map(
        lambda found: traffic._scaled(found, 100)  # pyright: ignore[reportPrivateUsage]
    ),
    st.integers(0, 100),
    st.sets(st.sampled_from(["1", "2"])),
)
def test_the_others_keep_theirs_while_what_served_before_can_give(
    split: dict[str, int], share: int, siblings: set[str]
) -> None:
    grown = traffic.with_share(split, "0", share, siblings)
    assert sum(grown.values()) == 100 and grown.get("0", 0) == share
    far = {key: part for key, part in split.items() if key not in siblings}
    if share <= 100 - sum(far.values()) and far.keys() != split.keys():
        assert {key: part for key, part in grown.items() if key in far} == far
    gone = traffic.without(grown, "0", sorted(siblings), "4")
    assert sum(gone.values()) == 100 and "0" not in gone
    if siblings and share:
        kept = {key: part for key, part in grown.items() if key not in siblings and key != "0"}
        assert {key: part for key, part in gone.items() if key not in siblings} == kept
