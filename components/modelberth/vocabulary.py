"""The alarms, by name: one meaning on every platform.

A threshold is written in the alarm's own quantity: a duration, a share, a count or a plain number. Where the numbers
come from differs by platform; what they mean does not.
"""

import math
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from .quantities import format_duration, parse_duration, parse_ratio

Quantity = Literal["duration", "share", "count", "number"]


@dataclass(frozen=True)
class AlarmKind:
    """What an alarm of this name watches.

    Attributes:
        description: What is measured, for the alarm's own description and the dashboard.
        action: What a person does when it fires.
        quantity: What a threshold is: a duration, a share of 0 to 1, a count or a plain number.
        side: On which side of the threshold the trouble lies.
        source: `endpoint` if the platform measures it, `monitor` if the monitor job does.
        period: The span over which one value is computed.
        periods: How many values in a row must breach.
        silence_breaches: Whether no value at all counts as a breach.
    """

    description: str
    action: str
    quantity: Quantity
    side: Literal["above", "below"]
    source: Literal["endpoint", "monitor"]
    period: timedelta = timedelta(minutes=1)
    periods: int = 2
    silence_breaches: bool = False

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

ALARMS: dict[str, AlarmKind] = {
    "latency_p95": AlarmKind(
        "time the model takes to answer, 95th percentile",
        "Look at saturation first; then scale out, or roll back the last package.",
        "duration",
        "above",
        "endpoint",
    ),
    "latency_p99": AlarmKind(
        "time the model takes to answer, 99th percentile",
        "Look at saturation first; then scale out, or roll back the last package.",
        "duration",
        "above",
        "endpoint",
    ),
    "error_rate": AlarmKind(
        "share of requests that the model failed to answer (5xx)",
        "Read the endpoint's log; roll back if it began with the last package.",
        "share",
        "above",
        "endpoint",
    ),
    "invocations": AlarmKind(
        "requests that reached the endpoint",
        "Ask the callers: the endpoint answers, but nobody asks.",
        "count",
        "below",
        "endpoint",
        period=timedelta(minutes=5),
        periods=3,
        silence_breaches=True,
    ),
    "cpu_utilization": AlarmKind(
        "share of the processors in use, the mean over the endpoint's replicas",
        "Scale out, or choose a larger machine.",
        "share",
        "above",
        "endpoint",
        periods=5,
    ),
    "memory_utilization": AlarmKind(
        "share of memory in use, the mean over the endpoint's replicas",
        "Choose a machine with more memory; look for a leak if it only grows.",
        "share",
        "above",
        "endpoint",
        periods=5,
    ),
    "disk_utilization": AlarmKind(
        "share of disk space in use, the mean over the endpoint's replicas",
        "Look for files that the container leaves; choose a larger volume.",
        "share",
        "above",
        "endpoint",
        periods=5,
    ),
    "drift.psi": AlarmKind(
        "population stability index of the input that drifted most, against the training data",
        "Read the drift report: a broken source is mended there, a changed world by retraining.",
        "number",
        "above",
        "monitor",
        period=_HOUR,
        periods=1,
    ),
    "drift.prediction_psi": AlarmKind(
        "population stability index of the predictions, against those on the training data",
        "Read the drift report; compare with the inputs' drift before retraining.",
        "number",
        "above",
        "monitor",
        period=_HOUR,
        periods=1,
    ),
    "data.missing_ratio": AlarmKind(
        "share of missing values in the input where it is highest",
        "Find the source that stopped sending; the model answers from what is left.",
        "share",
        "above",
        "monitor",
        period=_HOUR,
        periods=1,
    ),
    "data.out_of_range_ratio": AlarmKind(
        "share of values outside the range of the training data, in the input where it is highest",
        "Check units and encodings at the source.",
        "share",
        "above",
        "monitor",
        period=_HOUR,
        periods=1,
    ),
    "data.unseen_category_ratio": AlarmKind(
        "share of categories never seen in training, in the input where it is highest",
        "Check the source; if the category is real, retrain with it.",
        "share",
        "above",
        "monitor",
        period=_HOUR,
        periods=1,
    ),
}
