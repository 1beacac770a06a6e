"""Kubernetes: a cluster of the sandbox's own, or one that the stack's file names by its kubeconfig context."""

import json
import urllib.request
from collections.abc import Iterable
from typing import Any

import kubernetes

from sandbox.kubernetes import cluster, images, node, services
from sandbox.kubernetes.control_plane import CONTEXT
from sandbox.settings import HOME
from sandbox.stack_file import StackFile

FOLDER = HOME / "kubernetes"
IMAGE = "localhost/modelberth:sandbox"
"""The name under which a stack's file knows the image that was built from this checkout."""


def is_local(stack: StackFile) -> bool:
    """Whether the stack is deployed to the sandbox's own cluster."""
    return stack.config.get("kubernetes:context") == CONTEXT


def problems(stack: StackFile) -> list[str]:
    """Return what a stack on a cluster of the user's lacks, before anything is done."""
    try:
        api = kubernetes.config.new_client_from_config(context=stack.config.get("kubernetes:context"))
        kubernetes.client.VersionApi(api).get_code(_request_timeout=10)
    except Exception as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        return [
            f"stacks/Pulumi.{stack.name}.yaml: kubernetes:context: the cluster does not answer ({first}): look at "
            "`kubectl config get-contexts`, and log in"
        ]
    return []


def variables(stack: StackFile) -> dict[str, str]:
    """Return what kubectl and the engine need."""
    return {"KUBECONFIG": str(FOLDER / "kubeconfig")}


def ensure(stack: StackFile) -> str:
    """Start the cluster and what a model needs beside it, unless they run; without a node, what a preview needs.

    Raises:
        ModelberthError: something does not start.
    """
    running = cluster.start(FOLDER)
    if running.node is None:
        services.start_store(running)
        return _identity()
    services.start(running)
    image = images.serving_image()
    running.node.load(image)
    running.node.tag(image, IMAGE)
    return _identity()


def reasons_against_deploying(stack: StackFile) -> list[str]:
    """Why no pod can run here, though the API server judges every object."""
    return node.reasons_against()


def is_running(stack: StackFile) -> bool:
    """Whether the cluster runs."""
    try:
        return bool(_identity())
    except Exception:
        return False


def stop(stack: StackFile) -> bool:
    """End the cluster and forget all that was in it; tells whether there was one."""
    return cluster.remove(FOLDER)


def predict(endpoint: dict[str, Any], row: dict[str, Any], stack: StackFile) -> Any:
    """Ask an endpoint for one prediction, at the address of its Service."""
    core = kubernetes.client.CoreV1Api(_api())
    chosen = f"metadata.name={endpoint['name']}"
    (service,) = core.list_service_for_all_namespaces(field_selector=chosen).items
    request = urllib.request.Request(
        f"http://{service.spec.cluster_ip}/invocations",
        json.dumps({"instances": [row]}).encode(),
        {"Content-Type": "application/json", "Accept": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)["predictions"][0]


def alarm_states(names: Iterable[str], stack: StackFile) -> dict[str, str]:
    """Return the states of alarms by their names."""
    words = {"firing": "ALARM", "inactive": "OK", "pending": "OK"}
    found = {rule["name"]: words[rule["state"]] for rule in services.alerting_rules(FOLDER)}
    return {name: found[name] for name in names if name in found}


def command(endpoint: dict[str, Any], body: str) -> str:
    """Return a command that asks the endpoint."""
    path = endpoint["invoke_command"].removesuffix(" request.json")
    return f"echo '{body}' | {path} /dev/stdin"


def _identity() -> str:
    """The cluster's own, as it is usual: that of the namespace that each has."""
    return str(kubernetes.client.CoreV1Api(_api()).read_namespace("kube-system", _request_timeout=5).metadata.uid)


def _api() -> Any:
    return kubernetes.config.new_client_from_config(str(FOLDER / "kubeconfig"))
