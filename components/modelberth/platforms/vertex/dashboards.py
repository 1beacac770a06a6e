"""A dashboard of Cloud Monitoring for one endpoint: its alarms, its traffic, its machines and, where watched, drift.

Source: Cloud Monitoring API v1, Dashboard.
"""

from collections.abc import Mapping
from typing import Any

from model_packaging.metric_names import cloud_monitoring_type

from .conditions import Target

_COLUMNS, _WIDTH, _HEIGHT = 48, 16, 16
_ONLINE = "aiplatform.googleapis.com/prediction/online"

Json = dict[str, Any]


def body(target: Target, alarms: Mapping[str, str], *, watches_traffic: bool) -> Json:
    """Return the dashboard: the alarms on top, then traffic, machines and, where it is watched, drift.

    Args:
        target: What is shown.
        alarms: The alerting policies' whole names by the alarms' own.
        watches_traffic: Whether the monitor job measures this endpoint's traffic.
    """
    served = (
        f'resource.type = "aiplatform.googleapis.com/Endpoint" AND resource.labels.location = "{target.location}" AND '
        f'resource.labels.endpoint_id = "{target.endpoint_id}"'
    )
    model_label, code_label = "metric.label.deployed_model_id", "metric.label.response_code"
    charts = [
        _chart("Requests by answer", [_series(f"{_ONLINE}/response_count", served, "ALIGN_DELTA", code_label)]),
        _chart(
            "Time the model takes (ms)",
            [
                _series(
                    f"{_ONLINE}/prediction_latencies",
                    f'{served} AND metric.labels.latency_type = "model"',
                    f"ALIGN_PERCENTILE_{percentile}",
                    model_label,
                    reducer="REDUCE_MAX",
                )
                for percentile in (95, 99)
            ],
        ),
        _chart("Requests by model", [_series(f"{_ONLINE}/response_count", served, "ALIGN_DELTA", model_label)]),
        _chart(
            "Processors (1 for each)",
            [_series(f"{_ONLINE}/cpu/utilization", served, "ALIGN_MEAN", model_label, reducer="REDUCE_MEAN")],
        ),
        _chart(
            "Memory (bytes)",
            [_series(f"{_ONLINE}/memory/bytes_used", served, "ALIGN_MEAN", model_label, reducer="REDUCE_MEAN")],
        ),
        _chart("Replicas", [_series(f"{_ONLINE}/replicas", served, "ALIGN_MEAN", model_label)]),
    ]
    if watches_traffic:
        watched = f'resource.type = "global" AND metric.labels.endpoint = "{target.endpoint}"'
        for title, names in (
            ("Drift (population stability index)", ("drift.psi", "drift.prediction_psi")),
            (
                "Data quality (shares)",
                ("data.missing_ratio", "data.out_of_range_ratio", "data.unseen_category_ratio"),
            ),
        ):
            metrics = [cloud_monitoring_type(name) for name in names]
            charts.append(_chart(title, [_series(one, watched, "ALIGN_MAX", reducer="REDUCE_MAX") for one in metrics]))
    top = [{"title": f"Alarm: {alarm}", "alertChart": {"name": name}} for alarm, name in sorted(alarms.items())]
    tiles = [
        {
            "xPos": _WIDTH * (index % (_COLUMNS // _WIDTH)),
            "yPos": _HEIGHT * (index // (_COLUMNS // _WIDTH)),
            "width": _WIDTH,
            "height": _HEIGHT,
            "widget": widget,
        }
        for index, widget in enumerate([*top, *charts])
    ]
    return {"displayName": target.endpoint, "mosaicLayout": {"columns": _COLUMNS, "tiles": tiles}}


def _chart(title: str, sets: list[Json]) -> Json:
    return {"title": title, "xyChart": {"dataSets": sets}}


def _series(metric: str, where: str, aligner: str, *labels: str, reducer: str = "REDUCE_SUM") -> Json:
    aggregation = {
        "alignmentPeriod": "60s",
        "perSeriesAligner": aligner,
        "crossSeriesReducer": reducer,
        "groupByFields": list(labels),
    }
    return {
        "plotType": "LINE",
        "timeSeriesQuery": {
            "timeSeriesFilter": {
                "filter": f'metric.type = "{metric}" AND {where}',
                "aggregation": {key: value for key, value in aggregation.items() if value},
            }
        },
    }


def console_url(project: str, name: str) -> str:
    """Return where a dashboard of this whole name is looked at."""
    return f"https://console.cloud.google.com/monitoring/dashboards/builder/{name.rpartition('/')[2]}?project={project}"
