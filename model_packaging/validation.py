# pyright: basic
# (scikit-learn and pandas carry no types)
"""Validate a model as its card and the gate need it: cross-validation, hold-out, segments, curves.

Everything random is seeded, so the same model and data give the same numbers.
"""

import warnings
from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np

from .errors import ModelberthError
from .formats.predictor import class_key

CONFIDENCE = 0.95
CURVE_POINTS = 60
MIN_SEGMENT_ROWS = 30
IMPORTANCE_ROWS = 4000


def validate(
    model: Any,
    train: tuple[Any, Any],
    holdout: tuple[Any, Any],
    *,
    kind: str = "random",
    folds: int = 5,
    splitter: str = "stratified",
    groups: Any = None,
    segments: Sequence[str] = (),
    period: tuple[str, str] | None = None,
    bootstrap: int = 200,
    importance: bool = True,
    seed: int = 0,
) -> dict[str, Any]:
    """Judge a fitted estimator; the result is the content of validation.json.

    `train` and `holdout` are `(inputs, target)`; the model must be fitted on `train` only. `kind`
    says how the hold-out was chosen: temporal, grouped or random. `splitter` cuts the folds: time
    (rows in order of time), grouped (give `groups`), stratified or random. `segments` names input
    columns; `period` the first and last moment of the hold-out.
    """
    from sklearn.base import is_classifier

    inputs, target = holdout
    task = "classification" if is_classifier(model) else "regression"
    scored = _Scored(task, getattr(model, "classes_", None), np.asarray(target), *_predict(model, task, inputs))
    metrics = scored.metrics()
    undefined = sorted(name for name, value in metrics.items() if not np.isfinite(value))
    if undefined:
        raise ModelberthError(f"not a finite number on the hold-out: {', '.join(undefined)}")
    intervals = _intervals(scored, bootstrap, seed)
    result: dict[str, Any] = {
        "metrics": {
            name: {"value": value, "confidence": CONFIDENCE, "interval": intervals.get(name)}
            for name, value in metrics.items()
        },
        "cross_validation": _cross_validate(model, task, train, folds, splitter, groups, seed),
        "holdout": {
            "kind": kind,
            "rows": len(scored),
            "from": str(period[0]) if period else None,
            "to": str(period[1]) if period else None,
        },
        "segments": {column: _segment(scored, inputs[column]) for column in segments},
        "curves": _curves(scored),
    }
    if importance:
        result["importance"] = _importance(model, task, inputs, np.asarray(target), seed)
    return result


class _Scored:
    """A target with its predictions; rows can be taken from it."""

    def __init__(self, task: str, classes: Any, target: Any, predicted: Any, probability: Any) -> None:
        self.task = task
        self.classes = classes
        self.target = target
        self.predicted = predicted
        self.probability = probability

    def __len__(self) -> int:
        return len(self.target)

    @property
    def binary(self) -> bool:
        return self.task == "classification" and len(self.classes) == 2

    @property
    def positive(self) -> Any:
        return self.target == self.classes[1]

    def take(self, rows: Any) -> "_Scored":
        probability = None if self.probability is None else self.probability[rows]
        return _Scored(self.task, self.classes, self.target[rows], self.predicted[rows], probability)

    def metrics(self) -> dict[str, float]:
        """Every metric that is defined for these rows."""
        from sklearn import metrics as m

        y, p = self.target, self.predicted
        if self.task == "regression":
            error = y - p
            found = {
                "mean_absolute_error": np.abs(error).mean(),
                "root_mean_squared_error": np.sqrt(np.square(error).mean()),
            }
            if len(y) > 1 and np.ptp(y) > 0:
                found["r2"] = m.r2_score(y, p)
            return _floats(found)
        found = {"accuracy": (y == p).mean()}
        if self.binary:
            truth, guess = self.positive, p == self.classes[1]
            hits = float((truth & guess).sum())
            found["precision"] = hits / guess.sum() if guess.any() else 0.0
            if truth.any():
                found["recall"] = hits / truth.sum()
                found["f1"] = 2 * hits / (truth.sum() + guess.sum())
            if self.probability is not None:
                score = self.probability[:, 1]
                found["brier"] = np.square(score - truth).mean()
                if truth.any() and not truth.all():
                    found["roc_auc"] = m.roc_auc_score(truth, score)
                    found["average_precision"] = m.average_precision_score(truth, score)
                    found["log_loss"] = m.log_loss(truth, score)
        else:
            found["f1_macro"] = m.f1_score(y, p, average="macro", zero_division=cast(Any, 0))
            if self.probability is not None:
                found["log_loss"] = m.log_loss(y, self.probability, labels=self.classes)
        return _floats(found)


def _floats(values: dict[str, Any]) -> dict[str, float]:
    # Beyond ten digits, sums depend on the processor's vector width.
    return {name: round(float(value), 10) for name, value in values.items()}


def _predict(model: Any, task: str, inputs: Any) -> tuple[Any, Any]:
    if task == "classification" and hasattr(model, "predict_proba"):
        probability = np.asarray(model.predict_proba(inputs))
        return np.asarray(model.classes_)[probability.argmax(axis=1)], probability
    return np.asarray(model.predict(inputs)), None


def _intervals(scored: _Scored, rounds: int, seed: int) -> dict[str, list[float]]:
    """Percentile bootstrap over the rows of the hold-out."""
    if not rounds:
        return {}
    generator = np.random.default_rng(seed)
    drawn: dict[str, list[float]] = {}
    for _ in range(rounds):
        rows = generator.integers(0, len(scored), len(scored))
        for name, value in scored.take(rows).metrics().items():
            drawn.setdefault(name, []).append(value)
    tail = (1 - CONFIDENCE) / 2
    return {
        name: [round(float(value), 10) for value in np.quantile(values, (tail, 1 - tail))]
        for name, values in drawn.items()
    }


def _cross_validate(
    model: Any, task: str, train: tuple[Any, Any], folds: int, splitter: str, groups: Any, seed: int
) -> dict[str, Any]:
    from sklearn.base import clone

    inputs, target = train
    target = np.asarray(target)
    per_fold: list[dict[str, float]] = []
    for fitted, tested in _splits(splitter, folds, inputs, target, groups, seed):
        fold = cast(Any, clone(model)).fit(inputs.iloc[fitted], target[fitted])
        predicted, probability = _predict(fold, task, inputs.iloc[tested])
        classes = getattr(fold, "classes_", None)
        per_fold.append(_Scored(task, classes, target[tested], predicted, probability).metrics())
    shared = [name for name in per_fold[0] if all(name in fold for fold in per_fold)]
    metrics = {}
    for name in shared:
        values = [fold[name] for fold in per_fold]
        mean, std = round(float(np.mean(values)), 10), round(float(np.std(values)), 10)
        metrics[name] = {"mean": mean, "std": std, "folds": values}
    return {"folds": folds, "splitter": splitter, "metrics": metrics}


def _splits(splitter: str, folds: int, inputs: Any, target: Any, groups: Any, seed: int) -> Any:
    from sklearn import model_selection as ms

    if splitter == "grouped" and groups is None:
        raise ModelberthError("splitter grouped needs groups")
    makers: dict[str, Callable[[], Any]] = {
        "time": lambda: ms.TimeSeriesSplit(folds),
        "grouped": lambda: ms.GroupKFold(folds),
        "stratified": lambda: ms.StratifiedKFold(folds, shuffle=True, random_state=seed),
        "random": lambda: ms.KFold(folds, shuffle=True, random_state=seed),
    }
    if splitter not in makers:
        raise ModelberthError(f'unknown splitter "{splitter}": choose {", ".join(sorted(makers))}')
    return makers[splitter]().split(inputs, target, groups)


def _segment(scored: _Scored, column: Any) -> dict[str, Any]:
    values = column.map(class_key).to_numpy()
    found = {}
    for value in sorted(set(values)):
        rows = np.flatnonzero(values == value)
        metrics = scored.take(rows).metrics() if len(rows) >= MIN_SEGMENT_ROWS else {}
        found[value] = {"rows": len(rows), "metrics": metrics}
    return found


def _curves(scored: _Scored) -> dict[str, Any]:
    """Points for the card's plots, few enough to stay readable as JSON."""
    from sklearn import metrics as m
    from sklearn.calibration import calibration_curve

    if scored.task == "regression":
        residuals = scored.target - scored.predicted
        counts, edges = np.histogram(residuals, bins=30)
        pick = np.linspace(0, len(scored) - 1, min(len(scored), 400)).astype(int)
        return {
            "residuals": {"edges": _points(edges), "counts": counts.tolist()},
            "predicted": {"predicted": _points(scored.predicted[pick]), "actual": _points(scored.target[pick])},
        }
    labels = [class_key(value.item() if hasattr(value, "item") else value) for value in scored.classes]
    matrix = m.confusion_matrix(scored.target, scored.predicted, labels=scored.classes)
    curves: dict[str, Any] = {"confusion": {"classes": labels, "matrix": matrix.tolist()}}
    if not scored.binary or scored.probability is None:
        return curves
    truth, score = scored.positive, scored.probability[:, 1]
    if truth.all() or not truth.any():
        return curves
    false_rate, true_rate, _ = m.roc_curve(truth, score)
    precision, recall, _ = m.precision_recall_curve(truth, score)
    observed, mean = calibration_curve(truth, score, n_bins=10, strategy="quantile")
    return curves | {
        "roc": {"false_positive_rate": _thin(false_rate), "true_positive_rate": _thin(true_rate)},
        "precision_recall": {"recall": _thin(recall), "precision": _thin(precision)},
        "calibration": {"predicted": _points(mean), "observed": _points(observed)},
    }


def _thin(values: Any) -> list[float]:
    pick = np.linspace(0, len(values) - 1, min(len(values), CURVE_POINTS)).astype(int)
    return _points(values[pick])


def _points(values: Any) -> list[float]:
    return [round(float(value), 6) for value in values]


def _importance(model: Any, task: str, inputs: Any, target: Any, seed: int) -> dict[str, Any]:
    from sklearn.inspection import permutation_importance

    pick = np.linspace(0, len(inputs) - 1, min(len(inputs), IMPORTANCE_ROWS)).astype(int)
    scoring = "r2" if task == "regression" else "accuracy"
    if task == "classification" and len(model.classes_) == 2 and hasattr(model, "predict_proba"):
        scoring = "roc_auc"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found: Any = permutation_importance(
            model, inputs.iloc[pick], target[pick], scoring=scoring, n_repeats=3, random_state=seed
        )
    features = {
        str(name): {"mean": round(float(mean), 8), "std": round(float(std), 8)}
        for name, mean, std in zip(inputs.columns, found.importances_mean, found.importances_std, strict=True)
    }
    return {"metric": scoring, "features": features}
