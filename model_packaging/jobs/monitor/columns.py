# pyright: basic
# (numpy and pyarrow carry few types)
"""Columns of a table as the values that the monitor counts, with serving's rules on types."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from model_packaging.formats.predictor import class_key

_INT64 = 2.0**63


@dataclass(frozen=True)
class Values:
    """One column's values: all of them fit where `misfits` is None."""

    values: Any
    """Finite numbers as an array, or how often each category is there, by its text."""

    missing: int
    misfits: Any = None
    """Which values are not of the type, as a mask, where there are any; `values` then says nothing."""


def typed(array: Any, kind: str) -> Values:
    """An Arrow array as values of a signature's type: `number`, `integer`, `boolean` or `string`.

    As in a JSON request, a number is no boolean or text and is finite, an integer may be written 3.0, and a
    boolean is no number. Null is a missing value, and so is NaN, as pandas writes a missing number.
    """
    import pyarrow.types as types

    found = array.type.value_type if types.is_dictionary(array.type) else array.type
    numeric = kind in ("number", "integer")
    if numeric:
        fits = types.is_integer(found) or types.is_floating(found) or types.is_decimal(found)
    else:
        fits = types.is_boolean(found) if kind == "boolean" else _is_text(found)
    if array.null_count == len(array):
        return Values(np.empty(0) if numeric else {}, len(array))
    if not fits:
        return _none_fit(array)
    return _numbers(array, whole=kind == "integer") if numeric else _categories(array)


def labels(array: Any) -> Values:
    """An Arrow array of predicted labels, which may be texts, booleans or numbers."""
    import pyarrow.types as types

    found = array.type.value_type if types.is_dictionary(array.type) else array.type
    fits = _is_text(found) or types.is_boolean(found) or types.is_integer(found) or types.is_floating(found)
    return _categories(array) if fits or array.null_count == len(array) else _none_fit(array)


def misfits(found: Iterable[Values], rows: int, *, all_rows: bool) -> Any:
    """Which rows have a value that does not fit, as a mask; None where there are none. `all_rows`: none fits."""
    wrong = [one.misfits for one in found if one.misfits is not None]
    if all_rows:
        return np.ones(rows, dtype=bool)
    return np.logical_or.reduce(wrong) if wrong else None


def without(array: Any, mask: Any) -> Any:
    """An Arrow array without the values of the mask."""
    import pyarrow as pa

    return array.filter(pa.array(~mask))


def _categories(array: Any) -> Values:
    """How often each value is there, by the text of baseline.json."""
    found: dict[str, int] = {}
    for one in array.drop_null().value_counts():
        key = class_key(one["values"].as_py())
        found[key] = found.get(key, 0) + one["counts"].as_py()
    return Values(found, array.null_count)


def plain(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of a table as a JSON request would bring it, for the messages of serving's own checks."""
    return {name: _plain(value) for name, value in row.items()}


def _numbers(array: Any, *, whole: bool) -> Values:
    import pyarrow as pa

    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    numbers = array.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)  # null becomes NaN
    finite = np.isfinite(numbers)
    missing = 0
    if not finite.all():
        absent = np.isnan(numbers)
        missing = int(absent.sum())
        misfits = ~(finite | absent)
        if misfits.any():
            return Values(numbers, missing, misfits)
        numbers = numbers[finite]
    if whole and not pa.types.is_integer(array.type):
        misfits = (numbers != np.floor(numbers)) | (numbers < -_INT64) | (numbers >= _INT64)
        if misfits.any():
            every = np.zeros(len(array), dtype=bool)
            every[finite] = misfits
            return Values(numbers, missing, every)
    return Values(numbers, missing)


def _none_fit(array: Any) -> Values:
    """Values of another type: whatever is not missing is a misfit."""
    return Values(None, array.null_count, np.asarray(array.is_valid()))


def _plain(value: Any) -> Any:
    if isinstance(value, float) and math.isnan(value):
        return None
    if value is None or isinstance(value, bool | int | float | str):
        return value
    try:
        return float(value)  # a decimal
    except (TypeError, ValueError):
        return {"value": str(value)}  # a time, bytes or a list: of no type that a signature knows


def _is_text(kind: Any) -> bool:
    """Whether an Arrow type holds texts."""
    import pyarrow.types as types

    return types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)
