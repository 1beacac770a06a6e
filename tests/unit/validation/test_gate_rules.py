"""Each rule of the gate over validation.json: a document that it accepts, and every change that it must refuse."""

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from model_packaging import ModelberthError
from model_packaging.gate import evaluate, parse_rules
from model_packaging.package import Package

Change = Callable[[dict[str, Any]], Any]

VALIDATION: dict[str, Any] = {
    "metrics": {"f1": {"value": 0.8, "confidence": 0.95, "interval": [0.75, 0.85]}},
    "holdout": {"kind": "temporal", "rows": 400},
    "cross_validation": {"folds": 3, "metrics": {"f1": {"mean": 0.8, "std": 0.0163, "folds": [0.78, 0.8, 0.82]}}},
    "segments": {
        "site": {
            "north": {"rows": 200, "metrics": {"f1": 0.82}},
            "south": {"rows": 180, "metrics": {"f1": 0.76}},
            "west": {"rows": 20, "metrics": {"f1": 0.1}},
        }
    },
    "leakage": {
        "duplicates": {"rows": 4, "ratio": 0.01},
        "target": {},
        "time": {"rows": 0, "last_training": "1", "first_holdout": "2"},
    },
}

RULES: dict[str, dict[str, Any]] = {
    "confident": {"metrics": {"f1": {"min": 0.75, "max": 0.85, "confident": True}}},
    "folds": {"cross_validation": {"f1": {"min": 0.78, "max": 0.82, "max_std": 0.02}}},
    "segments": {"segments": {"site": {"metrics": {"f1": {"min": 0.76}}, "gap": {"f1": 0.05}}}},
    "leakage": {"leakage": {"duplicates": 0.01}},
}


def at(*path: Any, value: Any) -> Change:
    def change(document: dict[str, Any]) -> None:
        for key in path[:-1]:
            document = document[key]
        document[path[-1]] = value

    return change


def gone(*path: Any) -> Change:
    def change(document: dict[str, Any]) -> None:
        for key in path[:-1]:
            document = document[key]
        del document[path[-1]]

    return change


FOLDS = ("cross_validation", "metrics", "f1", "folds")
SOUTH = ("segments", "site", "south", "metrics")

REFUSED: list[tuple[str, Change, list[str]]] = [
    ("confident", at("metrics", "f1", "interval", 0, value=0.7499), ["metrics.f1.min"]),
    ("confident", at("metrics", "f1", "interval", 1, value=0.8501), ["metrics.f1.max"]),
    ("confident", at("metrics", "f1", "interval", value=None), ["metrics.f1.min", "metrics.f1.max"]),
    ("confident", at("metrics", "f1", "interval", value=[0.8]), ["metrics.f1.min", "metrics.f1.max"]),
    ("confident", at("metrics", "f1", "interval", value=["0.8", 0.8]), ["metrics.f1.min", "metrics.f1.max"]),
    ("confident", at("metrics", "f1", value=0.8), ["metrics.f1.min", "metrics.f1.max"]),
    ("confident", at("metrics", "f1", "value", value=float("nan")), ["metrics.f1.min", "metrics.f1.max"]),
    ("folds", at(*FOLDS, 0, value=0.7799), ["cross_validation.f1.min"]),
    ("folds", at(*FOLDS, 2, value=0.8201), ["cross_validation.f1.max"]),
    (
        "folds",
        at(*FOLDS, value=[0.7, 0.8, 0.9]),
        ["cross_validation.f1.min", "cross_validation.f1.max", "cross_validation.f1.max_std"],
    ),
    ("folds", at(*FOLDS, value=[0.8]), ["cross_validation.f1"]),
    ("folds", at(*FOLDS, value=[0.8, None]), ["cross_validation.f1"]),
    ("folds", at(*FOLDS, value="0.8"), ["cross_validation.f1"]),
    ("folds", gone("cross_validation"), ["cross_validation.f1"]),
    ("segments", at(*SOUTH, "f1", value=0.7599), ["segments.site.south.f1.min"]),
    ("segments", at("metrics", "f1", "value", value=0.811), ["segments.site.gap.f1"]),
    ("segments", gone(*SOUTH, "f1"), ["segments.site.south.f1.min", "segments.site.gap.f1"]),
    ("segments", gone("metrics", "f1"), ["segments.site.gap.f1"]),
    ("segments", gone("segments"), ["segments.site"]),
    (
        "segments",
        at("segments", "site", "west", "rows", value=100),
        ["segments.site.west.f1.min", "segments.site.gap.f1"],
    ),
    ("leakage", at("leakage", "duplicates", "ratio", value=0.0101), ["leakage.duplicates"]),
    ("leakage", at("leakage", "duplicates", "ratio", value=None), ["leakage.duplicates"]),
    ("leakage", at("leakage", "duplicates", "ratio", value=-1), ["leakage.duplicates"]),
    ("leakage", at("leakage", "target", value={"churned": 1.0}), ["leakage.target"]),
    ("leakage", at("leakage", "target", value=None), ["leakage.target"]),
    ("leakage", at("leakage", "time", "rows", value=1), ["leakage.time"]),
    ("leakage", at("leakage", "time", value=None), ["leakage.time"]),
    ("leakage", gone("leakage"), ["leakage"]),
]  # fmt: skip


def judged(package: Package, rules: str, change: Change | None = None) -> list[Any]:
    validation = copy.deepcopy(VALIDATION)
    if change:
        change(validation)
    changed = replace(package, documents=package.documents | {"validation.json": validation})
    results = evaluate(changed, parse_rules(RULES[rules])).results
    return [result for result in results if not result.rule.startswith("require.")]


@pytest.mark.parametrize("rules", RULES)
def test_a_document_at_every_limit_passes(strong: Package, rules: str) -> None:
    results = judged(strong, rules)
    assert results and all(result.passed for result in results)
    assert all(result.message for result in results)


@pytest.mark.parametrize(("rules", "change", "refused"), REFUSED)
def test_a_rule_refuses(strong: Package, rules: str, change: Change, refused: list[str]) -> None:
    results = judged(strong, rules, change)
    assert [result.rule for result in results if not result.passed] == refused


def test_every_rule_refuses_something_here() -> None:
    assert {rules for rules, _, _ in REFUSED} == set(RULES)


def test_a_hold_out_that_is_not_temporal_needs_no_times(strong: Package) -> None:
    def change(document: dict[str, Any]) -> None:
        document["holdout"]["kind"] = "random"
        document["leakage"]["time"] = None

    assert all(result.passed for result in judged(strong, "leakage", change))


def test_the_worst_segment_is_named(strong: Package) -> None:
    message = judged(strong, "segments", at("metrics", "f1", "value", value=0.9))[-2].message
    assert message == "f1 is worst where site is south, 0.14 worse than on all rows, but may be at most 0.05"


@pytest.mark.parametrize(
    ("rules", "text"),
    [
        ({"segments": {"site": {}}}, "segments.site: give metrics, gap or both"),
        ({"segments": {"site": {"gap": {"cost": 0.1}}}}, "whether more cost is better is not known"),
        ({"segments": {"site": {"gap": {"f1": -0.1}}}}, "segments.site.gap.f1"),
        ({"cross_validation": {"f1": {}}}, "give min, max, max_std or several"),
        ({"cross_validation": {"f1": {"min": 2, "max": 1}}}, "nothing can pass"),
        ({"cross_validation": {"f1": {"max_sdt": 1}}}, "did you mean max_std?"),
        ({"leakage": {"duplicates": 1.5}}, "leakage.duplicates"),
        ({"comparison": "guess"}, "comparison"),
        ({"confidence": 0.5}, "confidence"),
        ({"confidence": 1}, "confidence"),
        ({"metrics": {"f1": {"min": 0.5, "confident": "yes"}}}, "metrics.f1.confident"),
    ],
)
def test_rules_that_mean_nothing_are_errors(rules: Any, text: str) -> None:
    with pytest.raises(ModelberthError) as error:
        parse_rules(rules)
    assert text in str(error.value)
