"""Statistics from counts alone, against scipy's on the values themselves."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from model_packaging.baseline import SKETCH_POINTS, categorical, numeric, rounded
from model_packaging.errors import PackageError
from model_packaging.jobs.monitor.drift import benjamini_hochberg
from model_packaging.jobs.monitor.summaries import Column, column

from .conftest import Case, customers, rows_of

GENERATOR = np.random.default_rng(11)
SHAPES: dict[str, tuple[Any, Any]] = {
    "normal": (GENERATOR.normal(0, 1, 5000), GENERATOR.normal(0.3, 1.2, 3000)),
    "the same": (GENERATOR.normal(0, 1, 5000), GENERATOR.normal(0, 1, 3000)),
    "heavy tails": (GENERATOR.standard_t(1.5, 4000), GENERATOR.standard_t(1.5, 4000) * 2),
    "mostly zero": (
        np.where(GENERATOR.random(4000) < 0.7, 0.0, GENERATOR.gamma(2, 3, 4000)),
        np.where(GENERATOR.random(3000) < 0.5, 0.0, GENERATOR.gamma(2, 3, 3000)),
    ),
    "thirds": (GENERATOR.integers(0, 7, 3000) / 3, GENERATOR.integers(1, 9, 3000) / 3),
    "whole": (GENERATOR.integers(0, 90, 3000).astype(float), GENERATOR.integers(5, 99, 2000).astype(float)),
    "apart": (GENERATOR.random(1000), GENERATOR.random(1000) + 50),
    "rising": (np.sort(GENERATOR.random(4000)), np.sort(GENERATOR.random(2000)) ** 2),
    "one value": (np.full(500, 7.0), GENERATOR.normal(7, 1, 500)),
}


def counted(training: Any, traffic: Any, parts: int = 3) -> Column:
    found = column("features.x", rounded(numeric(pd.Series(training), SKETCH_POINTS)))
    for part in np.array_split(GENERATOR.permutation(traffic), parts):
        found.extend(part, 0)
    return found


@pytest.mark.parametrize("shape", SHAPES)
def test_kolmogorov_smirnov_holds_the_true_statistic_within_its_error(shape: str) -> None:
    training, traffic = SHAPES[shape]
    found = counted(training, traffic).significance(1)
    expected = stats.ks_2samp(training, traffic, method="asymp")
    assert found is not None and found.name == "kolmogorov_smirnov"
    assert found.statistic <= expected.statistic + 1e-12
    assert expected.statistic <= found.statistic + found.error + 1e-12
    assert found.error <= 1 / SKETCH_POINTS
    # It is never taken for surer than it is, but for Kolmogorov's limit itself.
    assert found.p_value >= expected.pvalue * 0.9
    assert (found.p_value < 1e-6) == (expected.pvalue < 1e-6)


@pytest.mark.parametrize("shape", [shape for shape in SHAPES if shape != "one value"])
def test_wasserstein_holds_the_true_distance_within_its_error(shape: str) -> None:
    training, traffic = SHAPES[shape]
    found = counted(training, traffic).details()
    expected = stats.wasserstein_distance(training, traffic) / training.std()
    assert abs(found["wasserstein_distance"] - expected) <= found["wasserstein_error"] + 1e-9
    if shape != "heavy tails":  # a single gap there is many deviations wide, and the error says so
        assert found["wasserstein_distance"] == pytest.approx(expected, rel=0.03, abs=0.005)


def test_a_constant_has_no_deviation_to_measure_in() -> None:
    assert counted(*SHAPES["one value"]).details()["wasserstein_distance"] is None


def test_chance_alone_is_significant_as_often_as_it_may_be() -> None:
    training = GENERATOR.normal(0, 1, 20_000)
    values = [counted(training, GENERATOR.normal(0, 1, 400)).significance(1) for _ in range(400)]
    share = np.mean([one is not None and one.p_value < 0.05 for one in values])
    assert 0.02 < share < 0.08


def test_chi_square_agrees_with_scipy() -> None:
    training = pd.Series(GENERATOR.choice(list("abcd"), 3000, p=[0.4, 0.3, 0.2, 0.1]), dtype=object)
    training[::10] = None
    found = column("features.x", categorical(training))
    traffic = {"a": 300, "b": 350, "c": 200, "d": 60, "new": 20}
    found.extend(traffic, 70)
    counts = [[(training == one).sum() for one in "abcd"] + [0, 300], [300, 350, 200, 60, 20, 70]]
    expected = stats.chi2_contingency(counts, correction=False)
    test = found.significance(1)
    assert test is not None and test.name == "chi_square"
    assert test.statistic == pytest.approx(expected.statistic)
    assert test.p_value == pytest.approx(expected.pvalue, rel=1e-6)
    assert found.details()["unseen_categories"] == ["new"]


def test_rare_categories_are_tested_together() -> None:
    training = pd.Series(["a"] * 500 + ["b"] * 480 + ["c"] * 3 + ["d"] * 4)
    found = column("features.x", categorical(training))
    found.extend({"a": 250, "b": 245, "c": 1, "d": 2}, 0)
    test = found.significance(1)
    expected = stats.chi2_contingency([[500, 480, 7], [250, 245, 3]], correction=False)
    assert test is not None and test.statistic == pytest.approx(expected.statistic)
    single = column("features.x", categorical(pd.Series(["a"] * 100)))
    single.extend({"a": 100}, 0)
    assert single.significance(1) is None


def test_benjamini_hochberg_agrees_with_scipy() -> None:
    values = GENERATOR.random(40) ** 3
    found = benjamini_hochberg({str(number): value for number, value in enumerate(values)})
    assert list(found) == [str(number) for number in range(40)]
    assert list(found.values()) == pytest.approx(stats.false_discovery_control(values, method="bh"))
    assert benjamini_hochberg({}) == {}


def test_few_of_many_unchanged_inputs_are_called_significant() -> None:
    wrong = 0
    for _ in range(20):
        training = GENERATOR.normal(0, 1, (50, 2000))
        tests = [counted(one, GENERATOR.normal(0, 1, 300), 1).significance(1) for one in training]
        adjusted = benjamini_hochberg({str(number): one.p_value for number, one in enumerate(tests) if one})
        wrong += any(value <= 0.05 for value in adjusted.values())
    assert wrong <= 4  # at 5 % each; without adjustment 19 of 20


@pytest.mark.parametrize("shape", ["normal", "heavy tails", "thirds", "whole"])
def test_outliers_ranges_and_means_are_those_of_the_values(shape: str) -> None:
    training, traffic = SHAPES[shape]
    found = counted(training, traffic)
    details = found.details()
    low, high = np.quantile(training, [0.25, 0.75])
    reach = 1.5 * (high - low)
    for name, values in (("outlier_ratio_in_training", training), ("outlier_ratio", traffic)):
        outside = (values < low - reach - 1e-9) | (values > high + reach + 1e-9)
        assert details[name] == pytest.approx(outside.mean(), abs=1e-12)
    assert details["range"] == [traffic.min(), traffic.max()]
    assert details["range_in_training"] == pytest.approx([training.min(), training.max()])
    assert details["mean"] == pytest.approx(traffic.mean())
    beyond = (traffic < training.min() - 1e-9) | (traffic > training.max() + 1e-9)
    assert found.strange_ratio == pytest.approx(beyond.mean())


def test_the_training_values_themselves_differ_by_nothing() -> None:
    for shape, (training, _) in SHAPES.items():
        found = counted(training, training)
        test = found.significance(1)
        assert test is not None and test.statistic == pytest.approx(0, abs=1e-12), shape
        assert found.drift(1) == pytest.approx((0, 0), abs=1e-6), shape
        assert found.strange_ratio == 0, shape


def test_one_by_one_and_at_once_is_the_same() -> None:
    training, traffic = SHAPES["mostly zero"]
    one, other = counted(training, traffic), column("features.x", rounded(numeric(pd.Series(training), SKETCH_POINTS)))
    for value in traffic.tolist():
        other.add(value)
    assert other.bins() == one.bins()
    assert other.significance(1) == one.significance(1)
    found, expected = other.details(), one.details()
    for name in ("range", "range_in_training", "curve"):
        assert found.pop(name) == expected.pop(name)
    assert found == pytest.approx(expected)


def test_a_package_without_a_sketch_is_measured_as_before() -> None:
    training, traffic = SHAPES["normal"]
    found = column("features.x", rounded(numeric(pd.Series(training))))
    found.extend(traffic, 0)
    assert found.significance(1) is None
    assert found.details()["wasserstein_distance"] is None
    assert found.details()["outlier_ratio"] > 0
    assert found.drift(1) == pytest.approx(counted(training, traffic).drift(1))


@pytest.mark.parametrize(
    ("sketch", "problem"),
    [
        ({"points": [1, 2], "counts": [0, 1]}, "2 counts do not lie below, at and above 2 points in order"),
        ({"points": [2, 1], "counts": [0, 1, 1, 1, 0]}, "2 points in order"),
        ({"points": [1], "counts": [0, 0, 0]}, "it holds no values"),
        ({"points": [1]}, "'counts' is missing"),
    ],
)
def test_a_sketch_of_another_shape_is_refused(sketch: dict[str, Any], problem: str) -> None:
    summary = {"kind": "numeric", "missing": 0.0, "edges": [0, 1], "counts": [1], "sketch": sketch}
    with pytest.raises(PackageError, match=r"^baseline.json: features.x: ") as raised:
        column("features.x", summary)
    assert problem in str(raised.value)


def test_the_report_tells_chance_from_change(case: Case) -> None:
    frame = customers(600, seed=8)
    frame["charge"] += 10
    case.serve(rows_of(frame))
    report = case.run()
    found = {name: one["test"]["adjusted_p_value"] <= 0.05 for name, one in report["features"].items()}
    assert found == {"tenure": False, "charge": True, "plan": False, "paperless": False}
    assert report["metrics"]["drift.significant_ratio"] == 0.25
    raw = {name: one["test"]["p_value"] for name, one in report["features"].items()}
    assert all(one["test"]["adjusted_p_value"] >= raw[name] for name, one in report["features"].items())
    assert report["features"]["charge"]["wasserstein_distance"] == pytest.approx(0.5, abs=0.1)
    few = case.run(MODELBERTH_MINIMUM_ROWS="601")
    assert all(one["test"] is None for one in few["features"].values())
    assert "drift.significant_ratio" not in few["metrics"]
