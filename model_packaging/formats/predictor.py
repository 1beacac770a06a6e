# pyright: basic
# (pandas, scikit-learn and onnxruntime carry no types)
"""What serving and jobs call: rows in, prediction objects out, whatever the format."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np

from ..errors import InputError

if TYPE_CHECKING:
    import pandas as pd

MAX_PROBLEMS = 20
"""Bad rows are reported up to here; more would hide the first."""

_FEW = 8
"""Up to here a loop over rows is faster than numpy."""

Columns = Mapping[str, np.ndarray]
"""Values by column, in the signature's order and of one length. A number is float64 (float32 where the signature
says so) with NaN where it is missing; an integer int64, or float64 where some are missing; a boolean bool, or
object with NaN; a string object, with NaN."""


class Numbers(Mapping[str, np.ndarray]):
    """Columns that are all numbers of one type, kept as the matrix (rows x columns) that they came as."""

    def __init__(self, names: Sequence[str], values: np.ndarray) -> None:
        self.names = names
        self.rows = values

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self.names:
            raise KeyError(name)
        return self.rows[:, self.names.index(name)]

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)


def count(columns: Columns) -> int:
    """The number of rows."""
    return len(columns.rows if isinstance(columns, Numbers) else next(iter(columns.values())))


def joined(parts: Sequence[Columns]) -> Columns:
    """The rows of several requests as one, in order."""
    matrices = [one.rows for one in parts if isinstance(one, Numbers)]
    if len(matrices) == len(parts):
        return Numbers(tuple(parts[0]), np.concatenate(matrices))
    return {name: np.concatenate([one[name] for one in parts]) for name in parts[0]}


class Backend(Protocol):
    """One format's loaded model."""

    def run(self, frame: "pd.DataFrame") -> tuple[np.ndarray, np.ndarray | None]:
        """Values or labels, one per row, and probabilities (rows x classes) when the model has them."""
        ...


@runtime_checkable
class ColumnarBackend(Backend, Protocol):
    """A backend that can do without a DataFrame, whose making costs more than many a prediction."""

    def run_columns(self, columns: Columns) -> tuple[np.ndarray, np.ndarray | None] | None:
        """As `run`; None where this model needs a DataFrame."""
        ...


@dataclass(frozen=True)
class Predictions:
    """The predictions of some rows, column by column."""

    outputs: list[Any]
    """Numbers of a regression; labels of a classification, as the signature writes them."""

    probabilities: np.ndarray | None = None
    """Rows x classes, in the signature's order of classes; None where the model gives none."""

    keys: Sequence[str] = ()
    """The classes as keys of JSON objects; empty for a regression."""

    classifies: bool = False

    def __len__(self) -> int:
        return len(self.outputs)

    def part(self, start: int, stop: int) -> "Predictions":
        """Those of the rows from `start` up to and without `stop`."""
        chances = None if self.probabilities is None else self.probabilities[start:stop]
        return Predictions(self.outputs[start:stop], chances, self.keys, self.classifies)

    def check(self) -> None:
        """Raise InputError where the model gave what is no finite number."""
        if len(self.outputs) <= _FEW:
            chances = [] if self.probabilities is None else self.probabilities.ravel().tolist()
            if all(map(math.isfinite, chances if self.classifies else self.outputs)):
                return
        numbers = self.probabilities if self.classifies else np.asarray(self.outputs, dtype=float)
        if numbers is not None and not np.isfinite(numbers).all():
            value = numbers[~np.isfinite(numbers)].flat[0]
            raise InputError(f"the model gives {value} for this input, which is not a finite number")

    def objects(self) -> list[Any]:
        """One prediction object per row, as packages record them. Raises InputError."""
        self.check()
        if not self.classifies:
            return self.outputs
        if self.probabilities is None:
            return [{"label": label} for label in self.outputs]
        keys = self.keys
        return [
            {"label": label, "probabilities": dict(zip(keys, row, strict=True))}
            for label, row in zip(self.outputs, self.probabilities.tolist(), strict=True)
        ]


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
        return self.predict_columns(self.typed(rows)).objects() if rows else []

    def predict_columns(self, columns: Columns) -> Predictions:
        """The columnar path, for columns as `typed` gives them. What the model gives is not checked:
        see `Predictions.check`."""
        found = self._run_columns(columns) if self._run_columns else None
        values, probabilities = self.backend.run(self.frame(columns)) if found is None else found
        if self.task == "regression":
            return Predictions(np.asarray(values, dtype=float).ravel().tolist())
        known, keys = self._labels
        labels = [known.get(value, value) for value in np.asarray(values).ravel().tolist()]
        chances = None if probabilities is None else np.asarray(probabilities, dtype=float)
        if chances is not None and chances.shape[1] != len(keys):
            raise ValueError(f"the model gives {chances.shape[1]} probabilities a row for {len(keys)} classes")
        return Predictions(labels, chances, keys, classifies=True)

    def typed(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, np.ndarray]:
        """The rows as columns. Raises InputError."""
        problems: list[str] = []
        columns = self.columns
        known = set(columns)
        for index, row in enumerate(rows):
            if set(row) != known and len(problems) < MAX_PROBLEMS:
                problems += _names(index, row, columns)
        if problems:
            raise InputError(*problems[:MAX_PROBLEMS])
        found: dict[str, np.ndarray] = {}
        for item in self.signature["inputs"]:
            values = [row[item["name"]] for row in rows]
            problems += _values(item, values)
            if not problems:
                found[item["name"]] = array(item, values)
        if problems:
            raise InputError(*problems[:MAX_PROBLEMS])
        return found

    def frame(self, columns: Columns) -> "pd.DataFrame":
        """The columns as a DataFrame, categories included."""
        import pandas as pd

        found: dict[str, Any] = dict(columns)
        for item in self.signature["inputs"]:
            if item.get("dtype") == "category":
                found[item["name"]] = pd.Categorical(found[item["name"]], categories=item["categories"])
            elif found[item["name"]].dtype == object:
                found[item["name"]] = pd.Series(found[item["name"]], dtype=object)
        return pd.DataFrame(found)

    @cached_property
    def _run_columns(self) -> Callable[[Columns], tuple[np.ndarray, np.ndarray | None] | None] | None:
        """The backend's own, looked up once: the check of a protocol takes longer than many a prediction."""
        return self.backend.run_columns if isinstance(self.backend, ColumnarBackend) else None

    @cached_property
    def _labels(self) -> tuple[dict[Any, Any], list[str]]:
        """Each class as the signature writes it, which models may give otherwise (0 for False, 1.0 for 1),
        and the classes as keys."""
        return {known: known for known in reversed(self.classes)}, [class_key(known) for known in self.classes]


def class_key(value: Any) -> str:
    """A class as the key of a JSON object: true, 3, spam."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


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


def array(item: Mapping[str, Any], values: Sequence[Any]) -> np.ndarray:
    """The checked values of one input of the signature as a column; see `Columns`."""
    kind = item["type"]
    gaps = any(_missing(value) for value in values)
    if gaps:
        values = [np.nan if _missing(value) else value for value in values]
    if kind == "string" or (kind == "boolean" and gaps):
        found = np.empty(len(values), dtype=object)
        found[:] = values
        return found
    if kind == "boolean":
        return np.array(values, dtype=bool)
    if kind == "integer" and not gaps:
        return np.array([int(value) for value in values], dtype=np.int64)
    return np.array(values, dtype=np.float32 if item.get("dtype") == "float32" else np.float64)


def matrix(columns: Columns) -> np.ndarray | None:
    """The columns as a matrix of the type that a DataFrame of them would have; None unless all are numbers."""
    if isinstance(columns, Numbers):
        return columns.rows
    arrays = list(columns.values())
    kind = np.result_type(*arrays)
    if kind.kind not in "if" or any(one.dtype.kind not in "if" for one in arrays):
        return None
    found = np.empty((len(arrays[0]), len(arrays)), dtype=kind)
    for index, one in enumerate(arrays):
        found[:, index] = one
    return found
