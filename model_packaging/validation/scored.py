# pyright: basic
# (scikit-learn carries no types)
"""A target with its predictions, and every metric that is defined for them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ..errors import ModelberthError
from ..formats.predictor import class_key

CALIBRATION_BINS = 10

Metric = Callable[[Any, Any, Any], Any]
"""A user's own metric: target, predictions and probabilities (or None) as arrays give a number, or a score for each
row, whose mean is the metric."""


@dataclass(frozen=True)
class Scored:
    """Rows with their target and their prediction; classes are held as their positions in `classes`."""

    task: str
    classes: Sequence[Any]
    target: Any
    predicted: Any
    probability: Any = None
    """Rows × classes, or None."""

    ranking: Mapping[str, Any] = field(default_factory=dict)
    """A ranking metric's value for each query."""

    queries: Any = None
    """The position of each row's query."""

    k: int = 10
    """How many rows of a query the ranking metrics look at."""

    custom: Mapping[str, Metric] = field(default_factory=dict)

    scores: Mapping[str, Any] = field(default_factory=dict)
    """Each row's score by the user's own metrics that give one."""

    def __len__(self) -> int:
        return len(self.target)

    @property
    def binary(self) -> bool:
        return self.task == "classification" and len(self.classes) == 2

    @property
    def units(self) -> int:
        """What a bootstrap draws: rows, or whole queries where rows belong to queries."""
        return len(self) if self.queries is None else int(self.queries.max()) + 1

    def take(self, rows: Any) -> Scored:
        """Some rows. Ranking metrics are of whole queries and do not follow."""
        probability = None if self.probability is None else self.probability[rows]
        return replace(
            self,
            target=self.target[rows],
            predicted=self.predicted[rows],
            probability=probability,
            ranking={},
            queries=None,
            scores={name: values[rows] for name, values in self.scores.items()},
        )

    def draw(self, units: Any) -> Scored:
        """The rows of the drawn units, each as often as it was drawn."""
        if self.queries is None:
            return self.take(units)
        order = np.argsort(self.queries, kind="stable")
        starts = np.searchsorted(self.queries[order], np.arange(self.units + 1))
        rows = np.concatenate([order[starts[unit] : starts[unit + 1]] for unit in units])
        return replace(self.take(rows), ranking={name: values[units] for name, values in self.ranking.items()})

    def labels(self, codes: Any) -> list[Any]:
        """The classes that stand at these positions."""
        return [self.classes[code] for code in codes]

    def metrics(self, names: Collection[str] | None = None) -> dict[str, float]:
        """Every metric that is defined for these rows, or those of the names that are."""
        makers = _regression(self) if self.task == "regression" else _classification(self)
        for name, function in self.custom.items():
            makers[name] = lambda function=function: _mean(function(*self._plain()))
        for name, values in self.scores.items():
            makers[name] = lambda values=values: values.mean()
        for name, values in self.ranking.items():
            makers[name] = lambda values=values: mean_of_defined(values)
        found: dict[str, float] = {}
        for name, make in makers.items():
            value = make() if names is None or name in names else None
            if value is not None:
                # Beyond ten digits, sums depend on the processor's vector width.
                found[name] = round(float(value), 10)
        return found

    def _plain(self) -> tuple[Any, Any, Any]:
        if self.task == "regression":
            return self.target, self.predicted, None
        classes = np.asarray(self.classes)
        return classes[self.target], classes[self.predicted], self.probability


def scored(task: str, classes: Any, target: Any, predicted: Any, probability: Any) -> Scored:
    """Rows with labels as a model and a table give them. ModelberthError for a class the model does not know."""
    if task == "regression":
        try:
            values = np.asarray(target, dtype=float)
        except (TypeError, ValueError):
            raise ModelberthError("the target of a regression must be numbers") from None
        return Scored(task, (), values, np.asarray(predicted, dtype=float).ravel())
    known = [value.item() if hasattr(value, "item") else value for value in classes]
    return Scored(task, known, codes(known, target), codes(known, predicted), probability)


def codes(classes: Sequence[Any], labels: Any) -> Any:
    """Each label's position in `classes`. ModelberthError names labels that are not among them."""
    place = {value: index for index, value in enumerate(classes)}
    given = np.asarray(labels).tolist()
    unknown = sorted({class_key(label) for label in given if label not in place})
    if unknown:
        shown = ", ".join(unknown[:5])
        raise ModelberthError(
            f"the model does not know the class {shown}: it knows {', '.join(map(class_key, classes))}"
        )
    return np.array([place[label] for label in given], dtype=int)


def with_own(rows: Scored, own: Mapping[str, Metric]) -> Scored:
    """Adds the user's own metrics. ModelberthError for one that gives neither a number nor a score for each row."""
    rows = replace(rows, custom=own)
    scores: dict[str, Any] = {}
    for name, function in own.items():
        result = function(*rows._plain())
        given = np.asarray(0 if result is None else result, dtype=float)
        if given.ndim and given.shape != (len(rows),):
            shape = " × ".join(map(str, given.shape))
            raise ModelberthError(
                f'the metric "{name}" gives {shape} values for {len(rows):,} rows: it must give one number, or one '
                "score for each row"
            )
        if given.ndim:
            scores[name] = given
    return replace(rows, scores=scores)


def with_queries(rows: Scored, queries: Any, k: int) -> Scored:
    """Adds `ndcg_at_<k>`, `mean_average_precision` and `recall_at_<k>`, each the mean over the queries where it
    is defined.

    A row's relevance is the target, 1 for the second of two classes; its score is the prediction, or the second
    class's probability. Sources: K. Järvelin and J. Kekäläinen, ACM Transactions on Information Systems 20
    (2002), for NDCG, with linear gains as in scikit-learn; C. Manning, P. Raghavan, H. Schütze, Introduction to
    Information Retrieval (2008), chapter 8, for the others.
    """
    from sklearn.metrics import average_precision_score, ndcg_score

    if rows.task == "classification" and not rows.binary:
        raise ModelberthError("ranking metrics need a regression or two classes")
    relevance = rows.target.astype(float)
    if (relevance < 0).any():
        raise ModelberthError("ranking metrics need a target of 0 or above: it is each row's relevance")
    score = rows.predicted if rows.probability is None else rows.probability[:, 1]
    _, position = np.unique(np.asarray(queries), return_inverse=True)
    names = (f"ndcg_at_{k}", "mean_average_precision", f"recall_at_{k}")
    values = {name: np.full(int(position.max()) + 1, np.nan) for name in names}
    order = np.argsort(position, kind="stable")
    for query, own in enumerate(np.split(order, np.flatnonzero(np.diff(position[order])) + 1)):
        gain, guess = relevance[own], score[own]
        relevant = gain > 0
        if len(own) < 2 or not relevant.any():
            continue  # nothing to put in order, or nothing to find
        found = relevant[np.argsort(-guess, kind="stable")[:k]].sum()
        values[names[0]][query] = ndcg_score([gain], [guess], k=k)
        values[names[1]][query] = average_precision_score(relevant, guess)
        values[names[2]][query] = found / relevant.sum()
    if all(np.isnan(one).all() for one in values.values()):
        raise ModelberthError("no query has two rows and a relevant one among them")
    return replace(rows, ranking=values, queries=position, k=k)


def _mean(given: Any) -> Any:
    return None if given is None else np.mean(given)


def mean_of_defined(values: Any) -> float | None:
    """The mean over the queries that have a value; None where none has."""
    defined = values[~np.isnan(values)]
    return defined.mean() if len(defined) else None


Makers = dict[str, Callable[[], Any]]


def _regression(rows: Scored) -> Makers:
    from sklearn import metrics as m

    y, p = rows.target, rows.predicted
    return {
        "mean_absolute_error": lambda: np.abs(y - p).mean(),
        "root_mean_squared_error": lambda: np.sqrt(np.square(y - p).mean()),
        # A relative error of 0 does not exist.
        "mean_absolute_percentage_error": lambda: m.mean_absolute_percentage_error(y, p) if (y != 0).all() else None,
        "r2": lambda: m.r2_score(y, p) if len(y) > 1 and np.ptp(y) > 0 else None,
    }


def _classification(rows: Scored) -> Makers:
    return {"accuracy": lambda: (rows.target == rows.predicted).mean()} | (
        _binary(rows) if rows.binary else _several(rows)
    )


def _binary(rows: Scored) -> Makers:
    from sklearn import metrics as m

    truth, guess = rows.target == 1, rows.predicted == 1
    hits = float((truth & guess).sum())
    makers: Makers = {
        "precision": lambda: hits / guess.sum() if guess.any() else 0.0,
        "recall": lambda: hits / truth.sum() if truth.any() else None,
        "f1": lambda: 2 * hits / (truth.sum() + guess.sum()) if truth.any() else None,
    }
    if rows.probability is None:
        return makers
    score = rows.probability[:, 1]
    both = truth.any() and not truth.all()
    return makers | {
        "brier": lambda: np.square(score - truth).mean(),
        "calibration_error": lambda: calibration_error(truth, score),
        "roc_auc": lambda: _area(truth, score) if both else None,
        "average_precision": lambda: m.average_precision_score(truth, score) if both else None,
        "log_loss": lambda: m.log_loss(truth, score) if both else None,
    }


def _area(truth: Any, score: Any) -> float:
    """The area under the ROC curve, as Mann and Whitney's statistic of the ranks: many times as quick as the
    curve, which a bootstrap draws thousands of times."""
    from scipy.stats import rankdata

    positive = int(truth.sum())
    wins = rankdata(score)[truth].sum() - positive * (positive + 1) / 2
    return float(wins / (positive * (len(truth) - positive)))


def _several(rows: Scored) -> Makers:
    from sklearn import metrics as m

    y, p, probability = rows.target, rows.predicted, rows.probability
    every = np.arange(len(rows.classes))
    zero: Any = 0
    makers: Makers = {
        "precision_macro": lambda: m.precision_score(y, p, average="macro", zero_division=zero),
        "recall_macro": lambda: m.recall_score(y, p, average="macro", zero_division=zero),
        "f1_macro": lambda: m.f1_score(y, p, average="macro", zero_division=zero),
    }
    if probability is None:
        return makers
    return makers | {
        "calibration_error": lambda: calibration_error(y == p, probability.max(axis=1)),
        "roc_auc_ovr": lambda: (
            m.roc_auc_score(y, probability, multi_class="ovr", labels=every) if len(set(y)) == len(every) else None
        ),
        "log_loss": lambda: m.log_loss(y, probability, labels=every),
    }


def calibration_error(happened: Any, chance: Any) -> float:
    """Expected calibration error: the distance between stated chance and observed share, over ten bins of equal
    width, weighted by their rows. Source: M. Pakdaman Naeini, G. Cooper, M. Hauskrecht, AAAI 2015."""
    bins = np.minimum((chance * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    stated = np.bincount(bins, chance, CALIBRATION_BINS)
    observed = np.bincount(bins, happened, CALIBRATION_BINS)
    return float(np.abs(stated - observed).sum() / len(chance))
