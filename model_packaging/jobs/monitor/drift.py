"""How far two binned distributions are apart."""

from __future__ import annotations

import math
from collections.abc import Sequence

SMOOTHING = 1e-4
"""A share of 0 counts as this one, on both sides: PSI's logarithm knows no 0. A bin that training never
filled then adds about 0.05 with 1 % of the traffic in it, and about 0.7 with 10 %."""

MODERATE, MAJOR = 0.1, 0.25
"""Siddiqi's rule for PSI: below 0.1 nothing worth looking at, from 0.1 a shift to look into, above 0.25 a
major one. Source: N. Siddiqi, Credit Risk Scorecards, Wiley 2006, chapter 9, "System stability report"."""


def population_stability_index(training: Sequence[float], traffic: Sequence[float]) -> float:
    """PSI, the sum of (q − p)·ln(q / p) over the bins' shares p and q: 0 for equal ones, without upper bound.

    It is the symmetric Kullback–Leibler divergence (Jeffreys 1946) of the binned values. Without any drift it
    is about (bins − 1)·(1/rows in training + 1/rows in traffic) by chance alone (B. Yurdakul, Statistical
    Properties of Population Stability Index, 2018), so a small sample looks like drift.
    """
    pairs = ((max(p, SMOOTHING), max(q, SMOOTHING)) for p, q in zip(training, traffic, strict=True))
    return sum((q - p) * math.log(q / p) for p, q in pairs)


def jensen_shannon_distance(training: Sequence[float], traffic: Sequence[float]) -> float:
    """The square root of the Jensen–Shannon divergence with logarithms to base 2: 0 for equal shares, 1 for
    shares without a common bin. Sources: J. Lin, IEEE Transactions on Information Theory 37 (1991); that the
    root is a metric: D. Endres and J. Schindelin, the same journal 49 (2003)."""
    middle = [(p + q) / 2 for p, q in zip(training, traffic, strict=True)]
    divergence = (_relative_entropy(training, middle) + _relative_entropy(traffic, middle)) / 2
    return math.sqrt(max(divergence, 0.0))  # rounding can leave −1e-17


def level(psi: float) -> str:
    """`stable`, `moderate` or `major`."""
    return "major" if psi > MAJOR else "moderate" if psi >= MODERATE else "stable"


def _relative_entropy(shares: Sequence[float], reference: Sequence[float]) -> float:
    return sum(p * math.log2(p / m) for p, m in zip(shares, reference, strict=True) if p)
