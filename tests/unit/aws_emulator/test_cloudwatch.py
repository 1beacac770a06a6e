"""CloudWatch metrics and metric math. Sources stand in sandbox/aws/cloudwatch.py and expressions.py."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sandbox.aws.cloudwatch import Point, aggregate
from sandbox.aws.expressions import ExpressionError, evaluate, names
from tests.unit.aws_emulator.conftest import Account, refused

A, B = {0: 1.0, 60: 2.0, 120: 4.0}, {0: 10.0, 120: 0.0}


@pytest.mark.parametrize(
    ("expression", "result"),
    [
        ("a + b", {0: 11.0, 120: 4.0}),
        ("a / b", {0: 0.1}),  # a division by zero yields no point
        ("a ^ 2", {0: 1.0, 60: 4.0, 120: 16.0}),
        ("IF(a > 1 AND a < 4, 1, 0)", {0: 0.0, 60: 1.0, 120: 0.0}),
        ("FILL(b, 7)", {0: 10.0, 60: 7.0, 120: 0.0}),
        ("FILL(b, REPEAT)", {0: 10.0, 60: 10.0, 120: 0.0}),
        ("SUM([a, b])", {0: 11.0, 60: 2.0, 120: 4.0}),
        ("MAX(METRICS())", {0: 10.0, 60: 2.0, 120: 4.0}),
        ("SUM(a)", {0: 7.0, 60: 7.0, 120: 7.0}),
        ("a / PERIOD(a)", {0: 1 / 60, 60: 2 / 60, 120: 4 / 60}),
        ("DIFF(a)", {60: 1.0, 120: 2.0}),
        ("RATE(a)", {60: 1 / 60, 120: 2 / 60}),
        ("-ABS(a - 2)", {0: -1.0, 60: 0.0, 120: -2.0}),
        ("a = 2 OR a >= 4", {0: 0.0, 60: 1.0, 120: 1.0}),
    ],
)
def test_metric_math_computes_point_by_point(expression: str, result: dict[int, float]) -> None:
    assert evaluate(expression, {"a": A, "b": B}, range(0, 180, 60), 60) == pytest.approx(result)


def test_metric_math_refuses_what_it_does_not_know() -> None:
    assert names("IF(a > 1, FILL(b, REPEAT), 0)") == {"a", "b"}
    for expression in ("SEARCH('x', 'Sum')", "a +", "a; b", "c + 1", "METRICS()", "__import__('os')", "a.b"):
        with pytest.raises(ExpressionError):
            evaluate(expression, {"a": A, "b": B}, range(0, 180, 60), 60)


def test_percentiles_interpolate_and_need_single_values() -> None:
    points = [Point(0, value, value, value, 1) for value in range(1, 101)]
    assert aggregate(points, "p50") == pytest.approx(50.5)
    assert aggregate(points, "p99") == pytest.approx(99.01)
    assert aggregate(points, "p100") == 100
    assert aggregate([Point(0, 30.0, 10.0, 10.0, 3)], "p90") == 10
    # User guide, "Percentiles": none of a statistic set that spreads.
    assert aggregate([Point(0, 30.0, 1.0, 20.0, 3)], "p90") is None


def test_statistics_and_math_over_the_wire(account: Account) -> None:
    cloudwatch, space = account("cloudwatch"), account.name("space")
    now = datetime.now(UTC).replace(second=0, microsecond=0)
    dimensions = [{"Name": "EndpointName", "Value": "e"}]
    cloudwatch.put_metric_data(
        Namespace=space,
        MetricData=[
            {
                "MetricName": "latency",
                "Dimensions": dimensions,
                "Values": [1.0, 2.0, 10.0],
                "Counts": [1, 1, 2],
                "Timestamp": now,
                "Unit": "Milliseconds",
            },
            {
                "MetricName": "set",
                "StatisticValues": {"Sum": 6, "SampleCount": 3, "Minimum": 1, "Maximum": 3},
                "Timestamp": now,
            },
        ],
    )
    window = {"StartTime": now - timedelta(minutes=5), "EndTime": now + timedelta(minutes=1)}
    point = cloudwatch.get_metric_statistics(
        Namespace=space,
        MetricName="latency",
        Dimensions=dimensions,
        Period=60,
        Statistics=["Average", "SampleCount", "Maximum"],
        **window,
    )["Datapoints"][0]
    assert (point["Average"], point["SampleCount"], point["Maximum"]) == (5.75, 4, 10)
    assert point["Unit"] == "Milliseconds"
    extended = cloudwatch.get_metric_statistics(
        Namespace=space,
        MetricName="latency",
        Dimensions=dimensions,
        Period=60,
        ExtendedStatistics=["p50"],
        **window,
    )["Datapoints"][0]["ExtendedStatistics"]
    assert extended == {"p50": 6.0}
    # Without its dimensions it is another metric.
    bare = {"Metric": {"Namespace": space, "MetricName": "latency"}, "Period": 60, "Stat": "Sum"}
    full = {
        "Metric": {"Namespace": space, "MetricName": "latency", "Dimensions": dimensions},
        "Period": 60,
        "Stat": "p50",
    }
    queries: list[dict[str, Any]] = [
        {"Id": "bare", "MetricStat": bare},
        {"Id": "full", "MetricStat": full, "ReturnData": False},
        {"Id": "double", "Expression": "full * 2"},
    ]
    found = cloudwatch.get_metric_data(MetricDataQueries=queries, **window)["MetricDataResults"]
    assert {one["Id"]: one["Values"] for one in found} == {"bare": [], "double": [12.0]}
    listed = cloudwatch.list_metrics(Namespace=space, Dimensions=[{"Name": "EndpointName"}])["Metrics"]
    assert [one["MetricName"] for one in listed] == ["latency"]


def test_data_that_cannot_be_are_refused(account: Account) -> None:
    put = account("cloudwatch").put_metric_data
    for space, datum, text in (
        ("AWS/SageMaker", {"Value": 1.0}, "reserved for AWS"),
        ("n", {}, "must be specified"),
        ("n", {"Value": float("nan")}, "NaN"),
        ("n", {"Value": 1.0, "Values": [1.0]}, "mutually exclusive"),
        ("n", {"Values": [1.0, 2.0], "Counts": [1.0]}, "same size"),
        ("n", {"Value": 1.0, "Unit": "Furlongs"}, "enum value set"),
    ):
        message = refused(put, Namespace=space, MetricData=[{"MetricName": "m", **datum}])[1]
        assert text in message, message
    now = datetime.now(UTC)
    queries = [{"Id": "a", "Expression": "b + 1"}]
    get = account("cloudwatch").get_metric_data
    message = refused(get, MetricDataQueries=queries, StartTime=now - timedelta(hours=1), EndTime=now)[1]
    assert "unknown ids: b" in message
    assert "must be less than" in refused(get, MetricDataQueries=queries, StartTime=now, EndTime=now)[1]
