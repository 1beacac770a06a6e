# pyright: basic
# (scikit-learn carries no types)
"""Points for the card's plots."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..formats.predictor import class_key
from .scored import Scored

CURVE_POINTS = 60


def curves(scored: Scored) -> dict[str, Any]:
    """Points for the card's plots, few enough to stay readable as JSON."""
    from sklearn import metrics as m
    from sklearn.calibration import calibration_curve

    if scored.task == "regression":
        residuals = scored.target - scored.predicted
        counts, edges = np.histogram(residuals, bins=30)
        pick = np.linspace(0, len(scored) - 1, min(len(scored), 400)).astype(int)
        return {
            "residuals": {"edges": _points(edges), "counts": counts.tolist()},
            "predicted": {"predicted": _points(scored.predicted[pick]), "actual": _points(scored.target[pick])},
        }
    labels = [class_key(value) for value in scored.classes]
    matrix = m.confusion_matrix(scored.target, scored.predicted, labels=range(len(labels)))
    found: dict[str, Any] = {"confusion": {"classes": labels, "matrix": matrix.tolist()}}
    if not scored.binary or scored.probability is None:
        return found
    truth, score = scored.target == 1, scored.probability[:, 1]
    if truth.all() or not truth.any():
        return found
    false_rate, true_rate, _ = m.roc_curve(truth, score)
    precision, recall, _ = m.precision_recall_curve(truth, score)
    observed, mean = calibration_curve(truth, score, n_bins=10, strategy="quantile")
    return found | {
        "roc": {"false_positive_rate": _thin(false_rate), "true_positive_rate": _thin(true_rate)},
        "precision_recall": {"recall": _thin(recall), "precision": _thin(precision)},
        "calibration": {"predicted": _points(mean), "observed": _points(observed)},
    }


def _thin(values: Any) -> list[float]:
    pick = np.linspace(0, len(values) - 1, min(len(values), CURVE_POINTS)).astype(int)
    return _points(values[pick])


def _points(values: Any) -> list[float]:
    return [round(float(value), 6) for value in values]
