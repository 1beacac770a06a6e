# pyright: basic
# (pandas, scikit-learn and onnxruntime carry no types)
"""What serving and jobs call: rows in, prediction objects out, whatever the format."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ..errors import InputError

if TYPE_CHECKING:
    import pandas as pd

MAX_PROBLEMS = 20
"""Bad rows are reported up to here; more would hide the first."""


class Backend(Protocol):
    """One format's loaded model."""

    def run(self, frame: "pd.DataFrame") -> tuple[np.ndarray, np.ndarray | None]:
        """Values or labels, one per row, and probabilities (rows x classes) when the model has them."""
        ...


@dataclass(frozen=True)
class Predictor:
    """A loaded model behind its signature."""

    signature: dict[str, Any]
    backend: Backend = field(repr=False)

    @property
    def columns(self) -> list[str]:
        return [item["name"] for item in self.signature["inputs"]]

    @property
    def task(self) -> str:
        return self.signature["outputs"]["task"]

    @property
    def classes(self) -> list[Any]:
        return self.signature["outputs"].get("classes") or []

    def predict(self, rows: Sequence[Mapping[str, Any]]) -> list[Any]:
        """One prediction object per row. Raises InputError naming the row and the field."""
        return self.predict_frame(self.frame(rows)) if rows else []

    def predict_frame(self, frame: "pd.DataFrame") -> list[Any]:
        """The columnar path: a DataFrame with the columns and types that `frame` gives."""
        values, probabilities = self.backend.run(frame)
        if self.task == "regression":
            return [_finite(value) for value in np.asarray(values, dtype=float).ravel().tolist()]
        labels = [self._label(value) for value in np.asarray(values).ravel().tolist()]
        if probabilities is None:
            return [{"label": label} for label in labels]
        keys = [class_key(value) for value in self.classes]
        return [
            {"label": label, "probabilities": dict(zip(keys, map(_finite, row), strict=True))}
            for label, row in zip(labels, np.asarray(probabilities, dtype=float).tolist(), strict=True)
        ]

    def frame(self, rows: Sequence[Mapping[str, Any]]) -> "pd.DataFrame":
        """The rows as a typed DataFrame in the order of the signature. Raises InputError."""
        import pandas as pd

        problems: list[str] = []
        columns = self.columns
        known = set(columns)
        for index, row in enumerate(rows):
            if set(row) != known and len(problems) < MAX_PROBLEMS:
                problems += _names(index, row, columns)
        if problems:
            raise InputError(*problems[:MAX_PROBLEMS])
        series: dict[str, pd.Series] = {}
        for item in self.signature["inputs"]:
            values = [row[item["name"]] for row in rows]
            problems += _values(item, values)
            if not problems:
                series[item["name"]] = _series(item, values)
        if problems:
            raise InputError(*problems[:MAX_PROBLEMS])
        return pd.DataFrame(series, columns=columns)

    def _label(self, value: Any) -> Any:
        """The class as the signature writes it: models give 0 for False, 1.0 for 1."""
        for known in self.classes:
            if known == value:
                return known
        return value


def class_key(value: Any) -> str:
    """A class as the key of a JSON object: true, 3, spam."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise InputError(f"the model gives {value} for this input, which is not a finite number")
    return value


def _names(index: int, row: Mapping[str, Any], columns: Sequence[str]) -> list[str]:
    from ..errors import did_you_mean

    missing = [f'row {index}: "{name}" is missing' for name in columns if name not in row]
    extra = [
        f'row {index}: unknown field "{name}"{did_you_mean(str(name), columns)}' for name in row if name not in columns
    ]
    return extra + missing


_ALLOWED: dict[str, tuple[type, ...]] = {
    "number": (int, float),
    "integer": (int, float),
    "boolean": (bool,),
    "string": (str,),
}


def _values(item: Mapping[str, Any], values: Sequence[Any]) -> list[str]:
    kind, name = item["type"], item["name"]
    problems: list[str] = []
    for index, value in enumerate(values):
        if _missing(value):
            if not item["nullable"]:
                problems.append(f'row {index}: "{name}" may not be missing: it is a {kind}')
        elif not isinstance(value, _ALLOWED[kind]) or (isinstance(value, bool) and kind != "boolean"):
            shown = f"{str(value)[:40]!r} ({type(value).__name__})"
            problems.append(f'row {index}: "{name}" must be a {kind}, is {shown}')
        elif kind in ("number", "integer") and not _fits(value, kind):
            problems.append(f'row {index}: "{name}" must be a {kind}, is {str(value)[:40]}')
    return problems[:MAX_PROBLEMS]


def _missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _fits(value: float, kind: str) -> bool:
    if kind == "integer":
        return math.isfinite(value) and value == int(value) and -(2**63) <= value < 2**63
    return -1.7976931348623157e308 <= value <= 1.7976931348623157e308


def _series(item: Mapping[str, Any], values: Sequence[Any]) -> "pd.Series":
    import pandas as pd

    kind = item["type"]
    if kind == "string":
        filled = [np.nan if _missing(value) else value for value in values]
        if item.get("dtype") == "category":
            return pd.Series(pd.Categorical(filled, categories=item["categories"]))
        return pd.Series(filled, dtype=object)
    gaps = any(_missing(value) for value in values)
    if kind == "boolean":
        if gaps:
            return pd.Series([np.nan if _missing(value) else value for value in values], dtype=object)
        return pd.Series(values, dtype=bool)
    if kind == "integer" and not gaps:
        return pd.Series([int(value) for value in values], dtype="int64")
    dtype = "float32" if item.get("dtype") == "float32" else "float64"
    return pd.Series([np.nan if _missing(value) else value for value in values], dtype=dtype)
