"""Whether the conditions of an alerting policy are met, for which time series.

Sources: "Behavior of metric-based alerting policies" (the alignment period slides and is looked at every minute; a
condition is met when all values in the retest window violate the threshold, one that does not begins the window anew;
missing data), Cloud Monitoring API v3, MetricThreshold, MetricAbsence, EvaluationMissingData and Trigger;
"Metric-absence alerting" (a series must have been seen to be absent). Data is there at once: the service's delay of
ingestion is not emulated.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from sandbox.google.metrics import Point, Series, metrics_of
from sandbox.google.monitoring.aggregation import aggregate, lookback
from sandbox.google.monitoring.api import seconds
from sandbox.google.monitoring.filters import select

if TYPE_CHECKING:
    from sandbox.google.emulator import Emulator

STEP = timedelta(minutes=1)


@dataclass
class Observed:
    """What is known of one series of a condition. `since` is when it began to violate, `met` for long enough."""

    series: Series
    seen: datetime
    value: float | None = None
    since: datetime | None = None
    met: bool = False


@dataclass
class Watch:
    """One condition that is being evaluated."""

    project: str
    condition: dict[str, Any]
    observed: dict[str, Observed] = field(default_factory=dict)

    @property
    def threshold(self) -> dict[str, Any] | None:
        return self.condition.get("conditionThreshold")

    @property
    def definition(self) -> dict[str, Any]:
        return self.threshold or self.condition["conditionAbsent"]

    def evaluate(self, emulator: Emulator, at: datetime) -> None:
        """Look at the values of a moment."""
        found = self._values(emulator, at)
        for key, series in found.items():
            one = self.observed.setdefault(key, Observed(series, at))
            value = series.points[-1].value
            one.seen, one.value = at, float(value) if isinstance(value, int | float) else None
            self._judge(one, self._violates(one), at)
        for key in self.observed.keys() - found.keys():
            one = self.observed[key]
            self._judge(one, self._violates_missing(), at)

    def _judge(self, one: Observed, violates: bool | None, at: datetime) -> None:
        if violates is None:
            return
        if not violates:
            one.since, one.met = None, False
            return
        if one.since is None:
            # An absence begins with the last value, a violation with the first one that is seen.
            one.since = one.seen if self.threshold is None else at
        one.met = at - one.since >= timedelta(seconds=seconds(self.definition.get("duration")))

    def _violates(self, one: Observed) -> bool:
        if self.threshold is None or one.value is None:
            return False
        limit = float(self.threshold.get("thresholdValue", 0))
        return one.value > limit if self.threshold["comparison"] == "COMPARISON_GT" else one.value < limit

    def _violates_missing(self) -> bool | None:
        if self.threshold is None:
            return True
        treatment = str(self.threshold.get("evaluationMissingData", ""))
        return {"EVALUATION_MISSING_DATA_INACTIVE": False, "EVALUATION_MISSING_DATA_ACTIVE": True}.get(treatment)

    @property
    def met(self) -> dict[str, Observed]:
        """The series for which the condition is met; none where they are too few for its trigger."""
        found = {key: one for key, one in self.observed.items() if one.met}
        trigger = self.definition.get("trigger", {})
        if "percent" in trigger:
            enough = bool(found) and 100 * len(found) / len(self.observed) >= float(trigger["percent"])
        else:
            enough = len(found) >= int(trigger.get("count", 1))
        return found if enough else {}

    def forget(self, before: datetime) -> None:
        """Forget the series that had their last value before a time."""
        self.observed = {key: one for key, one in self.observed.items() if one.seen >= before}

    def _values(self, emulator: Emulator, at: datetime) -> dict[str, Series]:
        definition = self.definition
        found = self._selected(emulator, definition["filter"], definition.get("aggregations", []), at)
        if not definition.get("denominatorFilter"):
            return found
        divisors = self._selected(
            emulator, definition["denominatorFilter"], definition.get("denominatorAggregations", []), at
        )
        by_labels = {_labels(one): float(one.points[-1].value) for one in divisors.values()}  # type: ignore[arg-type]
        ratios: dict[str, Series] = {}
        for key, one in found.items():
            divisor = by_labels.get(_labels(one))
            if divisor:
                ratio = float(one.points[-1].value) / divisor  # type: ignore[arg-type]
                ratios[key] = replace(one, value_type="DOUBLE", points=[Point(at, at, ratio)])
        return ratios

    def _selected(
        self, emulator: Emulator, text: str, aggregations: list[dict[str, Any]], at: datetime
    ) -> dict[str, Series]:
        """The aggregated series that have a value at a moment, by their labels."""
        # Without alignment the value of the last minute counts. A cumulative one needs the value before its period.
        earliest = at - max(lookback(aggregations), STEP) - 10 * STEP
        series = metrics_of(emulator).series(self.project, select(text).passes, earliest, at)
        found = aggregate(series, aggregations, [at])
        current = [one for one in found if one.points and one.points[-1].end > at - STEP]
        return {f"{one.metric_type} {_labels(one)}": one for one in current}


def _labels(series: Series) -> str:
    return json.dumps([series.resource_type, series.resource_labels, series.metric_labels], sort_keys=True)
