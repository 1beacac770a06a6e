"""Alignment and reduction of time series.

Sources: Cloud Monitoring API v3, Aggregation (which aligner and reducer takes which metric, and what it gives), and
"Filtering and aggregation: manipulating time series". ALIGN_INTERPOLATE and ALIGN_PERCENT_CHANGE are not emulated. A
DELTA's point counts in the period in which it ends; the service interpolates. The shares of a distribution's bucket are
taken as spread evenly, as "Distribution metrics: percentiles" says.
"""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sandbox.google.metrics import Distribution, Kind, Point, Series, Value, ValueType, bucket_bounds
from sandbox.google.monitoring.api import seconds

_NUMBER = {"INT64", "DOUBLE"}
_FLOWING = {"GAUGE", "DELTA"}
_ANY = {"BOOL", "INT64", "DOUBLE", "STRING", "DISTRIBUTION"}


@dataclass(frozen=True)
class _Function:
    """What makes one value of several. `kind` and `gives` are the result's, where they are not those of the input."""

    kinds: set[str]
    types: set[str]
    of: Callable[[list[Any], float], Value]
    kind: Kind | None = None
    gives: ValueType | None = None


def _total(values: list[Any]) -> Any:
    first, *rest = values
    for one in rest:
        first = first.plus(one) if isinstance(first, Distribution) else first + one
    return first


def _mean(values: list[Any]) -> float:
    if isinstance(values[0], Distribution):
        return float(_total(values).mean)
    return float(statistics.fmean(values))


def _deviation(values: list[Any]) -> float:
    if isinstance(values[0], Distribution):
        merged = _total(values)
        return math.sqrt(merged.sum_of_squared_deviation / merged.count) if merged.count else 0.0
    return statistics.pstdev(values)


def percentile(values: list[Any], share: float) -> float:
    """A percentile of numbers or of distributions' populations; 0 of an empty population."""
    if not isinstance(values[0], Distribution):
        ordered = sorted(float(one) for one in values)
        place = share * (len(ordered) - 1)
        low = int(place)
        high = min(low + 1, len(ordered) - 1)
        return ordered[low] + (ordered[high] - ordered[low]) * (place - low)
    merged: Distribution = _total(values)
    bounds, wanted, before = bucket_bounds(merged.buckets), share * merged.count, 0
    for number, count in enumerate(merged.counts):
        if count and before + count >= wanted:
            # The buckets at the ends have one bound only.
            low = bounds[number - 1] if number else min(0.0, bounds[0])
            high = bounds[number] if number < len(bounds) else low
            return low + (high - low) * (wanted - before) / count
        before += count
    return 0.0


def _percentiles(prefix: str, kinds: set[str], types: set[str]) -> dict[str, _Function]:
    def of(share: float) -> Callable[[list[Any], float], Value]:
        return lambda values, period: percentile(values, share)

    return {
        f"{prefix}_PERCENTILE_{digits}": _Function(kinds, types, of(int(digits) / 100), "GAUGE", "DOUBLE")
        for digits in ("99", "95", "50", "05")
    }


ALIGNERS: dict[str, _Function] = {
    "ALIGN_DELTA": _Function(
        {"CUMULATIVE", "DELTA"}, _NUMBER | {"DISTRIBUTION"}, lambda values, period: _total(values), "DELTA"
    ),
    "ALIGN_RATE": _Function(
        {"CUMULATIVE", "DELTA"}, _NUMBER, lambda values, period: sum(values) / period, "GAUGE", "DOUBLE"
    ),
    "ALIGN_NEXT_OLDER": _Function({"GAUGE"}, _ANY, lambda values, period: values[-1]),
    "ALIGN_MIN": _Function(_FLOWING, _NUMBER, lambda values, period: min(values)),
    "ALIGN_MAX": _Function(_FLOWING, _NUMBER, lambda values, period: max(values)),
    "ALIGN_MEAN": _Function(_FLOWING, _NUMBER, lambda values, period: _mean(values), gives="DOUBLE"),
    "ALIGN_COUNT": _Function(_FLOWING, _NUMBER | {"BOOL"}, lambda values, period: len(values), gives="INT64"),
    "ALIGN_SUM": _Function(_FLOWING, _NUMBER | {"DISTRIBUTION"}, lambda values, period: _total(values)),
    "ALIGN_STDDEV": _Function(_FLOWING, _NUMBER, lambda values, period: _deviation(values), gives="DOUBLE"),
    "ALIGN_COUNT_TRUE": _Function({"GAUGE"}, {"BOOL"}, lambda values, period: sum(values), gives="INT64"),
    "ALIGN_COUNT_FALSE": _Function(
        {"GAUGE"}, {"BOOL"}, lambda values, period: len(values) - sum(values), gives="INT64"
    ),
    "ALIGN_FRACTION_TRUE": _Function(
        {"GAUGE"}, {"BOOL"}, lambda values, period: sum(values) / len(values), gives="DOUBLE"
    ),
    **_percentiles("ALIGN", _FLOWING, {"DISTRIBUTION"}),
}
REDUCERS: dict[str, _Function] = {
    "REDUCE_MEAN": _Function(
        _FLOWING, _NUMBER | {"DISTRIBUTION"}, lambda values, period: _mean(values), gives="DOUBLE"
    ),
    "REDUCE_MIN": _Function(_FLOWING, _NUMBER, lambda values, period: min(values)),
    "REDUCE_MAX": _Function(_FLOWING, _NUMBER, lambda values, period: max(values)),
    "REDUCE_SUM": _Function(_FLOWING, _NUMBER | {"DISTRIBUTION"}, lambda values, period: _total(values)),
    "REDUCE_STDDEV": _Function(
        _FLOWING, _NUMBER | {"DISTRIBUTION"}, lambda values, period: _deviation(values), gives="DOUBLE"
    ),
    "REDUCE_COUNT": _Function(_FLOWING, _ANY, lambda values, period: len(values), gives="INT64"),
    "REDUCE_COUNT_TRUE": _Function(_FLOWING, {"BOOL"}, lambda values, period: sum(values), gives="INT64"),
    "REDUCE_COUNT_FALSE": _Function(
        _FLOWING, {"BOOL"}, lambda values, period: len(values) - sum(values), gives="INT64"
    ),
    "REDUCE_FRACTION_TRUE": _Function(
        _FLOWING, {"BOOL"}, lambda values, period: sum(values) / len(values), gives="DOUBLE"
    ),
    **_percentiles("REDUCE", _FLOWING, _NUMBER | {"DISTRIBUTION"}),
}


def shape(kind: Kind, value_type: ValueType, aggregation: dict[str, Any]) -> tuple[Kind, ValueType]:
    """The kind and type of what an aggregation gives. Raises ValueError where it does not take such a metric."""
    aligner = str(aggregation.get("perSeriesAligner", "ALIGN_NONE"))
    reducer = str(aggregation.get("crossSeriesReducer", "REDUCE_NONE"))
    if aligner == "ALIGN_NONE":
        if reducer != "REDUCE_NONE":
            raise ValueError(f"The reducer {reducer} needs an aligner other than ALIGN_NONE.")
        return kind, value_type
    for name, known in ((aligner, ALIGNERS), (reducer, REDUCERS)):
        if name == "REDUCE_NONE":
            continue
        function = known.get(name)
        if function is None:
            raise ValueError(f"The sandbox does not emulate {name}.")
        if kind not in function.kinds or value_type not in function.types:
            raise ValueError(
                f"The {'aligner' if known is ALIGNERS else 'reducer'} {name} cannot be applied to metrics with kind "
                f"{kind} and value type {value_type}."
            )
        kind, value_type = function.kind or kind, function.gives or value_type
    return kind, value_type


def lookback(aggregations: Iterable[dict[str, Any]]) -> timedelta:
    """How far before its end the data of an aggregated value begins."""
    return timedelta(seconds=sum(seconds(one.get("alignmentPeriod")) for one in aggregations))


def aggregate(found: list[Series], aggregations: Sequence[dict[str, Any]], ends: Sequence[datetime]) -> list[Series]:
    """Series with one value for each period that ends at one of the times and has data.

    The aggregations are applied in their order, each to what the one before it gives.
    """
    if not aggregations:
        return found
    *before, last = aggregations
    period = timedelta(seconds=seconds(last.get("alignmentPeriod")))
    if before:
        step = timedelta(seconds=seconds(before[-1].get("alignmentPeriod"))) or period
        earlier: set[datetime] = set()
        for end in ends:
            count = math.ceil(period / step)
            earlier.update(end - n * step for n in range(max(count, 1)))
        found = aggregate(found, before, sorted(earlier))
    aligner = str(last.get("perSeriesAligner", "ALIGN_NONE"))
    if aligner == "ALIGN_NONE":
        return found
    aligned = [_align(one, aligner, period, ends) for one in found]
    reducer = str(last.get("crossSeriesReducer", "REDUCE_NONE"))
    kept = [one for one in aligned if one.points]
    return kept if reducer == "REDUCE_NONE" else _reduce(kept, reducer, last.get("groupByFields", []))


def _align(series: Series, aligner: str, period: timedelta, ends: Sequence[datetime]) -> Series:
    function = ALIGNERS[aligner]
    kind, value_type = function.kind or series.kind, function.gives or series.value_type
    given = _growth(series.points) if series.kind == "CUMULATIVE" else [(one.end, one.value) for one in series.points]
    points: list[Point] = []
    for end in ends:
        values = [value for at, value in given if end - period < at <= end]
        if values:
            value = function.of(values, period.total_seconds())
            points.append(Point(end - period if kind == "DELTA" else end, end, value))
    return replace(series, kind=kind, value_type=value_type, points=points)


def _growth(points: Sequence[Point]) -> list[tuple[datetime, Value]]:
    """What a CUMULATIVE metric grew by with each point; a new start begins at zero."""
    found: list[tuple[datetime, Value]] = []
    last: Point | None = None
    for one in points:
        if last is not None and last.start == one.start:
            found.append((one.end, _less(one.value, last.value)))
        elif last is not None:
            found.append((one.end, one.value))
        last = one
    return found


def _less(value: Any, other: Any) -> Value:
    if isinstance(value, Distribution):
        counts = tuple(one - another for one, another in zip(value.counts, other.counts, strict=True))
        grown = sum(counts)
        mean = (value.mean * value.count - other.mean * other.count) / grown if grown else 0.0
        return Distribution(value.buckets, counts, mean)
    return value - other  # type: ignore[no-any-return]


def _reduce(aligned: list[Series], reducer: str, group_by: Sequence[str]) -> list[Series]:
    function = REDUCERS[reducer]
    groups: dict[str, list[Series]] = {}
    for one in aligned:
        metric_labels, resource_labels = _kept_labels(one, group_by)
        key = json.dumps([one.resource_type, metric_labels, resource_labels], sort_keys=True)
        groups.setdefault(key, []).append(one)
    found: list[Series] = []
    for members in groups.values():
        first = members[0]
        metric_labels, resource_labels = _kept_labels(first, group_by)
        by_end: dict[datetime, list[Point]] = {}
        for member in members:
            for point in member.points:
                by_end.setdefault(point.end, []).append(point)
        points = [
            Point(together[0].start, end, function.of([point.value for point in together], 1.0))
            for end, together in sorted(by_end.items())
        ]
        found.append(
            replace(
                first,
                metric_labels=metric_labels,
                resource_labels=resource_labels,
                kind=function.kind or first.kind,
                value_type=function.gives or first.value_type,
                points=points,
            )
        )
    return found


def _kept_labels(series: Series, group_by: Sequence[str]) -> tuple[dict[str, str], dict[str, str]]:
    """The labels that stay: those of the grouping, and the project, which all series of a request have in common."""
    kept: dict[str, dict[str, str]] = {"metric": {}, "resource": {}}
    given = {"metric": series.metric_labels, "resource": series.resource_labels}
    for field in group_by:
        part, _, name = field.replace('"', "").partition(".")
        label = name.removeprefix("labels.").removeprefix("label.")
        if label != name and label in given.get(part, {}):
            kept[part][label] = given[part][label]
    if "project_id" in series.resource_labels:
        kept["resource"]["project_id"] = series.resource_labels["project_id"]
    return kept["metric"], kept["resource"]
