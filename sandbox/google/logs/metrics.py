"""Log-based metrics: each counts the entries that match its filter, or takes a value from them.

Source: Cloud Logging API v2, projects.metrics (LogMetric: the default descriptor, extractors, the metric's type
`logging.googleapis.com/user/NAME`).
"""

from __future__ import annotations

import copy
import re
from typing import TYPE_CHECKING, Any

from sandbox.google.api import Call, Collection, Resource, listed
from sandbox.google.errors import GoogleError, invalid
from sandbox.google.filters import values
from sandbox.google.logs.api import METRICS, api, select
from sandbox.google.metrics import Distribution, metrics_of
from sandbox.google.monitoring.descriptors import METRICS as DESCRIPTORS

if TYPE_CHECKING:
    from sandbox.google.emulator import Emulator

_NAME = re.compile(r"[A-Za-z0-9_\-.,+!*'()%][A-Za-z0-9_\-.,+!*'()%/]{0,99}")
_EXTRACTOR = re.compile(r'(?:EXTRACT\(([\w.]+)\)|REGEXP_EXTRACT\(([\w.]+),\s*"(.+)"\))')
_DEFAULT_BUCKETS = {"exponentialBuckets": {"numFiniteBuckets": 64, "growthFactor": 2.0, "scale": 0.01}}

api.add(Collection(METRICS, "metric"))


def _check(call: Call, metric: Resource) -> Resource:
    """A metric's descriptor; raises INVALID_ARGUMENT for a bad metric."""
    name = str(metric.get("name", ""))
    if not _NAME.fullmatch(name):
        raise invalid(f"The metric name {name!r} has up to 100 characters of A-Z, a-z, 0-9 and _-.,+!*',()%/.")
    if not metric.get("filter"):
        raise invalid("The filter of a log-based metric must be specified.", [("metric.filter", "must be specified")])
    select(metric["filter"])
    given = metric.get("metricDescriptor", {})
    value_type = given.get("valueType", "INT64")
    if value_type not in ("INT64", "DISTRIBUTION") or given.get("metricKind", "DELTA") != "DELTA":
        raise invalid("A log-based metric is of the kind DELTA and the type INT64 or DISTRIBUTION.")
    if (value_type == "DISTRIBUTION") != bool(metric.get("valueExtractor")):
        raise invalid("A value extractor is required for a distribution metric, and for none other.")
    extractors = metric.get("labelExtractors", {})
    if {one["key"] for one in given.get("labels", [])} != set(extractors):
        raise invalid("Each label of a log-based metric needs a label extractor, and each extractor a label.")
    for text in (metric.get("valueExtractor"), *extractors.values()):
        if text and not _EXTRACTOR.fullmatch(text):
            raise invalid(f'The extractor {text} must be EXTRACT(field) or REGEXP_EXTRACT(field, "regex").')
    project = call.canonical(call.name).split("/")[1]
    metric_type = f"logging.googleapis.com/user/{name}"
    return {
        "name": f"projects/{project}/metricDescriptors/{metric_type}",
        "labels": given.get("labels", []),
        "metricKind": "DELTA",
        "valueType": value_type,
        "unit": given.get("unit", "1"),
        "description": metric.get("description", ""),
        "displayName": given.get("displayName", ""),
        "type": metric_type,
    }


def _keep(call: Call, resource_name: str, metric: Resource, *, new: bool) -> Resource:
    descriptor = _check(call, metric)
    metric["resourceName"] = resource_name
    metric["metricDescriptor"] = descriptor
    if descriptor["valueType"] == "DISTRIBUTION":
        metric.setdefault("bucketOptions", copy.deepcopy(_DEFAULT_BUCKETS))
    call.touch(metric, new=new)
    call.table()[resource_name] = metric
    call.emulator.store.table(f"monitoring.{DESCRIPTORS}")[descriptor["name"]] = {
        key: value for key, value in descriptor.items() if value
    }
    return copy.deepcopy(metric)


@api.method(f"{METRICS}.create")
def create(call: Call) -> Resource:
    metric = copy.deepcopy(call.body)
    name = f"{call.canonical(call.name)}/metrics/{metric.get('name', '')}"
    with call.emulator.store.lock:
        if name in call.table():
            raise GoogleError("ALREADY_EXISTS", f"Metric {metric['name']} already exists.")
        return _keep(call, name, metric, new=True)


@api.method(f"{METRICS}.update")
def update(call: Call) -> Resource:
    """Replace a metric, or make it: the method does both."""
    name = call.canonical(call.name)
    with call.emulator.store.lock:
        before = call.table().get(name, {})
        metric = {**copy.deepcopy(call.body), "name": name.partition("/metrics/")[2]}
        if "createTime" in before:
            metric["createTime"] = before["createTime"]
        return _keep(call, name, metric, new=not before)


@api.method(f"{METRICS}.get")
def get(call: Call) -> Resource:
    with call.emulator.store.lock:
        return copy.deepcopy(call.find())


@api.method(f"{METRICS}.list")
def list_metrics(call: Call) -> Resource:
    return listed(call, call.emulator.store.below(f"logging.{METRICS}", call.canonical(call.name)))


@api.method(f"{METRICS}.delete")
def delete(call: Call) -> Resource:
    with call.emulator.store.lock:
        metric = call.find()
        del call.table()[metric["resourceName"]]
        call.emulator.store.table(f"monitoring.{DESCRIPTORS}").pop(metric["metricDescriptor"]["name"], None)
    return {}


def count(emulator: Emulator, entry: Resource) -> None:
    """Let an entry count in the metrics of its project that it matches."""
    project = entry["logName"].split("/")[1]
    with emulator.store.lock:
        found = [
            copy.deepcopy(one)
            for name, one in emulator.store.table(f"logging.{METRICS}").items()
            if name.startswith(f"projects/{project}/") and not one.get("disabled")
        ]
    for metric in found:
        if not select(metric["filter"])(entry):
            continue
        labels = {key: str(_extract(text, entry) or "") for key, text in metric.get("labelExtractors", {}).items()}
        value: Any = 1
        if metric.get("valueExtractor"):
            try:
                value = Distribution.of(float(_extract(metric["valueExtractor"], entry)), metric["bucketOptions"])
            except (TypeError, ValueError):
                continue
        descriptor = metric["metricDescriptor"]
        metrics_of(emulator).record(
            project,
            descriptor["type"],
            "DELTA",
            descriptor["valueType"],
            labels,
            entry["resource"]["type"],
            {key: str(one) for key, one in entry["resource"].get("labels", {}).items()},
            value,
        )


def _extract(text: str, entry: Resource) -> Any:
    found = _EXTRACTOR.fullmatch(text)
    assert found is not None
    field = found[1] or found[2]
    value = next(iter(values(entry, field)), None)
    if found[3] is None or value is None:
        return value
    matched = re.search(found[3].replace('\\"', '"').replace("\\\\", "\\"), str(value))
    return matched[1] if matched and matched.groups() else None
