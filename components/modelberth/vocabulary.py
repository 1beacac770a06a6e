"""The alarms, by name: one meaning on every platform.

A threshold is written in the alarm's own quantity: a duration, a share, a count or a plain number. Where the numbers
come from differs by platform; what they mean does not.
"""

import math
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from model_packaging.alarms import ALARM_TEXTS, AlarmText

from .quantities import format_duration, parse_duration, parse_ratio

Quantity = Literal["duration", "share", "count", "number"]


@dataclass(frozen=True)
class AlarmKind:
    """What an alarm of this name watches.

    Attributes:
        text: What people are told about it.
        quantity: What a threshold is: a duration, a share of 0 to 1, a count or a plain number.
        side: On which side of the threshold the trouble lies.
        source: `endpoint` if the platform measures it, `monitor` if the monitor job does.
        period: The span over which one value is computed.
        periods: How many values in a row must breach.
        silence_breaches: Whether no value at all counts as a breach.
        needs_labels: Whether the monitor can only measure it once labels arrive.
    """

    text: AlarmText
    quantity: Quantity
    side: Literal["above", "below"]
    source: Literal["endpoint", "monitor"]
    period: timedelta = timedelta(minutes=1)
    periods: int = 2
    silence_breaches: bool = False
    needs_labels: bool = False

    @property
    def description(self) -> str:
        """What is measured, for the alarm's own description and the dashboard."""
        return self.text.watches

    @property
    def action(self) -> str:
        """What a person does when it fires."""
        return self.text.action

    def parse(self, value: object) -> float:
        """Return a threshold in seconds, as a share, or as the plain number.

        Raises:
            ValueError: it is not written in this alarm's quantity.
        """
        if self.quantity == "duration":
            return parse_duration(value).total_seconds()
        if self.quantity == "share":
            return parse_ratio(value)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
            raise ValueError("is no number of at least 0")
        return float(value)

    def format(self, value: float) -> str:
        """Write a threshold as people do."""
        if self.quantity == "duration":
            return format_duration(timedelta(seconds=value))
        return f"{value:.4g}" if self.quantity != "share" else f"{100 * value:.4g}%"


_HOUR = timedelta(hours=1)

_OF_LABELS: tuple[tuple[str, Quantity, Literal["above", "below"]], ...] = (
    ("labels.suspicious_ratio", "share", "above"),
    ("accuracy", "share", "below"),
    ("precision", "share", "below"),
    ("recall", "share", "below"),
    ("f1", "share", "below"),
    ("roc_auc", "share", "below"),
    ("average_precision", "share", "below"),
    ("precision_macro", "share", "below"),
    ("recall_macro", "share", "below"),
    ("f1_macro", "share", "below"),
    ("roc_auc_ovr", "share", "below"),
    ("log_loss", "number", "above"),
    ("brier", "number", "above"),
    ("calibration_error", "share", "above"),
    ("mean_absolute_error", "number", "above"),
    ("root_mean_squared_error", "number", "above"),
    ("mean_absolute_percentage_error", "number", "above"),
    ("r2", "number", "below"),
)

ALARMS: dict[str, AlarmKind] = {
    "latency_p95": AlarmKind(
        ALARM_TEXTS["latency_p95"],
        "duration",
        "above",
        "endpoint",
    ),
    "latency_p99": AlarmKind(
        ALARM_TEXTS["latency_p99"],
        "duration",
        "above",
        "endpoint",
    ),
    "error_rate": AlarmKind(
        ALARM_TEXTS["error_rate"],
        "share",
        "above",
        "endpoint",
    ),
    "invocations": AlarmKind(
        ALARM_TEXTS["invocations"],
        "count",
        "below",
        "endpoint",
        period=timedelta(minutes=5),
        periods=3,
        silence_breaches=True,
    ),
    "cpu_utilization": AlarmKind(
        ALARM_TEXTS["cpu_utilization"],
        "share",
        "above",
        "endpoint",
        periods=5,
    ),
    "memory_utilization": AlarmKind(
        ALARM_TEXTS["memory_utilization"],
        "share",
        "above",
        "endpoint",
        periods=5,
    ),
    "disk_utilization": AlarmKind(
        ALARM_TEXTS["disk_utilization"],
        "share",
        "above",
        "endpoint",
        periods=5,
    ),
    "drift.psi": AlarmKind(
        ALARM_TEXTS["drift.psi"],
        "number",
        "above",
        "monitor",
        period=_HOUR,
        periods=1,
    ),
    "drift.prediction_psi": AlarmKind(
        ALARM_TEXTS["drift.prediction_psi"],
        "number",
        "above",
        "monitor",
        period=_HOUR,
        periods=1,
    ),
    "drift.target_psi": AlarmKind(
        ALARM_TEXTS["drift.target_psi"],
        "number",
        "above",
        "monitor",
        period=_HOUR,
        periods=1,
        needs_labels=True,
    ),
    "data.missing_ratio": AlarmKind(
        ALARM_TEXTS["data.missing_ratio"],
        "share",
        "above",
        "monitor",
        period=_HOUR,
        periods=1,
    ),
    "data.out_of_range_ratio": AlarmKind(
        ALARM_TEXTS["data.out_of_range_ratio"],
        "share",
        "above",
        "monitor",
        period=_HOUR,
        periods=1,
    ),
    "data.unseen_category_ratio": AlarmKind(
        ALARM_TEXTS["data.unseen_category_ratio"],
        "share",
        "above",
        "monitor",
        period=_HOUR,
        periods=1,
    ),
    **{
        name: AlarmKind(
            ALARM_TEXTS[name],
            quantity,
            side,
            "monitor",
            period=_HOUR,
            periods=1,
            needs_labels=True,
        )
        for name, quantity, side in _OF_LABELS
    },
    "monitor.runs": AlarmKind(
        ALARM_TEXTS["monitor.runs"],
        "count",
        "below",
        "monitor",
        period=_HOUR,
        periods=2,
        silence_breaches=True,
    ),
}
