"""`modelberth:vertex:DeployedModel`, asked as the engine asks it."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from modelberth_provider.vertex import traffic

from .direct import Direct, Failed, Start
from .vertex import Refusal, Vertex

TOKEN = "modelberth:vertex:DeployedModel"
PLACE = "projects/acme/locations/europe-west4"
ENDPOINT = f"{PLACE}/endpoints/7"
Json = dict[str, Any]
WANTED: Json = {
    "endpoint": "7",
    "model": f"{PLACE}/models/churn@1",
    "dedicatedResources": {"machineSpec": {"machineType": "n1-standard-2"}, "minReplicaCount": 1},
}


@pytest.fixture
def deployed(start: Start) -> Direct:
    return start(TOKEN)


@pytest.fixture
def endpoint(vertex: Vertex) -> Json:
    return vertex.add_endpoint(ENDPOINT)


@pytest.fixture
def others(endpoint: Json) -> Iterator[Json]:
    """Two models that somebody else deployed."""
    endpoint["deployedModels"] += [{"id": "1", "createTime": "2026"}, {"id": "2", "createTime": "2025"}]
    endpoint["trafficSplit"] = {"1": 75, "2": 25}
    yield endpoint


def test_alone_it_has_all_traffic_and_leaves_nothing(deployed: Direct, endpoint: Json) -> None:
    inputs = deployed.checked(WANTED)
    identifier, state = deployed.create(inputs)
    number = endpoint["deployedModels"][0]["id"]
    assert identifier == f"{ENDPOINT}/deployedModels/{number}"
    assert (endpoint["trafficSplit"], endpoint["labels"], state["traffic"]) == ({number: 100}, {}, 100)
    assert deployed.read(identifier, state, inputs)[2] == inputs
    deployed.delete(identifier, state)
    assert (endpoint["deployedModels"], endpoint["trafficSplit"], endpoint["labels"]) == ([], {}, {})
    assert deployed.read(identifier, state, inputs) == ("", {}, {})


def test_others_keep_their_proportions_and_get_their_traffic_back(deployed: Direct, others: Json) -> None:
    identifier, state = deployed.create(deployed.checked(WANTED | {"trafficPercentage": 20}))
    number = state["deploymentId"]
    assert others["trafficSplit"] == {"1": 60, "2": 20, number: 20}
    state = deployed.update(identifier, state, deployed.checked(WANTED | {"trafficPercentage": 50}))
    assert others["trafficSplit"] == {"1": 38, "2": 12, number: 50}
    deployed.delete(identifier, state)
    assert others["trafficSplit"] == {"1": 76, "2": 24}
    assert [one["id"] for one in others["deployedModels"]] == ["1", "2"]


def test_the_newest_takes_over_from_the_one_that_had_all(deployed: Direct, others: Json) -> None:
    identifier, state = deployed.create(deployed.checked(WANTED))
    assert others["trafficSplit"] == {state["deploymentId"]: 100}
    deployed.delete(identifier, state)
    assert others["trafficSplit"] == {"1": 100}


def test_the_share_grows_step_by_step(deployed: Direct, others: Json, vertex: Vertex) -> None:
    rollout = {"stepPercentage": 40, "intervalSeconds": 0}
    _, state = deployed.create(deployed.checked(WANTED | {"rollout": rollout}))
    splits = [one for one in vertex.bodies if "trafficSplit" in one]
    assert [one["trafficSplit"].get(state["deploymentId"]) for one in splits] == [40, 80, 100]


def test_a_split_that_changes_meanwhile_is_kept(deployed: Direct, others: Json, vertex: Vertex) -> None:
    vertex.failures.append((f"PATCH /v1/{ENDPOINT}", Refusal(409, "ABORTED", "The etag is not the current one.")))
    vertex.failures.append((":deployModel", Refusal(409, "ABORTED", "There is another operation.")))
    vertex.failures.append((":deployModel", Refusal(429, "RESOURCE_EXHAUSTED", "Slower.")))
    deployed.create(deployed.checked(WANTED | {"trafficPercentage": 20}))
    assert sum(others["trafficSplit"].values()) == 100
    assert vertex.count("POST", ":deployModel") == 3


def test_of_a_deployment_that_fails_nothing_is_left(deployed: Direct, others: Json, vertex: Vertex) -> None:
    vertex.broken.append({"code": 9, "message": "The model server never became ready."})
    vertex.left_behind = True
    with pytest.raises(Failed, match=r"never became ready[^$]*Nothing of it is left on the endpoint"):
        deployed.create(deployed.checked(WANTED))
    assert [one["id"] for one in others["deployedModels"]] == ["1", "2"]
    assert (others["trafficSplit"], others["labels"]) == ({"1": 75, "2": 25}, {})


def test_a_time_out_is_recorded_and_gone_on_with(deployed: Direct, endpoint: Json, vertex: Vertex) -> None:
    inputs = deployed.checked(WANTED)
    vertex.hold.clear()
    with pytest.raises(Failed, match="takes longer than 1 s, the time-out") as caught:
        deployed.create(inputs, timeout=1)
    begun = caught.value
    assert begun.state["operation"].startswith(f"{ENDPOINT}/operations/")
    vertex.hold.set()
    state = deployed.update(begun.identifier, begun.state, inputs)
    assert (state["traffic"], "operation" in state) == (100, False)
    assert (vertex.count("POST", ":deployModel"), endpoint["labels"]) == (1, {})


def test_a_destroy_after_a_time_out_leaves_nothing(deployed: Direct, endpoint: Json, vertex: Vertex) -> None:
    vertex.hold.clear()
    with pytest.raises(Failed) as caught:
        deployed.create(deployed.checked(WANTED), timeout=1)
    vertex.hold.set()
    deployed.delete(caught.value.identifier, caught.value.state)
    assert (endpoint["deployedModels"], endpoint["labels"]) == ([], {})


def test_cancelling_stops_waiting(deployed: Direct, endpoint: Json, vertex: Vertex) -> None:
    vertex.hold.clear()
    threading.Thread(target=lambda: vertex.begun.acquire() and deployed.cancel(), daemon=True).start()
    with pytest.raises(Failed, match="stopped while waiting") as caught:
        deployed.create(deployed.checked(WANTED))
    assert caught.value.identifier


def _abandon(provider: Direct, wanted: Json) -> None:
    with contextlib.suppress(Failed):
        provider.create(wanted)


@pytest.mark.parametrize("finished", [True, False])
def test_a_deployment_outlives_its_provider(start: Start, endpoint: Json, vertex: Vertex, finished: bool) -> None:
    first = start(TOKEN)
    vertex.hold.clear()
    wanted = first.checked(WANTED)
    threading.Thread(target=_abandon, args=(first, wanted), daemon=True).start()
    assert vertex.begun.acquire(timeout=30)
    start.stop()
    second = start(TOKEN)
    if not finished:
        threading.Timer(0.5, vertex.hold.set).start()
    else:
        vertex.hold.set()
        vertex.ended.acquire(timeout=30)
    _, state = second.create(wanted)
    assert len(endpoint["deployedModels"]) == vertex.count("POST", ":deployModel") == 1
    assert (state["traffic"], endpoint["labels"]) == (100, {})
    # One that was asked for again is another one.
    _, third = second.create(wanted)
    assert third["deploymentId"] != state["deploymentId"]


def test_replicas_change_in_place_and_machines_do_not(deployed: Direct, endpoint: Json, vertex: Vertex) -> None:
    inputs = deployed.checked(WANTED)
    identifier, state = deployed.create(inputs)
    more = inputs | {"dedicatedResources": inputs["dedicatedResources"] | {"minReplicaCount": 2, "maxReplicaCount": 3}}
    difference = deployed.diff(inputs, more)
    assert (list(difference.diffs), list(difference.replaces)) == (["dedicatedResources"], [])
    deployed.update(identifier, state, more)
    assert endpoint["deployedModels"][0]["dedicatedResources"]["maxReplicaCount"] == 3
    assert vertex.count("POST", ":mutateDeployedModel") == 1
    larger = inputs | {"dedicatedResources": {**inputs["dedicatedResources"], "machineSpec": {"machineType": "x"}}}
    assert list(deployed.diff(inputs, larger).replaces) == ["dedicatedResources"]
    endpoint["deployedModels"][0]["dedicatedResources"]["minReplicaCount"] = 9
    assert deployed.read(identifier, state, more)[2]["dedicatedResources"]["minReplicaCount"] == 9


def test_an_import_has_all_that_the_program_must_say(deployed: Direct, others: Json) -> None:
    identifier, state = deployed.create(deployed.checked(WANTED | {"trafficPercentage": 20}))
    _, _, inputs = deployed.read(identifier)
    assert inputs["trafficPercentage"] == 20
    assert inputs["dedicatedResources"] == WANTED["dedicatedResources"]
    again = deployed.checked(inputs)
    assert deployed.diff(inputs, again).changes == 1  # DIFF_NONE
    assert state["deploymentId"] == inputs["deployedModelId"]


def test_an_endpoint_that_is_gone_is_no_obstacle_to_a_destroy(deployed: Direct, endpoint: Json, vertex: Vertex) -> None:
    identifier, state = deployed.create(deployed.checked(WANTED))
    vertex.endpoints.clear()
    deployed.delete(identifier, state)
    with pytest.raises(Failed, match="there is no endpoint"):
        deployed.create(deployed.checked(WANTED))


def test_all_that_is_wrong_is_told_at_once(deployed: Direct) -> None:
    _, failures = deployed.check(
        {
            "endpoint": "7",
            "model": "churn",
            "trafficPercentage": 120,
            "rollout": {"stepPercentage": 0, "intervalSeconds": 1},
            "automaticResources": {},
            "dedicatedResources": {
                "machineSpec": {"machineType": "n1-standard-2", "acceleratorType": "NVIDIA_L4"},
                "minReplicaCount": 2,
                "maxReplicaCount": 1,
                "autoscalingMetricSpecs": [{"metricName": "prometheus.googleapis.com/vertex_dcgm_fi_dev_gpu"}],
            },
        }
    )
    assert sorted(failures) == [
        "dedicatedResources.autoscalingMetricSpecs[0].metricName",
        "dedicatedResources.machineSpec",
        "dedicatedResources.maxReplicaCount",
        "model",
        "rollout.stepPercentage",
        "trafficPercentage",
    ]
    metric = failures["dedicatedResources.autoscalingMetricSpecs[0].metricName"]
    assert "did you mean prometheus.googleapis.com/vertex_dcgm_fi_dev_gpu_util?" in metric


SPLITS = st.dictionaries(st.sampled_from("12345"), st.integers(1, 100), min_size=1).map(
    lambda shares: traffic.with_share(shares, "0", 0)
)


@given(SPLITS, st.integers(0, 100))
def test_shares_always_sum_to_100(split: dict[str, int], share: int) -> None:
    grown = traffic.with_share(split, "0", share)
    assert sum(grown.values()) == 100
    assert grown.get("0", 0) == share
    assert sum(traffic.without(grown, "0", [], next(iter(split))).values()) == 100
