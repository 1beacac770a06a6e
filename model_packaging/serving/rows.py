"""Rows checked against a package's signature, and turned into the values the model expects.

`signature` is the content of signature.json: `{"inputs": [{"name", "type", "nullable", "categories"?}], …}`.
A problem names the row, the field, the value and what is allowed; all problems of a request come at once.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, cast

import numpy as np

from model_packaging.formats.predictor import Columns, array
from model_packaging.serving.media import RawRows
from model_packaging.serving.problems import RequestProblem, quoted

_ENOUGH = 200
"""Problems after which checking stops: nobody reads more, and a million of them cost memory."""

_INTEGER = re.compile(r"[+-]?\d{1,19}")
_INT64 = 2**63


class Checker:
    """Checks requests against one signature; made once per server."""

    def __init__(self, signature: Mapping[str, Any], secret: Collection[str] = ()) -> None:
        """Problems do not quote the values of the `secret` columns: answers and logs are read by others."""
        self._secret = frozenset(secret)
        self.inputs = cast("list[dict[str, Any]]", list(signature["inputs"]))
        self.columns = [str(field["name"]) for field in self.inputs]
        self._known = set(self.columns)

    def rows(self, raw: RawRows) -> list[dict[str, Any]]:
        """The rows as dicts in the signature's order. RequestProblem (400) otherwise."""
        problems: list[str] = []
        readers = [
            (
                str(f["name"]),
                (_FROM_TEXT if raw.text else _FROM_JSON)[f["type"]],
                bool(f.get("nullable")),
                f["type"],
            )
            for f in self.inputs
        ]
        checked: list[dict[str, Any]] = []
        for number, given in enumerate(raw.rows):
            if len(problems) >= _ENOUGH:
                break
            row = self._by_name(given, f"row {number}", problems)
            if row is None:
                continue
            values: dict[str, Any] = {}
            for name, read, nullable, kind in readers:
                value = row[name]
                if value is None or (raw.text and not value.strip()):
                    if not nullable:
                        problems.append(f'row {number}, field "{name}": a value is missing; it must be {_A[kind]}')
                    values[name] = None
                    continue
                try:
                    values[name] = read(value)
                except ValueError as error:
                    problems.append(
                        f'row {number}, field "{name}": {self._shown(name, value)} is not {_A[kind]}{error}'
                        f"{_missing_hint(value, raw.text, nullable)}"
                    )
            checked.append(values)
        if problems:
            raise RequestProblem(400, problems)
        return checked

    def typed(self, raw: RawRows) -> Columns:
        """The rows as columns. RequestProblem (400) otherwise."""
        rows = self.rows(raw)
        return {item["name"]: array(item, [row[item["name"]] for row in rows]) for item in self.inputs}

    def arrays(self, columns: Mapping[str, np.ndarray]) -> Columns:
        """Columns that came as arrays, value by value; a NaN is a missing value. RequestProblem (400)."""
        lengths = {name: len(column) for name, column in columns.items()}
        if len(set(lengths.values())) > 1:
            shown = ", ".join(f"{quoted(name)} {length}" for name, length in list(lengths.items())[:10])
            raise RequestProblem(400, f"the columns must be of one length: {shown}")
        if not lengths or not max(lengths.values()):
            raise RequestProblem(400, "the body holds no rows: send at least one")
        values = {
            name: [None if value != value else value for value in cast("list[Any]", column.tolist())]
            for name, column in columns.items()
        }
        names = list(values)
        return self.typed(RawRows([dict(zip(names, row, strict=True)) for row in zip(*values.values(), strict=True)]))

    def unseen(self, columns: Columns) -> list[str]:
        """Values outside the categories of the training data, as problems. They are not refused
        beforehand (most models cope); they explain it when a model fails on them."""
        problems: list[str] = []
        for field in self.inputs:
            categories = cast("list[Any]", field.get("categories") or [])
            if not categories:
                continue
            known = set(categories)
            name = str(field["name"])
            listed = (
                f"; known are {', '.join(quoted(c) for c in categories[:10])}{', …' if len(categories) > 10 else ''}"
            )
            for number, value in enumerate(cast("list[Any]", columns[name].tolist())):
                if value == value and value not in known and len(problems) < _ENOUGH:
                    said = (
                        "" if name in self._secret else f"{listed}{_nearest(str(value), [str(c) for c in categories])}"
                    )
                    shown = self._shown(name, value)
                    problems.append(f'row {number}, field "{name}": {shown} was not in the training data{said}')
        return problems

    def _shown(self, name: str, value: object) -> str:
        return "the value" if name in self._secret else quoted(value)

    def _by_name(self, given: Any, where: str, problems: list[str]) -> Mapping[str, Any] | None:
        if isinstance(given, dict):
            row = cast("dict[str, Any]", given)
            if row.keys() == self._known:
                return row
            unexpected = [name for name in row if name not in self._known]
            missing = [name for name in self.columns if name not in row]
            for name in missing:
                problems.append(f'{where}: column "{name}" is missing{_nearest(name, unexpected, "it was sent as")}')
            for name in unexpected:
                problems.append(f"{where}: unexpected column {quoted(name)}{_nearest(name, self.columns)}")
            return None
        if isinstance(given, list):
            values = cast("list[Any]", given)
            if len(values) == len(self.columns):
                return dict(zip(self.columns, values, strict=True))
            problems.append(
                f"{where} has {len(values)} values: it must have {len(self.columns)} ({', '.join(self.columns)})"
            )
            return None
        problems.append(f"{where} is {quoted(given)}: a row is an object by column name, or a list of values")
        return None


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError
    try:
        number = float(value)
    except OverflowError:
        raise ValueError(" that fits in 64 bits") from None
    if not math.isfinite(number):  # 1e999 is JSON
        raise ValueError(" that fits in 64 bits")
    return number


def _integer(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value // 1:
        raise ValueError
    if not -_INT64 <= value < _INT64:
        raise ValueError(" that fits in 64 bits")
    return int(value)


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError
    return value


def _string(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError
    return value


def _number_from_text(text: str) -> float:
    if "_" in text:  # float() takes 1_000
        raise ValueError
    try:
        number = float(text)
    except ValueError:
        raise ValueError from None
    if not math.isfinite(number):
        raise ValueError
    return number


def _integer_from_text(text: str) -> int:
    stripped = text.strip()
    if _INTEGER.fullmatch(stripped):
        return _integer(int(stripped))
    return _integer(_number_from_text(text))  # 3.0, as spreadsheets and pandas write it


def _boolean_from_text(text: str) -> bool:
    value = {"true": True, "1": True, "false": False, "0": False}.get(text.strip().lower())
    if value is None:
        raise ValueError
    return value


_A = {"number": "a number", "integer": "an integer", "boolean": "true or false", "string": "a string"}
_FROM_JSON: dict[str, Callable[[Any], Any]] = {
    "number": _number,
    "integer": _integer,
    "boolean": _boolean,
    "string": _string,
}
_FROM_TEXT: dict[str, Callable[[Any], Any]] = {
    "number": _number_from_text,
    "integer": _integer_from_text,
    "boolean": _boolean_from_text,
    "string": _string,
}


def _missing_hint(value: Any, text: bool, nullable: bool) -> str:
    spelled = isinstance(value, str) and value.strip().lower() in (
        "nan",
        "na",
        "n/a",
        "null",
        "none",
        "inf",
        "-inf",
    )
    if not spelled:
        return ""
    if not nullable:
        return "; this field may not be missing"
    return "; for a missing value leave the cell empty" if text else "; for a missing value send null"


def _nearest(name: str, among: Sequence[str], phrase: str = "did you mean") -> str:
    found = difflib.get_close_matches(name, among, n=1)
    if not found:
        return ""
    return f" ({phrase} {quoted(found[0])}{'?' if phrase == 'did you mean' else ''})"
