# pyright: basic
# (numpy's generators carry few types)
"""Is a candidate no worse than the champion: a statement about rows to come, from the rows that both predicted.

Both models predict the same rows, so chance hits both alike and only the difference is uncertain. Its
distribution is estimated by the paired bootstrap (B. Efron and R. Tibshirani, An Introduction to the Bootstrap,
1993, chapters 8 and 13): rows are drawn with replacement, the same ones for both, and the metric's difference is
taken anew each time. The candidate is shown to be no worse when the upper limit of how much worse it is, at the
stated one-sided confidence, does not exceed the tolerance: a non-inferiority test with the tolerance as its
margin (G. Piaggio et al., JAMA 308, 2012; FDA, Non-Inferiority Clinical Trials to Establish Effectiveness, 2016).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..errors import ModelberthError
from ..package import Package
from .holdout import read
from .scored import Scored, mean_of_defined

ROUNDS = 1000
MIN_ROWS = 50
"""Fewer rows say nothing: two models that differ may agree on all of them by chance."""

_LEAST_SHARE = 0.5
"""Of the candidate's kept rows that must be shared, else the shared ones may be unlike the others."""

_STATED = 1e-4
"""How far a metric in validation.json may be from the one of the predictions in holdout.json."""


@dataclass(frozen=True)
class Difference:
    """One metric of two models on the same rows."""

    candidate: float
    champion: float
    worse_by: float
    """How much worse the candidate is; below 0 it is better."""

    at_most: float
    """The upper limit of that, at `confidence`, one-sided."""

    confidence: float
    rows: int
    """How many rows, or `per`."""

    per: str = "rows"
    """What the metric is a mean over, and chance draws: rows or queries."""


@dataclass(frozen=True)
class Pair:
    """The predictions of two models on the same rows."""

    candidate: Scored
    champion: Scored


def pair(candidate: Package, champion: Package) -> Pair:
    """What both packages predicted for the same hold-out rows: those that the candidate's training let the
    champion predict, else those that the hold-outs share. ModelberthError says why there are not enough."""
    ours, theirs = (package.documents.get("holdout.json") for package in (candidate, champion))
    outputs = candidate.signature["outputs"]
    if not ours:
        raise ModelberthError("the package has no holdout.json, whose predictions could be compared (validate it anew)")
    if outputs != champion.signature["outputs"]:
        raise ModelberthError("the champion predicts something else: its signature has other outputs")
    told = ours.get("champion") or {}
    if told.get("digest") == champion.digest:
        if told.get("problem"):
            raise ModelberthError(f"the champion cannot predict the hold-out: {told['problem']}")
        return _enough(Pair(read(ours, outputs), read(ours, outputs, told)))
    if not theirs:
        raise ModelberthError("the champion has no holdout.json, and the package's training did not let it predict")
    place = {name: row for row, name in enumerate(theirs["names"])}
    shared = [(row, place[name]) for row, name in enumerate(ours["names"]) if name in place]
    if len(shared) < max(MIN_ROWS, _LEAST_SHARE * len(ours["names"])):
        raise ModelberthError(
            f"the hold-outs share {len(shared):,} of {len(ours['names']):,} rows, too few to compare: give the "
            "champion to validate() when training, or keep the hold-out"
        )
    mine, other = (np.array(rows, dtype=int) for rows in zip(*shared, strict=True))
    first, second = read(ours, outputs), read(theirs, outputs)
    rankings = _shared_queries(ours, theirs, first, second)
    first, second = first.take(mine), second.take(other)
    if not np.allclose(first.target, second.target):
        raise ModelberthError("holdout.json: the same rows have other targets in the champion's")
    return _enough(Pair(replace(first, ranking=rankings[0]), replace(second, ranking=rankings[1])))


def _shared_queries(ours: Any, theirs: Any, first: Scored, second: Scored) -> tuple[dict[str, Any], dict[str, Any]]:
    """The ranking metrics of both on the queries that the hold-outs share; none where those are too few."""
    names = [(document.get("queries") or {}).get("names", []) for document in (ours, theirs)]
    place = {name: row for row, name in enumerate(names[1])}
    shared = [(row, place[name]) for row, name in enumerate(names[0]) if name in place]
    if not shared or len(shared) < _LEAST_SHARE * len(names[0]):
        return {}, {}
    mine, other = (np.array(rows, dtype=int) for rows in zip(*shared, strict=True))
    return (
        {name: values[mine] for name, values in first.ranking.items()},
        {name: values[other] for name, values in second.ranking.items()},
    )


def _enough(found: Pair) -> Pair:
    if len(found.candidate) < MIN_ROWS:
        raise ModelberthError(f"{len(found.candidate)} hold-out rows are too few to compare: {MIN_ROWS} are needed")
    return found


def misstated(package: Package, name: str) -> str | None:
    """Why a package's metric is not believed: its own predictions give another one. None where they agree, or
    where not all of the hold-out's predictions are kept."""
    document = package.documents.get("holdout.json")
    if not document:
        return None
    queries: Any = document.get("queries") if name in document.get("ranking", {}) else None
    kept, all_ = (len(queries["names"]), queries["count"]) if queries else (len(document["names"]), document["rows"])
    if kept != all_:
        return None
    entry: Any = (package.validation.get("metrics") or {}).get(name)
    stated = entry.get("value") if isinstance(entry, dict) else entry
    found = read(document, package.signature["outputs"]).metrics([name]).get(name)
    if found is None or not isinstance(stated, int | float) or np.isclose(found, stated, rtol=_STATED, atol=_STATED):
        return None
    return f"its validation says {name} is {stated:.6g}, its hold-out predictions give {found:.6g}"


def difference(
    both: Pair, name: str, better: bool, confidence: float, rounds: int = ROUNDS, seed: int = 0
) -> Difference:
    """How much worse the candidate is by one metric, of which more is `better` or not. ModelberthError for a
    metric that these predictions do not give."""
    values = [side.metrics([name]).get(name) for side in (both.candidate, both.champion)]
    ours, best = values
    if ours is None or best is None:
        known = ", ".join(sorted({*both.candidate.metrics()} & {*both.champion.metrics()}))
        raise ModelberthError(
            f"{name} cannot be had from what both packages keep of the same rows, which gives {known} (of your own "
            "metrics those that give a score for each row, of ranking metrics those on the same queries)"
        )
    per = "queries" if name in both.candidate.ranking else "rows"
    count = len(both.candidate)
    if per == "queries":
        count = int((~np.isnan(both.candidate.ranking[name])).sum())
        if count < MIN_ROWS:
            raise ModelberthError(f"{count} queries are too few to compare: {MIN_ROWS} are needed")
    sign = 1 if better else -1
    worse = sign * (best - ours) + 0.0  # never -0
    drawn = [worse] if _same(both, name) else _draws(both, name, sign, rounds, seed)
    return Difference(ours, best, worse, float(np.quantile(drawn, confidence)), confidence, count, per)


def paired(candidate: Scored, champion: Scored) -> Pair:
    """Predictions of the same rows, in the same order. ModelberthError where they are not."""
    if len(candidate) != len(champion) or not np.array_equal(candidate.target, champion.target):
        raise ModelberthError("the candidate and the champion did not predict the same rows")
    return _enough(Pair(candidate, champion))


def _same(both: Pair, name: str) -> bool:
    """Whether the two say the same of every row; then no draw can tell them apart."""
    for ours, theirs in (
        (both.candidate.ranking, both.champion.ranking),
        (both.candidate.scores, both.champion.scores),
    ):
        if name in ours and name in theirs:
            return np.array_equal(ours[name], theirs[name], equal_nan=True)
    first, second = both.candidate.probability, both.champion.probability
    predicted = np.array_equal(both.candidate.predicted, both.champion.predicted)
    if first is None or second is None:
        return predicted and first is second
    return predicted and np.array_equal(first, second)


def _draws(both: Pair, name: str, sign: int, rounds: int, seed: int) -> list[float]:
    generator = np.random.default_rng(seed)
    drawn: list[float] = []
    alone = both.candidate.queries is None and name in both.candidate.ranking
    size = len(both.candidate.ranking[name]) if alone else both.candidate.units
    for _ in range(rounds):
        units = generator.integers(0, size, size)
        ours, best = (
            mean_of_defined(side.ranking[name][units]) if alone else side.draw(units).metrics([name]).get(name)
            for side in (both.candidate, both.champion)
        )
        if ours is not None and best is not None:
            drawn.append(sign * (best - ours))
    if len(drawn) < rounds * 0.9:
        raise ModelberthError(f"{name} is undefined for {rounds - len(drawn)} of {rounds} draws of the hold-out")
    return drawn
