"""What Vertex AI tells Cloud Monitoring of online predictions.

Sources: "Google Cloud metrics", aiplatform (types, kinds, units, labels and descriptions of the descriptors below);
"Monitored resource types", aiplatform.googleapis.com/Endpoint; "Vertex AI monitoring metrics" (each instance of a
request counts as a prediction). Not published, and so ours: the buckets of the latencies, that the label
`resource_container` holds the project's id, and that a point can be read at once instead of after up to six minutes.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import psutil

from sandbox.google.metrics import PUBLISHED, SAMPLE_SECONDS, Distribution, Kind, Value, ValueType, metrics_of
from sandbox.google.vertex.api import location_of
from sandbox.google.vertex.exchange import LISTENERS, Exchange
from sandbox.google.vertex.hosting import Server, hosting_of

if TYPE_CHECKING:
    from sandbox.google.emulator import Emulator

RESOURCE = "aiplatform.googleapis.com/Endpoint"
_PREFIX = "aiplatform.googleapis.com/prediction/online/"
_LATENCY_BUCKETS = {"exponentialBuckets": {"numFiniteBuckets": 66, "growthFactor": 1.4, "scale": 1.0}}

_DEPLOYED = ("deployed_model_id", "The ID of the DeployedModel which serves the prediction request.")
_SPOT = ("spot", "Whether this deployment is on Spot VMs. Has values of True or False.")
_NAMES = (
    ("model_display_name", "The display name of the model specified by the user."),
    ("endpoint_display_name", "The display name of the endpoint specified by the user."),
)
_REPLICA = ("replica_id", "Unique ID corresponding to the deployed model replica.")
_PER_MODEL = (_DEPLOYED, _SPOT, *_NAMES)
_PER_REPLICA = (_DEPLOYED, _REPLICA, _SPOT)
_KINDS: dict[str, tuple[Kind, ValueType]] = {}


def _publish(
    name: str,
    kind: Kind,
    value_type: ValueType,
    unit: str,
    title: str,
    description: str,
    labels: tuple[tuple[str, str], ...],
) -> None:
    _KINDS[name] = (kind, value_type)
    PUBLISHED[_PREFIX + name] = {
        "type": _PREFIX + name,
        "metricKind": kind,
        "valueType": value_type,
        "unit": unit,
        "displayName": title,
        "description": description,
        "labels": [{"key": key, "description": text} for key, text in labels],
        "launchStage": "BETA",
        "monitoredResourceTypes": [RESOURCE],
    }


_publish(
    "cpu/utilization",
    "GAUGE",
    "DOUBLE",
    "10^2.%",
    "CPU utilization",
    "Fraction of CPU allocated by the deployed model replica and currently in use. May exceed 100% if the machine type "
    "has multiple CPUs.",
    _PER_REPLICA,
)
_publish("error_count", "DELTA", "INT64", "1", "Error count", "Number of online prediction errors.", _PER_MODEL)
_publish(
    "machine_count",
    "GAUGE",
    "INT64",
    "1",
    "Machine count",
    "Number of machines used by the deployed model.",
    _PER_MODEL,
)
_publish(
    "memory/bytes_used",
    "GAUGE",
    "INT64",
    "By",
    "Memory usage",
    "Amount of memory allocated by the deployed model replica and currently in use.",
    _PER_REPLICA,
)
_publish("prediction_count", "DELTA", "INT64", "1", "Prediction count", "Number of online predictions.", _PER_MODEL)
_publish(
    "prediction_latencies",
    "DELTA",
    "DISTRIBUTION",
    "ms",
    "Prediction Latencies",
    "Online prediction latency of the deployed model.",
    (_DEPLOYED, ("latency_type", 'One of the following "overhead", "model" or "total".'), _SPOT, *_NAMES),
)
_publish(
    "replicas",
    "GAUGE",
    "INT64",
    "1",
    "Replica count",
    "Number of active replicas used by the deployed model.",
    _PER_MODEL,
)
_publish(
    "response_count",
    "DELTA",
    "INT64",
    "1",
    "Response count",
    "Number of different online prediction response codes.",
    (_DEPLOYED, ("response_code", "HTTP response code (1xx, 2xx, 3xx, 4xx, 5xx)."), _SPOT, *_NAMES),
)
_publish(
    "target_replicas",
    "GAUGE",
    "INT64",
    "1",
    "Replica target",
    "Target number of active replicas needed for the deployed model.",
    _PER_MODEL,
)


def _record(
    emulator: Emulator,
    name: str,
    endpoint: dict[str, Any],
    deployed: dict[str, Any],
    value: Value,
    **labels: str,
) -> None:
    """Add a value of a metric of a deployed model; `labels` are those beside its own."""
    project = emulator.projects.id(endpoint["name"].split("/")[1])
    described = {one["key"] for one in PUBLISHED[_PREFIX + name]["labels"]}
    own = {
        "deployed_model_id": deployed["id"],
        "spot": str(bool(deployed.get("dedicatedResources", {}).get("spot"))),
        "model_display_name": deployed["displayName"],
        "endpoint_display_name": endpoint["displayName"],
    }
    resource = {
        "resource_container": project,
        "location": location_of(endpoint["name"]),
        "endpoint_id": endpoint["name"].rpartition("/")[2],
    }
    kind, value_type = _KINDS[name]
    metrics_of(emulator).record(
        project,
        _PREFIX + name,
        kind,
        value_type,
        {key: one for key, one in (own | labels).items() if key in described},
        RESOURCE,
        resource,
        value,
    )


def _count(exchange: Exchange) -> None:
    """Record one request to a deployed model."""

    def record(name: str, value: Value, **labels: str) -> None:
        _record(exchange.call.emulator, name, exchange.endpoint, exchange.deployed, value, **labels)

    record("prediction_count", _instances(exchange))
    record("response_count", 1, response_code=f"{exchange.status // 100}xx")
    if exchange.status >= 400:
        record("error_count", 1)
    for kind, seconds in (
        ("model", exchange.model_seconds),
        ("overhead", exchange.total_seconds - exchange.model_seconds),
        ("total", exchange.total_seconds),
    ):
        record("prediction_latencies", Distribution.of(seconds * 1000, _LATENCY_BUCKETS), latency_type=kind)


def _instances(exchange: Exchange) -> int:
    if exchange.raw:
        return 1
    return len(json.loads(exchange.request).get("instances", []))


LISTENERS.append(_count)


def watch(emulator: Emulator) -> None:
    """Sample what replicas use, every 60 seconds of the emulator's time and at most once in a second."""
    used: dict[int, tuple[float, float]] = {}
    while not emulator.stopping.wait(max(1.0, SAMPLE_SECONDS / emulator.clock.speed)):
        with emulator.store.lock, hosting_of(emulator).lock:
            servers = dict(hosting_of(emulator).servers)
            endpoints = {key: dict(one) for key, one in emulator.store.table(_ENDPOINTS).items()}
        for (name, deployed_id), server in servers.items():
            endpoint = endpoints.get(name, {})
            for deployed in endpoint.get("deployedModels", []):
                if deployed["id"] == deployed_id:
                    _sample(emulator, endpoint, deployed, server, used)


_ENDPOINTS = "aiplatform.projects.locations.endpoints"


def _sample(
    emulator: Emulator,
    endpoint: dict[str, Any],
    deployed: dict[str, Any],
    server: Server,
    used: dict[int, tuple[float, float]],
) -> None:
    replicas = int(deployed["dedicatedResources"]["minReplicaCount"])
    running = replicas if server.container.running else 0
    for name, value in (("replicas", running), ("machine_count", running), ("target_replicas", replicas)):
        _record(emulator, name, endpoint, deployed, value)
    key = server.container.process.pid
    now, busy, memory = time.monotonic(), 0.0, 0
    for process in server.container.processes():
        try:
            times = process.cpu_times()
            busy += times.user + times.system
            memory += process.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    before = used.get(key)
    used[key] = (now, busy)
    _record(emulator, "memory/bytes_used", endpoint, deployed, memory, replica_id=f"{deployed['id']}-0")
    if before is not None:
        fraction = max(0.0, busy - before[1]) / (now - before[0])
        _record(emulator, "cpu/utilization", endpoint, deployed, fraction, replica_id=f"{deployed['id']}-0")
