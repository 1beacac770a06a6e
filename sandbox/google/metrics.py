"""Time series in memory: what services measure and programs write, and what Cloud Monitoring reads.

A service names its metrics in PUBLISHED and records values with `Metrics.record`; monitoring.v3 reads them with
`Metrics.series`, and writes the points of custom metrics with `record`, too.

Sources: Cloud Monitoring API v3, TimeSeries, Point, TimeInterval, Distribution and BucketOptions; "Cloud Monitoring
quotas and limits" (data points are kept for six weeks).
"""

from __future__ import annotations

import bisect
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal
from weakref import WeakKeyDictionary

from sandbox.google.operations import timestamp

if TYPE_CHECKING:
    from sandbox.google.emulator import Emulator

Kind = Literal["GAUGE", "DELTA", "CUMULATIVE"]
ValueType = Literal["BOOL", "INT64", "DOUBLE", "STRING", "DISTRIBUTION"]

PUBLISHED: dict[str, dict[str, Any]] = {}
"""The metrics of the emulated services, by type, as MetricDescriptors without `name`."""

RETENTION = timedelta(weeks=6)
SAMPLE_SECONDS = 60
"""The length of a DELTA metric's intervals, in the emulator's time."""


@dataclass(frozen=True)
class Distribution:
    """A population of values: its size, mean and spread, and how many values are in each bucket.

    `buckets` is a BucketOptions as JSON; `counts` has one number for each bucket, the underflow bucket first.
    """

    buckets: Mapping[str, Any]
    counts: tuple[int, ...]
    mean: float = 0.0
    sum_of_squared_deviation: float = 0.0

    @property
    def count(self) -> int:
        return sum(self.counts)

    @classmethod
    def of(cls, value: float, buckets: Mapping[str, Any]) -> Distribution:
        """A population of one value."""
        bounds = bucket_bounds(buckets)
        # A bucket holds its lower bound and not its upper one.
        chosen = bisect.bisect_right(bounds, value)
        return cls(buckets, tuple(int(n == chosen) for n in range(len(bounds) + 1)), float(value))

    @classmethod
    def from_json(cls, given: Mapping[str, Any]) -> Distribution:
        """A distribution as the API has it. Raises ValueError where its counts are not those of its buckets."""
        buckets = given.get("bucketOptions", {})
        size = len(bucket_bounds(buckets)) + 1
        counts = [int(one) for one in given.get("bucketCounts", [])]
        if len(counts) > size:
            raise ValueError(f"there are {len(counts)} bucket counts, but only {size} buckets")
        if sum(counts) != int(given.get("count", 0)):
            raise ValueError(f"the bucket counts add up to {sum(counts)}, the count is {given.get('count', 0)}")
        counts += [0] * (size - len(counts))
        return cls(buckets, tuple(counts), float(given.get("mean", 0)), float(given.get("sumOfSquaredDeviation", 0)))

    def plus(self, other: Distribution) -> Distribution:
        """Both populations together; they have the same buckets."""
        total = self.count + other.count
        if total == 0:
            return self
        apart = other.mean - self.mean
        return Distribution(
            self.buckets,
            tuple(one + another for one, another in zip(self.counts, other.counts, strict=True)),
            self.mean + apart * other.count / total,
            self.sum_of_squared_deviation
            + other.sum_of_squared_deviation
            + apart**2 * self.count * other.count / total,
        )

    @property
    def json(self) -> dict[str, Any]:
        """The distribution as the API shows it: without the empty buckets at the end."""
        used = max((number for number, count in enumerate(self.counts, 1) if count), default=0)
        return {
            "count": str(self.count),
            "mean": self.mean,
            "sumOfSquaredDeviation": self.sum_of_squared_deviation,
            "bucketOptions": dict(self.buckets),
            "bucketCounts": [str(count) for count in self.counts[:used]],
        }


Value = bool | int | float | str | Distribution


def bucket_bounds(options: Mapping[str, Any]) -> list[float]:
    """The bounds between a BucketOptions' buckets, which are one more than the bounds."""
    if exponential := options.get("exponentialBuckets"):
        scale, growth = float(exponential["scale"]), float(exponential["growthFactor"])
        return [scale * growth**n for n in range(int(exponential["numFiniteBuckets"]) + 1)]
    if linear := options.get("linearBuckets"):
        offset, width = float(linear.get("offset", 0)), float(linear["width"])
        return [offset + width * n for n in range(int(linear["numFiniteBuckets"]) + 1)]
    return [float(one) for one in options.get("explicitBuckets", {}).get("bounds", [])]


_FIELDS = {
    "BOOL": "boolValue",
    "INT64": "int64Value",
    "DOUBLE": "doubleValue",
    "STRING": "stringValue",
    "DISTRIBUTION": "distributionValue",
}


@dataclass(frozen=True)
class Point:
    """A value of the interval from `start` to `end`; a GAUGE's has no length."""

    start: datetime
    end: datetime
    value: Value

    def json(self, value_type: str) -> dict[str, Any]:
        """The point as the API shows it."""
        value: Any = self.value.json if isinstance(self.value, Distribution) else self.value
        if value_type == "INT64":
            value = str(value)
        return {
            "interval": {"startTime": timestamp(self.start), "endTime": timestamp(self.end)},
            "value": {_FIELDS[value_type]: value},
        }


@dataclass
class Series:
    """One time series: a metric of a resource, each with all its labels. The oldest point comes first."""

    project: str
    metric_type: str
    metric_labels: dict[str, str]
    resource_type: str
    resource_labels: dict[str, str]
    kind: Kind
    value_type: ValueType
    points: list[Point] = field(default_factory=list)

    @property
    def described(self) -> dict[str, Any]:
        """The series as the API shows it, without its points: what a filter is about."""
        return {
            "metric": {"type": self.metric_type, "labels": dict(self.metric_labels)},
            "resource": {"type": self.resource_type, "labels": dict(self.resource_labels)},
            "metricKind": self.kind,
            "valueType": self.value_type,
        }


class Metrics:
    """The time series of all projects; projects are named by their ids."""

    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator
        self._series: dict[tuple[Any, ...], Series] = {}
        self._lock = threading.Lock()

    def record(
        self,
        project: str,
        metric_type: str,
        kind: Kind,
        value_type: ValueType,
        metric_labels: Mapping[str, str],
        resource_type: str,
        resource_labels: Mapping[str, str],
        value: Value,
        at: datetime | None = None,
        start: datetime | None = None,
    ) -> None:
        """Add a value to a time series, which comes into being with its first.

        A GAUGE's value is of the time `at`. A DELTA's value is what the metric grew by at that time: the values of
        one minute make one point, which is to be read at once and not only after the minute. A CUMULATIVE's value is
        the growth since `start`.

        Args:
            project: The project's id or number.
            at: The time of the value, or the end of its interval; now, by the emulator's clock, if none is given.
            start: The beginning of a CUMULATIVE's interval.

        Raises:
            ValueError: the time is not after that of the series' last point, or the series is of another kind.
        """
        when = at or self._emulator.clock.now()
        project = self._emulator.projects.id(project)
        key = (
            project,
            metric_type,
            tuple(sorted(metric_labels.items())),
            resource_type,
            tuple(sorted(resource_labels.items())),
        )
        with self._lock:
            series = self._series.get(key)
            if series is None:
                series = Series(
                    project,
                    metric_type,
                    dict(metric_labels),
                    resource_type,
                    dict(resource_labels),
                    kind,
                    value_type,
                )
                self._series[key] = series
            elif (series.kind, series.value_type) != (kind, value_type):
                raise ValueError(f"{metric_type} is {series.kind} and {series.value_type}, not {kind} and {value_type}")
            if kind == "DELTA":
                _grow(series, value, when)
            else:
                if series.points and when <= series.points[-1].end:
                    raise ValueError(
                        f"points must be in order: {timestamp(when)} is not after {timestamp(series.points[-1].end)}"
                    )
                series.points.append(Point(start or when, when, value))
            oldest = when - RETENTION
            while series.points and series.points[0].end < oldest:
                series.points.pop(0)

    def series(
        self,
        project: str,
        passes: Callable[[Mapping[str, Any]], bool] = lambda described: True,
        start: datetime | None = None,
        end: datetime | None = None,
    ) -> list[Series]:
        """Copies of a project's series that have points which end after `start` and not after `end`.

        Args:
            project: The project's id or number.
            passes: Whether a series, by its `described`, is wanted; `filters.compile_filter` makes such a function.
        """
        project = self._emulator.projects.id(project)
        found: list[Series] = []
        with self._lock:
            for one in self._series.values():
                if one.project != project or not passes(one.described):
                    continue
                points = [
                    point
                    for point in one.points
                    if (start is None or point.end > start) and (end is None or point.end <= end)
                ]
                if points:
                    found.append(
                        Series(
                            one.project,
                            one.metric_type,
                            dict(one.metric_labels),
                            one.resource_type,
                            dict(one.resource_labels),
                            one.kind,
                            one.value_type,
                            points,
                        )
                    )
        return found

    def forget(self, project: str, metric_type: str) -> None:
        """Remove all series of a metric, as a metric descriptor's deletion does."""
        project = self._emulator.projects.id(project)
        with self._lock:
            self._series = {
                key: one
                for key, one in self._series.items()
                if (one.project, one.metric_type) != (project, metric_type)
            }


def _grow(series: Series, value: Value, when: datetime) -> None:
    """Add to the point of the current minute, or begin the next one."""
    last = series.points[-1] if series.points else None
    minute = datetime.fromtimestamp(when.timestamp() // SAMPLE_SECONDS * SAMPLE_SECONDS, when.tzinfo)
    if last is not None and last.end > minute:
        total = last.value.plus(value) if isinstance(last.value, Distribution) else last.value + value  # type: ignore[operator,arg-type]
        series.points[-1] = Point(last.start, max(last.end, when), total)
    else:
        series.points.append(Point(minute, max(when, minute + timedelta(milliseconds=1)), value))


_all: WeakKeyDictionary[Emulator, Metrics] = WeakKeyDictionary()


def metrics_of(emulator: Emulator) -> Metrics:
    """The metrics of an emulator."""
    if emulator not in _all:
        _all[emulator] = Metrics(emulator)
    return _all[emulator]
