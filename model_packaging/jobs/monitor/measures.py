"""What the monitor measures, by the names of the alarms; docs/metrics.md lists them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from model_packaging.jobs.monitor.descriptions import FALSE_DISCOVERIES
from model_packaging.jobs.monitor.drift import benjamini_hochberg
from model_packaging.jobs.monitor.summaries import Column
from model_packaging.jobs.monitor.traffic import Traffic


@dataclass(frozen=True)
class Measure:
    """One number; `feature` is the input it is about, if it is about one."""

    name: str
    value: float
    feature: str | None = None


def measures(traffic: Traffic, minimum_rows: int) -> list[Measure]:
    """What the traffic allows to be said: nothing of data without rows, nothing of drift below the minimum."""
    features = traffic.features
    psi = {name: drift[0] for name, one in features.items() if (drift := one.drift(minimum_rows)) is not None}
    adjusted = significant(features, minimum_rows)
    predictions = [drift[0] for one in traffic.predictions.values() if (drift := one.drift(minimum_rows)) is not None]
    categories = [one for one in features.values() if one.kind == "categorical"]
    measured = [one for one in features.values() if one.kind != "categorical"]
    found: dict[str, float | None] = {
        "data.rows": float(traffic.rows),
        "data.missing_ratio": _highest(one.missing_ratio for one in features.values()),
        "data.out_of_range_ratio": _highest(one.strange_ratio for one in measured),
        "data.outlier_rise": _highest(one.outlier_rise for one in features.values()),
        "data.unseen_category_ratio": _highest(one.strange_ratio for one in categories),
        "data.type_violation_ratio": traffic.misfit_rows.count / traffic.rows if traffic.rows else None,
        "drift.psi": _highest(psi.values()),
        "drift.prediction_psi": _highest(predictions),
        "drift.significant_ratio": (
            sum(value <= FALSE_DISCOVERIES for value in adjusted.values()) / len(adjusted) if adjusted else None
        ),
    }
    totals = [Measure(name, value) for name, value in found.items() if value is not None]
    return totals + [Measure("feature.psi", value, name) for name, value in psi.items()]


def significant(columns: Mapping[str, Column], minimum_rows: int) -> dict[str, float]:
    """The adjusted p-value of each column that could be tested; the columns are one family of tests."""
    tests = {name: one.significance(minimum_rows) for name, one in columns.items()}
    return benjamini_hochberg({name: test.p_value for name, test in tests.items() if test is not None})


def _highest(values: Iterable[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)
