# pyright: basic
# (orjson's values have no types until they are looked at)
"""The bytes of a request straight to columns, and predictions straight to bytes, without an object for each value.

These are short cuts, never a second set of rules. Wherever anything is unusual in a request (a wrong type, a missing
column, a key given twice, a number that does not fit) reading gives None, and `media.decode` and `rows.Checker`, which
go value by value, decide and name what is wrong. What is written is what `media.encode` makes of the same predictions.
"""

from __future__ import annotations

import csv
import io
import math
import struct
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import chain
from operator import itemgetter
from typing import Any

import numpy as np
import orjson

from model_packaging.formats.predictor import Columns, Numbers, Predictions
from model_packaging.serving.media import CSV, JSON, MediaType, encode

_NONE = type(None)
_FEW = 8
_FEW_NUMBERS = 100
"""Up to here a loop over values is faster than numpy, or than joining texts."""

_UNUSUAL = (
    AttributeError,
    ValueError,
    KeyError,
    TypeError,
    OverflowError,
    RecursionError,
    csv.Error,
    struct.error,
)
"""What reading raises where a request is not as expected."""


class ColumnReader:
    """Reads requests by one signature; made once per server."""

    def __init__(self, inputs: Sequence[Mapping[str, Any]]) -> None:
        self._inputs = inputs
        self._names = tuple(item["name"] for item in inputs)
        first = self._names[0]
        self._values: Callable[[Any], tuple[Any, ...]] = (
            itemgetter(*self._names) if len(inputs) > 1 else lambda row: (row[first],)
        )
        # All numbers of 64 bits, none ever missing: the whole request is one matrix.
        self._matrix = all(
            item["type"] == "number" and not item.get("nullable") and item.get("dtype") != "float32" for item in inputs
        )

    def read(self, body: bytes, media: MediaType, max_rows: int) -> Columns | None:
        """The columns, or None where the exact way must look at it."""
        try:
            if media.name == CSV:
                return self._csv(body, media, max_rows)
            if media.name == JSON:
                return self._json(body, orjson.loads(body), max_rows)
            return self._rows(body, [orjson.loads(line) for line in body.split(b"\n") if line.strip()], 0, max_rows)
        except _UNUSUAL:
            return None

    def enveloped(self, body: bytes, keys: Collection[str], max_rows: int) -> Columns | None:
        """The columns of a JSON object that has nothing but one of the keys: a list of rows, or, as pandas splits a
        table, an object with the signature's "columns" and the lists of "data". None as for `read`."""
        try:
            ((key, value),) = orjson.loads(body).items()
            if key not in keys:
                return None
            if type(value) is not dict:
                return self._rows(body, value, 1, max_rows)
            rows = value["data"]
            if len(value) > 2 or tuple(value["columns"]) != self._names or set(map(type, rows)) != {list}:
                return None
            return self._rows(body, rows, 3, max_rows)
        except _UNUSUAL:
            return None

    def check(self, columns: Mapping[str, np.ndarray]) -> Columns | None:
        """Columns that came as arrays, in any numeric type that holds the values; None as for `read`."""
        if set(columns) != set(self._names):
            return None
        if self._matrix and isinstance(columns, Numbers) and tuple(columns) == self._names:
            return (
                self._numbers(columns.rows.astype(np.float64, copy=False)) if columns.rows.dtype.kind in "iuf" else None
            )
        found: dict[str, np.ndarray] = {}
        for item in self._inputs:
            column = _FROM_ARRAY[item["type"]](item, columns[item["name"]])
            if column is None or column.ndim != 1:
                return None
            found[item["name"]] = column
        lengths = set(map(len, found.values()))
        return found if len(lengths) == 1 and lengths != {0} else None

    def _json(self, body: bytes, value: Any, max_rows: int) -> Columns | None:
        if type(value) is not dict:
            return self._rows(body, value, 0, max_rows)
        if "instances" not in value:
            return self._rows(body, [value], 0, max_rows)
        if len(value) > 1 or "instances" in self._names:
            return None
        return self._rows(body, value["instances"], 1, max_rows)

    def _rows(self, body: bytes, rows: Any, keys: int, max_rows: int) -> Columns | None:
        width = len(self._names)
        if type(rows) is not list or not 0 < len(rows) <= max_rows:
            return None
        kinds = set(map(type, rows))
        if kinds == {dict}:
            # orjson keeps the last of two equal keys in silence. Each key that was sent has a colon.
            if body.count(b":") != keys + width * len(rows) or set(map(len, rows)) != {width}:
                return None
            rows = [*map(self._values, rows)]
        elif kinds != {list} or set(map(len, rows)) != {width} or (keys and body.count(b":") != keys):
            return None
        if not self._matrix:
            return self._columns(zip(*rows, strict=True), _FROM_JSON)
        flat = list(chain.from_iterable(rows))
        # struct takes nothing but numbers, yet a boolean is one in Python; true has a u, and false an l.
        if (b"u" in body or b"l" in body) and not set(map(type, flat)) <= {int, float}:
            return None
        values = bytearray(8 * len(flat))
        struct.pack_into(f"{len(flat)}d", values, 0, *flat)
        matrix = np.frombuffer(values).reshape(len(rows), width)
        if len(flat) <= _FEW_NUMBERS:
            return Numbers(self._names, matrix) if all(map(math.isfinite, flat)) else None
        return self._numbers(matrix)

    def _csv(self, body: bytes, media: MediaType, max_rows: int) -> Columns | None:
        text = body.decode()
        rows = [cells for cells in csv.reader(io.StringIO(text, newline=""), strict=True) if cells]
        header = media.parameters.get("header", "").lower()
        names: Sequence[str] = self._names
        start = 0
        if rows and header != "absent":
            stripped = [cell.strip() for cell in rows[0]]
            if sorted(stripped) == sorted(names):
                names = stripped
                del rows[0]
                start = max(text.find("\n"), 0)
            elif header == "present":
                return None
        if not 0 < len(rows) <= max_rows or set(map(len, rows)) != {len(self._names)}:
            return None
        if text.find("_", start) >= 0:  # float() takes 1_000
            return None
        if self._matrix and names == self._names:
            values = list(map(float, chain.from_iterable(rows)))
            return self._numbers(np.array(values).reshape(len(rows), -1))
        columns = dict(zip(names, zip(*rows, strict=True), strict=True))
        return self._columns((columns[name] for name in self._names), _FROM_TEXT)

    def _numbers(self, values: np.ndarray) -> Columns | None:
        return Numbers(self._names, values) if np.isfinite(values).all() else None

    def _columns(self, columns: Iterable[tuple[Any, ...]], readers: Mapping[str, Any]) -> Columns | None:
        found: dict[str, np.ndarray] = {}
        for item, values in zip(self._inputs, columns, strict=True):
            column = readers[item["type"]](item, values)
            if column is None:
                return None
            found[item["name"]] = column
        return found


def write(predictions: Predictions, media_type: str, classes: Sequence[Any]) -> bytes:
    """The body of the answer, in the media type. Raises InputError where the model gave no finite number."""
    chances = predictions.probabilities
    if media_type != JSON or not predictions.classifies or chances is None or len(predictions) <= _FEW:
        return encode(predictions.objects(), media_type, classes)
    predictions.check()
    first, *others = [orjson.dumps(key).decode() for key in predictions.keys]
    heads = {
        label: f'{{"label":{orjson.dumps(label).decode()},"probabilities":{{{first}:'
        for label in set(predictions.outputs)
    }
    numbers = orjson.dumps(chances.ravel(), option=orjson.OPT_SERIALIZE_NUMPY)[1:-1].decode().split(",")
    rows, width = chances.shape
    step = 2 * width + 1
    parts = [""] * (rows * step)
    parts[::step] = map(heads.__getitem__, predictions.outputs)
    for index in range(width):
        parts[2 * index + 1 :: step] = numbers[index::width]
        parts[2 * index + 2 :: step] = [f",{others[index]}:" if index < len(others) else "}},"] * rows
    return f'{{"predictions":[{"".join(parts)[:-1]}]}}'.encode()


def _number(item: Mapping[str, Any], values: Sequence[Any]) -> np.ndarray | None:
    kinds = set(map(type, values))
    missing = 0
    if _NONE in kinds and item.get("nullable"):
        missing = values.count(None)
        kinds.discard(_NONE)
    if not kinds <= {int, float}:
        return None
    found = np.array(values, dtype=np.float64)
    if len(values) <= _FEW and not missing:
        finite = all(map(math.isfinite, values))
    else:
        finite = np.count_nonzero(np.isfinite(found)) == len(values) - missing
    if not finite:
        return None
    return found.astype(np.float32) if item.get("dtype") == "float32" else found


def _integer(item: Mapping[str, Any], values: Sequence[Any]) -> np.ndarray | None:
    return np.array(values, dtype=np.int64) if set(map(type, values)) == {int} else None


def _boolean(item: Mapping[str, Any], values: Sequence[Any]) -> np.ndarray | None:
    return np.array(values, dtype=bool) if set(map(type, values)) == {bool} else None


def _string(item: Mapping[str, Any], values: Sequence[Any]) -> np.ndarray | None:
    if set(map(type, values)) != {str}:
        return None
    found = np.empty(len(values), dtype=object)
    found[:] = values
    return found


def _number_from_text(item: Mapping[str, Any], values: Sequence[str]) -> np.ndarray | None:
    return _number({**item, "nullable": False}, [*map(float, values)])


def _integer_from_text(item: Mapping[str, Any], values: Sequence[str]) -> np.ndarray | None:
    return np.array([*map(int, values)], dtype=np.int64)


def _string_from_text(item: Mapping[str, Any], values: Sequence[str]) -> np.ndarray | None:
    return _string(item, values) if all(map(str.strip, values)) else None


def _number_from_array(item: Mapping[str, Any], values: np.ndarray) -> np.ndarray | None:
    if values.dtype.kind not in "iuf":
        return None
    fits = not np.isinf(values).any() and (item.get("nullable") or not np.isnan(values).any())
    dtype = np.float32 if item.get("dtype") == "float32" else np.float64
    return values.astype(dtype, copy=False) if fits else None


def _integer_from_array(item: Mapping[str, Any], values: np.ndarray) -> np.ndarray | None:
    exact = values.dtype.kind == "i" or (values.dtype.kind == "u" and values.dtype.itemsize < 8)
    return values.astype(np.int64, copy=False) if exact else None


def _boolean_from_array(item: Mapping[str, Any], values: np.ndarray) -> np.ndarray | None:
    return values if values.dtype.kind == "b" else None


def _string_from_array(item: Mapping[str, Any], values: np.ndarray) -> np.ndarray | None:
    if values.dtype.kind == "U":
        return values.astype(object)
    return _string(item, values.tolist()) if values.dtype == object and values.ndim == 1 else None


def _exactly(item: Mapping[str, Any], values: Sequence[Any]) -> None:
    """Left to the exact way."""


_FROM_JSON = {"number": _number, "integer": _integer, "boolean": _boolean, "string": _string}
_FROM_TEXT = {
    "number": _number_from_text,
    "integer": _integer_from_text,
    "boolean": _exactly,
    "string": _string_from_text,
}
_FROM_ARRAY = {
    "number": _number_from_array,
    "integer": _integer_from_array,
    "boolean": _boolean_from_array,
    "string": _string_from_array,
}
