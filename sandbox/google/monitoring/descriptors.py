"""Metric descriptors, monitored resource descriptors and notification channel descriptors.

Sources: Cloud Monitoring API v3, projects.metricDescriptors (the prefixes of user-defined metrics, the labels' names),
"User-defined metrics overview" (the monitored resource types that they may be written for), "Monitored resource types",
projects.notificationChannelDescriptors.
"""

from __future__ import annotations

import copy
import re
from typing import Any

from sandbox.google.api import Call, Collection, Resource, listed
from sandbox.google.errors import GoogleError, invalid
from sandbox.google.metrics import PUBLISHED, metrics_of
from sandbox.google.monitoring.api import api, refuse

METRICS = "projects.metricDescriptors"
PREFIXES = ("custom.googleapis.com/", "external.googleapis.com/", "workload.googleapis.com/")
"""What the types of user-defined metrics begin with."""
_TYPE = re.compile(r"[A-Za-z0-9_./-]{1,200}")
_LABEL = re.compile(r"[a-zA-Z][a-zA-Z0-9_]{0,99}")

RESOURCES: dict[str, tuple[str, tuple[str, ...]]] = {
    "aiplatform.googleapis.com/Endpoint": (
        "Vertex AI Endpoint",
        ("resource_container", "location", "endpoint_id"),
    ),
    "gce_instance": ("VM Instance", ("project_id", "instance_id", "zone")),
    "gcs_bucket": ("GCS Bucket", ("project_id", "bucket_name", "location")),
    "generic_node": ("Generic Node", ("project_id", "location", "namespace", "node_id")),
    "generic_task": ("Generic Task", ("project_id", "location", "namespace", "job", "task_id")),
    "global": ("Global", ("project_id",)),
    "k8s_cluster": ("Kubernetes Cluster", ("project_id", "location", "cluster_name")),
    "k8s_container": (
        "Kubernetes Container",
        ("project_id", "location", "cluster_name", "namespace_name", "pod_name", "container_name"),
    ),
    "k8s_node": ("Kubernetes Node", ("project_id", "location", "cluster_name", "node_name")),
    "k8s_pod": ("Kubernetes Pod", ("project_id", "location", "cluster_name", "namespace_name", "pod_name")),
}
"""Some of the monitored resource types: their titles and labels."""
WRITABLE = ("gce_instance", "generic_node", "generic_task", "global", "k8s_cluster", "k8s_container", "k8s_node")
WRITABLE += ("k8s_pod",)
"""The types that user-defined metrics may be written for."""


def describe(call: Call, metric_type: str) -> Resource | None:
    """A metric's descriptor; None for a metric that does not exist."""
    return find_metric(call.emulator, call.canonical(call.name).split("/")[1], metric_type)


def find_metric(emulator: Any, project: str, metric_type: str) -> Resource | None:
    """A project's metric descriptor, of a service or of the user's own."""
    name = f"projects/{project}/metricDescriptors/{metric_type}"
    found = emulator.store.table(f"monitoring.{METRICS}").get(name)
    if found is not None:
        return copy.deepcopy(found)
    published = PUBLISHED.get(metric_type)
    return {"name": name, **copy.deepcopy(published)} if published is not None else None


def may_exist(metric_type: str) -> bool:
    """Whether a metric without a descriptor here may be one of a service that the sandbox does not emulate."""
    host = metric_type.partition("/")[0] + "/"
    emulated = host in (*PREFIXES, "logging.googleapis.com/") or any(one.startswith(host) for one in PUBLISHED)
    return "/" in metric_type and not emulated


def check_metric(descriptor: Resource) -> None:
    """Refuse a descriptor of a user's metric against the reference's rules."""
    metric_type = str(descriptor.get("type", ""))
    at = "metric_descriptor"
    if not metric_type.startswith(PREFIXES):
        raise refuse(f"{at}.type", metric_type, f"the type must begin with one of {', '.join(PREFIXES)}")
    if not _TYPE.fullmatch(metric_type):
        raise refuse(f"{at}.type", metric_type, "the type has at most 200 letters, digits, and /, ., _ and -.")
    kind, value_type = descriptor.get("metricKind"), descriptor.get("valueType")
    if kind not in ("GAUGE", "CUMULATIVE"):
        raise refuse(f"{at}.metric_kind", kind, "must be GAUGE or CUMULATIVE.")
    if value_type not in ("BOOL", "INT64", "DOUBLE", "DISTRIBUTION") or (kind, value_type) == ("CUMULATIVE", "BOOL"):
        raise refuse(f"{at}.value_type", value_type, f"is not supported for metrics of the kind {kind}.")
    labels = descriptor.get("labels", [])
    if len(labels) > 30:
        raise refuse(f"{at}.labels", len(labels), "a metric can have at most 30 labels.")
    for label in labels:
        if not _LABEL.fullmatch(str(label.get("key", ""))):
            raise refuse(f"{at}.labels.key", label.get("key"), "must match [a-zA-Z][a-zA-Z0-9_]*.")


api.add(Collection(METRICS, "metric descriptor", times=None))


@api.method(f"{METRICS}.create")
def create(call: Call) -> Resource:
    check_metric(call.body)
    project = call.canonical(call.name)
    descriptor = {
        **copy.deepcopy(call.body),
        "name": f"{project}/metricDescriptors/{call.body['type']}",
        "monitoredResourceTypes": list(WRITABLE),
    }
    with call.emulator.store.lock:
        before = call.table().get(descriptor["name"])
        if before and (before["metricKind"], before["valueType"]) != (
            descriptor["metricKind"],
            descriptor["valueType"],
        ):
            raise invalid(
                f"Metric {call.body['type']} exists with the kind {before['metricKind']} and the value type "
                f"{before['valueType']}, which cannot be changed: delete it first."
            )
        call.table()[descriptor["name"]] = descriptor
    return copy.deepcopy(descriptor)


@api.method(f"{METRICS}.get")
def get(call: Call) -> Resource:
    project, _, metric_type = call.canonical(call.name).partition("/metricDescriptors/")
    found = find_metric(call.emulator, project.split("/")[1], metric_type)
    if found is None:
        raise GoogleError("NOT_FOUND", f"Could not find descriptor for metric '{metric_type}'.")
    return found


@api.method(f"{METRICS}.list")
def list_metrics(call: Call) -> Resource:
    project = call.canonical(call.name)
    names = [{"name": f"{project}/metricDescriptors/{key}", **one} for key, one in sorted(PUBLISHED.items())]
    own = call.emulator.store.below(f"monitoring.{METRICS}", project)
    call.query["filter"] = str(call.query.get("filter", "")).replace("metric.type", "type")
    return listed(call, [*own, *copy.deepcopy(names)])


@api.method(f"{METRICS}.delete")
def delete(call: Call) -> Resource:
    project, _, metric_type = call.canonical(call.name).partition("/metricDescriptors/")
    if metric_type in PUBLISHED:
        raise invalid(f"{metric_type} is not a user-defined metric and cannot be deleted.")
    with call.emulator.store.lock:
        if call.table().pop(call.canonical(call.name), None) is None:
            raise GoogleError("NOT_FOUND", f"Could not find descriptor for metric '{metric_type}'.")
    metrics_of(call.emulator).forget(project.split("/")[1], metric_type)
    return {}


def _resource(call: Call, kind: str) -> Resource:
    title, labels = RESOURCES[kind]
    project = call.canonical(call.name).split("/")[1]
    return {
        "name": f"projects/{project}/monitoredResourceDescriptors/{kind}",
        "type": kind,
        "displayName": title,
        "labels": [{"key": label} for label in labels],
    }


@api.method("projects.monitoredResourceDescriptors.get")
def get_resource(call: Call) -> Resource:
    kind = call.name.partition("/monitoredResourceDescriptors/")[2]
    if kind not in RESOURCES:
        raise GoogleError("NOT_FOUND", f"Could not find monitored resource descriptor '{kind}'.")
    return _resource(call, kind)


@api.method("projects.monitoredResourceDescriptors.list")
def list_kinds(call: Call) -> Resource:
    call.query["filter"] = str(call.query.get("filter", "")).replace("resource.type", "type")
    return listed(call, [_resource(call, kind) for kind in RESOURCES])
