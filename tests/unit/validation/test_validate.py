"""What validate() tells of a model: folds, backtests, segments, leaks."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression

from model_packaging import ModelberthError, data_version, pack, validate
from tests.unit.packaging.conftest import table

QUICK: dict[str, Any] = {"folds": 3, "bootstrap": 10, "importance": False}


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    return table(400).drop(columns="plan")


def parts(frame: pd.DataFrame) -> tuple[Any, Any]:
    inputs, target = frame.drop(columns="left"), frame["left"]
    return (inputs[:300], target[:300]), (inputs[300:], target[300:])


def judge(frame: pd.DataFrame, **options: Any) -> dict[str, Any]:
    train, holdout = parts(frame)
    model = LogisticRegression(max_iter=1000).fit(*train)
    return validate(model, train, holdout, **{**QUICK, **options})


def test_an_expanding_window_grows_and_a_sliding_one_moves(frame: pd.DataFrame) -> None:
    # Rows out of order: the backtest goes by the moments, not by the rows.
    order = np.random.default_rng(0).permutation(300)
    moments = (np.arange(300)[order], np.arange(300, 400))
    grown = judge(frame, splitter="time", times=moments)["cross_validation"]["windows"]
    assert [(one["fitted"], one["from"], one["to"]) for one in grown] == [
        (75, "75", "149"),
        (150, "150", "224"),
        (225, "225", "299"),
    ]
    moved = judge(frame, splitter="sliding", times=moments)["cross_validation"]["windows"]
    assert [one["fitted"] for one in moved] == [75, 75, 75]


def test_a_backtest_never_learns_from_the_future() -> None:
    """Which class comes with x turns over half-way: only a model that saw the later half answers it right."""
    x = np.tile([0.0, 1.0], 100)
    target = np.where(np.arange(200) < 100, x > 0.5, x < 0.5)
    frame = pd.DataFrame({"x": x})
    model = LogisticRegression().fit(frame, target)
    found = validate(model, (frame, target), (frame[:50], target[:50]), **QUICK | {"splitter": "time"})
    assert found["cross_validation"]["metrics"]["accuracy"]["folds"][1] < 0.1


def test_groups_stay_together(frame: pd.DataFrame) -> None:
    """A model that only remembers the group does no better than chance on groups it never saw."""
    generator = np.random.default_rng(2)
    groups = np.repeat(np.arange(30), 10)
    target = np.repeat(generator.integers(0, 2, 30), 10)
    inputs = pd.get_dummies(pd.Series(groups).astype(str)).astype(float)
    model = LogisticRegression().fit(inputs, target)
    several: dict[str, Any] = QUICK | {"groups": groups}
    mixed = validate(model, (inputs, target), (inputs, target), **several, splitter="stratified")
    apart = validate(model, (inputs, target), (inputs, target), **several, splitter="grouped")
    both = validate(model, (inputs, target), (inputs, target), **several, splitter="stratified_grouped")
    accuracy = [found["cross_validation"]["metrics"]["accuracy"]["mean"] for found in (mixed, apart, both)]
    assert accuracy[0] == 1 and max(accuracy[1:]) < 0.7


def test_repeated_folds_are_drawn_anew(frame: pd.DataFrame) -> None:
    for splitter in ("stratified", "random"):
        found = judge(frame, splitter=splitter, repeats=2)["cross_validation"]
        folds = found["metrics"]["accuracy"]["folds"]
        assert (found["repeats"], len(folds)) == (2, 6)
        assert folds[:3] != folds[3:]
    assert judge(frame, folds=0)["cross_validation"] == {}


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"splitter": "stratifed"}, 'unknown splitter "stratifed".*did you mean stratified'),
        ({"splitter": "grouped"}, "splitter grouped needs groups"),
        ({"splitter": "time", "repeats": 2}, "repeats is 2: it must be 1"),
        ({"repeats": 0}, "repeats is 0"),
        ({"groups": [1]}, "groups: 1 values for 300 rows"),
        ({"times": ([1], [2])}, "train's times: 1 values for 300 rows"),
        ({"times": ([1],)}, "times must be two"),
        ({"segments": ["plan"]}, 'no column "plan" to make segments of'),
        ({"metrics": ["nothing"]}, 'metric "nothing" must be named as module:function'),
        ({"metrics": ["math:nothing"]}, "math has no nothing"),
        ({"metrics": ["no_such_module:f"]}, "cannot be imported"),
        ({"metrics": [lambda target, predicted, chances: float("nan")]}, "not a finite number on the hold-out"),
    ],
)
def test_what_cannot_be_judged_is_said(frame: pd.DataFrame, options: dict[str, Any], text: str) -> None:
    with pytest.raises(ModelberthError, match=text):
        judge(frame, **options)


def cost(target: Any, predicted: Any, chances: Any) -> float:
    assert chances.shape == (len(target), 2)
    return float(np.where(target & ~predicted, 5.0, np.where(predicted & ~target, 1.0, 0.0)).mean())


def test_the_users_own_metric_has_an_interval_and_folds(frame: pd.DataFrame) -> None:
    found = judge(frame, metrics=[cost])
    entry = found["metrics"]["cost"]
    assert entry["interval"][0] <= entry["value"] <= entry["interval"][1]
    assert len(found["cross_validation"]["metrics"]["cost"]["folds"]) == 3
    matrix = found["curves"]["confusion"]["matrix"]
    assert entry["value"] == pytest.approx((5 * matrix[1][0] + matrix[0][1]) / 100)


def test_the_worst_segment_is_named() -> None:
    generator = np.random.default_rng(4)
    frame = pd.DataFrame({"x": generator.normal(size=600), "site": generator.integers(0, 3, 600)})
    target = (frame["x"] > 0) ^ ((frame["site"] == 2) & (generator.random(600) < 0.4))
    train, holdout = (frame[:300], target[:300]), (frame[300:], target[300:])
    model = LogisticRegression().fit(*train)
    found = validate(model, train, holdout, **QUICK, segments=["site"])
    worst = found["worst_segments"]["site"]
    assert {worst[name]["segment"] for name in ("accuracy", "roc_auc", "log_loss")} == {"2"}
    rows = holdout[0]["site"] == 2
    assert worst["accuracy"]["value"] == pytest.approx((model.predict(holdout[0][rows]) == holdout[1][rows]).mean())
    assert worst["accuracy"]["rows"] == rows.sum()


def test_ranking_comes_with_queries() -> None:
    generator = np.random.default_rng(6)
    frame = pd.DataFrame({"x": generator.random(200)})
    relevance = (frame["x"] * 3).round()
    found = validate(
        LinearRegression().fit(frame, relevance), (frame, relevance), (frame, relevance), **QUICK,
        splitter="random", queries=np.arange(200) // 10, k=5,
    )  # fmt: skip
    assert found["metrics"]["ndcg_at_5"]["value"] == 1
    assert found["metrics"]["recall_at_5"]["interval"][1] <= 1


# leakage


def test_duplicates_across_the_split_are_counted(frame: pd.DataFrame) -> None:
    assert judge(frame)["leakage"]["duplicates"]["rows"] == 0
    leaky = frame.copy()
    leaky.iloc[300:320] = leaky.iloc[:20].to_numpy()
    leaky["left"] = frame["left"]
    leaky = leaky.astype(frame.dtypes)
    assert judge(leaky)["leakage"]["duplicates"] == {"rows": 20, "ratio": 0.2}


def test_the_target_among_the_inputs_is_found(frame: pd.DataFrame) -> None:
    assert judge(frame)["leakage"]["target"] == {}
    leaky = frame.assign(churned=np.where(frame["left"], 2.5, -1.0))
    assert judge(leaky)["leakage"]["target"] == {"churned": 1.0}


def test_the_target_of_a_regression_among_the_inputs_is_found() -> None:
    generator = np.random.default_rng(8)
    frame = pd.DataFrame({"x": generator.normal(size=200)})
    target = frame["x"] + generator.normal(size=200)
    frame["scaled"] = 3 - 2 * target
    parts = (frame[:150], target[:150]), (frame[150:], target[150:])
    found = validate(LinearRegression().fit(*parts[0]), *parts, **QUICK, splitter="random")
    assert found["leakage"]["target"] == {"scaled": 1.0}


def test_a_text_that_tells_the_target_is_found() -> None:
    generator = np.random.default_rng(8)
    target = generator.integers(0, 3, 300)
    frame = pd.DataFrame(
        {"text": np.array(["low", "high", "middle"])[target], "noise": generator.integers(0, 9, 300).astype(str)}
    )
    model = DummyClassifier().fit(frame, target)
    found = validate(model, (frame[:200], target[:200]), (frame[200:], target[200:]), **QUICK)
    assert found["leakage"]["target"] == {"text": 1.0}


def test_a_hold_out_before_the_training_is_seen(frame: pd.DataFrame) -> None:
    good = judge(frame, times=(range(300), range(300, 400)))
    assert good["leakage"]["time"]["rows"] == 0
    assert (good["holdout"]["from"], good["holdout"]["to"]) == ("300", "399")
    assert judge(frame, times=(range(300), range(290, 390)))["leakage"]["time"]["rows"] == 10
    assert judge(frame)["leakage"]["time"] is None


# what the package keeps of it


def test_the_baseline_is_of_predictions_on_unseen_rows(tmp_path: Any) -> None:
    """A model that learnt noise by heart is sure of its own rows only."""
    from sklearn.tree import DecisionTreeClassifier

    generator = np.random.default_rng(9)
    frame = pd.DataFrame({"x": generator.random(600), "z": generator.random(600)})
    target = generator.random(600) < frame["x"]
    train, holdout = (frame[:400], target[:400]), (frame[400:], target[400:])
    model = DecisionTreeClassifier(random_state=0).fit(*train)
    validation = validate(model, train, holdout, **QUICK)
    package = pack(
        model, name="noise", inputs=frame[:400], output=tmp_path / "p", validation=validation,
        data=data_version(frame, name="noise"),
    )  # fmt: skip
    said = package.baseline["predictions"]["label"]
    assert said["count"] == 600  # 200 of the hold-out, 400 of the folds
    assert said["frequencies"]["true"] != pytest.approx(train[1].mean(), abs=0.001)
    assert "predictions" not in package.validation
    assert len(package.documents["holdout.json"]["names"]) == 200
    learnt = pack(
        model, name="noise", inputs=frame[:400], output=tmp_path / "q", data=data_version(frame, name="noise")
    )
    assert learnt.baseline["predictions"]["label"]["frequencies"]["true"] == pytest.approx(train[1].mean())
