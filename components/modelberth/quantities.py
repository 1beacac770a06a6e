"""Durations, sizes and ratios as people write them: `5m`, `4Gi`, `10%`.

The types here are pydantic annotations. They accept the written form or the plain number of the unit named, and
refuse anything else by saying what is allowed.
"""

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any

from pulumi import Input, Output
from pydantic import BeforeValidator, PlainValidator

_DURATION_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_LONGEST_SECONDS = 36500 * 86400.0
_SIZE_UNITS = {"Ki": 1024, "Mi": 1024**2, "Gi": 1024**3, "Ti": 1024**4, "K": 1000, "M": 1000**2, "G": 1000**3}
_LARGEST_SIZE = 1024**5
_NUMBER = r"(\d+(?:\.\d+)?)"


def parse_duration(value: object) -> timedelta:
    """Return the duration that `value` writes, such as `200ms`, `5m` or `30d`; a plain number is in seconds.

    Raises:
        ValueError: it is none, or out of range.
    """
    if isinstance(value, timedelta):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        seconds = float(value)
    else:
        match = re.fullmatch(_NUMBER + r"\s*(ms|s|m|h|d)", str(value).strip())
        if match is None:
            raise ValueError("is no duration: write a number with ms, s, m, h or d, such as 200ms, 5m or 30d")
        seconds = float(match.group(1)) * _DURATION_UNITS[match.group(2)]
    if not 0 <= seconds <= _LONGEST_SECONDS:
        raise ValueError("is out of range: a duration lies between 0s and 36500d")
    return timedelta(seconds=seconds)


def parse_ratio(value: object) -> float:
    """Return the ratio that `value` writes: `10%` and 0.1 are the same.

    Raises:
        ValueError: it is none, or out of range.
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        ratio = float(value)
    else:
        match = re.fullmatch(_NUMBER + r"\s*%", str(value).strip())
        if match is None:
            raise ValueError("is no share: write a percentage such as 10%, or a number from 0 to 1")
        ratio = float(match.group(1)) / 100
    if not 0 <= ratio <= 1:
        raise ValueError("is out of range: a share lies between 0% and 100%")
    return ratio


def parse_size(value: object) -> int:
    """Return the bytes that `value` writes, such as `512Mi` or `4Gi`; a plain number is in bytes.

    Raises:
        ValueError: it is none, or out of range.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        size = value
    else:
        match = re.fullmatch(_NUMBER + r"\s*(Ki|Mi|Gi|Ti|K|M|G)", str(value).strip())
        if match is None:
            raise ValueError("is no size: write a number with Mi or Gi, such as 512Mi or 4Gi")
        size = round(min(float(match.group(1)) * _SIZE_UNITS[match.group(2)], _LARGEST_SIZE + 1))
    if not 0 < size <= _LARGEST_SIZE:
        raise ValueError("is out of range: a size is more than nothing and at most 1024Ti")
    return size


def _text_or_output(value: Any) -> Any:
    if isinstance(value, Output) or (isinstance(value, str) and value):
        return value  # pyright: ignore[reportUnknownVariableType]
    raise ValueError("must be text that is not empty")


Duration = Annotated[timedelta, BeforeValidator(parse_duration)]
Ratio = Annotated[float, BeforeValidator(parse_ratio)]
Size = Annotated[int, BeforeValidator(parse_size)]
if TYPE_CHECKING:
    TextInput = Input[str]
    """Text that is known when the program runs, or another resource's output."""
else:
    # pydantic can't build a schema of Pulumi's own union of values, awaitables and outputs.
    TextInput = Annotated[Any, PlainValidator(_text_or_output)]


def format_duration(value: timedelta) -> str:
    """Write a duration in the largest unit that divides it: `5m`, `200ms`."""
    milliseconds = round(value.total_seconds() * 1000)
    for unit, seconds in sorted(_DURATION_UNITS.items(), key=lambda item: -item[1]):
        size = round(seconds * 1000)
        if milliseconds and milliseconds % size == 0:
            return f"{milliseconds // size}{unit}"
    return "0s"
