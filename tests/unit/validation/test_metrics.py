"""Each metric against its definition, written out by hand or with another function than the one that is used."""

from itertools import product
from typing import Any

import numpy as np
import pytest

from model_packaging import ModelberthError
from model_packaging.validation.run import intervals
from model_packaging.validation.scored import Scored, calibration_error, scored, with_queries


def binary(rows: int = 200, seed: int = 3) -> Scored:
    generator = np.random.default_rng(seed)
    target = generator.integers(0, 2, rows)
    chance = np.clip(0.3 + 0.35 * target + generator.normal(0, 0.2, rows), 0.01, 0.99)
    labels = np.array(["no", "yes"])
    return scored(
        "classification", labels, labels[target], labels[(chance > 0.5).astype(int)], np.c_[1 - chance, chance]
    )


def test_two_classes() -> None:
    rows = binary()
    truth, guess, chance = rows.target == 1, rows.predicted == 1, rows.probability[:, 1]
    hits, misses, alarms = (truth & guess).sum(), (truth & ~guess).sum(), (~truth & guess).sum()
    pairs = list(product(chance[truth], chance[~truth]))
    order = np.argsort(-chance)
    found = np.cumsum(truth[order])
    precision = found / np.arange(1, len(truth) + 1)
    expected = {
        "accuracy": 1 - (misses + alarms) / len(truth),
        "precision": hits / (hits + alarms),
        "recall": hits / (hits + misses),
        "f1": 2 * hits / (2 * hits + misses + alarms),
        # The chance that a positive row is ranked above a negative one: Mann and Whitney's statistic.
        "roc_auc": sum(a > b for a, b in pairs) / len(pairs),
        "average_precision": precision[truth[order]].mean(),
        "log_loss": -np.log(np.where(truth, chance, 1 - chance)).mean(),
        "brier": ((chance - truth) ** 2).mean(),
        "calibration_error": calibration_error(truth, chance),
    }
    assert rows.metrics() == pytest.approx(expected)
    assert rows.metrics(["f1"]) == {"f1": pytest.approx(expected["f1"])}


def test_calibration_error_by_hand() -> None:
    # 0.05 and 0.15 are in bins of their own; 0.95 and 0.91 share one, with 0.93 stated and 0.5 observed.
    chance, happened = np.array([0.05, 0.15, 0.95, 0.91]), np.array([0, 1, 1, 0])
    assert calibration_error(happened, chance) == pytest.approx((0.05 + 0.85 + 2 * abs(0.93 - 0.5)) / 4)
    assert calibration_error(np.array([1]), np.array([1.0])) == 0


def test_three_classes() -> None:
    target, predicted = ["a", "a", "b", "b", "c", "c"], ["a", "b", "b", "b", "a", "c"]
    chances = np.array([[0.8, 0.1, 0.1], [0.4, 0.5, 0.1], [0, 1, 0], [0.2, 0.6, 0.2], [0.5, 0.2, 0.3], [0, 0, 1]])
    found = scored("classification", ["a", "b", "c"], target, predicted, chances).metrics()
    assert found["accuracy"] == pytest.approx(4 / 6)
    assert found["recall_macro"] == pytest.approx((0.5 + 1 + 0.5) / 3)
    assert found["precision_macro"] == pytest.approx((0.5 + 2 / 3 + 1) / 3)
    assert found["f1_macro"] == pytest.approx((0.5 + 0.8 + 2 / 3) / 3)
    assert found["log_loss"] == pytest.approx(-np.log([0.8, 0.4, 1, 0.6, 0.3, 1]).mean())
    one_against_rest = []
    for index in range(3):
        own = np.array([label == "abc"[index] for label in target])
        pairs = list(product(chances[own, index], chances[~own, index]))
        one_against_rest.append(np.mean([(a > b) + 0.5 * (a == b) for a, b in pairs]))
    assert found["roc_auc_ovr"] == pytest.approx(np.mean(one_against_rest))


def test_regression() -> None:
    target, predicted = np.array([1.0, 2.0, 4.0]), np.array([1.5, 2.0, 3.0])
    assert scored("regression", (), target, predicted, None).metrics() == pytest.approx(
        {
            "mean_absolute_error": 0.5,
            "root_mean_squared_error": np.sqrt(1.25 / 3),
            "mean_absolute_percentage_error": (0.5 + 0 + 0.25) / 3,
            "r2": 1 - 1.25 / ((1 - 7 / 3) ** 2 + (2 - 7 / 3) ** 2 + (4 - 7 / 3) ** 2),
        }
    )
    assert "mean_absolute_percentage_error" not in scored("regression", (), [0.0, 1.0], [1.0, 1.0], None).metrics()


def ranked() -> Scored:
    rows = scored("regression", (), [3.0, 0.0, 1.0, 0.0, 2.0, 0.0, 0.0], [0.2, 0.9, 0.5, 0.1, 0.8, 0.7, 0.3], None)
    return with_queries(rows, ["p", "p", "p", "q", "q", "q", "r"], 2)


def test_ranking() -> None:
    found = ranked().metrics()
    # p is answered 0, 1, 3; q is answered 2, 0, 0; r has nothing to find.
    first = (1 / np.log2(3)) / (3 + 1 / np.log2(3))
    assert found["ndcg_at_2"] == pytest.approx((first + 1) / 2)
    assert found["mean_average_precision"] == pytest.approx(((1 / 2 + 2 / 3) / 2 + 1) / 2)
    assert found["recall_at_2"] == pytest.approx((1 / 2 + 1) / 2)


def test_a_draw_takes_whole_queries() -> None:
    rows = ranked()
    drawn = rows.draw(np.array([1, 1, 0]))
    assert drawn.target.tolist() == [0, 2, 0, 0, 2, 0, 3, 0, 1]
    assert drawn.metrics()["recall_at_2"] == pytest.approx((1 + 1 + 0.5) / 3)
    assert rows.units == 3


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: scored("classification", [0, 1], [0, 2], [0, 1], None), "does not know the class 2: it knows 0, 1"),
        (lambda: scored("regression", (), ["x"], [1.0], None), "must be numbers"),
        (
            lambda: with_queries(scored("regression", (), [-1.0, 1.0], [0.0, 1.0], None), [1, 1], 5),
            "a target of 0 or above",
        ),
        (lambda: with_queries(scored("regression", (), [1.0, 1.0], [0.0, 1.0], None), [1, 2], 5), "no query has two"),
    ],
)
def test_what_cannot_be_measured_is_said(make: Any, text: str) -> None:
    with pytest.raises(ModelberthError, match=text):
        make()


def test_the_interval_of_a_mean_is_the_textbooks() -> None:
    rows = scored("regression", (), np.zeros(400), np.random.default_rng(1).exponential(2.0, 400), None)
    low, high = intervals(rows, 2000, 0)["mean_absolute_error"]
    mean, error = rows.predicted.mean(), rows.predicted.std() / 20
    assert (low, high) == pytest.approx((mean - 1.96 * error, mean + 1.96 * error), abs=0.1 * error * 4)


def test_the_interval_covers_as_often_as_it_says() -> None:
    """At 95 %, of 300 samples about 285 intervals hold the true value; 271 or fewer happen once in 1,000."""
    generator = np.random.default_rng(5)
    covered = 0
    for _ in range(300):
        right = generator.random(150) < 0.8
        rows = scored("classification", [0, 1], np.ones(150, int), right.astype(int), None)
        low, high = intervals(rows, 200, 0)["accuracy"]
        covered += low <= 0.8 <= high
    assert covered > 271
