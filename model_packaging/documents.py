"""JSON as packages hold it: canonical when written, strict when read."""

import json
import math
from typing import Any, cast

from .errors import PackageError

MAX_DOCUMENT_BYTES = 16 * 1024 * 1024
"""A JSON document beyond this is refused before it is parsed."""


def dumps(value: Any) -> bytes:
    """Canonical JSON: sorted keys, no spaces, UTF-8, one newline at the end.

    Raises ValueError for a number that is not finite.
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return (text + "\n").encode()


def loads(content: bytes, file: str, limit: int = MAX_DOCUMENT_BYTES) -> Any:
    """Parse one document; `file` names it in errors.

    Refuses what JSON libraries quietly accept and readers then disagree about: duplicate keys,
    NaN and Infinity (also as 1e999), and anything over-large or nested without end.
    """
    if len(content) > limit:
        raise PackageError(f"{file}: {len(content):,} bytes, the limit is {limit:,}", file=file)
    try:
        return json.loads(
            content.decode("utf-8"),
            object_pairs_hook=_unique,
            parse_constant=_refuse_constant,
            parse_float=_finite,
        )
    except _Refused as error:
        raise PackageError(f"{file}: {error}", file=file) from None
    except UnicodeDecodeError:
        raise PackageError(f"{file}: not UTF-8 text", file=file) from None
    except json.JSONDecodeError as error:
        where = f"line {error.lineno} column {error.colno}"
        raise PackageError(f"{file}: not JSON: {error.msg} at {where}", file=file) from None
    except RecursionError:
        raise PackageError(f"{file}: nested too deep", file=file) from None
    except ValueError as error:  # an integer with thousands of digits
        raise PackageError(f"{file}: {error}", file=file) from None


def load_object(content: bytes, file: str, limit: int = MAX_DOCUMENT_BYTES) -> dict[str, Any]:
    """Like `loads`, for a document that must be an object."""
    value = loads(content, file, limit)
    if not isinstance(value, dict):
        raise PackageError(f"{file}: must be a JSON object, is {type(value).__name__}", file=file)
    return cast(dict[str, Any], value)


class _Refused(Exception):
    pass


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))
        raise _Refused(f'the key "{twice}" appears twice in one object')
    return found


def _refuse_constant(text: str) -> Any:
    raise _Refused(f"{text} is not a finite number")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise _Refused(f"{text[:40]} is not a finite number")
    return value
