"""Writing and reading time series.

Sources: Cloud Monitoring API v3, projects.timeSeries.create (what a point must be, when a descriptor is made of itself)
and list; "Cloud Monitoring quotas and limits" (one point in 5 seconds a series, at most 25 hours old and 5 minutes in
the future).
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from sandbox.google.api import Call, Resource
from sandbox.google.errors import GoogleError, Violation, invalid
from sandbox.google.metrics import Distribution, Kind, Series, Value, ValueType, metrics_of
from sandbox.google.monitoring.aggregation import aggregate, lookback, shape
from sandbox.google.monitoring.api import api, seconds
from sandbox.google.monitoring.descriptors import METRICS, PREFIXES, RESOURCES, WRITABLE, check_metric, find_metric
from sandbox.google.monitoring.filters import select
from sandbox.google.operations import timestamp
from sandbox.google.store import page

MOST_SERIES = 200
_FIELDS: dict[str, ValueType] = {
    "boolValue": "BOOL",
    "int64Value": "INT64",
    "doubleValue": "DOUBLE",
    "stringValue": "STRING",
    "distributionValue": "DISTRIBUTION",
}
_SAME_TIME_SECONDS = 60.0


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(UTC)


@api.method("projects.timeSeries.create", "projects.timeSeries.createService")
def create(call: Call) -> Resource:
    given = call.body.get("timeSeries", [])
    if not given:
        raise invalid("Field timeSeries must have at least one time series.", [("time_series", "must be specified")])
    if len(given) > MOST_SERIES:
        text = f"Field timeSeries had {len(given)} time series: at most {MOST_SERIES} are allowed in a request."
        raise invalid(text, [("time_series", text)])
    problems: list[tuple[int, str]] = []
    for number, one in enumerate(given):
        try:
            _write(call, one)
        except ValueError as error:
            problems.append((number, str(error)))
    if problems:
        told = "; ".join(f"timeSeries[{number}]: {why}" for number, why in problems)
        violations: list[Violation] = [(f"time_series[{number}]", why) for number, why in problems]
        raise invalid(f"One or more TimeSeries could not be written: {told}", violations)
    return {}


def _write(call: Call, given: Resource) -> None:
    """Write one series' point. Raises ValueError with the reason."""
    project = call.canonical(call.name).split("/")[1]
    metric, resource = given.get("metric", {}), given.get("resource", {})
    metric_type, labels = str(metric.get("type", "")), dict(metric.get("labels", {}))
    if not metric_type.startswith(PREFIXES):
        raise ValueError(
            f'The metric type "{metric_type}" is not one that a user may write: it must begin with one of '
            f"{', '.join(PREFIXES)}"
        )
    resource_type = str(resource.get("type", ""))
    if resource_type not in WRITABLE:
        raise ValueError(
            f'The monitored resource type "{resource_type}" cannot have user-defined metrics; use one of '
            f"{', '.join(WRITABLE)}"
        )
    resource_labels = {"project_id": project, **resource.get("labels", {})}
    if unknown := sorted(set(resource_labels) - set(RESOURCES[resource_type][1])):
        raise ValueError(f"The monitored resource type {resource_type} has no label {', '.join(unknown)}")
    points = given.get("points", [])
    if len(points) != 1:
        raise ValueError(f"exactly one point must be written, not {len(points)}")
    field, raw = next(iter(points[0].get("value", {}).items()), ("", None))
    if field not in _FIELDS:
        raise ValueError("the point has no value")
    value_type = _FIELDS[field]
    descriptor = _descriptor(call, project, metric_type, given, labels, value_type)
    if descriptor["valueType"] != value_type:
        raise ValueError(f"Value type for metric {metric_type} must be {descriptor['valueType']}, but is {value_type}")
    known = {label["key"] for label in descriptor.get("labels", [])}
    if unknown := sorted(set(labels) - known):
        raise ValueError(f"unrecognized metric label {', '.join(unknown)} of {metric_type}")
    end, start = _times(call, points[0].get("interval", {}), str(descriptor["metricKind"]))
    metrics = metrics_of(call.emulator)
    metrics.record(
        project,
        metric_type,
        cast("Kind", descriptor["metricKind"]),
        value_type,
        labels,
        resource_type,
        {key: str(value) for key, value in resource_labels.items()},
        _value(value_type, raw),
        end,
        start,
    )


def _descriptor(
    call: Call, project: str, metric_type: str, given: Resource, labels: dict[str, Any], value_type: str
) -> Resource:
    """The metric's descriptor; it is made of a metric's first point, and gets the labels that come later."""
    found = find_metric(call.emulator, project, metric_type)
    if found is None:
        found = {"type": metric_type, "metricKind": given.get("metricKind", "GAUGE"), "valueType": value_type}
        try:
            check_metric(found)
        except GoogleError as error:
            raise ValueError(error.message) from error
        found["name"] = f"projects/{project}/metricDescriptors/{metric_type}"
        found["monitoredResourceTypes"] = list(WRITABLE)
    elif given.get("metricKind") not in (None, "METRIC_KIND_UNSPECIFIED", found["metricKind"]):
        raise ValueError(
            f"Metric kind for metric {metric_type} must be {found['metricKind']}, but is {given['metricKind']}"
        )
    known = found.setdefault("labels", [])
    known += [{"key": key} for key in labels if key not in {label["key"] for label in known}]
    with call.emulator.store.lock:
        call.emulator.store.table(f"monitoring.{METRICS}")[found["name"]] = found
    return found


def _times(call: Call, interval: Resource, kind: str) -> tuple[datetime, datetime | None]:
    """A point's times, by the emulator's clock.

    What runs in the emulator has this machine's clock, which a faster one of the emulator leaves behind: a point of
    this moment is one of the emulator's moment.
    """
    if "endTime" not in interval:
        raise ValueError("the point's interval has no end time")
    clock, wall = call.emulator.clock, time.time()
    end = _moment(interval["endTime"])
    start = _moment(interval["startTime"]) if interval.get("startTime") else None
    if kind == "GAUGE" and start not in (None, end):
        raise ValueError("the start time of a GAUGE metric's point must be its end time")
    if kind == "CUMULATIVE" and (start is None or start >= end):
        raise ValueError("the start time of a CUMULATIVE metric's point must be before its end time")

    def ours(at: datetime) -> datetime:
        return datetime.fromtimestamp(clock.time() - (wall - at.timestamp()) * clock.speed, UTC)

    if abs(end.timestamp() - wall) < _SAME_TIME_SECONDS:
        end, start = ours(end), ours(start) if start else None
    now = clock.now()
    if end > now + timedelta(minutes=5) or end < now - timedelta(hours=25):
        raise ValueError(
            f"Data points cannot be written more than 25h in the past or 5m in the future: {timestamp(end)}"
        )
    return end, start if kind == "CUMULATIVE" else None


def _value(value_type: str, raw: Any) -> Value:
    if value_type == "DISTRIBUTION":
        return Distribution.from_json(raw)
    if value_type == "INT64":
        return int(raw)
    return float(raw) if value_type == "DOUBLE" else raw


@api.method("projects.timeSeries.list")
def list_series(call: Call) -> Resource:
    query = call.query
    for name in ("filter", "interval.endTime"):
        if not query.get(name):
            raise invalid(f"Field {name} must be specified.", [(name, "must be specified")])
    selection = select(str(query["filter"]))
    if selection.metric_type is None and "metric.type" not in str(query["filter"]):
        text = "Field filter must specify a single metric type with metric.type."
        raise invalid(text, [("filter", text)])
    project = call.canonical(call.name).split("/")[1]
    if selection.metric_type is not None and find_metric(call.emulator, project, selection.metric_type) is None:
        raise GoogleError(
            "NOT_FOUND",
            f'Cannot find metric(s) that match type = "{selection.metric_type}". If a metric was created recently, it '
            "could take up to 10 minutes to become available. Please try again soon.",
        )
    end = _moment(str(query["interval.endTime"]))
    start = _moment(str(query.get("interval.startTime") or query["interval.endTime"]))
    if start > end:
        text = "The start time must not be later than the end time."
        raise invalid(text, [("interval.start_time", text)])
    aggregations = [one for one in (_asked(query, "aggregation"), _asked(query, "secondaryAggregation")) if one]
    earliest = start - lookback(aggregations) - timedelta(microseconds=1)
    found = metrics_of(call.emulator).series(project, selection.passes, earliest, end)
    if aggregations:
        for one in found:
            kind, value_type = one.kind, one.value_type
            for aggregation in aggregations:
                try:
                    kind, value_type = shape(kind, value_type, aggregation)
                except ValueError as error:
                    raise invalid(str(error), [("aggregation", str(error))]) from error
        found = aggregate(found, aggregations, _ends(start, end, aggregations))
    shown = [_shown(one, with_points=query.get("view") != "HEADERS") for one in found]
    items, token = page(shown, {"pageToken": query.get("pageToken"), "pageSize": query.get("pageSize")}, size=100_000)
    answer: Resource = {"timeSeries": items} if items else {}
    return answer | ({"nextPageToken": token} if token else {})


def _asked(query: dict[str, Any], prefix: str) -> dict[str, Any]:
    found = {name: query[f"{prefix}.{name}"] for name in _AGGREGATION if query.get(f"{prefix}.{name}")}
    if found.get("perSeriesAligner", "ALIGN_NONE") == "ALIGN_NONE" and "crossSeriesReducer" not in found:
        return {}
    if seconds(found.get("alignmentPeriod")) < 60:
        text = f"Field {prefix}.alignmentPeriod must be at least 60 seconds."
        raise invalid(text, [(f"{prefix}.alignment_period", text)])
    return found


_AGGREGATION = ("alignmentPeriod", "perSeriesAligner", "crossSeriesReducer", "groupByFields")


def _ends(start: datetime, end: datetime, aggregations: list[dict[str, Any]]) -> list[datetime]:
    """The ends of the periods, counted back from the interval's end."""
    step = timedelta(seconds=seconds(aggregations[-1]["alignmentPeriod"]))
    found = [end]
    while found[-1] - step > start:
        found.append(found[-1] - step)
    return found[::-1]


def _shown(series: Series, with_points: bool) -> Resource:
    answer = series.described
    if with_points:
        answer["points"] = [point.json(series.value_type) for point in reversed(series.points)]
    return answer
