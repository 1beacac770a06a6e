# pyright: basic
# (numpy carries few types)
"""Running counts of one column over its baseline's own points: memory does not grow with the rows."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol, cast

import numpy as np

from model_packaging.baseline import fences, ranks, rounded
from model_packaging.errors import PackageError
from model_packaging.formats.predictor import class_key
from model_packaging.jobs.monitor.drift import (
    Cumulative,
    Distance,
    Significance,
    chi_square,
    jensen_shannon_distance,
    kolmogorov_smirnov,
    population_stability_index,
    wasserstein,
)

MOST_CATEGORIES = 10
"""Categories with a bin of their own, the most frequent ones of training; the others share one. That is as
many bins as the deciles of a number, so that one minimum of rows does for both."""

MISSING, OTHER = "missing", "other values"
"""The labels of the bins that are no values."""

_WAITING = 256
"""Values that are added one by one are counted together, by so many."""

_CURVE_POINTS = 41
_MOST_UNSEEN = 5
_MOST_CHARACTERS = 100


@dataclass(frozen=True)
class Bin:
    """One bin's share of the rows, missing values included."""

    label: str
    training: float
    traffic: float


class Binning(Protocol):
    """Where a column's values are counted."""

    def count(self, values: Any) -> int:
        """Count values: finite numbers as an array, or categories as a mapping from text to how many. Returns how
        many values these are."""
        ...

    def gather(self, values: list[Any]) -> Any:
        """Values as `count` takes them."""
        ...

    def bins(self) -> list[tuple[str, float, int]]:
        """Label, share of the values in training, count in traffic."""
        ...

    def significance(self, missing_in_training: float, missing: int) -> Significance | None:
        """A test of traffic against training; None where the baseline holds too little for it."""
        ...

    def details(self) -> dict[str, Any]:
        """What the report says besides, in its own names."""
        ...

    @property
    def strange(self) -> int:
        """Values outside the training data's range, or never seen there."""
        ...

    @property
    def knows_strange(self) -> bool:
        """Whether the baseline tells what is outside of it."""
        ...


class Column:
    """One column's running counts."""

    def __init__(self, kind: str, missing_in_training: float, binning: Binning) -> None:
        self.kind = kind
        """`numeric`, `categorical`, or `text`, which is counted by its length."""
        self.missing_in_training = missing_in_training
        self._rows = 0
        self._missing = 0
        self._waiting: list[Any] = []
        self._counted = binning

    def add(self, value: Any) -> None:
        """Count one value; None is a missing one."""
        self._rows += 1
        if value is None:
            self._missing += 1
            return
        self._waiting.append(value)
        if len(self._waiting) >= _WAITING:
            self._settle()

    def extend(self, values: Any, missing: int) -> None:
        """Count many values, as `Binning.count` takes them, and how many are missing beside them."""
        self._rows += self._counted.count(values) + missing
        self._missing += missing

    def _settle(self) -> None:
        values, self._waiting = self._waiting, []
        if values:
            self._counted.count(self._counted.gather(values))

    @property
    def _binning(self) -> Binning:
        self._settle()
        return self._counted

    @property
    def rows(self) -> int:
        return self._rows

    @property
    def missing_ratio(self) -> float | None:
        """Share of the rows without a value; None without rows."""
        return self._missing / self._rows if self._rows else None

    @property
    def strange_ratio(self) -> float | None:
        """Share of the values that are outside the training data's range, or that it never held; None where
        there are no values, or where the baseline does not tell."""
        present, binning = self._rows - self._missing, self._binning
        return binning.strange / present if present and binning.knows_strange else None

    def bins(self) -> list[Bin]:
        """The values' bins and one for missing ones, each as a share of all rows."""
        rows, present = self._rows or 1, 1 - self.missing_in_training
        values = [Bin(label, share * present, count / rows) for label, share, count in self._binning.bins()]
        return [*values, Bin(MISSING, self.missing_in_training, self._missing / rows)]

    def drift(self, minimum_rows: int) -> tuple[float, float] | None:
        """PSI and Jensen–Shannon distance; None below the minimum of rows."""
        if self._rows < max(minimum_rows, 1):
            return None
        bins = self.bins()
        training, traffic = [one.training for one in bins], [one.traffic for one in bins]
        return population_stability_index(training, traffic), jensen_shannon_distance(training, traffic)

    def significance(self, minimum_rows: int) -> Significance | None:
        """Whether the difference can be chance: Kolmogorov–Smirnov for numbers, chi-square for categories. None
        below the minimum of rows, and where the baseline holds too little."""
        if self._rows < max(minimum_rows, 1):
            return None
        return self._binning.significance(self.missing_in_training, self._missing)

    def details(self) -> dict[str, Any]:
        """Numbers: `range`, `mean` and `outlier_ratio`, each with its value in training, the `wasserstein_distance` and
        the `curve` of both distributions. Categories: the first `unseen_categories`."""
        return self._binning.details()

    @property
    def outlier_rise(self) -> float | None:
        """How much higher the share of outliers is than in training; None where that is not known."""
        found = self.details()
        now, before = found.get("outlier_ratio"), found.get("outlier_ratio_in_training")
        return None if now is None or before is None else max(now - before, 0.0)


class Numeric:
    """Numbers over the baseline's deciles and sketch; the first and the last decile also take what lies outside.

    What is kept is how many values are below each point and how many at most at it: of the sketch's points, of the
    deciles' edges, of the range's ends and of the outliers' fences.
    """

    def __init__(self, baseline: Mapping[str, Any]) -> None:
        edges = cast("Sequence[float]", baseline.get("edges") or [-math.inf, math.inf])
        counts = cast("Sequence[int]", baseline.get("counts") or [0])
        self._inner = [float(edge) for edge in edges[1:-1]]
        if len(counts) != len(edges) - 1 or self._inner != sorted(self._inner):
            raise ValueError(f"{len(edges)} edges do not bound {len(counts)} bins in order")
        total = sum(counts)
        self._training = [count / total if total else 0.0 for count in counts]
        self._baseline = baseline
        self._knows_range = "minimum" in baseline and "maximum" in baseline
        self._range = [float(baseline["minimum"]), float(baseline["maximum"])] if self._knows_range else []
        reach = fences(baseline["quantiles"]) if "quantiles" in baseline else None
        self._fences = cast("list[float]", rounded(list(reach or ())))
        self._sketch, self._sketched = _sketch(baseline)
        self._within = _within(self._sketched)
        self._points: Any = np.unique([*self._sketch.tolist(), *self._inner, *self._range, *self._fences])
        self._below: Any = np.zeros(len(self._points), dtype=np.int64)
        self._upto: Any = np.zeros(len(self._points), dtype=np.int64)
        self._count = 0
        self._sum = self._beyond = 0.0
        self._least, self._most = math.inf, -math.inf

    def gather(self, values: list[Any]) -> Any:
        return np.array(values, dtype=float)

    def count(self, values: Any) -> int:
        if not len(values):
            return 0
        # Sorted once, the points are looked up among the values, not each value among the points.
        ordered = np.sort(values)
        below, upto = ranks(ordered, self._points)
        self._below += below
        self._upto += upto
        self._count += len(ordered)
        self._least, self._most = min(self._least, float(ordered[0])), max(self._most, float(ordered[-1]))
        with np.errstate(over="ignore", invalid="ignore"):
            self._sum += float(ordered.sum())
            if self._sketched is not None:
                first, last = self._sketch[self._within][[0, -1]]
                before = ordered[: np.searchsorted(ordered, first)]
                after = ordered[np.searchsorted(ordered, last, "right") :]
                self._beyond += float((first - before).sum() + (after - last).sum())
        return len(ordered)

    @property
    def knows_strange(self) -> bool:
        return self._knows_range

    @property
    def strange(self) -> int:
        return self._outside(self._range)

    def bins(self) -> list[tuple[str, float, int]]:
        lower = self._below[np.searchsorted(self._points, self._inner)].tolist()
        counts = [after - before for before, after in pairwise([0, *lower, self._count])]
        return list(zip(self._labels(), self._training, counts, strict=True))

    def significance(self, missing_in_training: float, missing: int) -> Significance | None:
        if self._sketched is None or not self._count:
            return None
        return kolmogorov_smirnov(self._sketched, self._cumulative())

    def details(self) -> dict[str, Any]:
        distance = self._distance()
        return {
            "wasserstein_distance": distance and distance.value,
            "wasserstein_error": distance and distance.error,
            "range": [self._least, self._most] if self._count else None,
            "range_in_training": self._range or None,
            "mean": _finite(self._sum / self._count) if self._count else None,
            "mean_in_training": self._baseline.get("mean"),
            "outlier_ratio": self._outside(self._fences) / self._count if self._fences and self._count else None,
            "outlier_ratio_in_training": self._outliers_in_training(),
            "curve": self._curve(),
        }

    def _curve(self) -> dict[str, list[float]] | None:
        """Both cumulative distributions at some of training's own points, for a plot."""
        if self._sketched is None or not self._count:
            return None
        picked = np.unique(np.linspace(self._within.start, self._within.stop - 1, _CURVE_POINTS).astype(int))
        return {
            "values": self._sketch[picked].tolist(),
            "training": self._sketched.upto[picked].tolist(),
            "traffic": self._cumulative().upto[picked].tolist(),
        }

    def _distance(self) -> Distance | None:
        if self._sketched is None or not self._count:
            return None
        beyond, deviation = self._beyond / self._count, float(self._baseline.get("std", 0.0))
        training, traffic = self._sketched.at(self._within), self._cumulative().at(self._within)
        return wasserstein(self._sketch[self._within], training, traffic, beyond, deviation)

    def _cumulative(self) -> Cumulative:
        """Traffic at the sketch's points."""
        at = np.searchsorted(self._points, self._sketch)
        return Cumulative(self._count, self._below[at] / self._count, self._upto[at] / self._count)

    def _outliers_in_training(self) -> float | None:
        if self._sketched is None or not np.isin(self._fences, self._sketch).all() or not self._fences:
            return None
        low, high = np.searchsorted(self._sketch, self._fences)
        return float(self._sketched.below[low] + 1 - self._sketched.upto[high])

    def _outside(self, ends: Sequence[float]) -> int:
        if not ends:
            return 0
        low, high = np.searchsorted(self._points, ends)
        return int(self._below[low] + self._count - self._upto[high])

    def _labels(self) -> list[str]:
        if not self._inner:
            return ["any value"]
        shown = [f"{edge:.4g}" for edge in self._inner]
        between = [f"{low} to {high}" for low, high in pairwise(shown)]
        return [f"below {shown[0]}", *between, f"{shown[-1]} and above"]


class Texts(Numeric):
    """Texts by their number of characters: what they say is not looked at."""

    def gather(self, values: list[Any]) -> Any:
        return Counter(values)

    def count(self, values: Any) -> int:
        lengths = [len(one) for one in values]
        return super().count(np.repeat(np.array(lengths, dtype=float), list(values.values())))

    def _labels(self) -> list[str]:
        return [f"length {label}" for label in super()._labels()]


class Categorical:
    """Categories by their text; booleans are `true` and `false`."""

    def __init__(self, baseline: Mapping[str, Any], categories: Sequence[Any] | None) -> None:
        frequencies = {str(key): float(share) for key, share in baseline["frequencies"].items()}
        self._other = float(baseline.get("other", 0.0))
        ranked = sorted(frequencies, key=lambda key: (-frequencies[key], key))
        self._own = {key: frequencies[key] for key in ranked[:MOST_CATEGORIES]}
        self._other += sum(frequencies[key] for key in ranked[MOST_CATEGORIES:])
        self._training_count = int(baseline.get("count", 0))
        # Only the most frequent ones are in the baseline; where that is not all of them, the signature knows.
        complete = not baseline.get("other")
        self._known = set(frequencies)
        if not complete:
            self._known |= {class_key(one) for one in categories or []}
        self.knows_strange = complete or categories is not None
        self._counts: Counter[str] = Counter()
        self._others = 0
        self._unseen: list[str] = []
        self.strange = 0

    def gather(self, values: list[Any]) -> Any:
        return Counter(map(class_key, values))

    def count(self, values: Any) -> int:
        total = 0
        for key, count in values.items():
            total += count
            if key in self._own:
                self._counts[key] += count
            else:
                self._others += count
            if key not in self._known:
                self.strange += count
                if len(self._unseen) < _MOST_UNSEEN and key[:_MOST_CHARACTERS] not in self._unseen:
                    self._unseen.append(key[:_MOST_CHARACTERS])
        return total

    def bins(self) -> list[tuple[str, float, int]]:
        own = [(key, share, self._counts[key]) for key, share in self._own.items()]
        return [*own, (OTHER, self._other, self._others)]

    def significance(self, missing_in_training: float, missing: int) -> Significance | None:
        count = self._training_count
        empty = round(count * missing_in_training / (1 - missing_in_training)) if missing_in_training < 1 else 0
        training = [*(round(share * count) for _, share, _ in self.bins()), empty]
        return chi_square(training, [*(number for _, _, number in self.bins()), missing])

    def details(self) -> dict[str, Any]:
        return {"unseen_categories": list(self._unseen) if self.knows_strange else []}


def _sketch(baseline: Mapping[str, Any]) -> tuple[Any, Cumulative | None]:
    """The sketch's points and training at them: none where the package was made without a sketch."""
    if "sketch" not in baseline:
        return np.empty(0), None
    points = np.array(baseline["sketch"]["points"], dtype=float)
    counts = np.array(baseline["sketch"]["counts"], dtype=np.int64)
    if len(counts) != 2 * len(points) + 1 or not len(points) or (np.diff(points) <= 0).any():
        raise ValueError(f"sketch: {len(counts)} counts do not lie below, at and above {len(points)} points in order")
    total = int(counts.sum())
    if total <= 0:
        raise ValueError("sketch: it holds no values")
    bounds = np.cumsum(counts)[:-1] / total
    return points, Cumulative(total, bounds[::2], bounds[1::2])


def _within(training: Cumulative | None) -> slice:
    """The sketch's points from the least to the greatest value of training: outliers' fences may be outside."""
    if training is None:
        return slice(0, 0)
    return slice(int((training.upto <= 0).sum()), int((training.below < 1).sum()))


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def column(where: str, baseline: Mapping[str, Any], categories: Sequence[Any] | None = None) -> Column:
    """The counts for one summary of baseline.json; PackageError where it is not what FORMAT says.

    `where` is its place in the document and `categories` are the signature's, if it lists any.
    """
    try:
        kind = str(baseline["kind"])
        if kind == "numeric":
            return Column(kind, float(baseline["missing"]), Numeric(baseline))
        if kind == "categorical":
            return Column(kind, float(baseline["missing"]), Categorical(baseline, categories))
        if kind == "text":
            return Column(kind, float(baseline["missing"]), Texts(baseline["length"]))
        problem = f'kind is "{kind}": it must be categorical, numeric or text'
    except KeyError as error:
        problem = f"{error} is missing"
    except (AttributeError, OverflowError, TypeError, ValueError) as error:
        problem = str(error)
    raise PackageError(f"baseline.json: {where}: {problem}", file="baseline.json")
