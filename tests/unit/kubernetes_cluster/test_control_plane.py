"""The sandbox's control plane is a real one: it reconciles, admits and refuses, and keeps what it was given."""

import json
import socket
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client, config
from kubernetes.client.exceptions import ApiException

from model_packaging.errors import ModelberthError
from sandbox.kubernetes import control_plane
from sandbox.kubernetes.control_plane import Cluster
from sandbox.kubernetes.processes import Processes, stable_ports
from tests.unit.kubernetes_cluster.eventually import eventually

# The first run on a machine builds the programs.
pytestmark = pytest.mark.timeout(2400)


@pytest.fixture
def api(cluster: Cluster) -> client.ApiClient:
    return config.new_client_from_config(str(cluster.kubeconfig))


@pytest.fixture
def namespace(api: client.ApiClient) -> Iterator[str]:
    core, name = client.CoreV1Api(api), f"test-{uuid.uuid4().hex[:8]}"
    core.create_namespace({"metadata": {"name": name}})
    eventually(lambda: core.list_namespaced_service_account(name).items)
    yield name
    core.delete_namespace(name)


def test_a_deployment_becomes_pods_that_wait_for_a_node(api: client.ApiClient, namespace: str) -> None:
    client.AppsV1Api(api).create_namespaced_deployment(namespace, _deployment(replicas=2))
    core = client.CoreV1Api(api)

    def unschedulable() -> list[Any]:
        pods = core.list_namespaced_pod(namespace).items
        return [pod for pod in pods if (pod.status.conditions or [None])[0] is not None]

    pods = eventually(lambda: found if len(found := unschedulable()) == 2 else None)

    assert {pod.status.phase for pod in pods} == {"Pending"}
    assert {pod.status.conditions[0].reason for pod in pods} == {"Unschedulable"}
    assert {pod.metadata.owner_references[0].kind for pod in pods} == {"ReplicaSet"}
    # The service account's admission mounted a signed token.
    assert {volume.projected is not None for pod in pods for volume in pod.spec.volumes} == {True}


def test_a_restricted_namespace_refuses_a_privileged_pod(api: client.ApiClient, namespace: str) -> None:
    core = client.CoreV1Api(api)
    core.patch_namespace(namespace, {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}})
    pod = {"metadata": {"name": "privileged"}, "spec": _pod_spec()}
    pod["spec"]["containers"][0]["securityContext"] = {"privileged": True}

    with pytest.raises(ApiException) as refused:
        core.create_namespaced_pod(namespace, pod)

    assert refused.value.status == 403
    message = json.loads(refused.value.body)["message"]
    assert 'violates PodSecurity "restricted:latest": privileged' in message

    core.patch_namespace(namespace, {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": None}}})
    core.create_namespaced_pod(namespace, pod)


def test_a_quota_is_enforced(api: client.ApiClient, namespace: str) -> None:
    core = client.CoreV1Api(api)
    core.create_namespaced_resource_quota(namespace, {"metadata": {"name": "one"}, "spec": {"hard": {"pods": "1"}}})
    eventually(lambda: (core.read_namespaced_resource_quota("one", namespace).status.hard or {}).get("pods"))
    core.create_namespaced_pod(namespace, {"metadata": {"name": "first"}, "spec": _pod_spec()})

    with pytest.raises(ApiException, match="exceeded quota: one, requested: pods=1, used: pods=1, limited: pods=1"):
        core.create_namespaced_pod(namespace, {"metadata": {"name": "second"}, "spec": _pod_spec()})


def test_a_user_may_only_do_what_a_role_says(cluster: Cluster, namespace: str, tmp_path: Path) -> None:
    kubeconfig = cluster.write_kubeconfig(tmp_path / "kubeconfig", f"user-of-{namespace}")
    core = client.CoreV1Api(config.new_client_from_config(str(kubeconfig)))

    with pytest.raises(
        ApiException, match=f'User \\\\"user-of-{namespace}\\\\" cannot list resource \\\\"secrets\\\\"'
    ):
        core.list_namespaced_secret(namespace)


def test_objects_and_address_stay_when_the_api_server_is_restarted(
    cluster: Cluster, api: client.ApiClient, namespace: str
) -> None:
    core = client.CoreV1Api(api)
    made = core.create_namespaced_config_map(namespace, {"metadata": {"name": "kept"}, "data": {"key": "value"}})

    control_plane.restart_api_server(cluster)

    found = core.read_namespaced_config_map("kept", namespace)
    assert (found.metadata.uid, found.data) == (made.metadata.uid, {"key": "value"})
    client.AppsV1Api(api).create_namespaced_deployment(namespace, _deployment(replicas=1))
    assert eventually(lambda: core.list_namespaced_pod(namespace).items), "the controllers did not come back"


def test_everything_stays_when_all_of_it_is_stopped_and_started(tmp_path: Path) -> None:
    with control_plane.running(tmp_path / "cluster") as first:
        core = client.CoreV1Api(config.new_client_from_config(str(first.kubeconfig)))
        made = core.create_namespace({"metadata": {"name": "kept"}})
        numbers = [process.pid for name in first.processes.names() if (process := first.processes.find(name))]
        assert len(numbers) == 4
    assert first.processes.names() == []

    with control_plane.running(tmp_path / "cluster") as second:
        # A client that was made before still reaches it.
        assert core.read_namespace("kept").metadata.uid == made.metadata.uid
        assert second == first == control_plane.find(tmp_path / "cluster")

    assert control_plane.remove(tmp_path / "cluster")
    assert control_plane.find(tmp_path / "cluster") is None


def test_a_crashed_process_is_reported_with_the_end_of_its_log(cluster: Cluster) -> None:
    process = cluster.processes.find("kube-scheduler")
    assert process is not None
    process.kill()
    process.wait(10)

    with pytest.raises(ModelberthError, match=r"kube-scheduler has ended by itself; the end of .*kube-scheduler\.log:"):
        control_plane.find(cluster.folder)

    control_plane.start(cluster.folder)
    assert control_plane.find(cluster.folder) == cluster


def test_a_process_that_does_not_start_says_why(tmp_path: Path) -> None:
    processes = Processes(tmp_path)
    processes.start("broken", ["sh", "-c", "echo the reason; exit 3"])

    with pytest.raises(ModelberthError, match=r"broken has ended by itself.*\nthe reason$"):
        processes.wait("broken", lambda: False, 10)


def test_ports_are_remembered_and_a_taken_one_is_not_chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as two:
            free = [one.getsockname()[1], two.getsockname()[1]]
        offered = iter([taken.getsockname()[1], free[0], free[0], free[1]])
        monkeypatch.setattr("sandbox.kubernetes.processes.random.choice", lambda _: next(offered))
        first = stable_ports(tmp_path / "ports.json", ["one", "two"], "127.0.0.1")

    assert first == {"one": free[0], "two": free[1]}
    assert stable_ports(tmp_path / "ports.json", ["two", "one"], "127.0.0.1") == first


def _deployment(replicas: int) -> dict[str, Any]:
    template = {"metadata": {"labels": {"app": "web"}}, "spec": _pod_spec()}
    spec = {"replicas": replicas, "selector": {"matchLabels": {"app": "web"}}, "template": template}
    return {"metadata": {"name": "web"}, "spec": spec}


def _pod_spec() -> dict[str, Any]:
    return {"containers": [{"name": "web", "image": "localhost/none:1"}]}
