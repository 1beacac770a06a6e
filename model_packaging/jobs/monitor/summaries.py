"""Running counts of one column over its baseline's own bins: memory does not grow with the rows."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol, cast

from model_packaging.errors import PackageError
from model_packaging.formats.predictor import class_key
from model_packaging.jobs.monitor.drift import jensen_shannon_distance, population_stability_index

MOST_CATEGORIES = 10
"""Categories with a bin of their own, the most frequent ones of training; the others share one. That is as
many bins as the deciles of a number, so that one minimum of rows does for both."""

MISSING, OTHER = "missing", "other values"
"""The labels of the bins that are no values."""


@dataclass(frozen=True)
class Bin:
    """One bin's share of the rows, missing values included."""

    label: str
    training: float
    traffic: float


class Binning(Protocol):
    """Where a column's values are counted."""

    strange: int
    """Values outside the training data's range, or never seen there."""

    def add(self, value: Any) -> None: ...

    def bins(self) -> list[tuple[str, float, int]]:
        """Label, share of the values in training, count in traffic."""
        ...

    @property
    def knows_strange(self) -> bool:
        """Whether the baseline tells what is outside of it."""
        ...


class Column:
    """One column's running counts."""

    def __init__(self, kind: str, missing_in_training: float, binning: Binning) -> None:
        self.kind = kind
        """`numeric` or `categorical`."""
        self.missing_in_training = missing_in_training
        self.rows = 0
        self._missing = 0
        self._binning = binning

    def add(self, value: Any) -> None:
        """Count one value; None is a missing one."""
        self.rows += 1
        if value is None:
            self._missing += 1
        else:
            self._binning.add(value)

    @property
    def missing_ratio(self) -> float | None:
        """Share of the rows without a value; None without rows."""
        return self._missing / self.rows if self.rows else None

    @property
    def strange_ratio(self) -> float | None:
        """Share of the values that are outside the training data's range, or that it never held; None where
        there are no values, or where the baseline does not tell."""
        present = self.rows - self._missing
        return self._binning.strange / present if present and self._binning.knows_strange else None

    def bins(self) -> list[Bin]:
        """The values' bins and one for missing ones, each as a share of all rows."""
        rows, present = self.rows or 1, 1 - self.missing_in_training
        values = [Bin(label, share * present, count / rows) for label, share, count in self._binning.bins()]
        return [*values, Bin(MISSING, self.missing_in_training, self._missing / rows)]

    def drift(self, minimum_rows: int) -> tuple[float, float] | None:
        """PSI and Jensen–Shannon distance; None below the minimum of rows."""
        if self.rows < max(minimum_rows, 1):
            return None
        training = [one.training for one in self.bins()]
        traffic = [one.traffic for one in self.bins()]
        return population_stability_index(training, traffic), jensen_shannon_distance(training, traffic)


class Numeric:
    """Numbers over the baseline's deciles; the first and the last also take what lies outside."""

    def __init__(self, baseline: Mapping[str, Any]) -> None:
        edges = cast("Sequence[float]", baseline.get("edges") or [-math.inf, math.inf])
        counts = cast("Sequence[int]", baseline.get("counts") or [0])
        self._inner = [float(edge) for edge in edges[1:-1]]
        if len(counts) != len(edges) - 1 or self._inner != sorted(self._inner):
            raise ValueError(f"{len(edges)} edges do not bound {len(counts)} bins in order")
        total = sum(counts)
        self._training = [count / total if total else 0.0 for count in counts]
        self._counts = [0] * len(counts)
        self.knows_strange = "minimum" in baseline and "maximum" in baseline
        self._least = float(baseline.get("minimum", -math.inf))
        self._most = float(baseline.get("maximum", math.inf))
        self.strange = 0

    def add(self, value: Any) -> None:
        # As numpy.histogram has it: a bin holds its lower edge, the last one both.
        self._counts[bisect_right(self._inner, value)] += 1
        self.strange += not self._least <= value <= self._most

    def bins(self) -> list[tuple[str, float, int]]:
        return list(zip(self._labels(), self._training, self._counts, strict=True))

    def _labels(self) -> list[str]:
        if not self._inner:
            return ["any value"]
        shown = [f"{edge:.4g}" for edge in self._inner]
        between = [f"{low} to {high}" for low, high in pairwise(shown)]
        return [f"below {shown[0]}", *between, f"{shown[-1]} and above"]


class Categorical:
    """Categories by their text; booleans are `true` and `false`."""

    def __init__(self, baseline: Mapping[str, Any], categories: Sequence[Any] | None) -> None:
        frequencies = {str(key): float(share) for key, share in baseline["frequencies"].items()}
        self._other = float(baseline.get("other", 0.0))
        ranked = sorted(frequencies, key=lambda key: (-frequencies[key], key))
        self._own = {key: frequencies[key] for key in ranked[:MOST_CATEGORIES]}
        self._other += sum(frequencies[key] for key in ranked[MOST_CATEGORIES:])
        # Only the most frequent ones are in the baseline; where that is not all of them, the signature knows.
        complete = not baseline.get("other")
        self._known = set(frequencies)
        if not complete:
            self._known |= {class_key(one) for one in categories or []}
        self.knows_strange = complete or categories is not None
        self._counts: Counter[str] = Counter()
        self._others = 0
        self.strange = 0

    def add(self, value: Any) -> None:
        key = class_key(value)
        if key in self._own:
            self._counts[key] += 1
        else:
            self._others += 1
        self.strange += key not in self._known

    def bins(self) -> list[tuple[str, float, int]]:
        own = [(key, share, self._counts[key]) for key, share in self._own.items()]
        return [*own, (OTHER, self._other, self._others)]


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
        problem = f'kind is "{kind}": it must be numeric or categorical'
    except KeyError as error:
        problem = f"{error} is missing"
    except (AttributeError, TypeError, ValueError) as error:
        problem = str(error)
    raise PackageError(f"baseline.json: {where}: {problem}", file="baseline.json")
