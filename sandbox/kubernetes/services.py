"""What a model needs beside a cluster, running on this machine: an object store, Prometheus with its Pushgateway, and
Alertmanager, which follow what the cluster's ConfigMaps say.
"""

import base64
import sys
from dataclasses import dataclass
from pathlib import Path

import kubernetes

from sandbox.kubernetes import monitoring, object_store, programs
from sandbox.kubernetes.cluster import Running
from sandbox.kubernetes.control_plane import Cluster
from sandbox.kubernetes.monitoring import Monitoring
from sandbox.kubernetes.object_store import ObjectStore
from sandbox.kubernetes.processes import answers, stable_ports
from sandbox.settings import ROOT

NAMESPACE, SECRET = "storage", "object-store"
"""Where the Secret is by which the store is reached."""
PROCESSES = ("rules", "pushgateway")
_START_SECONDS = 60


@dataclass(frozen=True)
class Services:
    """The services, running, at addresses that pods reach too."""

    store: ObjectStore
    monitoring: Monitoring
    prometheus: str
    pushgateway: str


def start(running: Running) -> Services:
    """Start what does not run of them, and wait until each is ready.

    Raises:
        ModelberthError: one cannot be built or does not start.
    """
    cluster, address = running.cluster, running.address
    store = object_store.start(cluster.folder, address)
    _keep_secret(cluster, store)
    watching = monitoring.start(cluster, address)
    port = stable_ports(cluster.folder / "ports.json", ("pushgateway",), address)["pushgateway"]
    pushgateway = f"http://{address}:{port}"
    cluster.processes.start(
        "pushgateway", [programs.executable(programs.PUSHGATEWAY), f"--web.listen-address={address}:{port}"]
    )
    cluster.processes.wait("pushgateway", lambda: answers(f"{pushgateway}/-/ready"), _START_SECONDS)
    watching.scrape([_PODS | {"kubernetes_sd_configs": [_discovery(watching)]}, _pushed(pushgateway)])
    cluster.processes.start(
        "rules",
        [sys.executable, "-m", "sandbox.kubernetes.rules", str(cluster.folder)],
        {"PYTHONPATH": str(ROOT)},
    )
    return Services(store, watching, watching.prometheus, pushgateway)


def stop(folder: Path) -> bool:
    """End what belongs to the services alone; tells whether anything ran."""
    from sandbox.kubernetes.processes import Processes

    processes = Processes(folder.resolve())
    return any([processes.stop(name) for name in PROCESSES])


def _keep_secret(cluster: Cluster, store: ObjectStore) -> None:
    core = kubernetes.client.CoreV1Api(kubernetes.config.new_client_from_config(str(cluster.kubeconfig)))
    values = {
        "AWS_ACCESS_KEY_ID": store.access_key,
        "AWS_SECRET_ACCESS_KEY": store.secret_key,
        "AWS_ENDPOINT_URL_S3": store.endpoint,
        "AWS_REGION": store.region,
    }
    data = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
    body = {"metadata": {"name": SECRET, "namespace": NAMESPACE}, "data": data}
    if NAMESPACE not in {one.metadata.name for one in core.list_namespace().items}:
        core.create_namespace({"metadata": {"name": NAMESPACE}})
    if SECRET in {one.metadata.name for one in core.list_namespaced_secret(NAMESPACE).items}:
        core.patch_namespaced_secret(SECRET, NAMESPACE, body)
    else:
        core.create_namespaced_secret(NAMESPACE, body)


def _discovery(watching: Monitoring) -> dict[str, str]:
    return {"role": "pod", "kubeconfig_file": str(watching.kubeconfig)}


def _pushed(pushgateway: str) -> dict[str, object]:
    return {
        "job_name": "pushgateway",
        # What was pushed bears the labels of who pushed it.
        "honor_labels": True,
        "static_configs": [{"targets": [pushgateway.removeprefix("http://")]}],
    }


# The annotations that most charts of Prometheus look for.
_PODS: dict[str, object] = {
    "job_name": "pods",
    "relabel_configs": [
        {
            "source_labels": ["__meta_kubernetes_pod_annotation_prometheus_io_scrape"],
            "action": "keep",
            "regex": "true",
        },
        {
            "source_labels": ["__meta_kubernetes_pod_annotation_prometheus_io_path"],
            "action": "replace",
            "target_label": "__metrics_path__",
            "regex": "(.+)",
        },
        {
            "source_labels": ["__meta_kubernetes_pod_ip", "__meta_kubernetes_pod_annotation_prometheus_io_port"],
            "action": "replace",
            "separator": ":",
            "target_label": "__address__",
        },
        {"action": "labelmap", "regex": "__meta_kubernetes_pod_label_(.+)"},
        {"source_labels": ["__meta_kubernetes_namespace"], "action": "replace", "target_label": "namespace"},
        {"source_labels": ["__meta_kubernetes_pod_name"], "action": "replace", "target_label": "pod"},
        # One target for each pod, and not for each of its containers.
        {"source_labels": ["__meta_kubernetes_pod_container_init"], "action": "drop", "regex": "true"},
    ],
}
