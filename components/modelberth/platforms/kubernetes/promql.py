"""What each alarm's value is, in the language of Prometheus. Names and units of what is measured: docs/metrics.md."""

from datetime import timedelta

from model_packaging.metric_names import prometheus_name

from ...quantities import format_duration
from ...spec import EndpointSpec
from ...vocabulary import AlarmKind
from . import variants

INSTANCE = "app_kubernetes_io_instance"
"""The label by which Prometheus knows an endpoint's pods: their own label, as a label of a metric is written."""


def expression(alarm: str, kind: AlarmKind, period: timedelta, endpoint: str, spec: EndpointSpec) -> str:
    """Return what an alarm's value is, in PromQL."""
    instances = variants.answering(endpoint, spec)
    # Of variants the worst counts, as on every platform.
    several = len(instances) > 1
    chosen = f'{INSTANCE}=~"{"|".join(instances)}"' if several else f'{INSTANCE}="{endpoint}"'
    pods = f"{{{chosen}}}"

    each = f" by ({INSTANCE}) " if several else ""

    def worst(value: str) -> str:
        return f"max({value})" if several else value

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
        labels = f"le, {INSTANCE}" if several else "le"
        return worst(f"histogram_quantile({quantile}, sum by ({labels}) (rate({_DURATION}_bucket{pods}{over})))")
    match alarm:
        case "error_rate":
            failed = f'{{{chosen}, status=~"5.."}}'
            return f"sum(increase({_REQUESTS}{failed}{over})) / sum(increase({_REQUESTS}{pods}{over}))"
        case "invocations":
            return f"(sum(increase({_REQUESTS}{pods}{over})) or vector(0))"
        case "cpu_utilization":
            return worst(f"avg{each}(rate(process_cpu_seconds_total{pods}{over}))") + f" / {spec.compute.cpu:g}"
        case "memory_utilization":
            used = f"avg_over_time(process_resident_memory_bytes{pods}{over})"
            return worst(f"avg{each}({used})") + f" / {spec.compute.memory}"
        case _:
            raise KeyError(alarm)


def requests_a_minute(endpoint: str) -> str:
    """Return how many requests all replicas of an endpoint answer in a minute, in PromQL; nothing where none runs."""
    # Two looks of Prometheus' at least, which are half a minute apart or less.
    return f'60 * sum(rate({_REQUESTS}{{{INSTANCE}="{endpoint}"}}[2m]))'


_REQUESTS, _DURATION = "modelberth_requests_total", "modelberth_request_duration_seconds"
