"""Alarms on Kubernetes: Prometheus' rules, who is told, the dashboard, and the monitor's runs."""

import json
import re
from datetime import timedelta
from typing import Any

import pytest
from modelberth import MonitoringAlarms, SpecificationError
from modelberth.platforms.kubernetes import promql
from modelberth.spec import EndpointSpec
from modelberth.vocabulary import ALARMS

from model_packaging.jobs.monitor.settings import Settings
from model_packaging.metric_names import prometheus_name
from model_packaging.package import Package
from model_packaging.serving.metrics import Metrics
from tests.unit.components.cloud import Deployed
from tests.unit.components.cluster import IMAGE, WATCHED, planned, variables

OPERATOR = "monitoring.coreos.com"
TOLD = ["mailto:ml@example.org", "https://example.org/hook"]


def alarms(package: Package, rules: str = "operator", **args: Any) -> Deployed:
    common = {
        "platform": "kubernetes",
        "image": IMAGE,
        "bucket": "s3://models",
        "model": "churn",
        "endpoint_name": "shop-churn",
        "package": package,
        "notify": TOLD,
        "kubernetes": WATCHED | {"rules": rules},
    }
    return planned(lambda: MonitoringAlarms("churn", common | args))


def rules_of(deployed: Deployed) -> dict[str, dict[str, Any]]:
    """The rules by the alarm's name, however Prometheus gets them."""
    found = deployed.of(f"{OPERATOR}/v1:PrometheusRule")
    if found:
        groups = found[0].inputs["spec"]["groups"]
    else:
        (text,) = deployed.one("core/v1:ConfigMap", "churn-rules").inputs["data"].values()
        groups = json.loads(text)["groups"]
    return {rule["labels"]["alarm"]: rule for group in groups for rule in group["rules"]}


@pytest.mark.parametrize("rules", ["operator", "files"])
def test_a_rule_fires_as_on_every_platform(rules: str, original: Package) -> None:
    asked = {"latency_p95": {"above": "200ms", "period": "5m", "periods": 3}, "error_rate": {"above": "1%"}}
    found = rules_of(alarms(original, rules, **asked))
    assert found.keys() == asked.keys()
    late = found["latency_p95"]
    assert late["alert"] == "shop-dev-churn-latency-p95"
    assert late["expr"].startswith("histogram_quantile(0.95, ") and late["expr"].endswith(" > 0.2")
    assert "[5m]" in late["expr"] and 'app_kubernetes_io_instance="shop-churn"' in late["expr"]
    # The first of three periods is in the expression.
    assert late["for"] == "600s"
    assert late["labels"] == {
        "severity": "critical",
        "alarm": "latency_p95",
        "endpoint": "shop-churn",
        "model": "churn",
    }
    assert late["annotations"]["description"] == ALARMS["latency_p95"].action
    assert found["error_rate"]["for"] == "60s"


def test_of_variants_the_worst_counts_and_a_shadow_never(original: Package) -> None:
    def value(alarm: str, endpoint: dict[str, Any]) -> str:
        spec = EndpointSpec.model_validate(endpoint)
        return promql.expression(alarm, ALARMS[alarm], timedelta(minutes=1), "shop-churn", spec)

    variants = {"variants": {"primary": {"weight": 90}, "next": {"package": original, "weight": 10}}}
    both = 'app_kubernetes_io_instance=~"shop-churn|shop-churn-next"'
    assert value("latency_p95", variants) == (
        "max(histogram_quantile(0.95, sum by (le, app_kubernetes_io_instance) "
        f"(rate(modelberth_request_duration_seconds_bucket{{{both}}}[1m]))))"
    )
    assert value("error_rate", variants) == (
        f'sum(increase(modelberth_requests_total{{{both}, status=~"5.."}}[1m])) / '
        f"sum(increase(modelberth_requests_total{{{both}}}[1m]))"
    )
    for alarm in ("cpu_utilization", "memory_utilization"):
        assert value(alarm, variants).startswith("max(avg by (app_kubernetes_io_instance) ("), alarm
    for alarm in ("latency_p95", "error_rate", "invocations", "cpu_utilization", "memory_utilization"):
        assert value(alarm, {"shadow": original}) == value(alarm, {}), alarm


def test_the_operator_s_prometheus_looks_at_every_variant(original: Package) -> None:
    deployed = alarms(original, endpoint={"shadow": original}, latency_p95={"above": "200ms"})
    selector = deployed.one(f"{OPERATOR}/v1:PodMonitor").inputs["spec"]["selector"]
    assert "app.kubernetes.io/instance" not in selector["matchLabels"]
    assert selector["matchExpressions"] == [
        {
            "key": "app.kubernetes.io/instance",
            "operator": "In",
            "values": ["shop-churn", "shop-churn-shadow"],
        }
    ]


def test_every_alarm_of_the_vocabulary_has_an_expression_or_is_a_gap() -> None:
    for alarm, kind in ALARMS.items():
        if alarm == "disk_utilization":
            continue
        value = promql.expression(alarm, kind, kind.period, "shop-churn", EndpointSpec())
        assert "shop-churn" in value, alarm
        if kind.source == "monitor":
            assert prometheus_name(alarm) in value, alarm
        assert value.count("(") == value.count(")"), alarm


def test_what_an_endpoint_is_asked_for_is_what_it_measures() -> None:
    """By its names and by its labels; those of the process are of the client library's ProcessCollector."""
    metrics = Metrics(lambda: 0)
    metrics.request("sagemaker", 200, 0.1)
    text = metrics.text().decode()
    measured = set(re.findall(r"^([a-z_]+)[{ ]", text, re.MULTILINE))
    for alarm, kind in ALARMS.items():
        if kind.source == "endpoint" and alarm != "disk_utilization":
            value = promql.expression(alarm, kind, kind.period, "shop-churn", EndpointSpec())
            asked = set(re.findall(r"((?:modelberth|process)_[a-z_]+)\{", value))
            assert asked and asked <= measured, alarm
    assert 'status="200"' in text


def test_the_silence_of_the_monitor() -> None:
    value = promql.expression("monitor.runs", ALARMS["monitor.runs"], timedelta(hours=2), "shop-churn", EndpointSpec())
    assert value == (
        '(max(time() - modelberth_monitor_last_run_timestamp_seconds{endpoint="shop-churn"} < bool 7200) or vector(0))'
    )


def test_the_operator_gets_its_objects(original: Package) -> None:
    deployed = alarms(original, latency_p95={"above": "1s"})
    scrape = deployed.one(f"{OPERATOR}/v1:PodMonitor").inputs["spec"]
    assert scrape["selector"]["matchLabels"]["app.kubernetes.io/instance"] == "shop-churn"
    assert scrape["podMetricsEndpoints"] == [{"port": "http", "path": "/metrics", "interval": "15s"}]
    assert scrape["podTargetLabels"] == ["app.kubernetes.io/instance"]
    route = deployed.one(f"{OPERATOR}/v1alpha1:AlertmanagerConfig").inputs["spec"]
    assert route["route"]["matchers"] == [{"name": "endpoint", "value": "shop-churn", "matchType": "="}]
    (receiver,) = route["receivers"]
    assert receiver["name"] == route["route"]["receiver"]
    assert receiver["emailConfigs"] == [{"to": "ml@example.org", "sendResolved": True}]
    assert receiver["webhookConfigs"] == [{"url": "https://example.org/hook", "sendResolved": True}]
    assert route["route"].keys() == {
        "receiver", "matchers", "groupBy", "groupWait", "groupInterval", "repeatInterval"
    }  # fmt: skip


def test_files_say_the_same_without_the_operator(original: Package) -> None:
    deployed = alarms(original, "files", latency_p95={"above": "1s"})
    assert not [one for one in deployed.made if OPERATOR in one.type]
    maps = {one.name: one.inputs for one in deployed.of("core/v1:ConfigMap")}
    assert maps["churn-rules"]["metadata"]["labels"]["modelberth/rules"] == "prometheus"
    assert maps["churn-route"]["metadata"]["labels"]["modelberth/rules"] == "alertmanager"
    (text,) = maps["churn-route"]["data"].values()
    told = json.loads(text)
    assert told["route"]["matchers"] == ['endpoint="shop-churn"']
    assert told["route"]["receiver"] == told["receiver"]["name"]
    assert told["receiver"]["email_configs"] == [{"to": "ml@example.org", "send_resolved": True}]
    assert told["receiver"]["webhook_configs"] == [{"url": "https://example.org/hook", "send_resolved": True}]


@pytest.mark.parametrize("rules", ["operator", "files"])
def test_nobody_is_told_unless_asked(rules: str, original: Package) -> None:
    deployed = alarms(original, rules, notify=[], latency_p95={"above": "1s"})
    assert not [one for one in deployed.made if one.name == "churn-route"]


def test_a_panel_for_each_alarm_with_its_threshold(original: Package) -> None:
    deployed = alarms(original, latency_p95={"above": "200ms"}, invocations={"below": 3})
    board = deployed.one("core/v1:ConfigMap", "churn-dashboard").inputs
    assert board["metadata"]["labels"]["grafana_dashboard"] == "1"
    (text,) = board["data"].values()
    panels = json.loads(text)["panels"]
    rules = rules_of(deployed)
    assert [panel["title"] for panel in panels] == [rule["alert"] for rule in rules.values()]
    steps = [panel["fieldConfig"]["defaults"]["thresholds"]["steps"][1] for panel in panels]
    assert steps == [{"color": "red", "value": 0.2}, {"color": "green", "value": 3.0}]
    for panel, rule in zip(panels, rules.values(), strict=True):
        assert rule["expr"].startswith(panel["targets"][0]["expr"])


def test_the_monitor_runs_only_where_traffic_is_watched(original: Package) -> None:
    assert alarms(original, latency_p95={"above": "1s"}).of("batch/v1:CronJob") == []
    monitor = {"schedule": "15 * * * *", "window": "12h"}
    deployed = alarms(original, **{"drift.psi": {"above": 0.2}}, monitor=monitor)
    spec = deployed.one("batch/v1:CronJob", "churn-monitor").inputs["spec"]
    assert (spec["schedule"], spec["timeZone"], spec["concurrencyPolicy"]) == ("15 * * * *", "UTC", "Forbid")
    (run,) = spec["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    assert run["args"] == ["job", "monitor"]
    told = variables(run)
    assert told["MODELBERTH_METRICS"] == "prometheus:http://push.monitoring:9091"
    assert told["MODELBERTH_CAPTURE"] == "s3://models/capture/shop-churn"
    assert told["MODELBERTH_REPORTS"] == "s3://models/monitoring/churn"
    assert told["MODELBERTH_PACKAGE"].endswith(f"@{original.digest}")
    assert Settings.from_environment(told).endpoint == "shop-churn"
    policy = deployed.one("networking.k8s.io/v1:NetworkPolicy", "churn-monitor-traffic").inputs["spec"]
    assert "ingress" not in policy


def test_what_prometheus_cannot_do(original: Package) -> None:
    with pytest.raises(SpecificationError) as caught:
        alarms(
            original,
            **{"disk_utilization": {"above": "90%"}, "monitor.runs": {"below": 2}, "drift.psi": {"above": 1}},
            kubernetes={"rules": "operater", "grafana_url": "grafana"},
        )
    assert caught.value.problems == [
        "churn.kubernetes.rules: 'operater' must be 'operator' or 'files'",
        "churn.kubernetes.grafana_url: 'grafana' is no address: write http://<host>:<port> or https://<host>",
    ]
    with pytest.raises(SpecificationError) as caught:
        alarms(
            original,
            **{"disk_utilization": {"above": "90%"}, "monitor.runs": {"below": 2}, "drift.psi": {"above": 1}},
            kubernetes={},
        )
    assert [problem.partition(": ")[0] for problem in caught.value.problems] == [
        "churn.disk_utilization",
        "churn.monitor.runs",
        "churn.kubernetes.pushgateway_url",
    ]
    assert "the alarms drift.psi, monitor.runs need its numbers" in caught.value.problems[2]
