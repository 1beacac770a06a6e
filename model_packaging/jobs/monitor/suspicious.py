# pyright: basic
# (numpy's functions carry few types)
"""Labels that are probably wrong, found by confident learning.

Source: C. Northcutt, L. Jiang, I. Chuang, "Confident Learning: Estimating Uncertainty in Dataset Labels", Journal of
Artificial Intelligence Research 70 (2021), section 3. It wants probabilities on rows that the model was not trained
on, which live predictions are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Suspicion:
    """What the labels and the probabilities say about each other."""

    ratio: float
    """Estimated share of labels that are wrong: what lies off the diagonal of the estimated joint distribution."""

    joint: Any
    """Estimated joint distribution of given and true classes; sums to 1."""

    rows: Any
    """Positions of the suspicious rows, the surest first."""

    suggested: Any
    """The class that each of those rows probably is of."""


def suspicions(given: Any, probability: Any) -> Suspicion:
    """Compare labels (positions of classes) with probabilities (rows × classes).

    A class j has the threshold t(j), the mean of p(j) over the rows labelled j (equation 2 of the source). A row
    labelled i counts in the confident joint C(i, j) for the class j with the highest p(j) among those that reach
    their thresholds; a row that reaches none does not count (equation 1). C is then scaled to the number of labels
    of each class and normalised (equation 3). The rows that count off the diagonal are suspicious, in the order of
    p(suggested) − p(given), the source's normalised margin. A class without labels has no threshold and is never
    suggested.
    """
    labels, classes = np.asarray(given, dtype=int), probability.shape[1]
    counts = np.bincount(labels, minlength=classes)
    own = probability[np.arange(len(labels)), labels]
    with np.errstate(invalid="ignore", divide="ignore"):
        thresholds = np.where(counts > 0, np.bincount(labels, own, classes) / counts, np.inf)
    # A class that is always predicted with one probability reaches it, whatever its mean is rounded to.
    confident = np.where(probability >= thresholds - 1e-12, probability, -np.inf)
    suggested = confident.argmax(axis=1)
    counted = np.isfinite(confident.max(axis=1))
    joint = np.zeros((classes, classes))
    np.add.at(joint, (labels[counted], suggested[counted]), 1.0)
    found = joint.sum(axis=1, keepdims=True)
    # Of a class none of whose rows reached a threshold nothing is known: its labels count as right.
    joint = np.where(found > 0, joint / np.maximum(found, 1), np.eye(classes)) * counts[:, None] / max(len(labels), 1)
    rows = np.flatnonzero(counted & (suggested != labels))
    margin = probability[rows, suggested[rows]] - own[rows]
    order = np.argsort(-margin, kind="stable")
    rows = rows[order]
    return Suspicion(float(joint.sum() - np.trace(joint)), joint, rows, suggested[rows])
