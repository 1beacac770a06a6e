"""Where the numbers go, and that the names are those of the alarms and of the documentation."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from modelberth.quantities import format_duration
from modelberth.vocabulary import ALARMS
from moto import mock_aws

from model_packaging.errors import ModelberthError, StorageError
from model_packaging.jobs.monitor.measures import DESCRIPTIONS, Measure
from model_packaging.jobs.monitor.sinks import SINKS, sink

from .conftest import NOW, Case, customers, rows_of

DOCUMENT = Path(__file__).parents[4] / "docs" / "metrics.md"


@pytest.fixture(autouse=True)
def _account(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    monkeypatch.setenv("AWS_REGION", "eu-central-1")  # as in SageMaker's jobs


def _values(name: str, **dimensions: str) -> list[float]:
    client: Any = boto3.client("cloudwatch", region_name="eu-central-1")
    arrived = datetime.now(UTC)
    answer = client.get_metric_statistics(
        Namespace="modelberth",
        MetricName=name,
        Dimensions=[{"Name": key, "Value": value} for key, value in dimensions.items()],
        StartTime=arrived - timedelta(minutes=5),
        EndTime=arrived + timedelta(minutes=5),
        Period=60,
        Statistics=["Maximum"],
    )
    return [point["Maximum"] for point in answer["Datapoints"]]


@mock_aws
def test_cloudwatch_gets_every_measure_under_the_alarms_dimension_alone(case: Case) -> None:
    from model_packaging.jobs.monitor.job import monitor

    frame = customers(300, seed=8)
    frame["plan"] = "gold"
    case.serve(rows_of(frame))
    monitor(case.environment(MODELBERTH_METRICS="cloudwatch:modelberth"), NOW)
    report = json.loads(next(case.bucket.rglob("report.json")).read_text())
    assert report["metrics"].keys() == DESCRIPTIONS.keys() - {"feature.psi"}
    for name, value in report["metrics"].items():
        assert _values(name, EndpointName="churn-eu") == [pytest.approx(value)], name
    for name, feature in report["features"].items():
        assert _values("feature.psi", EndpointName="churn-eu", Feature=name) == [pytest.approx(feature["psi"])]
    client: Any = boto3.client("cloudwatch", region_name="eu-central-1")
    found = client.list_metrics(Namespace="modelberth")["Metrics"]
    for one in found:
        expected = ["EndpointName", "Feature"] if one["MetricName"] == "feature.psi" else ["EndpointName"]
        assert [each["Name"] for each in one["Dimensions"]] == expected


def test_cloudwatch_is_called_with_at_most_1000_data(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[dict[str, Any]] = []

    class Client:
        def put_metric_data(self, **call: Any) -> None:
            calls.append(call)

    monkeypatch.setattr(boto3, "client", lambda name, region_name: Client())
    data = [Measure("feature.psi", 0.1, f"feature {number}") for number in range(2001)]
    sink("cloudwatch:modelberth")("churn-eu", NOW, data)
    assert [len(call["MetricData"]) for call in calls] == [1000, 1000, 1]
    sent = [each["Dimensions"][1]["Value"] for call in calls for each in call["MetricData"]]
    assert sent == [f"feature {number}" for number in range(2001)]


@pytest.mark.parametrize(
    ("feature", "dimension"), [("Größe", r"Gr\xf6\xdfe"), ("a\nb", r"a\nb"), ("  ", '"  "'), ("宽" * 200, r"\u5bbd")]
)
@mock_aws
def test_a_columns_name_becomes_a_dimension_that_cloudwatch_takes(feature: str, dimension: str) -> None:
    sink("cloudwatch:modelberth")("churn-eu", NOW, [Measure("feature.psi", 0.1, feature)])
    client: Any = boto3.client("cloudwatch", region_name="eu-central-1")
    value = client.list_metrics(Namespace="modelberth")["Metrics"][0]["Dimensions"][1]["Value"]
    assert value.startswith(dimension)
    assert value.isascii() and value.isprintable() and value.strip() and len(value) <= 1024


def test_an_unreachable_cloudwatch_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(StorageError, match=r"^cannot write metrics to cloudwatch:modelberth: Could not connect"):
        sink("cloudwatch:modelberth")("churn-eu", NOW, [Measure("data.rows", 1)])


def test_stdout_gets_one_line_of_json(capsys: pytest.CaptureFixture[str]) -> None:
    at = datetime(2026, 3, 4, 10, tzinfo=UTC)
    sink("stdout:")("churn-eu", at, [Measure("data.rows", 5.0), Measure("feature.psi", 0.25, "tenure")])
    assert json.loads(capsys.readouterr().out) == {
        "time": "2026-03-04T10:00:00+00:00",
        "endpoint": "churn-eu",
        "metrics": [
            {"name": "data.rows", "value": 5.0},
            {"name": "feature.psi", "value": 0.25, "feature": "tenure"},
        ],
    }


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "choose cloudwatch:<namespace> or stdout:"),
        ("stdout", "choose cloudwatch:<namespace> or stdout:"),
        ("cloudwatch:", "write cloudwatch:<namespace>"),
        ("stdout:file", "write stdout:"),
    ],
)
def test_an_unknown_sink_is_refused_with_the_known_ones(text: str, problem: str) -> None:
    with pytest.raises(ModelberthError) as raised:
        sink(text)
    assert f'MODELBERTH_METRICS is "{text}": {problem}' in str(raised.value)


def test_sinks_are_in_order() -> None:
    assert list(SINKS) == sorted(SINKS)


def test_what_is_measured_is_what_the_alarms_name() -> None:
    watched = {name: kind for name, kind in ALARMS.items() if kind.source == "monitor"}
    assert watched.keys() <= DESCRIPTIONS.keys()
    for name, kind in watched.items():
        assert DESCRIPTIONS[name] == kind.description


def _documented(heading: str) -> list[str]:
    section = DOCUMENT.read_text().split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    return [line for line in section.splitlines() if line.startswith("| `")]


def test_the_documentation_lists_every_alarm_as_it_is() -> None:
    assert _documented("Metrics with an alarm") == [
        f"| `{name}` | {kind.description} | {kind.quantity} | {kind.side} | {kind.source} | "
        f"{kind.periods} × {format_duration(kind.period)}{', silence too' if kind.silence_breaches else ''} |"
        for name, kind in ALARMS.items()
    ]


def test_the_documentation_lists_every_other_measure() -> None:
    others = {name: text for name, text in DESCRIPTIONS.items() if name not in ALARMS}
    documented = _documented("Metrics without an alarm")
    assert [line.split(" | ")[:2] for line in documented] == [[f"| `{name}`", text] for name, text in others.items()]
