"""Cloud Logging through Google's discovery client."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from googleapiclient.errors import HttpError

from sandbox.google.server import Handle
from tests.unit.google_emulator.conftest import PROJECT

PARENT = f"projects/{PROJECT}"
LOG = f"{PARENT}/logs/training"


@pytest.fixture(scope="module")
def logging(discovery: Callable[..., Any]) -> Any:
    return discovery("logging", "v2")


def entry(severity: str, **payload: Any) -> dict[str, Any]:
    return {"severity": severity, "resource": {"type": "global", "labels": {"project_id": PROJECT}}, **payload}


def refused(request: Any, status: int, text: str) -> None:
    with pytest.raises(HttpError, match=text) as caught:
        request.execute()
    assert caught.value.status_code == status


def test_entries_are_written_found_and_counted(emulator: Handle, logging: Any, discovery: Callable[..., Any]) -> None:
    metrics = logging.projects().metrics()
    body = {
        "name": "errors/count",
        "filter": "severity>=ERROR",
        "metricDescriptor": {"labels": [{"key": "code"}]},
        "labelExtractors": {"code": "EXTRACT(jsonPayload.code)"},
    }
    made = metrics.create(parent=PARENT, body=body).execute()
    assert made["metricDescriptor"]["type"] == "logging.googleapis.com/user/errors/count"
    spread = {
        "name": "seconds",
        "filter": 'textPayload:"took"',
        "valueExtractor": 'REGEXP_EXTRACT(textPayload, "took ([0-9.]+) s")',
        "metricDescriptor": {"valueType": "DISTRIBUTION", "metricKind": "DELTA"},
    }
    metrics.create(parent=PARENT, body=spread).execute()
    entries = [
        entry("INFO", textPayload="took 4.5 s"),
        entry("ERROR", jsonPayload={"code": "a"}),
        entry("CRITICAL", jsonPayload={"code": "a"}, insertId="same", timestamp="2026-01-01T00:00:00Z"),
        entry("CRITICAL", jsonPayload={"code": "b"}, insertId="same", timestamp="2026-01-01T00:00:00Z"),
    ]
    logging.entries().write(body={"logName": LOG, "entries": entries, "labels": {"run": "1"}}).execute()
    asked = {
        "resourceNames": [PARENT],
        "filter": 'severity>=ERROR AND jsonPayload.code="a"',
        "orderBy": "timestamp desc",
    }
    found = logging.entries().list(body=asked).execute()["entries"]
    assert [one["severity"] for one in found] == ["ERROR", "CRITICAL"]
    assert found[0]["labels"] == {"run": "1"} and found[0]["logName"] == LOG
    everything = logging.entries().list(body={"resourceNames": [PARENT]}).execute()["entries"]
    # Of two entries with one time and one insertId a query shows the first.
    assert len(everything) == 3
    assert logging.projects().logs().list(parent=PARENT).execute()["logNames"] == [LOG]
    now = emulator.get("health")["time"]
    series = discovery("monitoring", "v3").projects().timeSeries()

    def points(metric: str) -> list[dict[str, Any]]:
        given = {
            "filter": f'metric.type = "logging.googleapis.com/user/{metric}"',
            "interval_startTime": "2026-01-01T00:00:00Z",
            "interval_endTime": now,
        }
        return list(series.list(name=PARENT, **given).execute()["timeSeries"])

    counted = {one["metric"]["labels"]["code"]: one["points"][0]["value"] for one in points("errors/count")}
    assert counted == {"a": {"int64Value": "2"}, "b": {"int64Value": "1"}}
    [seconds] = points("seconds")
    assert seconds["points"][0]["value"]["distributionValue"]["mean"] == 4.5
    name = f"{PARENT}/metrics/errors%2Fcount"
    changed = metrics.update(metricName=name, body={**body, "disabled": True}).execute()
    assert changed["createTime"] == made["createTime"] and changed["disabled"] is True
    metrics.delete(metricName=name).execute()
    refused(metrics.get(metricName=name), 404, "not found")
    logging.projects().logs().delete(logName=LOG).execute()
    assert logging.projects().logs().list(parent=PARENT).execute() == {}


def test_what_is_wrong_is_refused(logging: Any) -> None:
    write, metrics = logging.entries().write, logging.projects().metrics()
    refused(write(body={"entries": [entry("INFO", textPayload="x")]}), 400, "Log name must be specified")
    two = entry("INFO", textPayload="x", jsonPayload={})
    refused(write(body={"logName": LOG, "entries": [two]}), 400, "one payload only")
    refused(metrics.create(parent=PARENT, body={"name": "x"}), 400, "filter")
    labels = {"name": "x", "filter": "severity>=ERROR", "labelExtractors": {"a": "EXTRACT(textPayload)"}}
    refused(metrics.create(parent=PARENT, body=labels), 400, "Each label")
    spread = {"name": "x", "filter": "severity>=ERROR", "metricDescriptor": {"valueType": "DISTRIBUTION"}}
    refused(metrics.create(parent=PARENT, body=spread), 400, "value extractor is required")
