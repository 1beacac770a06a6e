"""Is "no worse than the champion" shown: the bootstrap against textbook formulas, and what packages must hold."""

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from model_packaging import ModelberthError, open_package
from model_packaging.gate import evaluate, parse_rules
from model_packaging.package import Package
from model_packaging.validation.comparison import difference, misstated, pair, paired
from model_packaging.validation.predicted import predict
from model_packaging.validation.scored import Scored, scored, with_own, with_queries
from tests.unit.validation.conftest import customers, made


def predicted(target: Any, chance: Any) -> Scored:
    return scored("classification", [0, 1], target, (chance > 0.5).astype(int), np.c_[1 - chance, chance])


def two_models(rows: int, seed: int) -> tuple[Any, Scored, Scored]:
    generator = np.random.default_rng(seed)
    target = generator.integers(0, 2, rows)
    shared = 0.5 + 0.25 * (target - 0.5) + generator.normal(0, 0.15, rows)
    first, second = (np.clip(shared + generator.normal(0, noise, rows), 0.01, 0.99) for noise in (0.05, 0.15))
    return target, predicted(target, first), predicted(target, second)


def margin(candidate: Scored, champion: Scored, name: str, better: bool = True) -> float:
    """How far the 95 % limit is from the difference itself, in standard errors' unit of 1.645."""
    found = difference(paired(candidate, champion), name, better, 0.95)
    return found.at_most - found.worse_by


def test_for_accuracy_it_is_mcnemars_variance() -> None:
    target, first, second = two_models(1000, 1)
    right, wrong = first.predicted == target, second.predicted == target
    only, other = (right & ~wrong).sum(), (wrong & ~right).sum()
    # The variance of a difference of paired proportions (Q. McNemar 1947; A. Agresti, Categorical Data Analysis).
    variance = (only + other - (only - other) ** 2 / len(target)) / len(target) ** 2
    assert margin(second, first, "accuracy") == pytest.approx(1.645 * np.sqrt(variance), rel=0.12)


def delong(target: Any, first: Any, second: Any) -> tuple[float, float]:
    """Difference of two areas under the ROC curve and its standard error, by E. DeLong et al., Biometrics 1988."""
    parts = []
    for score in (first, second):
        wins = (score[target == 1][:, None] > score[target == 0]) + 0.5 * (
            score[target == 1][:, None] == score[target == 0]
        )
        parts.append((wins.mean(axis=1), wins.mean(axis=0)))
    positive = np.cov(parts[0][0], parts[1][0])
    negative = np.cov(parts[0][1], parts[1][1])
    total = positive / (target == 1).sum() + negative / (target == 0).sum()
    return parts[0][0].mean() - parts[1][0].mean(), float(np.sqrt(total[0, 0] + total[1, 1] - 2 * total[0, 1]))


def test_for_roc_auc_it_is_delongs_variance() -> None:
    target, first, second = two_models(500, 2)
    gap, error = delong(target, first.probability[:, 1], second.probability[:, 1])
    found = difference(paired(second, first), "roc_auc", True, 0.95)
    assert found.worse_by == pytest.approx(gap)
    assert found.worse_by == pytest.approx(
        roc_auc_score(target, first.probability[:, 1]) - roc_auc_score(target, second.probability[:, 1])
    )
    assert found.at_most - found.worse_by == pytest.approx(1.645 * error, rel=0.12)


def test_for_an_error_it_is_the_paired_t_interval() -> None:
    generator = np.random.default_rng(3)
    target = generator.normal(size=300)
    first, second = target + generator.normal(0, 1, 300), target + generator.normal(0, 1.2, 300)
    candidate, champion = (scored("regression", (), target, one, None) for one in (second, first))
    worse = np.abs(second - target) - np.abs(first - target)
    found = difference(paired(candidate, champion), "mean_absolute_error", False, 0.95)
    assert found.worse_by == pytest.approx(worse.mean())
    upper = stats.ttest_1samp(worse, 0).confidence_interval(0.9).high  # one-sided 95 %
    assert found.at_most == pytest.approx(upper, abs=0.1 * stats.sem(worse))


def test_pairing_is_what_makes_it_sharp() -> None:
    target, first, second = two_models(400, 4)
    errors = [
        np.std([roc_auc_score(target[rows], one.probability[rows, 1]) for rows in _draws(400)])
        for one in (first, second)
    ]
    assert margin(second, first, "roc_auc") < 1.645 * np.hypot(*errors) * 0.75


def _draws(rows: int) -> list[Any]:
    generator = np.random.default_rng(0)
    return [generator.integers(0, rows, rows) for _ in range(200)]


def test_a_candidate_at_the_margin_passes_as_rarely_as_stated() -> None:
    """Worse by exactly the tolerance, 0.1 of accuracy: at 95 % about 20 of 400 pass, 34 or more once in 1,000."""
    generator = np.random.default_rng(6)
    passed = 0
    for _ in range(400):
        target = np.ones(200, int)
        champion, candidate = ((generator.random(200) < right).astype(int) for right in (0.8, 0.7))
        both = paired(*(scored("classification", [0, 1], target, one, None) for one in (candidate, champion)))
        passed += difference(both, "accuracy", True, 0.95, rounds=200).at_most <= 0.1
    assert passed < 34


# between packages

RULES: dict[str, Any] = {"metrics": {"roc_auc": {"min": 0.5}}, "no_worse_than": "champion"}


def verdict(candidate: Package, champion: Package, **rules: Any) -> Any:
    results = evaluate(candidate, parse_rules(RULES | rules), champion).results
    return next(result for result in results if result.rule.startswith("no_worse_than"))


def document(package: Package, file: str, change: Any) -> Package:
    documents = copy.deepcopy(package.documents)
    change(documents[file])
    return replace(package, documents=documents)


def test_a_weaker_model_is_refused_and_a_stronger_one_passes(strong: Package, weak: Package) -> None:
    refused, passed = verdict(weak, strong), verdict(strong, weak)
    assert not refused.passed and "not shown to be no worse than the champion's" in refused.message
    assert passed.passed and "better with 0.95 confidence on 400 rows" in passed.message
    assert verdict(weak, strong, tolerance=0.5).passed


def test_a_difference_within_the_tolerance_is_refused_while_it_is_uncertain(strong: Package, weak: Package) -> None:
    gap = strong.validation["metrics"]["roc_auc"]["value"] - weak.validation["metrics"]["roc_auc"]["value"]
    refused = verdict(weak, strong, tolerance=gap + 0.001)
    assert not refused.passed
    assert refused.message.endswith("(more hold-out rows or a larger tolerance could show it)")
    assert verdict(weak, strong, tolerance=gap + 0.001, comparison="point").passed
    assert verdict(weak, strong, tolerance=gap + 0.001, confidence=0.51).passed


def test_the_champion_itself_passes(strong: Package) -> None:
    assert verdict(strong, strong).message == "it is the champion"
    renamed = replace(strong, digest="sha256:" + "1" * 64)
    assert verdict(renamed, strong).passed
    assert "at most 0 worse" in verdict(renamed, strong).message


def without(package: Package) -> Package:
    documents = {file: value for file, value in package.documents.items() if file != "holdout.json"}
    return replace(package, documents=documents)


def test_without_predictions_for_the_same_rows_nothing_passes(strong: Package, weak: Package) -> None:
    assert "the package has no holdout.json" in verdict(without(strong), weak).message
    assert "the champion has no holdout.json" in verdict(strong, without(weak)).message
    moved = document(weak, "holdout.json", lambda d: d.update(names=[f"{i:016x}" for i in range(400)]))
    assert "the hold-outs share 0 of 400 rows" in verdict(strong, moved).message
    less = document(weak, "holdout.json", lambda d: d["names"].__setitem__(slice(0, 201), map(str, range(201))))
    assert "the hold-outs share 199 of 400 rows" in verdict(strong, less).message
    other = document(weak, "signature.json", lambda d: d["outputs"].update(classes=["no", "yes"]))
    assert "predicts something else" in verdict(strong, other).message
    turned = document(weak, "holdout.json", lambda d: d.update(target=[1 - value for value in d["target"]]))
    assert "other targets" in verdict(strong, turned).message
    for package in (without(weak), moved, less, other, turned):
        assert not verdict(strong, package).passed
        assert not verdict(package, strong).passed
    assert verdict(without(strong), weak, comparison="point").passed


def test_few_rows_show_nothing(tmp_path: Path) -> None:
    few = made(tmp_path / "few", ["x", "z"], held=slice(400, 449))
    twin = replace(few, digest="sha256:" + "1" * 64)
    assert "share 49 of 49 rows" in verdict(twin, few).message
    assert not verdict(twin, few).passed


def test_a_metric_that_its_own_predictions_do_not_give_is_not_believed(strong: Package, weak: Package) -> None:
    better = document(weak, "validation.json", lambda d: d["metrics"]["roc_auc"].update(value=0.99))
    refused = verdict(better, strong, tolerance=0.5)
    assert not refused.passed
    assert "its validation says roc_auc is 0.99, its hold-out predictions give" in refused.message
    assert not verdict(strong, better, tolerance=0.5).passed
    assert misstated(strong, "roc_auc") is None


def test_a_metric_that_predictions_do_not_give_is_refused(strong: Package) -> None:
    def add(found: Any) -> None:
        found["metrics"]["cost"] = {"value": 1.0}

    one = document(strong, "validation.json", add)
    twin = replace(one, digest="sha256:" + "1" * 64)
    refused = verdict(twin, one, metrics={"cost": {"max": 2}})
    assert not refused.passed and "cost cannot be had from what both packages keep of the same rows" in refused.message
    assert not verdict(twin, strong, metrics={"cost": {"max": 2}}).passed


def cost(target: Any, predicted: Any, probabilities: Any) -> Any:
    """Each row's cost: a customer who leaves unexpected costs five times a call in vain."""
    return np.where(target, 5.0, 1.0) * (target != predicted)


def total(target: Any, predicted: Any, probabilities: Any) -> float:
    return float(cost(target, predicted, probabilities).mean())


def queries(rows: int = 400, size: int = 5) -> Any:
    return np.arange(rows) // size


COST = {"metrics": {"cost": {"max": 5}}}
RANKED = {"metrics": {"mean_average_precision": {"min": 0.1}}}


@pytest.fixture(scope="module")
def ranked(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Package]:
    """A model of both columns and one of the column that tells less, on the same rows and queries."""
    folder = tmp_path_factory.mktemp("ranked")
    frame = customers()
    swapped = frame.assign(x=np.random.default_rng(1).permutation(frame["x"]))
    return {
        name: made(folder / name, ["x", "z"], frame, model=model, queries=queries(), metrics=[cost, total])
        for name, model in (("good", frame), ("poor", swapped))
    }


@pytest.mark.parametrize("rules", [COST, RANKED])
def test_own_scores_and_ranking_metrics_are_paired(ranked: dict[str, Package], rules: Any) -> None:
    good, poor = ranked["good"], ranked["poor"]
    name = next(iter(rules["metrics"]))
    per = "400 rows" if rules is COST else "queries that both predicted"
    passed, refused = verdict(good, poor, **rules), verdict(poor, good, **rules)
    assert passed.passed and per in passed.message
    assert not refused.passed and refused.rule == f"no_worse_than.champion.{name}"
    assert verdict(poor, good, tolerance=4.0, **rules).passed
    gap = abs(refused.value - refused.limit)
    assert not verdict(poor, good, tolerance=gap * 1.01, **rules).passed
    assert verdict(poor, good, tolerance=gap * 1.01, comparison="point", **rules).passed


def test_the_limit_for_scores_of_rows_is_the_paired_t_interval(ranked: dict[str, Package]) -> None:
    both = pair(ranked["poor"], ranked["good"])
    found = difference(both, "cost", False, 0.95)
    worse = both.candidate.scores["cost"] - both.champion.scores["cost"]
    assert found.worse_by == pytest.approx(worse.mean())
    assert found.at_most == pytest.approx(stats.ttest_1samp(worse, 0).confidence_interval(0.9).high, rel=0.05)


def test_the_limit_for_ranking_draws_queries(ranked: dict[str, Package]) -> None:
    both = pair(ranked["poor"], ranked["good"])
    found = difference(both, "ndcg_at_10", True, 0.95)
    worse = both.champion.ranking["ndcg_at_10"] - both.candidate.ranking["ndcg_at_10"]
    worse = worse[~np.isnan(worse)]
    assert (found.rows, found.per) == (len(worse), "queries")
    assert found.at_most == pytest.approx(stats.ttest_1samp(worse, 0).confidence_interval(0.9).high, rel=0.05)


@pytest.mark.parametrize(
    ("rules", "change", "reason"),
    [
        (COST, lambda d: d["scores"].pop("cost"), "cannot be had from what both packages keep"),
        (COST, lambda d: d["scores"].update(cost=[0.0] * 400), "its hold-out predictions give 0"),
        (RANKED, lambda d: d["ranking"].pop("mean_average_precision"), "cannot be had from what both packages keep"),
        (RANKED, lambda d: d["ranking"].update(mean_average_precision=[1.0] * 80), "hold-out predictions give 1"),
        (RANKED, lambda d: d["queries"].update(names=[str(i) for i in range(80)]), "cannot be had from what both"),
        (RANKED, lambda d: d.pop("queries"), "cannot be had from what both packages keep"),
    ],
)
def test_without_scores_of_the_same_rows_or_queries_nothing_passes(
    ranked: dict[str, Package], rules: Any, change: Any, reason: str
) -> None:
    good, poor = ranked["good"], ranked["poor"]
    assert verdict(good, poor, **rules).passed
    for candidate, champion in (
        (document(good, "holdout.json", change), poor),
        (good, document(poor, "holdout.json", change)),
    ):
        refused = verdict(candidate, champion, **rules)
        assert not refused.passed and reason in refused.message


def test_a_metric_that_gives_one_number_cannot_be_paired(ranked: dict[str, Package]) -> None:
    refused = verdict(ranked["good"], ranked["poor"], metrics={"total": {"max": 5}})
    assert not refused.passed and "those that give a score for each row" in refused.message


def test_few_queries_show_nothing(tmp_path: Path) -> None:
    few = made(tmp_path / "few", ["x", "z"], queries=queries(size=10))
    twin = replace(few, digest="sha256:" + "1" * 64)
    refused = verdict(twin, few, **RANKED)
    assert not refused.passed and "queries are too few to compare: 50 are needed" in refused.message
    assert verdict(twin, few).passed


def test_a_champion_is_scored_and_ranked_on_new_rows_too(tmp_path: Path, ranked: dict[str, Package]) -> None:
    options: dict[str, Any] = {"queries": queries(), "metrics": [cost]}
    later = customers(seed=12)
    candidate = made(tmp_path / "later", ["x", "z"], later, champion=ranked["poor"], **options)
    told = open_package(candidate.path).documents["holdout.json"]["champion"]
    assert told["digest"] == ranked["poor"].digest
    assert set(told["ranking"]) == {"ndcg_at_10", "mean_average_precision", "recall_at_10"}
    again = predict(ranked["poor"], later[400:])
    again = with_queries(replace(again, target=later["left"][400:].astype(int).to_numpy()), queries(), 10)
    found = pair(candidate, ranked["poor"]).champion.metrics(list(told["ranking"]))
    assert found == pytest.approx(again.metrics(list(told["ranking"])), abs=1e-6)
    for rules in (COST, RANKED):
        assert verdict(candidate, ranked["poor"], tolerance=0.01, **rules).passed
        assert not verdict(candidate, ranked["good"], tolerance=0.01, **rules).passed


def test_a_metric_of_another_shape_is_refused() -> None:
    target, first, _ = two_models(60, 1)
    assert len(target) == 60
    with pytest.raises(ModelberthError, match='the metric "odd" gives 3 values for 60 rows'):
        with_own(first, {"odd": lambda *_: [1.0, 2.0, 3.0]})


def test_the_champion_predicts_new_rows_when_the_candidate_is_trained(
    tmp_path: Path, strong: Package, monkeypatch: Any
) -> None:
    later = customers(seed=12)
    alone = made(tmp_path / "alone", ["x", "z"], later)
    assert "share 0 of 400 rows" in verdict(alone, strong).message
    monkeypatch.setenv("SM_CHANNEL_CHAMPION", str(strong.path))
    both = made(tmp_path / "both", ["x", "z"], later)
    told = both.documents["holdout.json"]["champion"]
    assert told["digest"] == strong.digest
    found = pair(both, strong)
    held = later[400:]
    again = predict(strong, held)
    again = replace(again, target=held["left"].astype(int).to_numpy())
    assert found.champion.metrics() == pytest.approx(again.metrics(), abs=1e-6)
    assert found.candidate.metrics()["roc_auc"] == pytest.approx(both.validation["metrics"]["roc_auc"]["value"])
    assert verdict(both, strong, tolerance=0.05).passed
    # It speaks of this champion only.
    assert not verdict(both, replace(strong, digest="sha256:" + "2" * 64)).passed


def test_the_same_rows_make_the_same_package_with_and_without_a_champion(tmp_path: Path, strong: Package) -> None:
    assert made(tmp_path / "again", ["x", "z"], champion=strong).digest == strong.digest


def test_a_champion_that_cannot_predict_the_rows_is_no_failure_of_training_but_of_the_gate(
    tmp_path: Path, strong: Package
) -> None:
    narrow = made(tmp_path / "narrow", ["x"], customers(seed=12), champion=strong.path)
    assert (
        open_package(narrow.path)
        .documents["holdout.json"]["champion"]["problem"]
        .startswith("the data has no column z")
    )
    refused = verdict(narrow, strong)
    assert not refused.passed and "the champion cannot predict the hold-out" in refused.message


def test_the_same_row_has_the_same_name_whatever_the_type_that_holds_it() -> None:
    import pandas as pd

    from model_packaging.validation.holdout import row_names

    frame = pd.DataFrame({"n": [3, 3, 4], "t": ["a", "a", "b"]})
    rows = scored("classification", [0, 1], [0, 0, 1], [0, 1, 1], None)
    names = row_names(rows, frame)
    assert len(set(names)) == 3
    assert row_names(rows, frame.astype({"n": float})[["t", "n"]]) == names
    assert row_names(rows.take(np.array([2, 0, 1])), frame.iloc[[2, 0, 1]]) == [names[2], names[0], names[1]]
    assert row_names(rows, frame.assign(n=[3, 3, 5]))[2] != names[2]


def test_rows_that_are_not_the_same_are_no_pair() -> None:
    target, first, _ = two_models(60, 1)
    with pytest.raises(ModelberthError, match="same rows"):
        paired(first, predicted(1 - target, first.probability[:, 1]))


def test_rows_are_paired_by_name_not_by_place(strong: Package, weak: Package) -> None:
    order = np.random.default_rng(0).permutation(400)

    def shuffle(found: dict[str, Any]) -> None:
        for key in ("names", "target", "predicted", "probabilities"):
            found[key] = [found[key][row] for row in order]

    straight, shuffled = pair(strong, weak), pair(strong, document(weak, "holdout.json", shuffle))
    assert np.array_equal(shuffled.champion.probability, straight.champion.probability)
