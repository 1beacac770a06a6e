"""What each measure is called on each platform: one vocabulary, of which docs/metrics.md holds the table."""

from __future__ import annotations

import re
from typing import Literal

Unit = Literal["count", "share", "number"]

_SHARES = frozenset(
    {
        "accuracy",
        "average_precision",
        "calibration_error",
        "data.outlier_rise",
        "f1",
        "f1_macro",
        "precision",
        "precision_macro",
        "recall",
        "recall_macro",
        "roc_auc",
        "roc_auc_ovr",
    }
)


def unit(name: str) -> Unit:
    """`count`, `share` (0 to 1) or `number`."""
    if name.endswith((".rows", ".runs")):
        return "count"
    return "share" if name in _SHARES or name.endswith("_ratio") else "number"


def cloudwatch_unit(name: str) -> str:
    """Of CloudWatch's units, which know no shares of 1."""
    return "Count" if unit(name) == "count" else "None"


def prometheus_name(name: str) -> str:
    """A gauge. That the monitor ran is told by the time of its last run, as is the custom for batch jobs
    (Prometheus documentation, "Instrumentation", Batch jobs): a pushed 1 would stay 1 for ever."""
    if name == "monitor.runs":
        return "modelberth_monitor_last_run_timestamp_seconds"
    return f"modelberth_{_plain(name).replace('.', '_')}"


def cloud_monitoring_type(name: str) -> str:
    """The metric type, in the hierarchy of a user's own metrics."""
    return f"custom.googleapis.com/modelberth/{_plain(name).replace('.', '/')}"


def _plain(name: str) -> str:
    """The user's own metric may be a Python function with any letters in its name."""
    return re.sub(r"[^A-Za-z0-9_.]", "_", name)
