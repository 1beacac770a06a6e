"""KServe's controller, built from its published Go module, as a process of the cluster's folder.

Its definitions, settings, rights and webhooks are those of its own release; what a cluster does with its Deployment
and with cert-manager, a process and the sandbox's authority do here.
https://kserve.github.io/website/docs/admin-guide/overview

Its webhooks listen on every address of the machine, since the program has no setting for it; they only judge and
complete objects that they are sent, and keep nothing.
"""

import base64
import json
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from kubernetes import config
from kubernetes.client import ApiextensionsV1Api
from kubernetes.dynamic import DynamicClient

from sandbox.kubernetes import programs
from sandbox.kubernetes.access import grant
from sandbox.kubernetes.control_plane import LOOPBACK, Cluster
from sandbox.kubernetes.processes import answers, stable_ports

NAMESPACE = "kserve"
SETTINGS = "inferenceservice-config"
CONTROLLER = "kserve-controller-manager"
_RELEASE = "kserve.yaml"
_PROCESS = "kserve"
_START_SECONDS = 120
_WEBHOOKS = ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration")
# What serves language models, and what keeps models on nodes, are controllers of their own.
_OTHERS = re.compile(r"llm|localmodel|inference\.networking")
_STANDARD: Mapping[str, Mapping[str, Any]] = {
    "deploy": {"defaultDeploymentMode": "Standard"},
    "ingress": {"disableIstioVirtualHost": True},
}


def start(cluster: Cluster, settings: Mapping[str, Mapping[str, Any]] = _STANDARD) -> None:
    """Install KServe and start its controller if it does not run; wait until it answers.

    Args:
        cluster: The control plane.
        settings: What differs from the release in the ConfigMap `inferenceservice-config`, by section.

    Raises:
        ModelberthError: it cannot be built or does not start; with the end of its log.
    """
    home = programs.folder(programs.KSERVE, _keep_release)
    documents = list(_documents(home / _RELEASE))
    ports = stable_ports(
        cluster.folder / "ports.json", ("kserve-webhooks", "kserve-health", "kserve-metrics"), LOOPBACK
    )
    install(cluster, [one for one in documents if one["kind"] not in _WEBHOOKS], settings)
    rules = next(one["rules"] for one in documents if one["kind"] == "ClusterRole")
    certificate, key = cluster.authority.issue("kserve-webhooks", "kserve-webhooks", hosts=(LOOPBACK,))
    # Where the controller looks for its certificate: below the folder for temporary files.
    scratch = cluster.folder / "kserve"
    served = scratch / "k8s-webhook-server" / "serving-certs"
    served.mkdir(parents=True, exist_ok=True)
    shutil.copy(certificate, served / "tls.crt")
    shutil.copy(key, served / "tls.key")
    cluster.processes.start(
        _PROCESS,
        [
            home / programs.KSERVE.executable,
            f"--kubeconfig={grant(cluster, _PROCESS, rules)}",
            f"--webhook-port={ports['kserve-webhooks']}",
            f"--health-probe-addr={LOOPBACK}:{ports['kserve-health']}",
            f"--metrics-addr={LOOPBACK}:{ports['kserve-metrics']}",
        ],
        {"POD_NAMESPACE": NAMESPACE, "TMPDIR": str(scratch)},
    )
    url = f"http://{LOOPBACK}:{ports['kserve-health']}/readyz"
    cluster.processes.wait(_PROCESS, lambda: answers(url), _START_SECONDS)
    webhooks = [one for one in documents if one["kind"] in _WEBHOOKS]
    _apply(cluster, [_at(one, ports["kserve-webhooks"], cluster.authority.certificate) for one in webhooks])


def install(cluster: Cluster, documents: list[dict[str, Any]], settings: Mapping[str, Mapping[str, Any]]) -> None:
    """Make what the release makes, without a pod for the controller and with some settings of its ConfigMap changed."""
    for one in documents:
        if one["kind"] == "Deployment":
            one["spec"]["replicas"] = 0
        if one["kind"] == "ConfigMap":
            for section, changes in settings.items():
                one["data"][section] = json.dumps(json.loads(one["data"].get(section, "{}")) | dict(changes))
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
    _apply(cluster, [namespace, *documents])
    # The controller ends where a definition is not served yet.
    cluster.processes.wait("kube-apiserver", lambda: _all_served(cluster), _START_SECONDS)


def _all_served(cluster: Cluster) -> bool:
    client = ApiextensionsV1Api(config.new_client_from_config(str(cluster.kubeconfig)))
    definitions = client.list_custom_resource_definition().items
    return all(
        any(condition.type == "Established" and condition.status == "True" for condition in one.status.conditions or [])
        for one in definitions
    )


def stop(cluster: Cluster) -> bool:
    """End the controller, and with it its webhooks, so that objects are still taken; tells whether it ran."""
    ran = cluster.processes.stop(_PROCESS)
    if ran:
        objects = DynamicClient(config.new_client_from_config(str(cluster.kubeconfig)))
        for kind in _WEBHOOKS:
            of_kind = objects.resources.get(api_version="admissionregistration.k8s.io/v1", kind=kind)
            for one in of_kind.get().items:
                if one.metadata.name.endswith(".serving.kserve.io"):
                    of_kind.delete(name=one.metadata.name)
    return ran


def _keep_release(target: Path, source_of: Callable[[str], Path]) -> None:
    """Put the release's objects beside the program."""
    version = programs.KSERVE.version
    shutil.copy(source_of("github.com/kserve/kserve") / "install" / version / _RELEASE, target / _RELEASE)
    (target / _RELEASE).chmod(0o644)


def _documents(release: Path) -> Iterator[dict[str, Any]]:
    """The objects of the controller of InferenceServices; most of the release is definitions of others."""
    wanted = ("CustomResourceDefinition", "ClusterRole", "ConfigMap", "Deployment", *_WEBHOOKS)
    for text in release.read_text().split("\n---\n"):
        kind = re.search(r"^kind: (\S+)", text, re.MULTILINE)
        if kind is None or kind[1] not in wanted:
            continue
        name = re.search(r"^metadata:\n(?:[ -].*\n)*?  name: (\S+)", text, re.MULTILINE)
        if name is None or _OTHERS.search(name[1]) or name[1] == "kserve-proxy-role":
            continue
        yield yaml.load(text, yaml.CSafeLoader)


def _at(webhooks: dict[str, Any], port: int, authority: Path) -> dict[str, Any]:
    """Lead webhooks to the process instead of to a Service."""
    webhooks["metadata"].pop("annotations", None)
    for one in webhooks["webhooks"]:
        path = one["clientConfig"]["service"]["path"]
        one["clientConfig"] = {
            "url": f"https://{LOOPBACK}:{port}{path}",
            "caBundle": base64.b64encode(authority.read_bytes()).decode(),
        }
    return webhooks


def _apply(cluster: Cluster, documents: list[dict[str, Any]]) -> None:
    objects = DynamicClient(config.new_client_from_config(str(cluster.kubeconfig)))
    for one in documents:
        objects.resources.get(api_version=one["apiVersion"], kind=one["kind"]).server_side_apply(
            body=one,
            name=one["metadata"]["name"],
            namespace=one["metadata"].get("namespace"),
            field_manager="sandbox",
            force_conflicts=True,
        )
