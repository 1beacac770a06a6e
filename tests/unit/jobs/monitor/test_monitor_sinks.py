"""Where the numbers go, and that the names are those of the alarms and of the documentation."""

import contextlib
import json
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import boto3
import jsonschema
import pytest
from google.api.metric_pb2 import Metric
from google.api.monitored_resource_pb2 import MonitoredResource
from google.auth.credentials import AnonymousCredentials
from google.protobuf.json_format import ParseDict
from modelberth.quantities import format_duration
from modelberth.vocabulary import ALARMS
from moto import mock_aws
from prometheus_client import parser as text_format
from prometheus_client.openmetrics import parser as openmetrics

from model_packaging.errors import ModelberthError, StorageError
from model_packaging.jobs.monitor import cloud_monitoring
from model_packaging.jobs.monitor.descriptions import DESCRIPTIONS, OF_TRAFFIC
from model_packaging.jobs.monitor.measures import Measure
from model_packaging.jobs.monitor.names import cloudwatch_unit, unit
from model_packaging.jobs.monitor.sinks import SINKS, sink
from model_packaging.metric_names import cloud_monitoring_type, prometheus_name

from .conftest import NOW, Case, customers, rows_of

KNOWN = "cloudmonitoring:<project>, cloudwatch:<namespace>, prometheus:<address of a Pushgateway> or stdout:"
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
    assert report["metrics"].keys() == OF_TRAFFIC.keys() - {"feature.psi"} | {"monitor.runs"}
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
        ("", f"choose {KNOWN}"),
        ("stdout", f"choose {KNOWN}"),
        ("prometeus:http://x", f"choose {KNOWN} (did you mean prometheus?)"),
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


def test_names_are_told_without_what_measures() -> None:
    """A platform's alarms ask for a name while a stack is made, where nothing is measured."""
    code = """
import sys
import model_packaging.jobs.monitor.names, model_packaging.jobs.monitor.descriptions
print(sorted({"numpy", "pandas", "scipy", "sklearn", "pyarrow"} & sys.modules.keys()))
"""
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


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
    assert _documented("Metrics without an alarm") == [
        f"| `{name}` | {text} | {unit(name)} |" for name, text in others.items()
    ]


def test_the_documentation_says_what_each_platform_calls_it() -> None:
    def row(name: str) -> str:
        also = name == "feature.psi"
        labels = "{endpoint, feature}" if also else "{endpoint}"
        dimensions = "{EndpointName, Feature}" if also else "{EndpointName}"
        return (
            f"| `{name}` | {unit(name)} | `{name}` {dimensions}, {cloudwatch_unit(name)} "
            f"| `{prometheus_name(name)}` {labels} | `{cloud_monitoring_type(name)}` {labels} |"
        )

    assert _documented("What each platform calls it") == [row(name) for name in DESCRIPTIONS]


def test_every_name_is_one_that_its_platform_takes() -> None:
    names = [*DESCRIPTIONS, "custom.größe"]
    # Prometheus documentation, "Data model"; Cloud Monitoring, "Create user-defined metrics"; CloudWatch, MetricDatum.
    assert all(re.fullmatch(r"[a-zA-Z_][a-zA-Z0-9_]*", prometheus_name(name)) for name in names)
    kind = re.compile(r"custom\.googleapis\.com(/[A-Za-z0-9_]+)+")
    assert all(kind.fullmatch(cloud_monitoring_type(name)) for name in names)
    for naming in (prometheus_name, cloud_monitoring_type):
        assert len(set(map(naming, DESCRIPTIONS))) == len(DESCRIPTIONS)
    for name, alarm in ALARMS.items():
        if alarm.source == "monitor":
            assert unit(name) == alarm.quantity or name in ("mean_absolute_percentage_error", "brier"), name


class Server:
    """Takes requests and answers each with what is in `status` and `answer`."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str, bytes, dict[str, str]]] = []
        self.status, self.answer = 200, b"{}"
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def _take(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                outer.requests.append((self.command, self.path, body, dict(self.headers)))
                self.send_response(outer.status)
                self.send_header("Content-Length", str(len(outer.answer)))
                self.end_headers()
                self.wfile.write(outer.answer)

            do_POST = do_PUT = _take

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.http.server_port}"
        self.thread = threading.Thread(target=self.http.serve_forever)
        self.thread.start()

    def stop(self) -> None:
        self.http.shutdown()
        self.thread.join()
        self.http.server_close()


@pytest.fixture
def server() -> Iterator[Server]:
    found = Server()
    yield found
    found.stop()


DATA = [
    Measure("data.rows", 5.0),
    Measure("feature.psi", 0.25, 'a "b"\nö'),
    Measure("feature.psi", 0.5, "tenure"),
    Measure("accuracy", 0.9),
    Measure("custom.cost", 3.0),
    Measure("monitor.runs", 1.0),
]


def _gauges(text: str) -> dict[tuple[str, str | None], float]:
    families = openmetrics.text_string_to_metric_families(text)
    samples = [sample for family in families if family.type == "gauge" for sample in family.samples]
    assert all(sample.labels["endpoint"] == "churn-eu" for sample in samples)
    return {(sample.name, sample.labels.get("feature")): sample.value for sample in samples}


EXPECTED = {
    ("modelberth_data_rows", None): 5.0,
    ("modelberth_feature_psi", 'a "b"\nö'): 0.25,
    ("modelberth_feature_psi", "tenure"): 0.5,
    ("modelberth_accuracy", None): 0.9,
    ("modelberth_custom_cost", None): 3.0,
    ("modelberth_monitor_last_run_timestamp_seconds", None): NOW.timestamp(),
}


def test_the_report_holds_the_numbers_as_open_metrics(case: Case) -> None:
    case.serve(rows_of(customers(150)))
    report = case.run()
    text = (report["page"].parent / "metrics.prom").read_text()
    found = _gauges(text)
    assert found.pop(("modelberth_monitor_last_run_timestamp_seconds", None)) == NOW.timestamp()
    for one in report["sent"]["metrics"]:
        if one["name"] != "monitor.runs":
            assert found.pop((prometheus_name(one["name"]), one.get("feature"))) == pytest.approx(one["value"])
    assert not found


def test_a_pushgateway_gets_one_group_for_the_endpoint(server: Server) -> None:
    sink(f"prometheus:{server.address}")("churn-eu", NOW, DATA)
    ((method, path, body, headers),) = server.requests
    # POST replaces what bears the same name; PUT would drop the accuracy of the last run that had labels.
    assert (method, path) == ("POST", "/metrics/job/modelberth-monitor/endpoint/churn-eu")
    assert headers["Content-Type"].startswith("text/plain")
    families = list(text_format.text_string_to_metric_families(body.decode()))
    found = {(one.name, one.labels.get("feature")): one.value for family in families for one in family.samples}
    assert found == EXPECTED


def test_a_real_pushgateway_keeps_what_was_not_measured_again(tmp_path: Path) -> None:
    program = shutil.which("prometheus-pushgateway") or shutil.which("pushgateway")
    if program is None:
        pytest.skip("no Pushgateway: install Debian's prometheus-pushgateway")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    process = subprocess.Popen([program, f"--web.listen-address=127.0.0.1:{port}"], stderr=subprocess.DEVNULL)
    try:
        send = sink(f"prometheus:http://127.0.0.1:{port}")
        for _ in range(200):
            with contextlib.suppress(StorageError):
                send("churn-eu", NOW, DATA)
                break
            time.sleep(0.05)
        later = NOW + timedelta(hours=1)
        send("churn-eu", later, [Measure("data.rows", 7.0), Measure("feature.psi", 0.1, "tenure")])
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
            families = list(text_format.text_string_to_metric_families(answer.read().decode()))
    finally:
        process.terminate()
        process.wait()
    found = {
        (one.name, one.labels.get("feature")): one.value
        for family in families
        for one in family.samples
        if one.labels.get("endpoint") == "churn-eu" and one.name.startswith("modelberth_")
    }
    expected = EXPECTED | {("modelberth_data_rows", None): 7.0, ("modelberth_feature_psi", "tenure"): 0.1}
    del expected["modelberth_feature_psi", 'a "b"\nö']
    assert found == expected


@pytest.mark.parametrize(
    ("address", "problem"),
    [
        (
            "pushgateway:9091",
            'MODELBERTH_METRICS is "prometheus:pushgateway:9091": write prometheus:http://<host>:<port>',
        ),
        ("http://127.0.0.1:9", "cannot write metrics to prometheus:http://127.0.0.1:9: "),
    ],
)
def test_a_pushgateway_that_is_none_is_named(address: str, problem: str) -> None:
    with pytest.raises(ModelberthError) as raised:
        sink(f"prometheus:{address}")("churn-eu", NOW, DATA)
    assert str(raised.value).startswith(problem)


@pytest.fixture
def google(server: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    def default(scopes: list[str]) -> tuple[Any, str]:
        assert scopes == ["https://www.googleapis.com/auth/monitoring.write"]
        return AnonymousCredentials(), "shop"

    monkeypatch.setattr("google.auth.default", default)
    monkeypatch.setenv("CLOUDSDK_API_ENDPOINT_OVERRIDES_MONITORING", f"{server.address}/")
    return server


# "TimeSeries", Cloud Monitoring API v3 reference; metric and resource are checked against Google's own messages.
SERIES: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["metric", "resource", "points"],
    "properties": {
        "metric": {"type": "object"},
        "resource": {"type": "object"},
        "metricKind": {"enum": ["GAUGE"]},
        "valueType": {"enum": ["DOUBLE"]},
        "points": {
            "type": "array",
            "minItems": 1,
            "maxItems": 1,  # "you must use exactly one point when creating"
            "items": {
                "type": "object",
                "additionalProperties": False,
                "required": ["interval", "value"],
                "properties": {
                    # A gauge has no start, or one that equals the end.
                    "interval": {
                        "additionalProperties": False,
                        "required": ["endTime"],
                        "properties": {"endTime": {"pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$"}},
                    },
                    "value": {
                        "additionalProperties": False,
                        "required": ["doubleValue"],
                        "properties": {"doubleValue": {"type": "number"}},
                    },
                },
            },
        },
    },
}


def test_cloud_monitoring_gets_a_point_for_each_series(google: Server) -> None:
    sink("cloudmonitoring:shop")("churn-eu", NOW, DATA)
    ((method, path, body, _),) = google.requests
    assert (method, path) == ("POST", "/v3/projects/shop/timeSeries")
    series = json.loads(body)["timeSeries"]
    found: dict[tuple[str, str | None], float] = {}
    for one in series:
        jsonschema.validate(one, SERIES)
        metric = ParseDict(one["metric"], Metric())
        resource = ParseDict(one["resource"], MonitoredResource())
        assert (resource.type, dict(resource.labels)) == ("global", {"project_id": "shop"})
        assert metric.labels["endpoint"] == "churn-eu"
        (point,) = one["points"]
        assert point["interval"]["endTime"] == "2026-03-04T10:30:00Z"
        found[metric.type, one["metric"]["labels"].get("feature")] = point["value"]["doubleValue"]
    assert found == {(cloud_monitoring_type(one.name), one.feature): one.value for one in DATA}


def test_cloud_monitoring_is_called_with_at_most_200_series(google: Server) -> None:
    data = [Measure("feature.psi", 0.1, f"{'ö' * 600} {number}"[-620:]) for number in range(401)]
    sink("cloudmonitoring:shop")("churn-eu", NOW, data)
    batches = [json.loads(body)["timeSeries"] for _, _, body, _ in google.requests]
    assert [len(batch) for batch in batches] == [200, 200, 1]
    assert all(len(one["metric"]["labels"]["feature"].encode()) <= 1024 for batch in batches for one in batch)


def test_what_cloud_monitoring_refuses_is_told(google: Server) -> None:
    google.status, google.answer = 403, b'{"error": {"message": "Permission monitoring.timeSeries.create denied"}}'
    with pytest.raises(StorageError, match=r"^cannot write metrics to cloudmonitoring:shop: 403 Permission monitoring"):
        sink("cloudmonitoring:shop")("churn-eu", NOW, DATA)
    google.answer = b"no JSON"
    with pytest.raises(StorageError, match=r"^cannot write metrics to cloudmonitoring:shop: 403 Forbidden"):
        cloud_monitoring.write("shop", "churn-eu", NOW, DATA)
