"""A model on Kubernetes under the mocks: the store's Secret, a whole deployment, and what its pods are."""

from collections.abc import Mapping
from typing import Any

from modelberth import ModelDeployment

from model_packaging.package import Package
from tests.unit.components.cloud import Deployed, deploy

IMAGE = "registry.example.org/modelberth@sha256:" + 64 * "a"
STORE = {
    "AWS_ACCESS_KEY_ID": "shop",
    "AWS_SECRET_ACCESS_KEY": "not to be seen",
    "AWS_ENDPOINT_URL_S3": "https://objects.example.org",
    "AWS_REGION": "us-east-1",
}
BUCKET = "shop-dev-churn-bucket"
NAMESPACE = "shop-dev-churn"
SECRETS = {"storage/objects": STORE, f"{NAMESPACE}/{BUCKET}": STORE, "default/models": STORE}
KSERVE: dict[str, dict[str, Any]] = {
    "ConfigMap/kserve/inferenceservice-config": {"data": {"deploy": '{"defaultDeploymentMode": "Standard"}'}},
    "Deployment/kserve/kserve-controller-manager": {
        "spec": {
            "template": {"spec": {"containers": [{"name": "manager", "image": "kserve/kserve-controller:v0.20.0"}]}}
        }
    },
}
WATCHED = {"prometheus_url": "http://prometheus.monitoring.svc:9090", "pushgateway_url": "http://push.monitoring:9091"}
ALARMS = {
    "latency_p95": {"above": "200ms"},
    "error_rate": {"above": "1%"},
    "drift.psi": {"above": 0.2},
    "monitor.runs": {"below": 1},
    "notify": ["mailto:ml@example.org", "https://example.org/hook"],
}


def planned(program: Any, **more: Any) -> Deployed:
    """What a program would make: the store is not asked, and the cluster knows its Secrets."""
    return deploy(program, preview=True, known=True, secrets=SECRETS, **more)


def model(package: Package, **changes: Any) -> dict[str, Any]:
    """The arguments of a whole deployment."""
    return {
        "platform": "kubernetes",
        "image": IMAGE,
        "package": package,
        "kubernetes": WATCHED,
        "bucket": {"kubernetes": {"secret": "storage/objects"}},
        "endpoint": {"capture": {"sample": 0.5}},
        "alarms": ALARMS,
    } | changes


def deployment(package: Package, **changes: Any) -> Deployed:
    return planned(lambda: ModelDeployment("churn", model(package, **changes)))


def variables(container: Mapping[str, Any]) -> dict[str, str]:
    """A container's variables whose values are written."""
    return {one["name"]: one["value"] for one in container["env"] if "value" in one}


def pods_of(deployed: Deployed) -> dict[str, dict[str, Any]]:
    """The specification of every pod, by the resource's name."""
    found: dict[str, dict[str, Any]] = {}
    for one in deployed.children:
        spec = one.inputs.get("spec") or {}
        if one.type.endswith(":CronJob"):
            spec = spec["jobTemplate"]["spec"]
        if "template" in spec:
            found[one.name] = spec["template"]["spec"]
    return found
