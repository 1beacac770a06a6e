"""Every rule of the gate must refuse what it is there to refuse."""

import copy
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from model_packaging import ModelberthError
from model_packaging.gate import GateRefused, GateRules, enforce, evaluate, parse_rules
from model_packaging.package import Package

GOOD = {"metrics": {"f1": {"min": 0.2}}, "require": ["cross_validation", "examples", "baseline"]}


def changed(package: Package, file: str, change: Any) -> Package:
    documents = copy.deepcopy(package.documents)
    change(documents[file])
    return replace(package, documents=documents)


def metric(package: Package, value: Any, name: str = "f1") -> Package:
    return changed(package, "validation.json", lambda found: found["metrics"].update({name: {"value": value}}))


def without(package: Package, *names: str) -> Package:
    documents = {file: value for file, value in package.documents.items() if file not in names}
    files = {file: value for file, value in package.files.items() if file not in names}
    return replace(package, documents=documents, manifest=package.manifest | {"files": files})


def failed(package: Package, rules: Any, champion: Package | None = None) -> list[str]:
    report = evaluate(package, parse_rules(rules), champion)
    assert report.passed == (not report.failures)
    return [result.rule for result in report.failures]


def test_a_good_package_passes(original: Package) -> None:
    assert failed(original, GOOD) == []
    assert failed(original, {}) == []
    assert evaluate(original).passed


@pytest.mark.parametrize("rules", [{}, {"require": []}])
@pytest.mark.parametrize(
    ("file", "rule"),
    [("data.json", "data_version"), ("card.md", "card"), ("validation.json", "validation")],
)
def test_without_data_version_card_or_validation_nothing_passes(
    original: Package, file: str, rule: str, rules: Any
) -> None:
    assert failed(without(original, file), rules) == [f"require.{rule}"]


def test_each_requirement_refuses(original: Package) -> None:
    no_folds = changed(original, "validation.json", lambda found: found.pop("cross_validation"))
    one_fold = changed(original, "validation.json", lambda found: found["cross_validation"].update(folds=1))
    for package in (no_folds, one_fold):
        assert failed(package, GOOD) == ["require.cross_validation"]
    assert failed(without(original, "baseline.json"), GOOD) == ["require.baseline"]
    empty = changed(original, "examples.json", lambda found: found.update(inputs=[]))
    assert failed(empty, GOOD) == ["require.examples"]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "0.9", None, True, [0.9], 0.19])
def test_a_metric_that_is_not_a_good_number_fails(original: Package, value: Any) -> None:
    assert failed(metric(original, value), GOOD) == ["metrics.f1.min"]


def test_limits_are_inclusive_and_both_sides_count(original: Package) -> None:
    package = metric(original, 0.5)
    assert failed(package, {"metrics": {"f1": {"min": 0.5, "max": 0.5}}}) == []
    assert failed(package, {"metrics": {"f1": {"max": 0.4999}}}) == ["metrics.f1.max"]
    assert failed(package, {"metrics": {"f1": {"min": 0.5001}}}) == ["metrics.f1.min"]


def test_a_missing_metric_fails_and_names_the_nearest(original: Package) -> None:
    report = evaluate(original, parse_rules({"metrics": {"roc_auk": {"min": 0.1}}}))
    assert not report.passed
    assert "no metric roc_auk (did you mean roc_auc?)" in report.failures[0].message


def test_segments_refuse(original: Package) -> None:
    rules = {"segments": {"plan": {"metrics": {"accuracy": {"min": 0.01}}, "min_rows": 30}}}
    assert failed(original, rules) == []
    strict = {"segments": {"plan": {"metrics": {"accuracy": {"min": 1.0}}, "min_rows": 30}}}
    judged = failed(original, strict)
    assert judged
    assert all(rule.endswith(".accuracy.min") for rule in judged)
    assert failed(original, {"segments": {"plans": {"metrics": {"f1": {"min": 0}}}}}) == ["segments.plans"]
    too_small = {"segments": {"plan": {"metrics": {"f1": {"min": 0}}, "min_rows": 100_000}}}
    assert failed(original, too_small) == ["segments.plan"]
    no_metric = {"segments": {"plan": {"metrics": {"r2": {"min": 0}}, "min_rows": 30}}}
    assert len(failed(original, no_metric)) == len(judged)


def test_worse_than_the_champion_fails(original: Package) -> None:
    rules = {"metrics": {"f1": {"min": 0.1}}, "no_worse_than": "champion", "comparison": "point"}
    champion = metric(original, 0.6)
    assert failed(metric(original, 0.6), rules, champion) == []
    assert failed(metric(original, 0.59), rules, champion) == ["no_worse_than.champion.f1"]
    assert failed(metric(original, 0.59), rules | {"tolerance": 0.02}, champion) == []
    assert failed(metric(original, 0.6), rules, None) == []
    assert failed(metric(original, 0.6), rules, metric(original, None)) == ["no_worse_than.champion.f1"]


def test_every_known_metric_counts_when_none_is_named(original: Package) -> None:
    rules = {"no_worse_than": "champion", "comparison": "point"}
    assert failed(original, rules, original) == []
    worse = metric(original, original.validation["metrics"]["brier"]["value"] + 0.01, "brier")
    assert failed(worse, rules, original) == ["no_worse_than.champion.brier"]


def test_a_metric_of_unknown_direction_fails(original: Package) -> None:
    package = metric(original, 1.0, "wobble")
    both = {"metrics": {"wobble": {"min": 0, "max": 2}}, "no_worse_than": "champion", "comparison": "point"}
    assert failed(package, both, package) == ["no_worse_than.champion.wobble"]
    one = {"metrics": {"wobble": {"max": 2}}, "no_worse_than": "champion", "comparison": "point"}
    assert failed(metric(original, 1.1, "wobble"), one, package) == ["no_worse_than.champion.wobble"]


def test_age(original: Package) -> None:
    def created(when: datetime) -> Package:
        return replace(original, manifest=original.manifest | {"created": when.strftime("%Y-%m-%dT%H:%M:%SZ")})

    now = datetime.now(UTC)
    assert failed(created(now - timedelta(days=29)), {"max_age": "30d"}) == []
    assert failed(created(now - timedelta(days=31)), {"max_age": "30d"}) == ["max_age"]
    assert failed(created(now + timedelta(days=1)), {"max_age": "30d"}) == ["max_age"]
    assert failed(original, {"max_age": "30d"}) == ["max_age"]


def test_enforce_names_metric_value_and_limit(original: Package) -> None:
    with pytest.raises(GateRefused) as refused:
        enforce(metric(original, 0.71), parse_rules({"metrics": {"f1": {"min": 0.8}, "accuracy": {"min": 2}}}))
    assert len(refused.value.problems) == 2
    assert "f1 is 0.71, but must be at least 0.8" in str(refused.value)


@pytest.mark.parametrize(
    ("rules", "text"),
    [
        ({"metric": {}}, 'unknown key "metric" (did you mean metrics?)'),
        ({"metrics": {"f1": {}}}, "metrics.f1: give min, max or both"),
        ({"metrics": {"f1": {"min": 2, "max": 1}}}, "min 2 is above max 1"),
        ({"metrics": {"f1": {"min": float("nan")}}}, "metrics.f1.min"),
        ({"metrics": {"f1": {"min": "0.8"}}}, "metrics.f1.min: Input should be a valid number, is '0.8'"),
        ({"require": ["cards"]}, "require.0"),
        ({"no_worse_than": "best"}, "no_worse_than"),
        ({"max_age": "month"}, "max_age: must be a number and a unit"),
        ([], "gate: rules"),
    ],
)
def test_bad_rules_are_errors(rules: Any, text: str) -> None:
    with pytest.raises(ModelberthError) as error:
        parse_rules(rules)
    assert text in str(error.value)


def test_no_result_is_no_pass(original: Package) -> None:
    report = evaluate(original, GateRules())
    assert not replace(report, results=[]).passed
