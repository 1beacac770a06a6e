"""A real node runs the project's own image; where this machine cannot run one, the reasons are in the skip's text."""

import os
import subprocess
import threading
import urllib.request
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import psutil
import pytest
from botocore.config import Config
from kubernetes import client, config
from kubernetes.stream import stream

from sandbox.kubernetes import cluster as clusters
from sandbox.kubernetes import control_group, images, node, object_store
from sandbox.kubernetes.cluster import Running
from tests.node import WANTED, needs_node
from tests.unit.kubernetes_cluster.eventually import eventually

_REASONS = node.reasons_against() + images.reasons_against() if WANTED else []
pytestmark = [
    needs_node,
    pytest.mark.skipif(bool(_REASONS), reason="; ".join(_REASONS)),
    # The first run on a machine builds the programs and the image.
    pytest.mark.timeout(3600),
]

_RESTRICTED = {
    "pod-security.kubernetes.io/enforce": "restricted",
    "pod-security.kubernetes.io/enforce-version": "latest",
}


@dataclass(frozen=True)
class _Here:
    running: Running
    image: str
    namespace: str
    api: client.ApiClient

    @property
    def core(self) -> client.CoreV1Api:
        return client.CoreV1Api(self.api)


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[_Here]:
    folder = tmp_path_factory.mktemp("cluster")
    try:
        running = clusters.start(folder)
        assert running.node is not None
        image = images.serving_image()
        running.node.load(image)
        api, namespace = config.new_client_from_config(str(running.cluster.kubeconfig)), f"test-{uuid.uuid4().hex[:8]}"
        core = client.CoreV1Api(api)
        core.create_namespace({"metadata": {"name": namespace, "labels": _RESTRICTED}})
        eventually(lambda: core.list_namespaced_service_account(namespace).items)
        here = _Here(running, image.name, namespace, api)
        # First, because it takes until the next full minute.
        client.BatchV1Api(api).create_namespaced_cron_job(namespace, _cron_job(image.name))
        yield here
    finally:
        clusters.remove(folder)


def test_a_deployment_answers_through_its_service(here: _Here) -> None:
    _serve(here, "web")
    service = here.core.read_namespaced_service("web", here.namespace)

    def answer() -> str:
        try:
            with urllib.request.urlopen(f"http://{service.spec.cluster_ip}:80/version", timeout=5) as response:
                return response.read().decode()
        except OSError:
            return ""

    assert eventually(answer) == "served\n"
    # As another pod sees it: by name, through the cluster's DNS.
    asking = f"import urllib.request as r; print(r.urlopen('http://web.{here.namespace}.svc/version').read())"
    assert _run_once(here, asking) == r"b'served\n'"


def test_the_image_runs_without_root_on_a_root_that_cannot_be_written(here: _Here) -> None:
    tried = (
        "import os, pathlib\n"
        "print(os.getuid(), os.environ['HOME'])\n"
        "for path in ('/tmp/written', '/home/modelberth/written', '/opt/modelberth/written'):\n"
        "    try: pathlib.Path(path).touch(); print(path)\n"
        "    except OSError as error: print(error.strerror)\n"
    )
    lines = _run_once(here, tried).splitlines()
    assert lines[0] == "1000 /home/modelberth"
    assert lines[1:] == ["/tmp/written", "Read-only file system", "Read-only file system"]

    assert "modelberth" in _run_once(here, "import subprocess; subprocess.run(['modelberth', '--help'], check=True)")


def test_a_command_runs_inside_a_pod_through_the_api_server(here: _Here) -> None:
    pod = _serve(here, "entered")
    said = stream(
        here.core.connect_get_namespaced_pod_exec,
        pod,
        here.namespace,
        command=["cat", "/tmp/content/version"],
        stdout=True,
        stderr=True,
        stdin=False,
        tty=False,
    )
    assert said == "served\n"


def test_a_pod_reaches_an_object_store_on_this_machine(here: _Here) -> None:
    store = object_store.start(here.running.cluster.folder, here.running.address)
    buckets = boto3.client(
        "s3",
        endpoint_url=store.endpoint,
        region_name=store.region,
        aws_access_key_id=store.access_key,
        aws_secret_access_key=store.secret_key,
        config=Config(signature_version="s3v4"),
    )
    buckets.create_bucket(Bucket="models")
    buckets.put_object(Bucket="models", Key="greeting", Body=b"hello")
    link = buckets.generate_presigned_url("get_object", Params={"Bucket": "models", "Key": "greeting"})

    assert _run_once(here, f"import urllib.request as r; print(r.urlopen({link!r}).read())") == "b'hello'"


def test_pods_reach_no_network_but_the_clusters(here: _Here) -> None:
    tried = (
        "import socket\n"
        "try: socket.create_connection(('192.0.2.1', 80), 5); print('connected')\n"
        "except OSError as error: print('no connection')\n"
        "try: print(socket.getaddrinfo('pypi.org', 443))\n"
        "except OSError as error: print(type(error).__name__)\n"
    )
    assert _run_once(here, tried).splitlines() == ["no connection", "gaierror"]


def test_a_network_policy_lets_in_whom_it_names_and_nobody_else(here: _Here) -> None:
    if here.running.node is None or not here.running.node.enforces_policies:
        pytest.skip("iptables and ipset are not installed, by which policies are enforced")
    _serve(here, "closed")
    service = here.core.read_namespaced_service("closed", here.namespace)

    def answers() -> bool:
        try:
            with urllib.request.urlopen(f"http://{service.spec.cluster_ip}:80/version", timeout=2) as response:
                return response.status == 200
        except OSError:
            return False

    asking = (
        "import urllib.request as r\n"
        f"try: print(r.urlopen('http://closed.{here.namespace}.svc/version', timeout=5).status)\n"
        "except OSError as error: print('no answer')\n"
    )
    assert eventually(answers)
    policies = client.NetworkingV1Api(here.api)
    policy: dict[str, Any] = {
        "metadata": {"name": "closed"},
        "spec": {"podSelector": {"matchLabels": {"app": "closed"}}, "policyTypes": ["Ingress"]},
    }
    policies.create_namespaced_network_policy(here.namespace, policy)
    assert eventually(lambda: not answers())
    assert _run_once(here, asking).strip() == "no answer"
    address = f"{here.running.cluster.network.host}/32"
    policy["spec"]["ingress"] = [{"from": [{"ipBlock": {"cidr": address}}], "ports": [{"port": 8080}]}]
    policies.replace_namespaced_network_policy("closed", here.namespace, policy)
    assert eventually(answers)
    assert _run_once(here, asking).strip() == "no answer"


def test_a_pod_that_is_killed_under_load_is_replaced_and_the_others_answer(here: _Here) -> None:
    killed = _serve(here, "loaded")
    apps = client.AppsV1Api(here.api)
    apps.patch_namespaced_deployment_scale("loaded", here.namespace, {"spec": {"replicas": 2}})

    def ready() -> set[str]:
        pods = here.core.list_namespaced_pod(here.namespace, label_selector="app=loaded").items
        running = [pod for pod in pods if pod.metadata.deletion_timestamp is None]
        names = {pod.metadata.name for pod in running if all(one.ready for one in pod.status.container_statuses or [])}
        return names if len(names) == 2 else set()

    (other,) = eventually(ready, 60) - {killed}
    address = here.core.read_namespaced_service("loaded", here.namespace).spec.cluster_ip

    def ask() -> bool:
        try:
            with urllib.request.urlopen(f"http://{address}/version", timeout=2) as answer:
                return answer.read() == b"served\n"
        except OSError:
            return False

    eventually(lambda: all(ask() for _ in range(20)))
    over = threading.Event()

    def load() -> list[bool]:
        answered: list[bool] = []
        while not over.is_set():
            answered.append(ask())
        return answered

    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(load) for _ in range(4)]
        try:
            here.core.delete_namespaced_pod(killed, here.namespace, grace_period_seconds=0)
            found = eventually(lambda: (pods := ready()) and killed not in pods and pods, 60)
        finally:
            over.set()
    assert other in found
    answered = [one for done in asked for one in done.result()]
    # Without a moment's notice some requests still go to it: for no longer than the cluster takes to learn of it.
    assert answered.count(False) < len(answered) / 10
    assert all(ask() for _ in range(50))


def test_pods_come_back_when_the_node_is_restarted(here: _Here) -> None:
    folder = here.running.cluster.folder
    pod = _serve(here, "restarted")
    before = here.core.read_namespaced_pod(pod, here.namespace).status.container_statuses[0].container_id

    assert clusters.stop(folder)
    assert clusters.start(folder).node is not None

    def replaced() -> bool:
        status = here.core.read_namespaced_pod(pod, here.namespace).status
        return bool(status.container_statuses[0].ready) and status.container_statuses[0].container_id != before

    eventually(replaced, 90)


def test_a_cron_job_fires(here: _Here) -> None:
    batch = client.BatchV1Api(here.api)

    def succeeded() -> list[Any]:
        return [job for job in batch.list_namespaced_job(here.namespace).items if job.status.succeeded]

    fired = eventually(succeeded, 120)
    assert fired[0].metadata.owner_references[0].name == "every-minute"


def test_nothing_is_left_behind(tmp_path: Path) -> None:
    def traces() -> dict[str, Any]:
        mounts = [line for line in Path("/proc/self/mounts").read_text().splitlines() if str(tmp_path) in line]
        rules = subprocess.run(["nft", "list", "ruleset"], capture_output=True, text=True, check=True).stdout
        routes = Path("/proc/net/route").read_text()
        groups = [str(path) for root in control_group.hierarchies() for path in root.glob("modelberth-*")]
        folders = {path: os.path.exists(path) for path in node._PRIVATE_FOLDERS}
        within = [p.pid for p in psutil.process_iter(["cmdline"]) if str(tmp_path) in " ".join(p.info["cmdline"] or [])]
        return {
            "mounts": mounts,
            "rules": rules,
            "routes": routes,
            "groups": groups,
            "folders": folders,
            "links": sorted(psutil.net_if_addrs()),
            "processes": within,
        }

    before = traces()
    running = clusters.start(tmp_path)
    assert running.node is not None
    during = traces()
    assert all(during[name] != before[name] for name in ("routes", "groups", "links", "processes"))

    assert clusters.remove(tmp_path)

    assert traces() == before


def _serve(here: _Here, name: str) -> str:
    """Run a deployment that serves a file, with a Service; the name of its pod once that is ready."""
    labels = {"app": name}
    program = (
        "import http.server, os, pathlib\n"
        "pathlib.Path('/tmp/content').mkdir(exist_ok=True)\n"
        "pathlib.Path('/tmp/content/version').write_text('served\\n')\n"
        "os.chdir('/tmp/content')\n"
        "http.server.test(http.server.SimpleHTTPRequestHandler, port=8080)\n"
    )
    container = _container(here.image, program) | {
        "readinessProbe": {"httpGet": {"path": "/version", "port": 8080}, "periodSeconds": 1}
    }
    template = {"metadata": {"labels": labels}, "spec": _pod_spec(container)}
    client.AppsV1Api(here.api).create_namespaced_deployment(
        here.namespace,
        {"metadata": {"name": name}, "spec": {"selector": {"matchLabels": labels}, "template": template}},
    )
    here.core.create_namespaced_service(
        here.namespace,
        {"metadata": {"name": name}, "spec": {"selector": labels, "ports": [{"port": 80, "targetPort": 8080}]}},
    )

    def ready() -> str | None:
        for pod in here.core.list_namespaced_pod(here.namespace, label_selector=f"app={name}").items:
            statuses = pod.status.container_statuses or []
            if statuses and all(status.ready for status in statuses):
                return pod.metadata.name
        return None

    found = eventually(ready, 60)
    assert found is not None
    return found


def _run_once(here: _Here, program: str) -> str:
    """Run a Python program in a pod, which has to succeed; what it prints."""
    name = f"once-{uuid.uuid4().hex[:8]}"
    spec = _pod_spec(_container(here.image, program)) | {"restartPolicy": "Never"}
    here.core.create_namespaced_pod(here.namespace, {"metadata": {"name": name}, "spec": spec})

    def phase() -> str | None:
        now = here.core.read_namespaced_pod(name, here.namespace).status.phase
        return now if now in ("Succeeded", "Failed") else None

    ended = eventually(phase, 60)
    printed = here.core.read_namespaced_pod_log(name, here.namespace)
    assert ended == "Succeeded", printed
    return printed.strip()


def _cron_job(image: str) -> dict[str, Any]:
    spec = _pod_spec(_container(image, "print('fired')")) | {"restartPolicy": "Never"}
    return {
        "metadata": {"name": "every-minute"},
        "spec": {"schedule": "* * * * *", "jobTemplate": {"spec": {"template": {"spec": spec}}}},
    }


def _container(image: str, program: str) -> dict[str, Any]:
    return {
        "name": "main",
        "image": image,
        "command": ["python", "-c", program],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [{"name": "scratch", "mountPath": "/tmp"}],
        "resources": {"requests": {"cpu": "10m"}, "limits": {"memory": "200Mi", "cpu": "1"}},
    }


def _pod_spec(container: dict[str, Any]) -> dict[str, Any]:
    return {
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 1000,
            "runAsGroup": 1000,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "terminationGracePeriodSeconds": 1,
        "containers": [container],
        "volumes": [{"name": "scratch", "emptyDir": {}}],
    }
