"""Waiting until objects are ready or gone. The statuses are those that a node's controllers would write."""

from __future__ import annotations

import copy
import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from kubernetes import client
from modelberth_provider.stubs import provider_pb2

from sandbox.kubernetes.control_plane import Cluster

from . import manifests
from .conftest import Engine, Object, failure, recorded

Patch = Callable[..., Object]
NONE = provider_pb2.DiffResponse.DIFF_NONE


def waiting(work: Callable[[], Any], act: Callable[[], Any], until_seen: Callable[[], bool]) -> Any:
    """What `work` returns, having met `act` after it was seen to have begun."""
    with ThreadPoolExecutor(1) as pool:
        pending = pool.submit(work)
        for _ in range(200):
            if until_seen():
                break
            threading.Event().wait(0.05)
        assert not pending.done(), "it did not wait"
        act()
        return pending.result(60)


def exists(api: client.ApiClient, path: str) -> Callable[[], bool]:
    pool = api.rest_client.pool_manager
    return lambda: pool.request("GET", api.configuration.host + path).status == 200


@pytest.fixture
def idle_controllers(cluster: Cluster, api: client.ApiClient, namespace: str) -> Iterator[None]:
    """The controllers stand still, so that a status stays as the test writes it."""
    process = cluster.processes.find("kube-controller-manager")
    assert process is not None
    process.suspend()
    yield
    process.resume()


JOB_FAILED = {
    "startTime": "2026-01-01T00:00:00Z",
    "conditions": [
        {"type": "FailureTarget", "status": "True", "reason": "BackoffLimitExceeded", "message": "m"},
        {"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded", "message": "no more attempts are left"},
    ],
}
JOB_COMPLETE = {
    "startTime": "2026-01-01T00:00:00Z",
    "completionTime": "2026-01-01T00:01:00Z",
    "succeeded": 1,
    "conditions": [{"type": "SuccessCriteriaMet", "status": "True"}, {"type": "Complete", "status": "True"}],
}
READY_POD = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}


@pytest.mark.parametrize(
    ("obj", "path", "status"),
    [
        (manifests.job("w"), "/apis/batch/v1/namespaces/{}/jobs/w", JOB_COMPLETE),
        (
            {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "w"}, "spec": manifests.pod_spec()},
            "/api/v1/namespaces/{}/pods/w",
            READY_POD,
        ),
        (
            {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "metadata": {"name": "w"},
                "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
            },
            "/api/v1/namespaces/{}/persistentvolumeclaims/w",
            {"phase": "Bound"},
        ),
        (
            {
                "apiVersion": "networking.k8s.io/v1",
                "kind": "Ingress",
                "metadata": {"name": "w"},
                "spec": {"defaultBackend": {"service": {"name": "w", "port": {"number": 80}}}},
            },
            "/apis/networking.k8s.io/v1/namespaces/{}/ingresses/w",
            {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}},
        ),
        (
            manifests.service("w", type="LoadBalancer", selector=None),
            "/api/v1/namespaces/{}/services/w",
            {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}},
        ),
    ],
    ids=lambda one: one.get("kind", "") if isinstance(one, dict) else "",
)
def test_an_object_is_waited_for(
    engine: Engine, api: client.ApiClient, namespace: str, patch: Patch, obj: Object, path: str, status: Object,
    idle_controllers: None,
) -> None:  # fmt: skip
    path = path.format(namespace)
    _, state, _ = waiting(
        lambda: engine.create(obj, timeout=60),
        lambda: patch(path, {"status": status}, "status"),
        exists(api, path),
    )
    assert state["status"].items() >= {name: state["status"][name] for name in status}.items()


def rolled_out(**status: int) -> Object:
    return {"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "readyReplicas": 1, **status}


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("deployments", rolled_out(availableReplicas=1)),
        ("statefulsets", rolled_out() | {"currentRevision": "r", "updateRevision": "r"}),
        (
            "daemonsets",
            {
                "observedGeneration": 1,
                "desiredNumberScheduled": 1,
                "currentNumberScheduled": 1,
                "updatedNumberScheduled": 1,
                "numberMisscheduled": 0,
                "numberReady": 1,
            },
        ),
    ],
)
def test_a_rollout_is_waited_for(
    engine: Engine, api: client.ApiClient, namespace: str, patch: Patch, kind: str, status: Object,
    idle_controllers: None,
) -> None:  # fmt: skip
    obj = manifests.deployment("w", skip=False)
    obj["kind"] = {"deployments": "Deployment", "statefulsets": "StatefulSet", "daemonsets": "DaemonSet"}[kind]
    if kind == "daemonsets":
        del obj["spec"]["replicas"]
    path = f"/apis/apps/v1/namespaces/{namespace}/{kind}/w"
    behind = status | {"observedGeneration": 1}
    status = status | {"observedGeneration": 2}

    def act() -> None:
        patch(path, {"spec": {"minReadySeconds": 1}})
        patch(path, {"status": behind}, "status")
        with pytest.raises(grpc.RpcError):
            engine.read(obj, f"{namespace}/w", obj, obj)
        patch(path, {"status": status}, "status")

    _, state, _ = waiting(lambda: engine.create(obj, timeout=60), act, exists(api, path))
    assert state["status"]["observedGeneration"] == 2


def test_a_service_waits_for_an_endpoint(engine: Engine, api: client.ApiClient, namespace: str) -> None:
    def act() -> None:
        body = client.V1EndpointSlice(
            address_type="IPv4",
            metadata=client.V1ObjectMeta(name="w-1", labels={"kubernetes.io/service-name": "w"}),
            endpoints=[client.V1Endpoint(addresses=["192.0.2.1"], conditions=client.V1EndpointConditions(ready=True))],
        )
        client.DiscoveryV1Api(api).create_namespaced_endpoint_slice(namespace, body)

    path = f"/api/v1/namespaces/{namespace}/services/w"
    identifier, _, _ = waiting(lambda: engine.create(manifests.service("w"), timeout=60), act, exists(api, path))
    assert identifier == f"{namespace}/w"


def test_a_condition_can_be_waited_for(engine: Engine, api: client.ApiClient, namespace: str, patch: Patch) -> None:
    crd = manifests.definition("waiters", "Waiter")
    identifier, state, _ = engine.create(crd)
    obj = manifests.custom("Waiter", "w", 1)
    obj["metadata"]["annotations"] = {"pulumi.com/waitFor": "condition=Ready"}
    path = f"/apis/example.com/v1/namespaces/{namespace}/waiters/w"
    status = {"conditions": [{"type": "Ready", "status": "True"}]}
    _, made, _ = waiting(
        lambda: engine.create(obj, timeout=60), lambda: patch(path, {"status": status}, "status"), exists(api, path)
    )
    assert made["status"] == status
    engine.delete(crd, identifier, state)


def test_what_a_path_finds_can_be_waited_for(
    engine: Engine, namespace: str, patch: Patch, api: client.ApiClient
) -> None:
    crd = manifests.definition("parenteds", "Parented")
    identifier, state, _ = engine.create(crd)
    obj = manifests.custom("Parented", "w", 1)
    path = 'jsonpath={.status.parents[*].conditions[?(@.type=="Accepted")].status}=True'
    obj["metadata"]["annotations"] = {"pulumi.com/waitFor": f"[{json.dumps(path)}]"}
    at = f"/apis/example.com/v1/namespaces/{namespace}/parenteds/w"

    def status(value: str) -> Object:
        conditions = [{"type": "Other", "status": "True"}, {"type": "Accepted", "status": value}]
        return {"parents": [{"conditions": conditions}]}

    def act() -> None:
        patch(at, {"status": status("False")}, "status")
        patch(at, {"status": status("True")}, "status")

    _, made, _ = waiting(lambda: engine.create(obj, timeout=60), act, exists(api, at))
    assert made["status"] == status("True")
    engine.delete(crd, identifier, state)


# Failures


def test_a_failed_job_tells_why_and_is_recorded(
    engine: Engine, api: client.ApiClient, namespace: str, patch: Patch, idle_controllers: None
) -> None:
    path = f"/apis/batch/v1/namespaces/{namespace}/jobs/w"
    with pytest.raises(grpc.RpcError) as caught:
        waiting(
            lambda: engine.create(manifests.job("w"), timeout=60),
            lambda: patch(path, {"status": JOB_FAILED}, "status"),
            exists(api, path),
        )
    assert "Job has failed: no more attempts are left" in failure(caught)
    assert "failed to fully initialize or become live" in failure(caught)
    kept = recorded(caught)
    assert kept.id == f"{namespace}/w"
    assert kept.properties.fields["__inputs"].struct_value.fields["kind"].string_value == "Job"


def test_a_failed_job_is_made_anew_if_it_says_so(
    engine: Engine, namespace: str, patch: Patch, idle_controllers: None
) -> None:
    skip, again = {"pulumi.com/skipAwait": "true"}, {"pulumi.com/replaceUnready": "true"}
    _, state, inputs = engine.create(manifests.job("plain", annotations=skip))
    assert engine.diff(state, inputs, inputs).changes == NONE
    _, state, inputs = engine.create(manifests.job("w", annotations=skip | again))
    ready = copy.deepcopy(inputs)
    ready["metadata"]["annotations"].pop("pulumi.com/skipAwait")
    patch(
        f"/apis/batch/v1/namespaces/{namespace}/jobs/w", {"metadata": {"annotations": {"pulumi.com/skipAwait": None}}}
    )
    difference = engine.diff(state, ready, ready)
    assert list(difference.replaces) == ["metadata"]
    assert difference.deleteBeforeReplace
    patch(f"/apis/batch/v1/namespaces/{namespace}/jobs/w", {"status": JOB_COMPLETE}, "status")
    assert engine.diff(state, ready, ready).changes == NONE


def test_a_deployment_that_times_out_tells_of_its_pods(engine: Engine) -> None:
    obj = manifests.deployment("w", skip=False)
    obj["metadata"]["annotations"] = {"pulumi.com/timeoutSeconds": "2"}
    with pytest.raises(grpc.RpcError) as caught:
        engine.create(obj)
    told = failure(caught)
    assert "'w' timed out waiting to be Ready after 2 s" in told
    assert "is not scheduled: no nodes available to schedule pods" in told
    assert recorded(caught).id.endswith("/w")


def test_a_deployment_whose_pods_are_refused_ends_early(
    engine: Engine, api: client.ApiClient, namespace: str, patch: Patch, idle_controllers: None
) -> None:
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments/w"

    def refused(age: int) -> Object:
        condition = {
            "type": "ReplicaFailure",
            "status": "True",
            "reason": "FailedCreate",
            "message": 'pods "w-1" is forbidden: exceeded quota',
            "lastTransitionTime": (datetime.now(UTC) - timedelta(seconds=age)).strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        return {"status": {"observedGeneration": 1, "conditions": [condition]}}

    obj = manifests.deployment("w", skip=False)
    with pytest.raises(grpc.RpcError) as caught:
        engine_pool = lambda: engine.create(obj, timeout=2)  # noqa: E731
        waiting(engine_pool, lambda: patch(path, refused(0), "status"), exists(api, path))
    assert "timed out" in failure(caught), "it may only be for a moment"
    assert 'FailedCreate: pods "w-1" is forbidden: exceeded quota' in failure(caught)
    with pytest.raises(grpc.RpcError) as caught:
        waiting(lambda: engine.create(obj, timeout=60), lambda: patch(path, refused(60), "status"), exists(api, path))
    assert "timed out" not in failure(caught)
    assert "exceeded quota" in failure(caught)


def test_a_claim_without_a_storage_class_tells_so(engine: Engine) -> None:
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "w"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }
    with pytest.raises(grpc.RpcError) as caught:
        engine.create(claim, timeout=1)
    assert "'w' timed out waiting to be Ready after 1 s" in failure(caught)
    assert (
        "spec.storageClassName is left out, and no storage class of the cluster is its default: it has none at all; "
        "install a storage provisioner, or mark one as the default"
    ) in failure(caught)


@pytest.mark.parametrize("obj", [manifests.job("w"), manifests.deployment("w", skip=False)], ids=["job", "deployment"])
def test_a_quota_that_refuses_pods_ends_the_wait_and_is_named(
    engine: Engine, obj: Object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the cluster's own controllers."""
    monkeypatch.setattr("sandbox.providers.kubernetes.awaiting._REFUSED_SECONDS", 1)
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "q"}, "spec": {"hard": {"pods": "0"}}}
    engine.create(quota)
    with pytest.raises(grpc.RpcError) as caught:
        engine.create(obj, timeout=60)
    assert "timed out" not in failure(caught)
    assert "exceeded quota: q, requested: pods=1, used: pods=0, limited: pods=0" in failure(caught)
    assert recorded(caught).id.endswith("/w")


def test_a_user_who_may_not_read_events_waits_all_the_same(
    engine: Engine, serve: Callable[..., Engine], cluster: Cluster, namespace: str, tmp_path: Path
) -> None:
    rules = [{"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["get", "create", "patch"]}]
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "r"}, "rules": rules}
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r"}
    subjects = [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "somebody"}]
    engine.create(role)
    engine.create(role | {"kind": "RoleBinding", "roleRef": reference, "subjects": subjects, "rules": None})
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "q"}, "spec": {"hard": {"pods": "0"}}}
    engine.create(quota)
    somebody = serve(kubeconfig=str(cluster.write_kubeconfig(tmp_path / "k", "somebody")), namespace=namespace)
    with pytest.raises(grpc.RpcError) as caught:
        somebody.create(manifests.job("w"), timeout=2)
    assert "'w' timed out waiting to be Ready after 2 s" in failure(caught)
    assert 'why is not known: list Event: events is forbidden: User "somebody" cannot list' in failure(caught)


def test_an_image_that_cannot_be_pulled_is_named(
    engine: Engine, api: client.ApiClient, namespace: str, patch: Patch
) -> None:
    """The status and the event are those that a kubelet writes; it is the API server that keeps them."""
    message = 'Back-off pulling image "registry.invalid/none:1": ErrImagePull: failed to resolve reference'
    waits = {"reason": "ImagePullBackOff", "message": message}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "w"}, "spec": manifests.pod_spec()}
    path, core = f"/api/v1/namespaces/{namespace}/pods/w", client.CoreV1Api(api)

    def pull_fails() -> None:
        container = {"name": "main", "image": "registry.invalid/none:1", "imageID": "", "ready": False}
        statuses = [container | {"restartCount": 0, "state": {"waiting": waits}}]
        found = patch(path, {"status": {"containerStatuses": statuses}}, "status")
        involved = {"kind": "Pod", "name": "w", "namespace": namespace, "uid": found["metadata"]["uid"]}
        event = {"metadata": {"name": "w.1"}, "involvedObject": involved, "type": "Warning", "reason": "Failed"}
        core.create_namespaced_event(namespace, event | {"message": "Failed to pull image"})

    with pytest.raises(grpc.RpcError) as caught:
        waiting(lambda: engine.create(pod, timeout=4), pull_fails, exists(api, path))
    told = failure(caught)
    assert "'w' timed out waiting to be Ready after 4 s" in told
    assert f"container main: ImagePullBackOff {message}" in told
    assert "Pod: Failed: Failed to pull image" in told


def test_skip_await_waits_for_nothing(engine: Engine) -> None:
    assert "availableReplicas" not in engine.create(manifests.deployment("w"))[1]["status"]


def test_a_service_without_pods_tells_so(engine: Engine) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        engine.create(manifests.service("w"), timeout=1)
    assert "does not target any Pods: none has the labels app=w" in failure(caught)


def test_a_refresh_records_what_is_not_ready(engine: Engine, namespace: str) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        engine.create(manifests.service("w"), timeout=1)
    inputs, _ = engine.check(manifests.service("w"))
    with pytest.raises(grpc.RpcError) as caught:
        engine.read(inputs, f"{namespace}/w", {}, inputs)
    kept = recorded(caught)
    assert kept.id == f"{namespace}/w"
    assert kept.reasons[0] == "Resource 'w' was created but failed to initialize"
    assert "spec" in kept.inputs.fields
    assert engine.read(inputs, f"{namespace}/w")[0] == f"{namespace}/w", "an import asks for nothing"


def test_cancel_ends_the_wait_and_records_the_object(engine: Engine, api: client.ApiClient, namespace: str) -> None:
    path = f"/apis/batch/v1/namespaces/{namespace}/jobs/w"
    with pytest.raises(grpc.RpcError) as caught:
        waiting(lambda: engine.create(manifests.job("w")), engine.cancel, exists(api, path))
    assert "Resource operation was cancelled for 'w'" in failure(caught)
    assert recorded(caught).id == f"{namespace}/w"


# Deletion


@pytest.fixture
def held(engine: Engine, namespace: str, patch: Patch) -> Any:
    """A ConfigMap that a finalizer holds."""
    made = engine.create(manifests.config_map("held", a="b"))
    path = f"/api/v1/namespaces/{namespace}/configmaps/held"
    patch(path, {"metadata": {"finalizers": ["example.com/hold"]}})
    yield made
    patch(path, {"metadata": {"finalizers": None}})


def test_deletion_tells_what_holds_it(engine: Engine, held: tuple[str, Object, Object]) -> None:
    identifier, state, inputs = held
    with pytest.raises(grpc.RpcError) as caught:
        engine.delete(inputs, identifier, state, timeout=1)
    assert failure(caught) == "ConfigMap held is still being deleted (after 1 s); it is held by example.com/hold"


def test_deletion_waits_for_the_last_finalizer(
    engine: Engine, api: client.ApiClient, namespace: str, patch: Patch
) -> None:
    identifier, state, inputs = engine.create(manifests.config_map("held", a="b"))
    path = f"/api/v1/namespaces/{namespace}/configmaps/held"
    patch(path, {"metadata": {"finalizers": ["example.com/hold"]}})

    def is_deleting() -> bool:
        found = client.CoreV1Api(api).read_namespaced_config_map("held", namespace)
        return found.metadata.deletion_timestamp is not None

    waiting(
        lambda: engine.delete(inputs, identifier, state, timeout=60),
        lambda: patch(path, {"metadata": {"finalizers": None}}),
        is_deleting,
    )
    assert engine.read(inputs, identifier, state, inputs)[0] == ""


def test_a_namespace_tells_what_remains_in_it(
    engine: Engine, api: client.ApiClient, namespace: str, patch: Patch
) -> None:
    obj = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": f"{namespace}-own"}}
    identifier, state, _ = engine.create(obj)
    inner = manifests.config_map("held", a="b")
    inner["metadata"]["namespace"] = identifier
    engine.create(inner)
    path = f"/api/v1/namespaces/{identifier}/configmaps/held"
    patch(path, {"metadata": {"finalizers": ["example.com/hold"]}})
    with pytest.raises(grpc.RpcError) as caught:
        engine.delete(obj, identifier, state, timeout=8)
    patch(path, {"metadata": {"finalizers": None}})
    assert "Some content in the namespace has finalizers remaining: example.com/hold" in failure(caught)
    engine.delete(obj, identifier, state, timeout=60)


def test_deletion_can_leave_the_dependents(engine: Engine, api: client.ApiClient, namespace: str) -> None:
    owner = manifests.config_map("owner", a="b")
    owner["metadata"]["annotations"] = {"pulumi.com/deletionPropagationPolicy": "orphan"}
    identifier, state, inputs = engine.create(owner)
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": state["metadata"]["uid"]}
    dependent = manifests.config_map("dependent", a="b")
    dependent["metadata"]["ownerReferences"] = [reference]
    engine.create(dependent)
    engine.delete(inputs, identifier, state, timeout=60)
    left = client.CoreV1Api(api).read_namespaced_config_map("dependent", namespace)
    assert not left.metadata.owner_references
