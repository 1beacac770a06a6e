"""CloudWatch metrics: putting, statistics with percentiles, and metric math.

Sources: CloudWatch API reference (PutMetricData, GetMetricStatistics, GetMetricData, ListMetrics); user guide,
"CloudWatch statistics definitions".
"""

from __future__ import annotations

import math
import threading
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sandbox.aws import expressions
from sandbox.aws.api import ApiError, Call, operation, page
from sandbox.aws.expressions import ExpressionError, Series
from sandbox.clock import Clock

MAX_POINTS = 200_000
"""The newest points kept of one metric: days at any load that a sandbox sees."""

STATISTICS = ("SampleCount", "Average", "Sum", "Minimum", "Maximum")


@dataclass(slots=True)
class Point:
    """One value with its count, or a statistic set."""

    time: float
    sum: float
    minimum: float
    maximum: float
    count: float


Key = tuple[str, str, str, tuple[tuple[str, str], ...]]


def parameter_error(message: str, code: str = "InvalidParameterValue") -> ApiError:
    return ApiError(code, message)


class Metrics:
    """The metrics of the account, by region, namespace, name and dimensions."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._points: dict[Key, list[Point]] = {}
        self._units: dict[Key, str] = {}
        self._lock = threading.Lock()

    def put(
        self,
        region: str,
        namespace: str,
        name: str,
        dimensions: Mapping[str, str],
        values: Sequence[float] = (),
        counts: Sequence[float] = (),
        *,
        statistics: Mapping[str, float] | None = None,
        time: float | None = None,
        unit: str = "None",
    ) -> None:
        """Add values (each with its count) or a statistic set, now or at a given time."""
        moment = self._clock.time() if time is None else time
        if statistics:
            points = [
                Point(
                    moment,
                    statistics["Sum"],
                    statistics["Minimum"],
                    statistics["Maximum"],
                    statistics["SampleCount"],
                )
            ]
        else:
            weights = counts or [1.0] * len(values)
            points = [Point(moment, v * c, v, v, c) for v, c in zip(values, weights, strict=True)]
        key = (region, namespace, name, tuple(sorted(dimensions.items())))
        with self._lock:
            series = self._points.setdefault(key, [])
            self._units.setdefault(key, unit)
            late = bool(series) and series[-1].time > moment
            series.extend(points)
            if late:
                series.sort(key=lambda point: point.time)
            if len(series) > MAX_POINTS:
                del series[: len(series) - MAX_POINTS]

    def keys(self, region: str) -> list[Key]:
        with self._lock:
            return [key for key in self._points if key[0] == region]

    def unit(self, key: Key) -> str:
        return self._units.get(key, "None")

    def buckets(self, key: Key, start: float, end: float, period: int) -> dict[int, list[Point]]:
        """The points from `start` until before `end`, by the start of their period."""
        with self._lock:
            series = self._points.get(key, [])
            first = bisect_left(series, start, key=lambda point: point.time)
            last = bisect_left(series, end, key=lambda point: point.time)
            chosen = series[first:last]
        found: dict[int, list[Point]] = {}
        for point in chosen:
            found.setdefault(int(point.time // period * period), []).append(point)
        return found

    def series(self, key: Key, statistic: str, start: float, end: float, period: int) -> Series:
        """One statistic of a metric over time."""
        found: Series = {}
        for moment, points in self.buckets(key, start, end, period).items():
            value = aggregate(points, statistic)
            if value is not None:
                found[moment] = value
        return found


def aggregate(points: Sequence[Point], statistic: str) -> float | None:
    """One statistic of the points of a period; None where it has none."""
    count = sum(point.count for point in points)
    if not points or count <= 0:
        return None
    match statistic:
        case "SampleCount":
            return count
        case "Sum":
            return sum(point.sum for point in points)
        case "Average":
            return sum(point.sum for point in points) / count
        case "Minimum":
            return min(point.minimum for point in points)
        case "Maximum":
            return max(point.maximum for point in points)
        case _:
            return _percentile(points, float(statistic.removeprefix("p")) / 100)


def _percentile(points: Sequence[Point], fraction: float) -> float | None:
    """Linear interpolation between the values; none for a statistic set that spreads (user guide, "Percentiles")."""
    if any(point.minimum != point.maximum for point in points):
        return None
    values: list[tuple[float, float]] = sorted((point.minimum, point.count) for point in points)
    total = sum(count for _, count in values)
    rank = fraction * (total - 1)

    def at(position: float) -> float:
        passed = 0.0
        for value, count in values:
            passed += count
            if position < passed:
                return value
        return values[-1][0]

    low, high = at(math.floor(rank)), at(math.ceil(rank))
    return low + (high - low) * (rank - math.floor(rank))


def is_extended(statistic: str) -> bool:
    """Whether a statistic is a percentile, p0 to p100."""
    try:
        return statistic.startswith("p") and 0 <= float(statistic[1:]) <= 100
    except ValueError:
        return False


def seconds(moment: datetime) -> float:
    """Seconds since the epoch of a parsed request's time, which is naive UTC."""
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def dimension_map(dimensions: Sequence[Mapping[str, str]] | None) -> dict[str, str]:
    return {one["Name"]: one["Value"] for one in dimensions or []}


def metric_key(region: str, metric: Mapping[str, Any]) -> Key:
    """The key of a metric as the API names it."""
    dimensions = dimension_map(metric.get("Dimensions"))
    return (region, metric["Namespace"], metric["MetricName"], tuple(sorted(dimensions.items())))


def query(
    metrics: Metrics, region: str, queries: Sequence[Mapping[str, Any]], start: float, end: float
) -> dict[str, tuple[Series, int]]:
    """Compute metric data queries: their series and period by id; raises ExpressionError."""
    results: dict[str, tuple[Series, int]] = {}
    for one in queries:
        if one.get("MetricStat"):
            stat = one["MetricStat"]
            period = int(stat["Period"])
            series = metrics.series(metric_key(region, stat["Metric"]), stat["Stat"], start, end, period)
            results[one["Id"]] = (series, period)
    waiting = [one for one in queries if one.get("Expression")]
    while waiting:
        ready = [one for one in waiting if expressions.names(one["Expression"]) <= set(results)]
        if not ready:
            missing = sorted(expressions.names(waiting[0]["Expression"]) - set(results))
            raise ExpressionError(f"the expression {waiting[0]['Id']} uses unknown ids: {', '.join(missing)}")
        for one in ready:
            used = expressions.names(one["Expression"]) or set(results)
            period = max([results[name][1] for name in used], default=int(one.get("Period") or 60))
            times = range(int(start // period * period), math.ceil(end), period)
            inputs = {name: results[name][0] for name in results}
            results[one["Id"]] = (expressions.evaluate(one["Expression"], inputs, times, period), period)
            waiting.remove(one)
    return results


@operation("cloudwatch", "PutMetricData")
def put_metric_data(call: Call) -> None:
    if call.params["Namespace"].startswith("AWS/"):
        raise parameter_error("The value AWS/ for parameter Namespace is invalid: it is reserved for AWS products.")
    for index, datum in enumerate(call.params.get("MetricData") or [], 1):
        where = f"MetricData.member.{index}"
        values = datum.get("Values") or ([datum["Value"]] if datum.get("Value") is not None else [])
        statistics = datum.get("StatisticValues")
        if (datum.get("Values") and datum.get("Value") is not None) or (values and statistics):
            raise parameter_error(
                f"The parameters {where}.Value, {where}.Values and {where}.StatisticValues are mutually exclusive.",
                "InvalidParameterCombination",
            )
        if not values and not statistics:
            raise parameter_error(
                f"At least one of the parameters {where}.Value, Values or StatisticValues must be specified.",
                "MissingParameter",
            )
        counts = datum.get("Counts") or []
        if counts and len(counts) != len(values):
            raise parameter_error(f"The parameters {where}.Values and {where}.Counts must be of the same size.")
        if any(not math.isfinite(float(value)) for value in values):
            raise parameter_error(f"The value NaN or infinity for parameter {where}.Value is invalid.")
        call.emulator.metrics.put(
            call.region,
            call.params["Namespace"],
            datum["MetricName"],
            dimension_map(datum.get("Dimensions")),
            [float(value) for value in values],
            [float(count) for count in counts],
            statistics=statistics,
            time=seconds(datum["Timestamp"]) if datum.get("Timestamp") else None,
            unit=datum.get("Unit") or "None",
        )


@operation("cloudwatch", "GetMetricStatistics")
def get_metric_statistics(call: Call) -> dict[str, Any]:
    params = call.params
    plain, extended = params.get("Statistics") or [], params.get("ExtendedStatistics") or []
    if not plain and not extended:
        raise parameter_error("Must specify either Statistics or ExtendedStatistics", "InvalidParameterCombination")
    period = int(params["Period"])
    key = metric_key(call.region, params)
    start = seconds(params["StartTime"]) // period * period
    datapoints: list[dict[str, Any]] = []
    for moment, points in sorted(call.emulator.metrics.buckets(key, start, seconds(params["EndTime"]), period).items()):
        point: dict[str, Any] = {
            "Timestamp": datetime.fromtimestamp(moment, UTC),
            "Unit": call.emulator.metrics.unit(key),
            **{statistic: aggregate(points, statistic) for statistic in plain},
        }
        if extended:
            point["ExtendedStatistics"] = {statistic: aggregate(points, statistic) for statistic in extended}
        datapoints.append(point)
    return {"Label": params["MetricName"], "Datapoints": datapoints}


@operation("cloudwatch", "GetMetricData")
def get_metric_data(call: Call) -> dict[str, Any]:
    params = call.params
    queries = params["MetricDataQueries"]
    for index, one in enumerate(queries, 1):
        if bool(one.get("MetricStat")) == bool(one.get("Expression")):
            raise ApiError(
                "ValidationError", f"The parameter MetricDataQueries.member.{index} needs MetricStat or Expression."
            )
    start, end = seconds(params["StartTime"]), seconds(params["EndTime"])
    if start >= end:
        raise ApiError("ValidationError", "The parameter StartTime must be less than the parameter EndTime.")
    try:
        results = query(call.emulator.metrics, call.region, queries, start, end)
    except ExpressionError as error:
        raise ApiError("ValidationError", str(error)) from error
    ascending = params.get("ScanBy") == "TimestampAscending"
    told: list[dict[str, Any]] = []
    for one in queries:
        if one.get("ReturnData") is False:
            continue
        points = sorted(results[one["Id"]][0].items(), reverse=not ascending)
        metric = one.get("MetricStat", {}).get("Metric", {})
        told.append(
            {
                "Id": one["Id"],
                "Label": one.get("Label") or metric.get("MetricName") or one["Id"],
                "Timestamps": [datetime.fromtimestamp(moment, UTC) for moment, _ in points],
                "Values": [value for _, value in points],
                "StatusCode": "Complete",
            }
        )
    return {"MetricDataResults": told, "Messages": []}


@operation("cloudwatch", "ListMetrics")
def list_metrics(call: Call) -> dict[str, Any]:
    params = call.params
    wanted = params.get("Dimensions") or []
    found = [
        {
            "Namespace": namespace,
            "MetricName": name,
            "Dimensions": [{"Name": key, "Value": value} for key, value in dimensions],
        }
        for _, namespace, name, dimensions in sorted(call.emulator.metrics.keys(call.region))
        if params.get("Namespace") in (None, namespace)
        and params.get("MetricName") in (None, name)
        and all(
            dict(dimensions).get(one["Name"]) in ([one["Value"]] if "Value" in one else dict(dimensions).values())
            for one in wanted
        )
    ]
    metrics, token = page(found, params, 500)
    return {"Metrics": metrics, "NextToken": token}
