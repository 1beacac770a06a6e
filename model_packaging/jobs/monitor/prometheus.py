"""The monitor's numbers for Prometheus: as OpenMetrics text, and pushed to a Pushgateway.

A job that ends cannot be scraped; Prometheus' own way for such jobs is the Pushgateway ("When to use the
Pushgateway", Prometheus documentation: service-level batch jobs).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from importlib import import_module
from typing import Any

from prometheus_client import CollectorRegistry, Gauge

from model_packaging.errors import ModelberthError
from model_packaging.jobs.monitor.descriptions import DESCRIPTIONS
from model_packaging.jobs.monitor.measures import Measure
from model_packaging.metric_names import prometheus_name
from model_packaging.storage import explained

JOB = "modelberth-monitor"
"""The Pushgateway's group is this job with the label `endpoint`."""

CONTENT_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"


def open_metrics(endpoint: str, at: datetime, data: Sequence[Measure]) -> bytes:
    """The numbers as OpenMetrics text, without times, so that node_exporter's textfile collector takes it too."""
    exposition: Any = import_module("prometheus_client.openmetrics.exposition")  # its functions carry no types
    return exposition.generate_latest(_registry(endpoint, at, data))


def push(gateway: str, endpoint: str, at: datetime, data: Sequence[Measure]) -> None:
    """Replace the numbers of this endpoint that were measured; what was not keeps its last value, as the alarms on
    it do. ModelberthError where the gateway's address is none, StorageError where it does not take them."""
    if not gateway.startswith(("http://", "https://")):
        raise ModelberthError(f'MODELBERTH_METRICS is "prometheus:{gateway}": write prometheus:http://<host>:<port>')
    with explained(f"prometheus:{gateway}", "write metrics to"):
        client: Any = import_module("prometheus_client")
        client.pushadd_to_gateway(gateway, JOB, _registry(endpoint, at, data), {"endpoint": endpoint})


def _registry(endpoint: str, at: datetime, data: Sequence[Measure]) -> CollectorRegistry:
    registry = CollectorRegistry()
    gauges: dict[str, Gauge] = {}
    for one in data:
        labels = {"endpoint": endpoint} | ({"feature": one.feature} if one.feature is not None else {})
        if one.name not in gauges:
            meaning = DESCRIPTIONS.get(one.name, "the user's own metric")
            gauges[one.name] = Gauge(prometheus_name(one.name), meaning, list(labels), registry=registry)
        gauges[one.name].labels(**labels).set(at.timestamp() if one.name == "monitor.runs" else one.value)
    return registry
