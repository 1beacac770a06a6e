"""What a model needs beside a cluster, running on this machine: an object store, Prometheus with its Pushgateway, and
Alertmanager, which follow what the cluster's ConfigMaps say.
"""

import base64
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import kubernetes
from kubernetes.client.exceptions import ApiException

from sandbox.kubernetes import monitoring, object_store, programs
from sandbox.kubernetes.cluster import Running
from sandbox.kubernetes.control_plane import Cluster
from sandbox.kubernetes.monitoring import Monitoring
from sandbox.kubernetes.object_store import ObjectStore
from sandbox.kubernetes.processes import answers, stable_ports
from sandbox.settings import ROOT

NAMESPACE, SECRET = "sandbox", "object-store"
"""Where the Secret is by which the store is reached, and the Services by which pods find the others."""
_PORTS = {"prometheus": 9090, "pushgateway": 9091}
_START_SECONDS = 60


@dataclass(frozen=True)
class Services:
    """The services, running."""

    store: ObjectStore
    monitoring: Monitoring
    prometheus: str
    """Its address as pods know it."""

    pushgateway: str
    """Its address as pods know it."""


def start(running: Running) -> Services:
    """Start what does not run of them, and wait until each is ready.

    Raises:
        ModelberthError: one cannot be built or does not start.
    """
    cluster, address = running.cluster, running.address
    store = start_store(running)
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
    core = _core(cluster)
    for name, url in (("prometheus", watching.prometheus), ("pushgateway", pushgateway)):
        _publish(cluster, core, name, url)
    inside = {name: f"http://{name}.{NAMESPACE}.svc:{port}" for name, port in _PORTS.items()}
    return Services(store, watching, inside["prometheus"], inside["pushgateway"])


def start_store(running: Running) -> ObjectStore:
    """Start the object store, unless it runs, and keep its keys in the cluster.

    Raises:
        ModelberthError: it cannot be built or does not start.
    """
    store = object_store.start(running.cluster.folder, running.address)
    _keep_secret(running.cluster, store)
    return store


def alerting_rules(folder: Path) -> list[dict[str, Any]]:
    """The alerting rules that Prometheus knows, each with its name and state."""
    groups = monitoring.find(folder).ask("/api/v1/rules?type=alert")["groups"]
    return [rule for group in groups for rule in group["rules"]]


def _core(cluster: Cluster) -> kubernetes.client.CoreV1Api:
    return kubernetes.client.CoreV1Api(kubernetes.config.new_client_from_config(str(cluster.kubeconfig)))


def _keep_secret(cluster: Cluster, store: ObjectStore) -> None:
    core = _core(cluster)
    values = {
        "AWS_ACCESS_KEY_ID": store.access_key,
        "AWS_SECRET_ACCESS_KEY": store.secret_key,
        "AWS_ENDPOINT_URL_S3": store.endpoint,
        "AWS_REGION": store.region,
    }
    data = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
    if NAMESPACE not in {one.metadata.name for one in core.list_namespace().items}:
        core.create_namespace({"metadata": {"name": NAMESPACE}})
    body = {"metadata": {"name": SECRET}, "data": data}
    _keep(core.create_namespaced_secret, core.patch_namespaced_secret, body)


def _publish(cluster: Cluster, core: kubernetes.client.CoreV1Api, name: str, url: str) -> None:
    """Give a server on this machine a name in the cluster: a Service without pods, with the server's address."""
    address = urlsplit(url)
    spec = {"ports": [{"name": "http", "port": _PORTS[name], "protocol": "TCP"}]}
    _keep(core.create_namespaced_service, core.patch_namespaced_service, {"metadata": {"name": name}, "spec": spec})
    discovery = kubernetes.client.DiscoveryV1Api(core.api_client)
    body = {
        "metadata": {"name": name, "labels": {"kubernetes.io/service-name": name}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [address.hostname], "conditions": {"ready": True}}],
        "ports": [{"name": "http", "port": address.port, "protocol": "TCP"}],
    }
    _keep(discovery.create_namespaced_endpoint_slice, discovery.patch_namespaced_endpoint_slice, body)


def _keep(create: Callable[..., Any], patch: Callable[..., Any], body: dict[str, Any]) -> None:
    try:
        create(NAMESPACE, body)
    except ApiException as error:
        if error.status != 409:
            raise
        patch(body["metadata"]["name"], NAMESPACE, body)


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
