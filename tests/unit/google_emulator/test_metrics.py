"""The time series that services record and Cloud Monitoring reads."""

from __future__ import annotations

import statistics
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from sandbox.google.emulator import Emulator
from sandbox.google.filters import compile_filter
from sandbox.google.metrics import RETENTION, Distribution, Metrics, bucket_bounds, metrics_of

NOON = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
BUCKETS = {"exponentialBuckets": {"numFiniteBuckets": 10, "growthFactor": 2.0, "scale": 1.0}}


@pytest.fixture
def metrics(tmp_path: Path) -> Metrics:
    return metrics_of(Emulator("http://127.0.0.1:1", tmp_path / "work"))


def record(metrics: Metrics, kind: Any, value_type: Any, value: Any, at: datetime, **labels: str) -> None:
    metrics.record(
        "test-project", f"x.googleapis.com/{kind}", kind, value_type, labels, "thing", {"id": "1"}, value, at
    )


def test_a_deltas_values_of_one_minute_are_one_point(metrics: Metrics) -> None:
    for seconds in (0, 5, 59, 61):
        record(metrics, "DELTA", "INT64", 2, NOON + timedelta(seconds=seconds))
    [series] = metrics.series("test-project")
    assert [(one.start, one.end, one.value) for one in series.points] == [
        (NOON, NOON + timedelta(seconds=59), 6),
        (NOON + timedelta(seconds=60), NOON + timedelta(seconds=61), 2),
    ]
    assert series.points[0].json("INT64")["value"] == {"int64Value": "6"}


def test_an_interval_is_read_without_its_start_and_with_its_end(metrics: Metrics) -> None:
    for second in range(4):
        record(metrics, "GAUGE", "DOUBLE", float(second), NOON + timedelta(seconds=second))
    [series] = metrics.series("test-project", start=NOON + timedelta(seconds=1), end=NOON + timedelta(seconds=3))
    assert [one.value for one in series.points] == [2.0, 3.0]
    assert metrics.series("test-project", start=NOON + timedelta(seconds=3)) == []
    assert metrics.series("other-project") == []
    with pytest.raises(ValueError, match="in order"):
        record(metrics, "GAUGE", "DOUBLE", 9.0, NOON)


def test_series_are_told_apart_by_labels_and_found_by_filters(metrics: Metrics) -> None:
    for code in ("2xx", "5xx"):
        record(metrics, "DELTA", "INT64", 1, NOON, response_code=code)
    wanted = compile_filter('metric.type = "x.googleapis.com/DELTA" AND metric.labels.response_code = "5xx"')
    number = metrics._emulator.projects.number("test-project")
    [found] = metrics.series(number, wanted)
    assert found.metric_labels == {"response_code": "5xx"} and found.resource_labels == {"id": "1"}
    metrics.forget("test-project", "x.googleapis.com/DELTA")
    assert metrics.series("test-project") == []


def test_old_points_are_forgotten(metrics: Metrics) -> None:
    record(metrics, "GAUGE", "INT64", 1, NOON)
    record(metrics, "GAUGE", "INT64", 2, NOON + RETENTION + timedelta(seconds=1))
    [series] = metrics.series("test-project")
    assert [one.value for one in series.points] == [2]


def test_distributions_add_up() -> None:
    values = [0.5, 1.0, 3.0, 900.0, 5000.0]
    total = Distribution.of(values[0], BUCKETS)
    for value in values[1:]:
        total = total.plus(Distribution.of(value, BUCKETS))
    assert total.mean == pytest.approx(statistics.mean(values))
    assert total.sum_of_squared_deviation == pytest.approx(statistics.pvariance(values) * len(values))
    # Below 1; 1 up to 2; 2 up to 4; 512 up to 1024; above.
    assert [n for n, count in enumerate(total.counts) if count] == [0, 1, 2, 10, 11]
    assert Distribution.from_json(total.json) == total
    with pytest.raises(ValueError, match="add up to 5"):
        Distribution.from_json(total.json | {"count": "6"})


@pytest.mark.parametrize(
    ("options", "bounds"),
    [
        (BUCKETS, [2.0**n for n in range(11)]),
        ({"linearBuckets": {"numFiniteBuckets": 2, "width": 5, "offset": 1}}, [1.0, 6.0, 11.0]),
        ({"explicitBuckets": {"bounds": [1, 10]}}, [1.0, 10.0]),
    ],
)
def test_buckets_are_between_their_bounds(options: Any, bounds: list[float]) -> None:
    assert bucket_bounds(options) == bounds
