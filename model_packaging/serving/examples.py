"""Whether a loaded model still gives the predictions that its package recorded."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeGuard

from model_packaging.errors import InputError


def unreproduced(examples: Mapping[str, Any], predict: Callable[[list[dict[str, Any]]], Sequence[Any]]) -> list[str]:
    """What the model says otherwise than examples.json, or of which of its rows it says nothing at all; empty if it is
    the one that was packaged."""
    rows: list[dict[str, Any]] = list(examples["inputs"])
    if not rows:
        return ["examples.json holds no example"]
    try:
        given = predict(rows)
    except InputError as error:
        return [f"examples.json: {problem}" for problem in error.problems]
    except (ArithmeticError, TypeError, ValueError) as error:  # of the model's own library
        return [f"examples.json: the model refuses the rows: {' '.join(str(error).split())[:200]}"]
    return differences(examples["predictions"], given, float(examples["tolerance"]))


def differences(recorded: Sequence[Any], given: Sequence[Any], tolerance: float) -> list[str]:
    """One sentence per prediction that differs by more than the tolerance (absolute, or relative to
    values above 1); empty if the model is the one that was packaged."""
    if len(recorded) != len(given):
        return [f"{len(recorded)} predictions were recorded and the model gave {len(given)}"]
    return [
        f"example {number}: {found}"
        for number, (expected, actual) in enumerate(zip(recorded, given, strict=True))
        if (found := _difference(expected, actual, tolerance))
    ]


def largest_difference(recorded: Sequence[Any], given: Sequence[Any]) -> float:
    """The smallest tolerance within which predictions are the same that differ in their numbers alone."""
    return max((_distance(one, other) for one, other in zip(recorded, given, strict=True)), default=0.0)


def _distance(expected: Any, actual: Any) -> float:
    if _is_record(expected):
        return max((_distance(value, actual[name]) for name, value in expected.items()), default=0.0)
    if _is_number(expected) and expected != actual:
        return abs(expected - actual) / max(1.0, abs(expected), abs(actual))
    return 0.0


def _difference(expected: Any, actual: Any, tolerance: float, where: str = "prediction") -> str | None:
    if _is_record(expected) and _is_record(actual):
        if expected.keys() != actual.keys():
            return f"{where} has {sorted(actual)} where {sorted(expected)} was recorded"
        parts = (_difference(expected[name], actual[name], tolerance, f"{where} {name}") for name in expected)
        return next((found for found in parts if found), None)
    if _is_number(expected) and _is_number(actual):
        with suppress(OverflowError):  # an integer beyond every floating-point number
            if math.isclose(expected, actual, rel_tol=tolerance, abs_tol=tolerance):
                return None
    elif type(expected) is type(actual) and expected == actual:
        return None
    return f"{where} is {_shown(actual)} where {_shown(expected)} was recorded (tolerance {tolerance:g})"


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}…"


def _is_record(value: Any) -> TypeGuard[Mapping[str, Any]]:
    return isinstance(value, dict)


def _is_number(value: Any) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)
