# pyright: basic
# (numpy and scipy carry few types)
"""How far two distributions are apart, and whether that can be chance."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

SMOOTHING = 1e-4
"""A share of 0 counts as this one, on both sides: PSI's logarithm knows no 0. A bin that training never
filled then adds about 0.05 with 1 % of the traffic in it, and about 0.7 with 10 %."""

MODERATE, MAJOR = 0.1, 0.25
"""Siddiqi's rule for PSI: below 0.1 nothing worth looking at, from 0.1 a shift to look into, above 0.25 a
major one. Source: N. Siddiqi, Credit Risk Scorecards, Wiley 2006, chapter 9, "System stability report"."""

_LEAST_EXPECTED = 5.0
"""Bins that expect fewer values are joined before a chi-square test. Source: W. Cochran, "Some methods for
strengthening the common χ² tests", Biometrics 10 (1954)."""


@dataclass(frozen=True)
class Significance:
    """A test of the hypothesis that traffic and training come from one distribution."""

    name: str
    """`kolmogorov_smirnov` or `chi_square`."""

    statistic: float
    error: float
    """By how much the true statistic may be higher, because only counts are kept; 0 for a chi-square."""

    p_value: float
    """The chance of such a statistic or a higher one where nothing has changed."""


@dataclass(frozen=True)
class Distance:
    """A distance, and by how much it may be off because only counts are kept."""

    value: float
    error: float


@dataclass(frozen=True)
class Cumulative:
    """A sample's cumulative distribution at some points: the share below each, and the share at most each."""

    count: int
    below: Any
    upto: Any

    def at(self, points: slice) -> Cumulative:
        """The same at some of the points."""
        return Cumulative(self.count, self.below[points], self.upto[points])

    @property
    def gaps(self) -> Any:
        """The shares before the first point, between neighbouring points, and after the last."""
        return np.maximum(np.append(self.below, 1.0) - np.append(0.0, self.upto), 0.0)


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


def kolmogorov_smirnov(training: Cumulative, traffic: Cumulative) -> Significance:
    """The two-sample test by D, the greatest difference of the cumulative distributions F and G, max |F − G|.

    D is taken at the sketch's points, where both are known exactly, so it is never too high. Between two points
    F and G only rise, so there it is at most the greater of F after − G before and G after − F before, which
    bounds the error: at most the share of values between two points, 1/200 for a sketch of 200.

    The p-value is Kolmogorov's limit at (√n + 0.12 + 0.11/√n)·D with n = rows·rows/(rows + rows), good from
    n = 4 (M. Stephens, "Use of the Kolmogorov–Smirnov, Cramér–von Mises and related statistics without
    extensive tables", Journal of the Royal Statistical Society B 32, 1970). As D is never too high, it is never
    too low; with values that come up often it is higher still (G. Noether, 1963).
    """
    from scipy.special import kolmogorov

    at_points = np.abs(np.concatenate([training.below - traffic.below, training.upto - traffic.upto]))
    found = float(at_points.max(initial=0.0))
    p_after, p_before = np.append(training.below, 1.0), np.append(0.0, training.upto)
    q_after, q_before = np.append(traffic.below, 1.0), np.append(0.0, traffic.upto)
    most = float(np.maximum(p_after - q_before, q_after - p_before).max())
    root = math.sqrt(training.count * traffic.count / (training.count + traffic.count))
    return Significance(
        "kolmogorov_smirnov",
        found,
        max(most - found, 0.0),
        float(kolmogorov((root + 0.12 + 0.11 / root) * found)),
    )


def wasserstein(
    points: Any, training: Cumulative, traffic: Cumulative, beyond: float, deviation: float
) -> Distance | None:
    """The Wasserstein distance W₁, the area ∫|F − G| dx between the cumulative distributions, in the training
    data's standard deviations; None where that is 0. Source: S. Vallender, "Calculation of the Wasserstein
    distance between probability distributions on the line", Theory of Probability 18 (1974).

    The points reach from training's least value to its greatest. Outside F is 0 or 1, and `beyond`, the mean of the
    distances of traffic's values to the nearest point, is exact. Between two points F and G are taken to rise
    evenly, which is off by at most the gap's width times half of both shares in it.
    """
    if not deviation > 0:
        return None
    with np.errstate(over="ignore", invalid="ignore"):
        widths = np.diff(points)
        first = np.abs(training.upto - traffic.upto)[:-1]
        last = np.abs(training.below - traffic.below)[1:]
        crossed = (training.upto - traffic.upto)[:-1] * (training.below - traffic.below)[1:] < 0
        both = np.where(first + last > 0, first + last, 1.0)
        heights = np.where(crossed, (first**2 + last**2) / (2 * both), (first + last) / 2)
        value = float((widths * heights).sum() / deviation + beyond / deviation)
        error = float((widths * (training.gaps + traffic.gaps)[1:-1] / 2).sum() / deviation)
    return Distance(value, error) if math.isfinite(value) and math.isfinite(error) else None


def chi_square(training: Sequence[float], traffic: Sequence[float]) -> Significance | None:
    """Pearson's test of homogeneity over the bins' counts r and s, with R and S in all: the sum of
    (√(S/R)·r − √(R/S)·s)² / (r + s), with one degree of freedom less than bins.

    Bins that expect fewer than five values on either side are joined; None where a single one is left. Source:
    W. Press and others, Numerical Recipes, Cambridge 2007, section 14.3.
    """
    from scipy.special import chdtrc

    counts = np.array([training, traffic], dtype=float)
    totals = counts.sum(axis=1, keepdims=True)
    if not totals.all():
        return None
    expected = totals * counts.sum(axis=0) / totals.sum()
    rare = (expected < _LEAST_EXPECTED).any(axis=0)
    joined = np.column_stack([counts[:, ~rare], counts[:, rare].sum(axis=1)])
    r, s = joined[:, joined.sum(axis=0) > 0]
    if len(r) < 2:
        return None
    ratio = math.sqrt(float(totals[1, 0] / totals[0, 0]))
    statistic = float(((ratio * r - s / ratio) ** 2 / (r + s)).sum())
    return Significance("chi_square", statistic, 0.0, float(chdtrc(len(r) - 1, statistic)))


def benjamini_hochberg(p_values: Mapping[str, float]) -> dict[str, float]:
    """Adjusted p-values: those of at most α are significant with a false discovery rate of α.

    Among many columns one in twenty has a p-value below 0.05 by chance. The k-th lowest of m is multiplied by
    m/k, and none is higher than a later one. Source: Y. Benjamini and Y. Hochberg, "Controlling the false
    discovery rate", Journal of the Royal Statistical Society B 57 (1995); it holds for independent and for
    positively dependent tests (Y. Benjamini and D. Yekutieli, Annals of Statistics 29, 2001).
    """
    adjusted: dict[str, float] = {}
    least = 1.0
    ranked = sorted(p_values, key=lambda name: p_values[name])
    for rank in range(len(ranked), 0, -1):
        name = ranked[rank - 1]
        least = min(least, p_values[name] * len(ranked) / rank)
        adjusted[name] = least
    return {name: adjusted[name] for name in p_values}


def level(psi: float) -> str:
    """`stable`, `moderate` or `major`."""
    return "major" if psi > MAJOR else "moderate" if psi >= MODERATE else "stable"


def _relative_entropy(shares: Sequence[float], reference: Sequence[float]) -> float:
    return sum(p * math.log2(p / m) for p, m in zip(shares, reference, strict=True) if p)
