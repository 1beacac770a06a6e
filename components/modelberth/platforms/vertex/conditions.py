"""What an alarm's number is in Cloud Monitoring, and the condition of an alerting policy on it.

Sources: "Google Cloud metrics: aiplatform" for what Vertex AI measures; Cloud Monitoring API v3, AlertPolicy; "Behavior
of metric-based alerting policies". What the monitor job measures are metrics of the user's own, docs/metrics.md.
"""

from dataclasses import dataclass, field
from datetime import timedelta

import pulumi_gcp as gcp

from model_packaging.metric_names import cloud_monitoring_type

from ...spec import AlarmRule
from ...vocabulary import AlarmKind

LONGEST_PERIOD = timedelta(hours=25)
LONGEST_WINDOW = timedelta(hours=23, minutes=30)
"""Of the alignment period and of the retest window."""

_ONLINE = "aiplatform.googleapis.com/prediction/online"
_MINUTE = timedelta(minutes=1)


@dataclass(frozen=True)
class Target:
    """What alarms look at.

    Attributes:
        endpoint_id: The endpoint's number.
        endpoint: The endpoint's name, under which the monitor's metrics are kept.
        location: The region.
        processors: Those of one replica, if they are known.
        memory: The bytes of one replica, if they are known.
    """

    endpoint_id: str
    endpoint: str
    location: str
    processors: int | None = None
    memory: int | None = None


@dataclass(frozen=True)
class Measure:
    """Where an alarm's number comes from.

    Attributes:
        metric: The metric's type.
        aligner: How the points of one period become one value.
        reducer: How the values of several series become one.
        labels: Labels that the series must have.
        unit: How many of the metric's units are one of the alarm's own.
        divisor: The metric that the first is a share of, if it is one.
    """

    metric: str
    aligner: str
    reducer: str
    labels: dict[str, str] = field(default_factory=dict[str, str])
    unit: float = 1.0
    divisor: str | None = None


def measure(name: str, kind: AlarmKind, target: Target) -> Measure:
    """Return where the number of an alarm comes from."""
    if kind.source == "monitor":
        # Of several runs within a period the worst counts.
        worst = "MAX" if kind.side == "above" else "MIN"
        return Measure(cloud_monitoring_type(name), f"ALIGN_{worst}", f"REDUCE_{worst}", {"endpoint": target.endpoint})
    match name:
        case "latency_p95" | "latency_p99":
            # Of several models that share the traffic the slowest counts. It is measured in milliseconds.
            percentile = f"ALIGN_PERCENTILE_{name[-2:]}"
            return Measure(
                f"{_ONLINE}/prediction_latencies", percentile, "REDUCE_MAX", {"latency_type": "model"}, unit=1000
            )
        case "error_rate":
            responses = f"{_ONLINE}/response_count"
            return Measure(responses, "ALIGN_DELTA", "REDUCE_SUM", {"response_code": "5xx"}, divisor=responses)
        case "invocations":
            return Measure(f"{_ONLINE}/response_count", "ALIGN_DELTA", "REDUCE_SUM")
        case "cpu_utilization":
            # 1 for each processor, so that four fully used ones are 4.
            return Measure(f"{_ONLINE}/cpu/utilization", "ALIGN_MEAN", "REDUCE_MEAN", unit=target.processors or 1)
        case "memory_utilization":
            return Measure(f"{_ONLINE}/memory/bytes_used", "ALIGN_MEAN", "REDUCE_MEAN", unit=target.memory or 1)
        case _:
            raise KeyError(name)


def condition(
    name: str, kind: AlarmKind, rule: AlarmRule, target: Target
) -> gcp.monitoring.AlertPolicyConditionArgsDict:
    """Return the condition of an alarm's policy."""
    if kind.silence_breaches:
        return {"display_name": name, "condition_prometheus_query_language": _silent(name, kind, rule, target)}
    found = measure(name, kind, target)
    period = _seconds(rule.period)
    threshold: gcp.monitoring.AlertPolicyConditionConditionThresholdArgsDict = {
        "filter": selection(found, kind, target),
        "aggregations": [
            {"alignment_period": period, "per_series_aligner": found.aligner, "cross_series_reducer": found.reducer}
        ],
        "comparison": "COMPARISON_GT" if kind.side == "above" else "COMPARISON_LT",
        "threshold_value": rule.threshold * found.unit,
        "duration": _seconds(retest(kind, rule)),
    }
    if kind.source == "endpoint":
        # Without requests nothing is wrong with the model. Between two runs of the monitor the last verdict stands.
        threshold["evaluation_missing_data"] = "EVALUATION_MISSING_DATA_INACTIVE"
    if found.divisor is not None:
        threshold["denominator_filter"] = selection(Measure(found.divisor, "", ""), kind, target)
        threshold["denominator_aggregations"] = [
            {"alignment_period": period, "per_series_aligner": found.aligner, "cross_series_reducer": found.reducer}
        ]
    return {"display_name": name, "condition_threshold": threshold}


def retest(kind: AlarmKind, rule: AlarmRule) -> timedelta:
    """Return for how long the value must lie beyond the threshold after the first period.

    The window slides, so that a value of the last period that breaches for another period is two in a row. How missing
    data counts can be said for windows of a minute and more only; without it an alarm would stay for half an hour after
    the last request.
    """
    window = (rule.periods - 1) * rule.period
    return max(window, _MINUTE) if kind.source == "endpoint" else window


def selection(found: Measure, kind: AlarmKind, target: Target) -> str:
    """Return the filter that selects a measure's series."""
    parts = [f'metric.type = "{found.metric}"']
    if kind.source == "monitor":
        parts.append('resource.type = "global"')
    else:
        parts.append('resource.type = "aiplatform.googleapis.com/Endpoint"')
        parts.append(f'resource.labels.endpoint_id = "{target.endpoint_id}"')
        parts.append(f'resource.labels.location = "{target.location}"')
    parts += [f'metric.labels.{label} = "{value}"' for label, value in found.labels.items()]
    return " AND ".join(parts)


def _silent(
    name: str, kind: AlarmKind, rule: AlarmRule, target: Target
) -> gcp.monitoring.AlertPolicyConditionConditionPrometheusQueryLanguageArgsDict:
    """Return the condition of an alarm that fires in silence, too.

    A threshold knows nothing of series that have never been; in PromQL an absent one can be 0. Source: "PromQL in Cloud
    Monitoring", for the names of metrics.
    """
    found = measure(name, kind, target)
    host, _, path = found.metric.partition("/")
    metric = f"{host.replace('.', '_')}:{path.replace('/', '_')}"
    labels = {"endpoint": target.endpoint, "monitored_resource": "global"}
    function = "sum_over_time"
    if kind.source == "endpoint":
        labels = {"endpoint_id": target.endpoint_id, "location": target.location}
        labels["monitored_resource"] = "aiplatform.googleapis.com/Endpoint"
        function = "increase"
    chosen = ",".join(f'{label}="{value}"' for label, value in labels.items())
    period = f"{round(rule.period.total_seconds())}s"
    comparison = "<" if kind.side == "below" else ">"
    return {
        "query": f"(sum({function}({metric}{{{chosen}}}[{period}])) or vector(0)) {comparison} {rule.threshold:g}",
        "duration": _seconds((rule.periods - 1) * rule.period),
        "evaluation_interval": "60s",
        # The monitor's metrics come into being with its first run.
        "disable_metric_validation": True,
    }


def _seconds(duration: timedelta) -> str:
    return f"{round(duration.total_seconds())}s"
