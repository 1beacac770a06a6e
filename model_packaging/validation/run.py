# pyright: basic
# (scikit-learn and pandas carry no types)
"""Validate a model as its card and the gate need it: cross-validation, hold-out, segments, curves.

Everything random is seeded, so the same model and data give the same numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from ..errors import ModelberthError
from ..formats.predictor import class_key
from ..metrics import higher_is_better
from .curves import curves
from .holdout import record
from .importance import importance as permutation
from .leakage import leakage
from .scored import Metric, Scored, scored, with_own, with_queries
from .splits import splits

if TYPE_CHECKING:
    from ..package import Package

CONFIDENCE = 0.95
MIN_SEGMENT_ROWS = 30
UNSEEN_ROWS = 10_000


def validate(
    model: Any,
    train: tuple[Any, Any],
    holdout: tuple[Any, Any],
    *,
    kind: str = "random",
    folds: int = 5,
    splitter: str = "stratified",
    repeats: int = 1,
    groups: Any = None,
    times: tuple[Any, Any] | None = None,
    queries: Any = None,
    k: int = 10,
    metrics: Sequence[str | Metric] = (),
    segments: Sequence[str] = (),
    period: tuple[str, str] | None = None,
    champion: Package | str | Path | None = None,
    bootstrap: int = 200,
    importance: bool = True,
    seed: int = 0,
) -> dict[str, Any]:
    """Judge a fitted estimator; the result is what `pack(validation=…)` takes.

    Args:
        model: The estimator, fitted on `train` only.
        train: Inputs and target that it was fitted on.
        holdout: Inputs and target that it never saw.
        kind: How the hold-out was chosen: temporal, grouped or random.
        folds: How many folds the training rows are cut into; 0 for no cross-validation.
        splitter: stratified, random, grouped or stratified_grouped (both with `groups`); or a backtest: time
            (expanding window) or sliding.
        repeats: How often stratified and random folds are drawn.
        groups: The group of each training row; a group is never in both parts of a fold.
        times: The moment of each training row and of each hold-out row. Backtests then go by it, and whether the
            hold-out comes after the training rows is checked; without it, rows count as ordered.
        queries: The query of each hold-out row, for ranking metrics over each query's first `k`; intervals
            then draw whole queries.
        k: How many of a query's rows count.
        metrics: The user's own metrics, as `module:function` or functions of target, predictions and
            probabilities (rows × classes, or None), which return a number, or a score for each row, whose mean
            is the metric: only then can the gate compare it with the champion's.
        segments: Input columns of which each value is judged by itself.
        period: First and last moment of the hold-out; by default taken from `times`.
        champion: The package, or its address, to be compared with on the same hold-out; by default the
            training job's channel `champion`, where there is one.
        bootstrap: Rounds of the percentile bootstrap; 0 for no intervals. Source: B. Efron and R. Tibshirani,
            An Introduction to the Bootstrap (1993), chapter 13.
        importance: Whether to measure permutation importance.
        seed: Of everything random.

    Raises:
        ModelberthError: for what cannot be cut, measured or compared.
    """
    from sklearn.base import is_classifier

    _check_lengths(train, holdout, times, groups, queries)
    inputs, target = holdout
    task = "classification" if is_classifier(model) else "regression"
    own = own_metrics(metrics)
    rows = _score(model, task, getattr(model, "classes_", ()), inputs, target, own)
    if queries is not None:
        rows = with_queries(rows, queries, k)
    folded, unseen = _cross_validate(model, task, train, folds, splitter, repeats, groups, times, own, seed)
    if period is None and times is not None:
        period = (np.asarray(times[1]).min(), np.asarray(times[1]).max())
    result = judged(rows, inputs, segments, bootstrap, seed) | {"cross_validation": folded}
    result["holdout"] |= {
        "kind": kind,
        "from": str(period[0]) if period else None,
        "to": str(period[1]) if period else None,
    }
    result["leakage"] = leakage(task, train, holdout, times)
    if importance:
        result["importance"] = permutation(model, task, inputs, np.asarray(target), seed)
    result["predictions"] = {
        "holdout": _holdout(rows, inputs, champion),
        "baseline": _summaries(model, [rows, *unseen]),
    }
    return result


def judged(rows: Scored, inputs: Any, segments: Sequence[str], bootstrap: int, seed: int) -> dict[str, Any]:
    """Metrics with their intervals, segments and curves of predicted rows. ModelberthError for a metric that is
    not a finite number, and for a segment's column that is not there."""
    missing = [column for column in segments if column not in inputs]
    if missing:
        raise ModelberthError(*(f'there is no column "{column}" to make segments of' for column in missing))
    metrics = rows.metrics()
    undefined = sorted(name for name, value in metrics.items() if not np.isfinite(value))
    if undefined:
        raise ModelberthError(f"not a finite number on the hold-out: {', '.join(undefined)}")
    bounds = intervals(rows, bootstrap, seed)
    found = {column: _segment(rows, inputs[column]) for column in segments}
    return {
        "metrics": {
            name: {"value": value, "confidence": CONFIDENCE, "interval": bounds.get(name)}
            for name, value in metrics.items()
        },
        "holdout": {"rows": len(rows)},
        "segments": found,
        "worst_segments": {column: _worst(values) for column, values in found.items()},
        "curves": curves(rows),
    }


def intervals(rows: Scored, rounds: int, seed: int) -> dict[str, list[float]]:
    """Percentile bootstrap over the rows of the hold-out, or over its queries."""
    if not rounds:
        return {}
    generator = np.random.default_rng(seed)
    drawn: dict[str, list[float]] = {}
    for _ in range(rounds):
        units = generator.integers(0, rows.units, rows.units)
        for name, value in rows.draw(units).metrics().items():
            drawn.setdefault(name, []).append(value)
    tail = (1 - CONFIDENCE) / 2
    return {
        name: [round(float(value), 10) for value in np.quantile(values, (tail, 1 - tail))]
        for name, values in drawn.items()
    }


def _check_lengths(train: Any, holdout: Any, times: Any, groups: Any, queries: Any) -> None:
    if times is not None and len(times) != 2:
        raise ModelberthError(f"times must be two, of the training rows and of the hold-out's, not {len(times)}")
    moments = times or (None, None)
    parts: list[tuple[str, Any, Any]] = [
        ("train's target", train[1], train[0]),
        ("holdout's target", holdout[1], holdout[0]),
        ("groups", groups, train[0]),
        ("train's times", moments[0], train[0]),
        ("holdout's times", moments[1], holdout[0]),
        ("queries", queries, holdout[0]),
    ]
    problems = [f"{name} has no rows" for name, part in (("train", train), ("holdout", holdout)) if not len(part[0])]
    problems += [
        f"{name}: {len(given):,} values for {len(rows):,} rows of inputs"
        for name, given, rows in parts
        if given is not None and len(given) != len(rows)
    ]
    if problems:
        raise ModelberthError(*problems)


def _score(model: Any, task: str, classes: Any, inputs: Any, target: Any, own: dict[str, Metric]) -> Scored:
    """A model's predictions; a fold's model may not know every class of `classes`."""
    if task == "classification" and hasattr(model, "predict_proba"):
        known = list(classes)
        probability = np.zeros((len(inputs), len(known)))
        probability[:, [known.index(value) for value in model.classes_]] = model.predict_proba(inputs)
        predicted, chances = np.asarray(classes)[probability.argmax(axis=1)], probability
    else:
        predicted, chances = np.asarray(model.predict(inputs)), None
    return with_own(scored(task, classes, target, predicted, chances), own)


def own_metrics(given: Sequence[str | Metric]) -> dict[str, Metric]:
    """The user's metrics by name. ModelberthError for what cannot be imported."""
    return dict(map(_metric, given))


def _metric(given: str | Metric) -> tuple[str, Metric]:
    if not isinstance(given, str):
        return getattr(given, "__name__", type(given).__name__), given
    module, colon, name = given.partition(":")
    if not (module and colon and name):
        raise ModelberthError(f'the metric "{given}" must be named as module:function')
    try:
        function = getattr(import_module(module), name)
    except ImportError as error:
        raise ModelberthError(f'the metric "{given}" cannot be imported: {error}') from error
    except AttributeError:
        raise ModelberthError(f'the metric "{given}": {module} has no {name}') from None
    return name, cast("Metric", function)


def _cross_validate(
    model: Any,
    task: str,
    train: tuple[Any, Any],
    folds: int,
    splitter: str,
    repeats: int,
    groups: Any,
    times: tuple[Any, Any] | None,
    own: dict[str, Metric],
    seed: int,
) -> tuple[dict[str, Any], list[Scored]]:
    """The document's part, and the predictions of every fold on the rows that it did not see."""
    from sklearn.base import clone

    if not folds:
        return {}, []
    inputs, target = train[0], np.asarray(train[1])
    groups = None if groups is None else np.asarray(groups)
    moments = None if times is None else np.asarray(times[0])
    if moments is not None and splitter in ("time", "sliding"):
        order = np.argsort(moments, kind="stable")
        inputs, target, moments = inputs.iloc[order], target[order], moments[order]
    tested: list[Scored] = []
    windows: list[dict[str, Any]] = []
    classes = getattr(model, "classes_", ())
    for fit, test in splits(splitter, folds, repeats, inputs, target, groups, seed):
        fold = cast(Any, clone(model)).fit(inputs.iloc[fit], target[fit])
        tested.append(_score(fold, task, classes, inputs.iloc[test], target[test], own))
        window: dict[str, Any] = {"fitted": len(fit), "tested": len(test)}
        if moments is not None:
            window |= {"from": str(moments[test].min()), "to": str(moments[test].max())}
        windows.append(window)
    per_fold = [fold.metrics() for fold in tested]
    found = {}
    for name in [name for name in per_fold[0] if all(name in fold for fold in per_fold)]:
        values = [fold[name] for fold in per_fold]
        mean, std = round(float(np.mean(values)), 10), round(float(np.std(values)), 10)
        found[name] = {"mean": mean, "std": std, "folds": values}
    return {"folds": folds, "repeats": repeats, "splitter": splitter, "metrics": found, "windows": windows}, tested


def _segment(rows: Scored, column: Any) -> dict[str, Any]:
    values = column.map(class_key).astype(str).to_numpy()
    found = {}
    for value in sorted(set(values)):
        own = np.flatnonzero(values == value)
        metrics = rows.take(own).metrics() if len(own) >= MIN_SEGMENT_ROWS else {}
        found[value] = {"rows": len(own), "metrics": metrics}
    return found


def _worst(segments: dict[str, Any]) -> dict[str, Any]:
    """The worst segment by each metric whose better direction is known."""
    found: dict[str, Any] = {}
    for name in sorted({name for entry in segments.values() for name in entry["metrics"]}):
        better = higher_is_better(name)
        if better is not None:
            having = {key: entry for key, entry in segments.items() if name in entry["metrics"]}
            sign = 1 if better else -1
            worst = min(having, key=lambda key: (sign * having[key]["metrics"][name], key))
            found[name] = {"segment": worst, "value": having[worst]["metrics"][name], "rows": having[worst]["rows"]}
    return found


def _summaries(model: Any, unseen: Sequence[Scored]) -> dict[str, Any]:
    """The predictions on rows that the predicting model had not seen, as the monitor compares with them."""
    from ..baseline import prediction_summaries
    from ..signatures import infer_outputs

    said: list[Any] = []
    for rows in unseen:
        if rows.task == "regression":
            said += rows.predicted.tolist()
            continue
        keys = [class_key(value) for value in rows.classes]
        labels = rows.labels(rows.predicted)
        if rows.probability is None:
            said += [{"label": label} for label in labels]
        else:
            chances = rows.probability.tolist()
            said += [
                {"label": label, "probabilities": dict(zip(keys, one, strict=True))}
                for label, one in zip(labels, chances, strict=True)
            ]
    pick = np.unique(np.linspace(0, len(said) - 1, min(len(said), UNSEEN_ROWS)).astype(int))
    return prediction_summaries(infer_outputs(model, None, None), [said[index] for index in pick])


def _holdout(rows: Scored, inputs: Any, champion: Package | str | Path | None) -> dict[str, Any]:
    from .champion import on_the_same_rows

    return on_the_same_rows(record(rows, inputs), inputs, rows, champion)
