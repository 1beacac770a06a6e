"""Edits by hand: seen, never overwritten silently, and taken over if the program says so."""

from __future__ import annotations

import copy
from collections.abc import Callable

import grpc
import pytest
from modelberth_provider.stubs import provider_pb2

from sandbox.kubernetes.control_plane import Cluster

from . import manifests
from .conftest import Engine, Object, failure

NONE = provider_pb2.DiffResponse.DIFF_NONE
Patch = Callable[..., Object]


@pytest.fixture
def edited(engine: Engine, namespace: str, patch: Patch) -> tuple[str, Object, Object]:
    """A Deployment of two replicas that somebody scaled to five by hand."""
    identifier, state, inputs = engine.create(manifests.deployment("d", replicas=2))
    patch(f"/apis/apps/v1/namespaces/{namespace}/deployments/d", {"spec": {"replicas": 5}})
    return identifier, state, inputs


def test_an_edit_by_hand_is_shown_by_preview_and_refresh(engine: Engine, edited: tuple[str, Object, Object]) -> None:
    identifier, state, inputs = edited
    difference = engine.diff(state, inputs, inputs)
    assert list(difference.detailedDiff) == ["spec.replicas"]
    _, read, read_inputs = engine.read(inputs, identifier, state, inputs)
    assert read_inputs["spec"]["replicas"] == 5
    assert list(engine.diff(read, read_inputs, inputs).detailedDiff) == ["spec.replicas"]


@pytest.mark.parametrize("preview", [True, False], ids=["preview", "up"])
def test_an_edit_by_hand_is_not_overwritten(engine: Engine, edited: tuple[str, Object, Object], preview: bool) -> None:
    identifier, state, inputs = edited
    with pytest.raises(grpc.RpcError) as caught:
        engine.update(state, inputs, inputs, preview=preview)
    assert 'conflict with "kubectl-edit"' in failure(caught)
    assert ".spec.replicas" in failure(caught)
    assert "pulumi.com/patchForce=true" in failure(caught)
    assert engine.read(inputs, identifier, state, inputs)[2]["spec"]["replicas"] == 5


def test_patch_force_takes_the_field_over(
    engine: Engine, serve: Callable[..., Engine], cluster: Cluster, edited: tuple[str, Object, Object]
) -> None:
    _, state, inputs = edited
    forced = copy.deepcopy(inputs)
    forced["metadata"]["annotations"]["pulumi.com/patchForce"] = "true"
    assert engine.update(state, inputs, forced, preview=True)["spec"]["replicas"] == 2
    after = engine.update(state, inputs, forced)
    assert after["spec"]["replicas"] == 2
    forceful = serve(kubeconfig=str(cluster.kubeconfig), enablePatchForce="true")
    assert forceful.update(after, forced, inputs)["spec"]["replicas"] == 2
    assert engine.update(after, inputs, inputs)["spec"]["replicas"] == 2


def test_the_value_that_is_there_is_no_conflict(engine: Engine, edited: tuple[str, Object, Object]) -> None:
    _, state, inputs = edited
    news = copy.deepcopy(inputs)
    news["spec"]["replicas"] = 5
    assert engine.diff(state, inputs, news).changes == NONE
    assert engine.update(state, inputs, news)["spec"]["replicas"] == 5


def test_an_ignored_field_stays_with_who_changed_it(engine: Engine, edited: tuple[str, Object, Object]) -> None:
    _, state, inputs = edited
    ignored = ("spec.replicas",)
    assert engine.diff(state, inputs, inputs, ignored).changes == NONE
    news = copy.deepcopy(inputs)
    news["spec"]["minReadySeconds"] = 3
    difference = engine.diff(state, inputs, news, ignored)
    assert list(difference.detailedDiff) == ["spec.minReadySeconds"]
    assert engine.update(state, inputs, news, preview=True, ignore=ignored)["spec"]["replicas"] == 5
    after = engine.update(state, inputs, news, ignore=ignored)["spec"]
    assert (after["replicas"], after["minReadySeconds"]) == (5, 3)


def test_an_ignored_field_of_its_own_keeps_its_value(engine: Engine) -> None:
    _, state, inputs = engine.create(manifests.deployment("d", replicas=2))
    news = copy.deepcopy(inputs)
    news["spec"] |= {"replicas": 7, "minReadySeconds": 3}
    after = engine.update(state, inputs, news, ignore=("spec.replicas",))["spec"]
    assert (after["replicas"], after["minReadySeconds"]) == (2, 3)
    news["metadata"]["annotations"]["example.com/team"] = "a"
    named = 'metadata.annotations["example.com/team"]'
    assert engine.diff(state, news, news, (named, "spec")).changes == NONE


def test_an_ignored_field_forces_no_replacement(engine: Engine) -> None:
    _, state, inputs = engine.create(manifests.config_map("c", a="b"))
    difference = engine.diff(state, inputs, inputs | {"data": {"a": "c"}}, ("data",))
    assert difference.changes == NONE
    assert not difference.replaces


def test_what_was_taken_away_by_hand_comes_back(engine: Engine, namespace: str, patch: Patch) -> None:
    obj = manifests.deployment("d", minReadySeconds=3)
    obj["metadata"]["labels"] = {"team": "a"}
    _, state, inputs = engine.create(obj)
    patch(f"/apis/apps/v1/namespaces/{namespace}/deployments/d", {"metadata": {"labels": {"team": None}}})
    assert list(engine.diff(state, inputs, inputs).detailedDiff) == ["metadata.labels"]
    assert engine.update(state, inputs, inputs)["metadata"]["labels"] == {"team": "a"}


def test_what_others_added_stays(engine: Engine, namespace: str, patch: Patch) -> None:
    identifier, state, inputs = engine.create(manifests.config_map("c", a="b"))
    patch(f"/api/v1/namespaces/{namespace}/configmaps/c", {"data": {"theirs": "x"}})
    assert engine.diff(state, inputs, inputs).changes == NONE
    assert engine.read(inputs, identifier, state, inputs)[2] == inputs


def test_a_field_that_left_the_program_leaves_the_cluster(engine: Engine) -> None:
    _, state, inputs = engine.create(manifests.deployment("d", minReadySeconds=3))
    news = copy.deepcopy(inputs)
    del news["spec"]["minReadySeconds"]
    assert list(engine.diff(state, inputs, news).detailedDiff) == ["spec.minReadySeconds"]
    assert "minReadySeconds" not in engine.update(state, inputs, news)["spec"]


def test_the_field_manager_can_be_named(engine: Engine) -> None:
    obj = manifests.config_map("c", a="b")
    obj["metadata"]["annotations"] = {"pulumi.com/patchFieldManager": "us"}
    assert engine.create(obj)[1]["__fieldManager"] == "us"
