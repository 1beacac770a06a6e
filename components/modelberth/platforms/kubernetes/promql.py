"""What each alarm's value is, in the language of Prometheus. Names and units of what is measured: docs/metrics.md."""

from datetime import timedelta

from model_packaging.metric_names import prometheus_name

from ...quantities import format_duration
from ...spec import EndpointSpec
from ...vocabulary import AlarmKind

INSTANCE = "app_kubernetes_io_instance"
"""The label by which Prometheus knows an endpoint's pods: their own label, as a label of a metric is written."""


def expression(alarm: str, kind: AlarmKind, period: timedelta, endpoint: str, spec: EndpointSpec) -> str:
    """Return what an alarm's value is, in PromQL."""
    pods = f'{{{INSTANCE}="{endpoint}"}}'
    over = f"[{format_duration(period)}]"
    if alarm == "monitor.runs":
        # 1 if it ran within the period, else 0; also where it never did. What is aggregated has no labels, and so takes
        # the place of the 0.
        since = f'time() - {prometheus_name(alarm)}{{endpoint="{endpoint}"}}'
        return f"(max({since} < bool {round(period.total_seconds())}) or vector(0))"
    if kind.source == "monitor":
        return f'{prometheus_name(alarm)}{{endpoint="{endpoint}"}}'
    if alarm in ("latency_p95", "latency_p99"):
        quantile = {"latency_p95": 0.95, "latency_p99": 0.99}[alarm]
        return f"histogram_quantile({quantile}, sum by (le) (rate({_DURATION}_bucket{pods}{over})))"
    match alarm:
        case "error_rate":
            failed = f'{{{INSTANCE}="{endpoint}", status=~"5.."}}'
            return f"sum(increase({_REQUESTS}{failed}{over})) / sum(increase({_REQUESTS}{pods}{over}))"
        case "invocations":
            return f"(sum(increase({_REQUESTS}{pods}{over})) or vector(0))"
        case "cpu_utilization":
            return f"avg(rate(process_cpu_seconds_total{pods}{over})) / {spec.compute.cpu:g}"
        case "memory_utilization":
            return f"avg(avg_over_time(process_resident_memory_bytes{pods}{over})) / {spec.compute.memory}"
        case _:
            raise KeyError(alarm)


_REQUESTS, _DURATION = "modelberth_requests_total", "modelberth_request_duration_seconds"
