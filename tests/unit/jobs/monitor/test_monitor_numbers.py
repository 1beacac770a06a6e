"""The numbers: right by hand and by others' reckoning, and each one moves when its own trouble appears."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon

from model_packaging.errors import PackageError
from model_packaging.jobs.monitor.drift import (
    jensen_shannon_distance,
    level,
    population_stability_index,
)
from model_packaging.jobs.monitor.summaries import column
from model_packaging.package import Package

from .conftest import Case, customers, rows_of


def test_psi_by_hand() -> None:
    # (0.6 - 0.5)·ln(0.6/0.5) + (0.3 - 0.3)·ln 1 + (0.1 - 0.2)·ln(0.1/0.2)
    assert population_stability_index([0.5, 0.3, 0.2], [0.6, 0.3, 0.1]) == pytest.approx(
        0.0182322 + 0.0693147, abs=1e-6
    )
    # An empty bin counts as 0.0001: (0.1 - 0.0001)·ln(0.1/0.0001) + (0.9 - 1)·ln 0.9
    assert population_stability_index([1.0, 0.0], [0.9, 0.1]) == pytest.approx(0.6900847 + 0.0105361, abs=1e-6)


def test_distances_agree_with_numpy_and_scipy() -> None:
    generator = np.random.default_rng(3)
    for _ in range(20):
        p, q = generator.dirichlet(np.ones(12), 2)
        expected = float(np.sum((q - p) * np.log(q / p)))
        if min(p.min(), q.min()) >= 1e-4:
            assert population_stability_index(list(p), list(q)) == pytest.approx(expected, rel=1e-12)
        assert jensen_shannon_distance(list(p), list(q)) == pytest.approx(jensenshannon(p, q, base=2), rel=1e-9)
    assert jensen_shannon_distance([1, 0], [0, 1]) == 1
    assert jensen_shannon_distance([0.3, 0.7], [0.3, 0.7]) == 0


def test_levels_are_siddiqis() -> None:
    assert [level(psi) for psi in (0.0, 0.0999, 0.1, 0.25, 0.2501)] == [
        "stable", "stable", "moderate", "moderate", "major",
    ]  # fmt: skip


def test_a_numeric_column_counts_as_numpy_does(churn: Package) -> None:
    summary = churn.baseline["features"]["tenure"]
    values = np.random.default_rng(5).integers(-5, 90, 1000)
    found = column("features.tenure", summary)
    for value in values.tolist():
        found.add(value)
    expected, _ = np.histogram(np.clip(values, summary["edges"][0], summary["edges"][-1]), summary["edges"])
    *bins, missing = found.bins()
    assert [round(one.traffic * 1000) for one in bins] == expected.tolist()
    assert missing.traffic == 0
    outside = np.mean((values < summary["minimum"]) | (values > summary["maximum"]))
    assert found.strange_ratio == pytest.approx(outside)
    shares = np.array(summary["counts"]) / sum(summary["counts"])
    floor = np.maximum([shares, expected / 1000], 1e-4)
    assert found.drift(1)[0] == pytest.approx(np.sum((floor[1] - floor[0]) * np.log(floor[1] / floor[0])))  # type: ignore[index]


def test_rare_categories_share_a_bin() -> None:
    frequencies = {f"c{number:02d}": 0.05 for number in range(20)}
    frequencies["c19"] = 0.04
    summary: dict[str, Any] = {
        "kind": "categorical",
        "missing": 0.0,
        "count": 99,
        "frequencies": frequencies,
        "other": 0.01,
    }
    found = column("features.city", summary)
    for value in ("c00", "c15", "never seen"):
        found.add(value)
    assert [one.label for one in found.bins()] == [
        *(f"c{number:02d}" for number in range(10)),
        "other values",
        "missing",
    ]
    assert found.bins()[-2].training == pytest.approx(0.5)
    assert found.bins()[-2].traffic == pytest.approx(2 / 3)
    # Beyond its most frequent ones the baseline does not know what training held; the signature may.
    assert found.strange_ratio is None
    known = column("features.city", summary, ["rare", *frequencies])
    for value in ("rare", "c03", "c15", "never seen"):
        known.add(value)
    assert known.strange_ratio == 0.25


@pytest.mark.parametrize(
    ("summary", "problem"),
    [
        ({"kind": "numeric"}, "'missing' is missing"),
        ({"missing": 0.0}, "'kind' is missing"),
        ({"kind": "image", "missing": 0.0}, 'kind is "image": it must be categorical, numeric or text'),
        ({"kind": "text", "missing": 0.0}, "'length' is missing"),
        ({"kind": "numeric", "missing": 0.0, "edges": [0, 1, 2], "counts": [5]}, "3 edges do not bound 1 bins"),
        ({"kind": "categorical", "missing": 0.0, "frequencies": [1]}, "'list' object has no attribute 'items'"),
    ],
)
def test_a_baseline_of_another_shape_is_refused_with_its_place(summary: dict[str, Any], problem: str) -> None:
    with pytest.raises(PackageError, match=r"^baseline.json: features.tenure: ") as raised:
        column("features.tenure", summary)
    assert problem in str(raised.value)


def test_the_training_data_itself_does_not_drift(case: Case) -> None:
    case.serve(rows_of(customers(2000)))
    report = case.run()
    assert report["rows"] == 2000
    assert report["metrics"]["drift.psi"] == pytest.approx(0, abs=1e-9)
    assert report["metrics"]["drift.prediction_psi"] == pytest.approx(0, abs=1e-9)
    assert report["metrics"]["data.out_of_range_ratio"] == 0
    assert report["metrics"]["data.unseen_category_ratio"] == 0
    assert report["metrics"]["data.type_violation_ratio"] == 0
    assert report["metrics"]["data.missing_ratio"] == pytest.approx(0.1, abs=0.03)
    assert report["verdict"]["level"] == "stable"
    assert all(one["jensen_shannon_distance"] < 1e-6 for one in report["features"].values())


def test_fresh_data_of_the_same_kind_is_stable(case: Case) -> None:
    case.serve(rows_of(customers(1000, seed=8)))
    report = case.run()
    assert 0 < report["metrics"]["drift.psi"] < 0.1
    assert report["verdict"]["sentence"].startswith("Stable: no input drifted in 1,000 rows")


def _spoil(frame: Any, trouble: str) -> Any:
    if trouble == "shifted":
        frame["charge"] += 30
    elif trouble == "missing":
        frame.loc[frame.index % 2 == 0, "charge"] = np.nan
    elif trouble == "unit":
        frame["tenure"] *= 1000
    elif trouble == "category":
        frame.loc[frame.index % 4 == 0, "plan"] = "gold"
    elif trouble == "mix":
        frame["plan"] = "pro"
    elif trouble == "boolean":
        frame["paperless"] = True
    return frame


@pytest.mark.parametrize(
    ("trouble", "feature", "metric", "least"),
    [
        ("shifted", "charge", "drift.psi", 0.5),
        ("missing", "charge", "data.missing_ratio", 0.5),
        ("unit", "tenure", "data.out_of_range_ratio", 0.9),
        ("category", "plan", "data.unseen_category_ratio", 0.25),
        ("mix", "plan", "drift.psi", 0.5),
        ("boolean", "paperless", "drift.psi", 0.5),
    ],
)
def test_each_trouble_shows_in_its_metric_and_names_its_input(
    case: Case, trouble: str, feature: str, metric: str, least: float
) -> None:
    case.serve(rows_of(_spoil(customers(600, seed=8), trouble)))
    report = case.run()
    assert report["metrics"][metric] >= least
    assert report["verdict"]["level"] == "major"
    assert f"1 of 4 inputs drifted, {feature} the most" in report["verdict"]["sentence"]
    quiet = {"data.missing_ratio": 0.15, "data.out_of_range_ratio": 0.01, "data.unseen_category_ratio": 0.0}
    for name, most in quiet.items():
        if name != metric and not (trouble == "shifted" and name == "data.out_of_range_ratio"):
            assert report["metrics"][name] <= most, name
    assert report["metrics"]["drift.psi"] == report["features"][feature]["psi"]
    per_feature = {one["feature"]: one["value"] for one in report["sent"]["metrics"] if one["name"] == "feature.psi"}
    assert per_feature == {name: one["psi"] for name, one in report["features"].items()}


def test_missing_is_a_bin_of_its_own(case: Case) -> None:
    frame = customers(1000, seed=8)
    frame.loc[frame.index % 2 == 0, "charge"] = np.nan
    case.serve(rows_of(frame))
    found = case.run()["features"]["charge"]
    assert found["bins"][-1]["label"] == "missing"
    assert found["bins"][-1]["traffic"] == found["missing_ratio"]
    shares = np.array([[one["training"], one["traffic"]] for one in found["bins"]])
    assert shares.sum(axis=0) == pytest.approx([1, 1])
    p, q = np.maximum(shares, 1e-4).T
    assert found["psi"] == pytest.approx(np.sum((q - p) * np.log(q / p)))


def test_predictions_drift_with_labels_and_probabilities(case: Case) -> None:
    frame = customers(600, seed=8)
    frame["tenure"] = 71  # those who stay
    case.serve(rows_of(frame))
    report = case.run()
    assert set(report["predictions"]) == {"label", "probability:leaves", "probability:stays"}
    assert report["metrics"]["drift.prediction_psi"] == max(one["psi"] for one in report["predictions"].values()) > 0.25
    assert report["predictions"]["label"]["psi"] > 0.25
    assert "the predictions moved" in report["verdict"]["sentence"]


def test_a_regressions_values_drift(spend: Package, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    case = Case(spend, tmp_path, capsys)
    case.serve(rows_of(customers(600, seed=8)))
    calm = case.run()
    assert set(calm["predictions"]) == {"value"}
    assert calm["metrics"]["drift.prediction_psi"] < 0.1
    frame = customers(1200, seed=9)
    frame["tenure"] += 40
    case.serve(rows_of(frame))
    assert case.run()["metrics"]["drift.prediction_psi"] > 0.25


def test_too_few_rows_say_nothing_of_drift_but_of_quality(case: Case) -> None:
    frame = customers(99, seed=8)
    frame["charge"] = np.nan
    case.serve(rows_of(frame))
    report = case.run()
    assert report["verdict"] == {"level": "few", "sentence": "Too few rows to judge drift: 99 of at least 100."}
    names = {one["name"] for one in report["sent"]["metrics"]}
    assert names == {
        "data.rows", "data.missing_ratio", "data.out_of_range_ratio", "data.unseen_category_ratio",
        "data.type_violation_ratio", "data.outlier_rise", "monitor.runs",
    }  # fmt: skip
    assert report["metrics"]["data.missing_ratio"] == 1
    assert all(one["psi"] is None for one in report["features"].values())
    case.send(rows_of(customers(1)))
    assert "drift.psi" in case.run()["metrics"]
    assert "drift.psi" not in case.run(MODELBERTH_MINIMUM_ROWS="101")["metrics"]


def test_no_number_is_infinite(case: Case) -> None:
    frame = customers(200)
    frame["plan"] = "gold"
    frame["tenure"] = -(10**15)
    case.serve(rows_of(frame))
    report = case.run()
    assert all(math.isfinite(one["value"]) for one in report["sent"]["metrics"])
    assert report["metrics"]["data.unseen_category_ratio"] == report["metrics"]["data.out_of_range_ratio"] == 1
