"""The labels' part of the page as a browser shows it, and that the alarm on a label metric fires."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from modelberth.platforms.sagemaker.alarms import measure
from modelberth.vocabulary import ALARMS

from model_packaging.jobs.monitor import quality
from model_packaging.package import Package
from sandbox.aws.alarms import Alarm, judge

from .conftest import NOW, customers
from .labelled import Labelled, truth
from .test_monitor_report import browser

__all__ = ["browser"]

HOUR = timedelta(hours=1)


@pytest.fixture
def case(churn: Package, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Labelled:
    return Labelled(churn, tmp_path, capsys)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quality, "BOOTSTRAP_ROUNDS", 40)


def test_the_labels_in_a_browser(case: Labelled, browser: Any) -> None:
    for number, wrong in enumerate((5, 15, 40)):
        when = NOW - (3 - number) * HOUR
        said = case.ask(customers(120, seed=number), first=1000 * number, when=when)
        case.label(f"{number}.csv", truth(said, wrong=wrong, first=1000 * number))
        case.folder.joinpath("z.jsonl").write_text('{"id": "<b>x</b>", "label": "<i>maybe</i>"}\n')
        found = case.watch(when + HOUR / 2)
    browser.get(found["page"].as_uri())
    assert browser.get_log("browser") == []
    find = browser.find_elements
    rows = {row.text.split()[0]: row.text.split()[1] for row in find("css selector", ".quality tbody tr")}
    assert rows == {name: f"{one['value']:.4g}" for name, one in found["point"]["metrics"].items()}
    suspects = [row.text.split()[0] for row in find("css selector", ".suspicious tbody tr")]
    assert suspects == [one["id"] for one in found["suspicious"]["top"]] != []
    charts = find("css selector", 'svg[aria-label$=" over time"]')
    assert len(charts) == len(found["point"]["metrics"])
    accuracy = browser.find_element("css selector", 'svg[aria-label="accuracy over time"]')
    marks = accuracy.find_elements("tag name", "circle")
    heights = [float(mark.get_attribute("cy")) for mark in marks]
    assert len(heights) == 3 and heights == sorted(heights)  # ever less accurate: ever lower on the page
    assert accuracy.find_element("tag name", "polygon").size["height"] > 5
    text = find("tag name", "body")[0].text
    assert "<i>maybe</i>" in text and not find("css selector", ".checks i, .checks b")
    wide = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert browser.execute_script(wide) == 0


def test_the_alarm_on_accuracy_fires_by_what_the_monitor_sends(case: Labelled) -> None:
    """What the component asks of CloudWatch, judged by the rules of the sandbox's alarms."""
    kind = ALARMS["accuracy"]
    asked = measure("accuracy", kind, None)
    definition = {
        "AlarmName": "churn-accuracy",
        "Namespace": asked.namespace,
        "MetricName": asked.metric,
        "Statistic": asked.statistic,
        "Period": 3600,
        "EvaluationPeriods": kind.periods,
        "DatapointsToAlarm": kind.periods,
        "Threshold": kind.parse("90%"),
        "ComparisonOperator": {"above": "GreaterThanThreshold", "below": "LessThanThreshold"}[kind.side],
        "TreatMissingData": asked.silence,
    }
    series: dict[int, float] = {}
    states: list[str] = []
    start = datetime(2026, 3, 4, 6, tzinfo=UTC)
    for number, wrong in enumerate((5, 30, None, 2)):
        when = start + number * HOUR
        if wrong is not None:
            said = case.ask(customers(120, seed=number), first=1000 * number, when=when)
            case.label(f"{number}.csv", truth(said, wrong=wrong, first=1000 * number))
        sent = case.watch(when + HOUR / 2)["metrics"]
        if "accuracy" in sent:
            series[int(when.timestamp())] = sent["accuracy"]
        found = judge(Alarm(definition, "arn", "eu-central-1", start), series, int(when.timestamp()) + 3601)
        states.append(found[0] if found else "as before")
    assert asked.metric == "accuracy" and len(series) == 3
    assert states[0] == "OK" and states[1] == "ALARM" and states[3] == "OK"
    assert states[2] in ("ALARM", "as before")  # a run without new labels leaves the verdict
