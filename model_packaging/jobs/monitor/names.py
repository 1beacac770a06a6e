"""What each measure means, and its unit: one vocabulary, of which docs/metrics.md holds the table."""

from __future__ import annotations

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
