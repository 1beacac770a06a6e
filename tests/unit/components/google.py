"""A model on Vertex AI under the mocks."""

from typing import Any

from modelberth import ModelDeployment, ModelEndpoint

from model_packaging.package import Package
from tests.unit.components.cloud import GCP, LOCATION, PROJECT, Deployed, deploy

IMAGE = f"{LOCATION}-docker.pkg.dev/{PROJECT}/shop-dev-modelberth/modelberth:0.1.0"
KEY = f"projects/{PROJECT}/locations/{LOCATION}/keyRings/models/cryptoKeys/packages"
ALARMS = {
    "latency_p95": {"above": "200ms"},
    "error_rate": {"above": "1%"},
    "drift.psi": {"above": 0.2},
    "monitor.runs": {"below": 1},
    "notify": ["mailto:ml@example.org", "https://example.org/hook"],
}


def google(program: Any, **more: Any) -> Deployed:
    """Run a program whose stack is in a project and a region."""
    return deploy(program, config=GCP | more.pop("config", {}), **more)


def endpoint(package: Package, **args: Any) -> Deployed:
    """A lone endpoint."""
    common = {"platform": "vertex", "package": package, "image": IMAGE, "bucket": "gs://models"}
    return google(lambda: ModelEndpoint("churn", common | args))


def model(package: Package, **changes: Any) -> dict[str, Any]:
    """The arguments of a whole deployment."""
    return {
        "platform": "vertex",
        "image": IMAGE,
        "package": package,
        "endpoint": {"capture": {"sample": 0.5}},
        "alarms": ALARMS,
    } | changes


def deployment(package: Package, **changes: Any) -> Deployed:
    return google(lambda: ModelDeployment("churn", model(package, **changes)))
