# pyright: basic
# (numpy's and scipy's functions carry few types)
"""The difference of two means that may be looked at after every row.

A test of fixed size that is repeated until it agrees finds a difference in the end, whether there is one or not.
The mixture sequential probability ratio test does not: its interval holds the true difference at all times at once
with the stated confidence, and looking at it is free. Sources: H. Robbins, Annals of Mathematical Statistics 41
(1970); R. Johari, P. Koomen, L. Pekelis, D. Walsh, "Always Valid Inference", Operations Research 70 (2022),
section 5, for means that are normal only in the limit, with the variance estimated from the rows; I. Waudby-Smith
and others, Annals of Statistics 52 (2024), for when that holds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

MIN_ROWS = 100
"""Labelled rows of each variant before anything is said: a mean of fewer is not normal, nor its variance known."""


@dataclass(frozen=True)
class Sample:
    """One variant's rows: how many, their mean, and their variance."""

    rows: int
    mean: float
    variance: float


@dataclass(frozen=True)
class Effect:
    """How much higher the treatment's mean is than the control's."""

    difference: float
    low: float
    high: float
    p_value: float
    """Always valid: at most α in a share α of all experiments without a difference, whenever one looks."""


def sample(values: Any, *, shares: bool) -> Sample:
    """Of outcomes, which are 0 or 1 where `shares`: their variance then counts one more of each, so that a variant
    without a mistake is not taken for one that can make none (A. Agresti and B. Caffo, The American Statistician
    54, 2000)."""
    found = np.asarray(values, dtype=float)
    rows = len(found)
    if not rows:
        return Sample(0, math.nan, math.nan)
    if shares:
        chance = (found.sum() + 1) / (rows + 2)
        return Sample(rows, float(found.mean()), float(chance * (1 - chance)))
    return Sample(rows, float(found.mean()), float(found.var(ddof=1)) if rows > 1 else math.nan)


def effect(control: Sample, treatment: Sample, scale: float, confidence: float) -> Effect:
    """The difference with its interval at any time. `scale` is the size of difference that the test is made for:
    its interval is narrow soonest around it, and valid whatever it is."""
    variance = control.variance / control.rows + treatment.variance / treatment.rows
    difference = treatment.mean - control.mean
    reach = half_width(variance, scale, confidence)
    return Effect(difference, difference - reach, difference + reach, p_value(difference, variance, scale))


def half_width(variance: float, scale: float, confidence: float) -> float:
    """Half of the interval, for the variance of the difference."""
    if variance == 0:
        return 0.0
    both = variance + scale**2
    return math.sqrt(2 * variance * both / scale**2 * math.log(math.sqrt(both / variance) / (1 - confidence)))


def p_value(difference: float, variance: float, scale: float) -> float:
    """One over the likelihood ratio of a normal mixture of differences against none."""
    if variance == 0:
        return 1.0 if difference == 0 else 0.0
    both = variance + scale**2
    log_ratio = 0.5 * math.log(variance / both) + scale**2 * difference**2 / (2 * variance * both)
    return min(1.0, math.exp(-log_ratio))


def rows_needed(control: Sample, treatment: Sample, size: float, confidence: float) -> int:
    """Rows of each variant until the interval is at most `size` to either side, when the variances stay."""
    from scipy.optimize import brentq

    total = control.variance + treatment.variance
    if total == 0:
        return MIN_ROWS
    most = total / size**2 * 1e4  # there, it is far narrower
    root: Any = brentq(lambda rows: half_width(total / rows, size, confidence) - size, 1e-3 * total / size**2, most)
    return max(math.ceil(root), MIN_ROWS)
