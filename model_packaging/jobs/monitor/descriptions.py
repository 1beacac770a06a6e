"""What each measure means, by its name, without importing what measures it; docs/metrics.md lists them."""

from __future__ import annotations

from collections.abc import Iterable

from model_packaging.alarms import ALARM_TEXTS, QUALITY

FALSE_DISCOVERIES = 0.05
"""Of the columns that are called significant, the share that may be so by chance."""


def _watched(names: Iterable[str]) -> dict[str, str]:
    """What has an alarm is told by its text."""
    return {name: ALARM_TEXTS[name].watches for name in names}


OF_TRAFFIC = {
    **_watched(
        (
            "data.missing_ratio",
            "data.out_of_range_ratio",
            "data.unseen_category_ratio",
            "drift.prediction_psi",
            "drift.psi",
        )
    ),
    "data.outlier_rise": (
        "by how much the share of outliers is above that in the training data, in the input where it rose most"
    ),
    "data.rows": "rows captured within the window",
    "data.type_violation_ratio": "share of rows with a value of the wrong type or with the wrong columns",
    "drift.significant_ratio": (
        f"share of inputs whose difference is no chance, at a false discovery rate of {FALSE_DISCOVERIES}"
    ),
    "feature.psi": "population stability index of one input",
}
"""What captured traffic gives."""

OF_LABELS = {
    **_watched((*QUALITY, "drift.target_psi", "labels.suspicious_ratio")),
    "labels.contradicting_ratio": "share of labels that another one of the same run contradicts",
    "labels.missing_ratio": "share of rows in the label files without a label",
    "labels.rows": "labels that were joined to their predictions and are counted in the metrics that were sent",
    "labels.unknown_class_ratio": "share of labels that are no class of the model, or no number where one is predicted",
    "labels.unmatched_ratio": "share of labels without a captured prediction",
}
"""What labels give; the user's own metrics follow as `custom.<name>`."""

DESCRIPTIONS = dict(sorted({**OF_TRAFFIC, **OF_LABELS, **_watched(("monitor.runs",))}.items()))
"""Everything that the monitor measures. Beside these there are the user's own metrics."""
