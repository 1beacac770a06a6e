"""What a preview finds out: by the API server's own answer where it can be asked, by the inputs where not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest
from kubernetes import client
from modelberth_provider.stubs import provider_pb2
from modelberth_provider.wire import UNKNOWN

from sandbox.kubernetes.control_plane import Cluster

from . import manifests
from .conftest import Engine, Object, failure

NONE = provider_pb2.DiffResponse.DIFF_NONE
PRIVILEGED = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "p"},
    "spec": manifests.pod_spec(securityContext={"privileged": True}),
}


@pytest.mark.parametrize(
    ("obj", "told"),
    [
        (manifests.deployment("d", replica=1), 'unknown field "spec.replica"'),
        (manifests.deployment("d", replicas=-1), "spec.replicas: Invalid value: -1"),
        (manifests.service("x" * 64), "must be no more than 63"),
        (manifests.config_map("Upper"), "a lowercase RFC 1123 subdomain"),
    ],
    ids=["unknown", "invalid", "long", "upper"],
)
def test_what_the_api_server_refuses_fails_at_preview(engine: Engine, obj: Object, told: str) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        engine.create(obj, preview=True)
    assert told in failure(caught)
    assert "\n" not in failure(caught)


def test_what_the_api_server_refuses_fails_at_the_preview_of_an_update(engine: Engine) -> None:
    _, state, inputs = engine.create(manifests.deployment("d"))
    with pytest.raises(grpc.RpcError) as caught:
        engine.update(state, inputs, manifests.deployment("d", replica=1), preview=True)
    assert ".spec.replica: field not declared in schema" in failure(caught)


def test_pod_security_speaks_at_preview(engine: Engine, api: client.ApiClient, namespace: str) -> None:
    labels = {"pod-security.kubernetes.io/enforce": "restricted", "pod-security.kubernetes.io/warn": "restricted"}
    client.CoreV1Api(api).patch_namespace(namespace, {"metadata": {"labels": labels}})
    with pytest.raises(grpc.RpcError) as caught:
        engine.create(PRIVILEGED, preview=True)
    assert 'violates PodSecurity "restricted:latest": privileged' in failure(caught)
    # Of a workload's pods it only warns.
    _, planned, _ = engine.create(manifests.deployment("d"), preview=True)
    assert planned["spec"]["replicas"] == 1
    assert any(
        'create Deployment d: would violate PodSecurity "restricted:latest"' in text for text in engine.log.warnings
    )


def test_a_quota_speaks_at_preview(engine: Engine) -> None:
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "q"},
        "spec": {"hard": {"configmaps": "1"}},
    }
    engine.create(quota)  # every namespace has one already
    with pytest.raises(grpc.RpcError) as caught:
        engine.create(manifests.config_map("one", a="b"), preview=True)
    assert "exceeded quota: q, requested: configmaps=1" in failure(caught)


def test_defaults_are_filled_in_and_the_status_is_left_open(engine: Engine) -> None:
    identifier, planned, _ = engine.create(manifests.deployment("d"), preview=True)
    assert identifier == ""
    assert planned["spec"]["strategy"]["type"] == "RollingUpdate"
    assert "status" not in planned
    assert engine.read(planned, f"{planned['metadata']['namespace']}/d")[0] == ""


def test_unknown_values_go_by_the_inputs(engine: Engine) -> None:
    config_map = manifests.config_map("c") | {"data": {"a": UNKNOWN}}
    _, planned, inputs = engine.create(config_map, preview=True)
    assert planned["data"] == {"a": UNKNOWN}
    _, state, olds = engine.create(manifests.config_map("c", a="b"))
    difference = engine.diff(state, olds, inputs)
    assert list(difference.detailedDiff) == ["data.a"]
    assert list(difference.replaces) == ["data"]


@pytest.mark.parametrize(
    "metadata",
    [UNKNOWN, {"name": UNKNOWN}, {"name": "c", "namespace": UNKNOWN}, {"name": "c", "annotations": UNKNOWN}],
    ids=["metadata", "name", "namespace", "annotations"],
)
def test_metadata_may_be_unknown(engine: Engine, metadata: Object) -> None:
    obj = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"a": "b"}}
    inputs, problems = engine.check(obj)
    assert not problems
    assert engine.create(inputs, preview=True)[1]["data"] == {"a": "b"}
    assert engine.diff(inputs, inputs, inputs).changes != NONE


def test_a_namespace_of_the_same_update_is_no_error(engine: Engine) -> None:
    for obj in (manifests.config_map("c", a="b"), manifests.deployment("d")):
        obj["metadata"]["namespace"] = "comes-later"
        _, planned, inputs = engine.create(obj, preview=True)
        assert planned == inputs


def test_an_object_waits_a_moment_for_its_namespace(
    engine: Engine, api: client.ApiClient, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sandbox.providers.kubernetes import provider

    core, name = client.CoreV1Api(api), f"{namespace}-later"

    class Pauses:
        def __iter__(self) -> Iterator[float]:
            core.create_namespace(client.V1Namespace(metadata=client.V1ObjectMeta(name=name)))
            yield 0.01

    monkeypatch.setattr(provider, "_MISORDERED_PAUSES", Pauses())
    obj = manifests.config_map("c", a="b")
    obj["metadata"]["namespace"] = name
    try:
        assert engine.create(obj)[0] == f"{name}/c"
    finally:
        core.delete_namespace(name)


def test_a_user_who_may_not_apply_can_preview(serve: Callable[..., Engine], cluster: Cluster, tmp_path: Path) -> None:
    file = cluster.write_kubeconfig(tmp_path / "kubeconfig", "reader")
    reader = serve(kubeconfig=str(file), namespace="default")
    _, planned, inputs = reader.create(manifests.config_map("c", a="b"), preview=True)
    assert planned == inputs
    assert reader.diff(inputs, inputs, inputs).changes == NONE
    assert reader.update(inputs, inputs, inputs, preview=True) == inputs
    assert 'User "reader" cannot create resource "configmaps"' in reader.log.warnings[0]
    lacking = "of what ConfigMap objects take here this user lacks: get, create, patch, delete"
    assert reader.log.warnings[0].endswith(f"{lacking}; the preview goes by the inputs alone")
    with pytest.raises(grpc.RpcError) as caught:
        reader.create(manifests.config_map("c", a="b"))
    assert 'User "reader" cannot get resource "configmaps" in API group "" in the namespace "default"' in failure(
        caught
    )
    assert failure(caught).endswith(lacking)
