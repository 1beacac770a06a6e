# pyright: basic
# (scikit-learn and pandas carry no types)
"""Does the hold-out know what it must not: rows of the training, the target itself, or the future."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..datasets import column_type

SUSPICIOUS = 0.999
"""A single column that tells this much of the target is more likely the target itself than a good feature."""

_ROWS = 10_000
_LEAF = 5


def leakage(
    task: str, train: tuple[Any, Any], holdout: tuple[Any, Any], times: tuple[Any, Any] | None
) -> dict[str, Any]:
    """The findings of three checks, for validation.json.

    `duplicates`: hold-out rows whose inputs stand in the training rows too. `target`: columns that alone tell
    the target, with how well: balanced accuracy on the hold-out of a decision tree of that column, or Spearman's
    rank correlation of a regression. `time`: hold-out rows that are not after the last training row; None
    without times. Source of the three: S. Kaufman, S. Rosset, C. Perlich, "Leakage in Data Mining", KDD 2011.
    """
    return {
        "duplicates": _duplicates(train[0], holdout[0]),
        "target": _telling(task, train, holdout),
        "time": None if times is None else _before(*times),
    }


def _duplicates(train: Any, holdout: Any) -> dict[str, Any]:
    known = holdout.merge(train.drop_duplicates(), how="left", on=list(train.columns), indicator=True)
    rows = int((known["_merge"] == "both").sum())
    return {"rows": rows, "ratio": round(rows / len(holdout), 10)}


def _telling(task: str, train: tuple[Any, Any], holdout: tuple[Any, Any]) -> dict[str, float]:
    judge = _correlation if task == "regression" else _tree
    fit, test = (_spread(*train), _spread(*holdout))
    found = {str(column): judge(fit[0][column], fit[1], test[0][column], test[1]) for column in fit[0].columns}
    return {name: round(value, 6) for name, value in found.items() if value >= SUSPICIOUS}


def _spread(inputs: Any, target: Any) -> tuple[Any, Any]:
    rows = np.unique(np.linspace(0, len(inputs) - 1, min(len(inputs), _ROWS)).astype(int))
    return inputs.iloc[rows], np.asarray(target)[rows]


def _tree(fit: Any, fit_target: Any, test: Any, test_target: Any) -> float:
    from sklearn.metrics import balanced_accuracy_score
    from sklearn.tree import DecisionTreeClassifier

    if len(set(fit_target.tolist())) < 2 or len(set(test_target.tolist())) < 2:
        return 0.0
    tree = DecisionTreeClassifier(min_samples_leaf=_LEAF, random_state=0)
    first, second = _numbers(fit, test)
    tree.fit(first, fit_target)
    return float(balanced_accuracy_score(test_target, tree.predict(second)))


def _correlation(fit: Any, fit_target: Any, test: Any, test_target: Any) -> float:
    from scipy.stats import spearmanr

    if column_type(test) not in ("number", "integer"):
        return 0.0
    values = test.astype(float).to_numpy()
    there = np.isfinite(values)
    if len(set(values[there])) < 3 or len(set(test_target[there])) < 3:
        return 0.0
    found: Any = spearmanr(values[there], test_target[there])
    return abs(float(found.statistic))


def _numbers(fit: Any, test: Any) -> tuple[Any, Any]:
    """One column as numbers: texts by the order in which training has them, unknown ones as missing."""
    if column_type(fit) in ("number", "integer", "boolean"):
        return tuple(one.astype(float).to_numpy().reshape(-1, 1) for one in (fit, test))  # type: ignore[return-value]
    place = {value: float(index) for index, value in enumerate(fit.dropna().unique())}
    return tuple(  # type: ignore[return-value]
        np.array([place.get(value, np.nan) for value in one], dtype=float).reshape(-1, 1) for one in (fit, test)
    )


def _before(train: Any, holdout: Any) -> dict[str, Any]:
    last = np.asarray(train).max()
    rows = int((np.asarray(holdout) <= last).sum())
    return {"rows": rows, "last_training": str(last), "first_holdout": str(np.asarray(holdout).min())}
