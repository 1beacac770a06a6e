"""The alerting rules as Prometheus' own tool reads them, and when they fire."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from modelberth.vocabulary import ALARMS

from model_packaging.alarms import ALARM_TEXTS
from model_packaging.metric_names import prometheus_name
from model_packaging.package import Package
from tests.unit.components.test_kubernetes_alarms import alarms, rules_of

pytestmark = pytest.mark.skipif(not shutil.which("promtool"), reason="no promtool: install Debian's prometheus")

POD = 'app_kubernetes_io_instance="shop-churn"'
ASKED = {
    "latency_p95": {"above": "200ms"},
    "latency_p99": {"above": "400ms"},
    "error_rate": {"above": "1%"},
    "invocations": {"below": 10},
    "cpu_utilization": {"above": "80%"},
    "memory_utilization": {"above": "80%"},
    "drift.psi": {"above": 0.2},
    "data.missing_ratio": {"above": "5%"},
    "monitor.runs": {"below": 1},
}


def promtool(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["promtool", *arguments], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def rules(original: Package) -> dict[str, dict[str, Any]]:
    return rules_of(alarms(original, **ASKED))


@pytest.fixture
def folder(rules: dict[str, dict[str, Any]], tmp_path: Path) -> Path:
    (tmp_path / "rules.json").write_text(json.dumps({"groups": [{"name": "churn", "rules": list(rules.values())}]}))
    return tmp_path


def firing(folder: Path, rules: dict[str, dict[str, Any]], series: dict[str, str], **at: list[str]) -> None:
    """Let 15 seconds pass between two values, and see which alarms of `rules` fire `at` a time and which do not."""
    tests = [
        {
            "eval_time": time.removeprefix("after_"),
            "alertname": rule["alert"],
            "exp_alerts": [{"exp_labels": rule["labels"], "exp_annotations": rule["annotations"]}]
            if alarm in expected
            else [],
        }
        for time, expected in at.items()
        for alarm, rule in rules.items()
    ]
    test = {
        "interval": "15s",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "alert_rule_test": tests,
    }
    (folder / "test.json").write_text(json.dumps({"rule_files": ["rules.json"], "tests": [test]}))
    promtool(folder, "test", "rules", "test.json")


def test_every_alarm_of_the_vocabulary_is_a_rule(original: Package, tmp_path: Path) -> None:
    usual = {"duration": "1s", "share": "5%", "count": 1, "number": 1}
    binary = {name for name, text in ALARM_TEXTS.items() if "binary" in text.tasks}
    asked = {
        name: {kind.side: usual[kind.quantity]}
        for name, kind in ALARMS.items()
        if name in binary and name != "disk_utilization"
    }
    found = rules_of(alarms(original, **asked))
    assert found.keys() == asked.keys()
    (tmp_path / "rules.json").write_text(json.dumps({"groups": [{"name": "all", "rules": list(found.values())}]}))
    assert f"{len(asked)} rules found" in promtool(tmp_path, "check", "rules", "rules.json")


def served(*, errors: int, quick: int, slow: int) -> dict[str, str]:
    """A replica's series: so many answers each time, as errors, within 0.1 s, and in 0.25 to 0.5 s."""
    total = quick + slow
    count = f'modelberth_requests_total{{{POD}, pod="a", status='
    bucket = f'modelberth_request_duration_seconds_bucket{{{POD}, pod="a", le='
    return {
        f'{count}"200"}}': f"0+{total - errors}x800",
        f'{count}"500"}}': f"0+{errors}x800",
        f'{bucket}"0.1"}}': f"0+{quick}x800",
        f'{bucket}"0.25"}}': f"0+{quick}x800",
        f'{bucket}"0.5"}}': f"0+{total}x800",
        f'{bucket}"+Inf"}}': f"0+{total}x800",
    }


def idle() -> dict[str, str]:
    """A replica that uses little, and a monitor that ran at the beginning."""
    return {
        f'process_cpu_seconds_total{{{POD}, pod="a"}}': "0+1x800",
        f'process_resident_memory_bytes{{{POD}, pod="a"}}': f"{2**20}x800",
        prometheus_name("monitor.runs") + '{endpoint="shop-churn"}': "0x800",
    }


def test_nothing_fires_where_all_is_well(folder: Path, rules: dict[str, Any]) -> None:
    firing(folder, rules, idle() | served(errors=0, quick=100, slow=0), after_30m=[])


def test_slow_answers_and_errors(folder: Path, rules: dict[str, Any]) -> None:
    # One of twenty and a bit more is slow: the 95th percentile is, and so is the 99th.
    late = idle() | served(errors=2, quick=90, slow=10)
    expected = ["error_rate", "latency_p95", "latency_p99"]
    firing(folder, rules, late, after_1m=[], after_10m=expected)
    only_some = idle() | served(errors=0, quick=97, slow=3)
    firing(folder, rules, only_some, after_10m=["latency_p99"])


def test_silence_is_trouble_only_for_who_watches_it(folder: Path, rules: dict[str, Any]) -> None:
    silent = {name: values for name, values in idle().items() if not name.startswith("process")}
    firing(folder, rules, silent, after_9m=[], after_20m=["invocations"])
    # Neither traffic nor the monitor's number was ever seen.
    firing(folder, rules, {}, after_30m=["invocations"], after_61m=["invocations", "monitor.runs"])


def test_machines_that_are_busy(folder: Path, rules: dict[str, Any]) -> None:
    busy = served(errors=0, quick=100, slow=0) | {
        f'process_cpu_seconds_total{{{POD}, pod="a"}}': "0+14x800",
        f'process_resident_memory_bytes{{{POD}, pod="a"}}': f"{19 * 2**30 // 10}x800",
        prometheus_name("monitor.runs") + '{endpoint="shop-churn"}': "0x800",
    }
    firing(folder, rules, busy, after_20m=["cpu_utilization", "memory_utilization"])


def test_what_the_monitor_measured(folder: Path, rules: dict[str, Any]) -> None:
    measured = idle() | served(errors=0, quick=100, slow=0)
    drifted = measured | {'modelberth_drift_psi{endpoint="shop-churn"}': "0.1x120 0.3x120 0.1x400"}
    firing(folder, rules, drifted, after_20m=[], after_45m=["drift.psi"], after_70m=[])
    another = measured | {'modelberth_drift_psi{endpoint="shop-fraud"}': "0.9x400"}
    firing(folder, rules, another, after_45m=[])


def test_a_monitor_that_stopped_running(folder: Path, rules: dict[str, Any]) -> None:
    # It ran at 0 and at 30 minutes, and not again: silent from 90 minutes on, and for a whole period at 150.
    stopped = idle() | served(errors=0, quick=100, slow=0)
    stopped[prometheus_name("monitor.runs") + '{endpoint="shop-churn"}'] = "0x119 1800x720"
    firing(folder, rules, stopped, after_89m=[], after_145m=[], after_152m=["monitor.runs"])
