"""The always-valid test against its definition, and against what it promises under constant looking."""

import math

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm

from model_packaging.variants.sequential import Sample, effect, half_width, p_value, rows_needed, sample


@pytest.mark.parametrize(("difference", "variance", "scale"), [(0.03, 0.0002, 0.02), (0.0, 0.001, 0.1), (-1.2, 0.3, 2)])
def test_the_ratio_is_the_integral_over_the_mixture(difference: float, variance: float, scale: float) -> None:
    """The likelihood of the estimate under differences drawn from N(0, scale²), over the one under none."""
    error = math.sqrt(variance)
    ends = difference - 12 * error, difference + 12 * error
    mixed = quad(lambda true: norm.pdf(difference, true, error) * norm.pdf(true, 0, scale), *ends, epsabs=0, limit=200)[
        0
    ]
    assert p_value(difference, variance, scale) == pytest.approx(
        min(1, norm.pdf(difference, 0, error) / mixed), rel=1e-6
    )


def test_the_interval_ends_where_the_p_value_is_alpha() -> None:
    for variance in (1e-5, 1e-3, 0.1):
        reach = half_width(variance, 0.02, 0.95)
        assert p_value(reach, variance, 0.02) == pytest.approx(0.05)


def looks(control: np.ndarray, treatment: np.ndarray, scale: float) -> list[tuple[float, float]]:
    """The interval after every tenth pair of rows, from the hundredth on."""
    found = []
    for rows in range(100, len(control) + 1, 10):
        one = effect(sample(control[:rows], shares=True), sample(treatment[:rows], shares=True), scale, 0.95)
        found.append((one.low, one.high))
    return found


def test_looking_all_the_time_finds_nothing_where_nothing_is() -> None:
    """At most 5 % of experiments may ever exclude 0; the test of fixed size does in a quarter or more."""
    generator = np.random.default_rng(1)
    wrong = fixed = 0
    for _ in range(200):
        control, treatment = (generator.random(2000) < 0.8 for _ in range(2))
        wrong += any(low > 0 or high < 0 for low, high in looks(control, treatment, 0.05))
        rows = np.arange(100, 2001, 10)
        gap = (np.cumsum(treatment) - np.cumsum(control.astype(int)))[rows - 1] / rows
        fixed += bool((np.abs(gap) > 1.96 * np.sqrt(2 * 0.16 / rows)).any())
    assert wrong <= 20  # 10 expected at most; more than 20 happens once in 1,000
    assert fixed > 40


def test_a_real_difference_is_found_and_bounded() -> None:
    generator = np.random.default_rng(2)
    found = held = 0
    for _ in range(40):
        control, treatment = generator.random(4000) < 0.75, generator.random(4000) < 0.82
        intervals = looks(control, treatment, 0.05)
        found += intervals[-1][0] > 0
        held += all(low <= 0.07 <= high for low, high in intervals)
    assert found >= 36
    assert held >= 34


def test_the_rows_needed_are_those_that_make_the_interval_as_narrow() -> None:
    one = Sample(500, 0.8, 0.16)
    needed = rows_needed(one, one, 0.02, 0.95)
    assert half_width(0.32 / needed, 0.02, 0.95) == pytest.approx(0.02, rel=1e-3)
    # Always being allowed to look costs a few times the rows of one look at 95 %.
    assert 1 < needed / ((1.96 / 0.02) ** 2 * 0.32) < 5


def test_a_variant_without_a_mistake_may_make_one() -> None:
    right = sample(np.ones(200), shares=True)
    assert right.mean == 1 and right.variance > 0
    assert sample([2.0, 4.0], shares=False) == Sample(2, 3.0, 2.0)
    assert sample([], shares=True).rows == 0
