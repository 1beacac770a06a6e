"""The monitor's numbers for Google's Cloud Monitoring.

Source: Cloud Monitoring API v3, projects.timeSeries.create.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import import_module
from typing import Any

from model_packaging.errors import StorageError
from model_packaging.jobs.monitor.measures import Measure
from model_packaging.metric_names import cloud_monitoring_type
from model_packaging.storage import explained

_SCOPE = "https://www.googleapis.com/auth/monitoring.write"
_MOST_SERIES = 200
_MOST_BYTES = 1024
"""Of a label's value. Source: Cloud Monitoring, "Quotas and limits"."""
_SECONDS = 60


def write(project: str, endpoint: str, at: datetime, data: Sequence[Measure]) -> None:
    """Add one point to each number's time series, with the application's default credentials. StorageError where
    that fails. CLOUDSDK_API_ENDPOINT_OVERRIDES_MONITORING, which gcloud heeds too, names another address."""
    host = os.environ.get("CLOUDSDK_API_ENDPOINT_OVERRIDES_MONITORING") or "https://monitoring.googleapis.com/"
    address = f"{host.rstrip('/')}/v3/projects/{project}/timeSeries"
    with explained(f"cloudmonitoring:{project}", "write metrics to"):
        credentials, _ = import_module("google.auth").default(scopes=[_SCOPE])
        session: Any = import_module("google.auth.transport.requests").AuthorizedSession(credentials)
        series = [_series(project, endpoint, at, one) for one in data]
        for start in range(0, len(series), _MOST_SERIES):
            batch = {"timeSeries": series[start : start + _MOST_SERIES]}
            answer = session.post(address, json=batch, timeout=_SECONDS)
            if not answer.ok:
                raise StorageError(
                    f"cannot write metrics to cloudmonitoring:{project}: {answer.status_code} {_reason(answer)}"
                )


def _series(project: str, endpoint: str, at: datetime, one: Measure) -> dict[str, Any]:
    labels = {"endpoint": endpoint} | ({"feature": _short(one.feature)} if one.feature is not None else {})
    return {
        "metric": {"type": cloud_monitoring_type(one.name), "labels": labels},
        # What is measured belongs to no resource of Google's: the endpoint is a label, wherever it is served.
        "resource": {"type": "global", "labels": {"project_id": project}},
        "metricKind": "GAUGE",
        "valueType": "DOUBLE",
        "points": [
            {
                "interval": {"endTime": at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")},
                "value": {"doubleValue": one.value},
            }
        ],
    }


def _short(text: str) -> str:
    return text.encode()[:_MOST_BYTES].decode(errors="ignore")


def _reason(answer: Any) -> str:
    try:
        return str(answer.json()["error"]["message"])
    except (KeyError, TypeError, ValueError):
        return str(answer.reason)
