"""A CloudWatch dashboard of one endpoint, as plain dictionaries.

Source: CloudWatch API Reference, "Dashboard Body Structure and Syntax".
"""

from collections.abc import Mapping, Sequence
from typing import Any

from .policies import Place

Widget = dict[str, Any]

_WIDTH, _HEIGHT = 8, 6


def body(
    endpoint: str, variants: Sequence[str], region: str, alarms: Mapping[str, str], *, watches_traffic: bool
) -> dict[str, Any]:
    """Return the dashboard's body: the alarms' states on top, then traffic, machines and, where watched, drift.

    Args:
        endpoint: The endpoint's name.
        variants: The names of the variants that share its traffic.
        region: The Region of all metrics.
        alarms: The alarms' ARNs.
        watches_traffic: Whether the monitor job measures this endpoint's traffic.
    """

    def serving(name: str) -> list[list[Any]]:
        return [["AWS/SageMaker", name, "EndpointName", endpoint, "VariantName", variant] for variant in variants]

    def machine(name: str) -> list[list[Any]]:
        return [
            ["/aws/sagemaker/Endpoints", name, "EndpointName", endpoint, "VariantName", variant] for variant in variants
        ]

    latency = [
        [*metric, {"stat": stat, "label": stat}] for metric in serving("ModelLatency") for stat in ("p95", "p99")
    ]
    errors = [*serving("Invocation4XXErrors"), *serving("Invocation5XXErrors")]
    widgets = [
        _metric("Requests", serving("Invocations"), region, "Sum"),
        _metric("Time the model takes (µs)", latency, region, "p95"),
        _metric("Errors", errors, region, "Sum"),
        _metric("Processors (100 for each)", machine("CPUUtilization"), region, "Average"),
        _metric("Memory (%)", machine("MemoryUtilization"), region, "Average"),
        _metric("Disk (%)", machine("DiskUtilization"), region, "Average"),
    ]
    if watches_traffic:
        names = ("drift.psi", "drift.prediction_psi")
        widgets += [
            _metric(
                "Drift (population stability index)",
                [["modelberth", name, "EndpointName", endpoint] for name in names],
                region,
                "Maximum",
            ),
            _metric(
                "Data quality (shares)",
                [
                    ["modelberth", name, "EndpointName", endpoint]
                    for name in ("data.missing_ratio", "data.out_of_range_ratio", "data.unseen_category_ratio")
                ],
                region,
                "Maximum",
            ),
        ]
    top: list[Widget] = []
    if alarms:
        top = [
            {
                "type": "alarm",
                "x": 0,
                "y": 0,
                "width": 24,
                "height": 3,
                "properties": {"title": "Alarms", "alarms": [alarms[name] for name in sorted(alarms)]},
            }
        ]
    placed = [
        widget | {"x": _WIDTH * (index % 3), "y": 3 + _HEIGHT * (index // 3)} for index, widget in enumerate(widgets)
    ]
    return {"widgets": [*top, *placed]}


def _metric(title: str, metrics: list[list[Any]], region: str, statistic: str) -> Widget:
    return {
        "type": "metric",
        "width": _WIDTH,
        "height": _HEIGHT,
        "properties": {"title": title, "metrics": metrics, "region": region, "stat": statistic, "period": 60},
    }


def console_url(place: Place, name: str) -> str:
    """Return where the dashboard is looked at."""
    host = {
        "aws-cn": "console.amazonaws.cn",
        "aws-us-gov": "console.amazonaws-us-gov.com",
    }.get(place.partition, f"{place.region}.console.aws.amazon.com")
    return f"https://{host}/cloudwatch/home?region={place.region}#dashboards/dashboard/{name}"
