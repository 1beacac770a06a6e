# pyright: basic
# (pandas and pyarrow carry no types)
"""What the columns of data hold, in bounded memory however many rows there are.

Of a column of numbers, minimum, maximum, mean and standard deviation are exact; quantiles and bins are those of all
values up to `SAMPLE` of them, beyond of a uniform sample of that many, except that a column of few different values is
counted. Different texts are counted up to `HASHES`, beyond estimated from the smallest hashes (Z. Bar-Yossef et al.,
Counting Distinct Elements in a Data Stream, 2002), to about one in 250.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..baseline import BINS, MAX_CATEGORIES, numeric, rounded
from ..formats.predictor import class_key
from ..signatures import free_text

SAMPLE = 100_000
HASHES = 65_536


class Columns:
    """The columns of one version, fed piece by piece: the same column may come in several files."""

    def __init__(self) -> None:
        self.rows = 0
        self._found: dict[str, _Column] = {}

    def add(self, name: str, kind: str, values: Any = None) -> None:
        """A piece of a column: its type, and its values as a Series where it is one that is summarised."""
        self._found.setdefault(name, _Column()).add(kind, values)

    def types(self) -> dict[str, str]:
        return {name: column.kind for name, column in self._found.items()}

    def summaries(self) -> dict[str, Any]:
        """A column of a type that is not summarised is left out. Texts that are free or identify somebody do not
        belong into a description."""
        found = {name: column.summary(self.rows) for name, column in self._found.items()}
        return rounded({name: summary for name, summary in found.items() if summary})


class _Column:
    def __init__(self) -> None:
        self.kind = "null"
        self._numbers: _Numbers | None = None
        self._texts: _Texts | None = None

    def add(self, kind: str, values: Any) -> None:
        self.kind = _joined(self.kind, kind)
        if values is None:
            return
        if kind in ("number", "integer"):
            self._numbers = self._numbers or _Numbers()
            self._numbers.add(values.astype(float).to_numpy())
        else:
            self._texts = self._texts or _Texts()
            self._texts.add(values)

    def summary(self, rows: int) -> dict[str, Any] | None:
        if self.kind in ("number", "integer") and self._numbers:
            return self._numbers.summary(rows)
        if self.kind in ("string", "boolean") and self._texts:
            return self._texts.summary(rows)
        return None


def _joined(one: str, other: str) -> str:
    """The type of a column that is `one` in some files and `other` in others."""
    if "null" in (one, other) or one == other:
        return other if one == "null" else one
    return "number" if {one, other} == {"number", "integer"} else "object"


class _Numbers:
    def __init__(self) -> None:
        self._count, self._mean, self._squares = 0, 0.0, 0.0
        self._minimum, self._maximum = np.inf, -np.inf
        self._few: dict[float, int] | None = {}
        self._kept = np.empty(0)
        self._keys = np.empty(0)
        self._random = np.random.default_rng(0)

    def add(self, values: Any) -> None:
        present = values[np.isfinite(values)]
        if not len(present):
            return
        # T. Chan, G. Golub and R. LeVeque, Updating Formulae and a Pairwise Algorithm, 1979.
        mean, total = float(present.mean()), self._count + len(present)
        delta = mean - self._mean
        self._squares += float(((present - mean) ** 2).sum()) + delta**2 * self._count * len(present) / total
        self._mean += delta * len(present) / total
        self._count = total
        self._minimum = min(self._minimum, float(present.min()))
        self._maximum = max(self._maximum, float(present.max()))
        if self._few is not None:
            distinct, counts = np.unique(present, return_counts=True)
            for value, count in zip(distinct[: BINS + 1].tolist(), counts.tolist(), strict=False):
                self._few[value] = self._few.get(value, 0) + count
            if len(self._few) > BINS:
                self._few = None
        self._kept = np.concatenate([self._kept, present])
        self._keys = np.concatenate([self._keys, self._random.random(len(present))])
        if len(self._kept) > SAMPLE:
            chosen = np.sort(np.argpartition(self._keys, SAMPLE)[:SAMPLE])
            self._kept, self._keys = self._kept[chosen], self._keys[chosen]

    def summary(self, rows: int) -> dict[str, Any]:
        import pandas as pd

        summary = numeric(pd.Series(self._kept)) | {
            "missing": (rows - self._count) / rows if rows else 0.0,
            "count": self._count,
        }
        if self._count == len(self._kept):
            return summary
        summary |= {
            "minimum": self._minimum,
            "maximum": self._maximum,
            "mean": self._mean,
            "std": float(np.sqrt(self._squares / self._count)),
        }
        if self._few is None:
            return summary | {"sampled": SAMPLE}
        # The rarest of few values may be in no sample.
        values, counts = np.array(list(self._few)), list(self._few.values())
        edges = numeric(pd.Series(values))["edges"]
        binned, _ = np.histogram(values, edges, weights=counts)
        return summary | {"edges": edges, "counts": [int(count) for count in binned]}


class _Texts:
    def __init__(self) -> None:
        self._count = 0
        self._frequencies: dict[str, int] | None = {}
        self._hashes = np.empty(0, dtype=np.uint64)
        self._whole = True

    def add(self, values: Any) -> None:
        import pandas as pd

        counts = values.dropna().value_counts()
        self._count += int(counts.sum())
        names = counts.index
        if self._frequencies is not None:
            names = [str(class_key(value)) for value in names]
            for name, count in zip(names, counts, strict=True):
                self._frequencies[name] = self._frequencies.get(name, 0) + int(count)
            if len(self._frequencies) > MAX_CATEGORIES:
                self._frequencies = None
        hashes = pd.util.hash_array(np.array(names, dtype=object), categorize=False) if len(names) else self._hashes[:0]
        self._hashes = np.unique(np.concatenate([self._hashes, hashes]))
        if len(self._hashes) > HASHES:
            self._hashes, self._whole = self._hashes[:HASHES], False

    def summary(self, rows: int) -> dict[str, Any]:
        told = {"missing": (rows - self._count) / rows if rows else 0.0, "count": self._count}
        if self._frequencies is None or free_text(len(self._frequencies), self._count):
            return {"kind": "text", **told, "distinct": self._distinct()}
        ranked = sorted(self._frequencies.items(), key=lambda item: (-item[1], item[0]))
        frequencies = {name: count / self._count for name, count in ranked}
        return {"kind": "categorical", **told, "frequencies": frequencies, "other": 0.0}

    def _distinct(self) -> int:
        if self._whole:
            return len(self._hashes)
        return round((HASHES - 1) / (float(self._hashes[-1]) / 2.0**64))
