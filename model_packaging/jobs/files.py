"""Files that other programs read: written whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

from model_packaging.errors import ModelberthError
from model_packaging.storage import replace_file


def write_json(path: Path, value: Any) -> None:
    """Replaces the file in one step. ValueError for a number that JSON cannot hold."""
    replace_file(path, json_text(value).encode())


def json_text(value: Any) -> str:
    """JSON as programs and people read it. ValueError for a number that JSON cannot hold."""
    return json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n"


def read_object(path: Path, what: str) -> dict[str, Any]:
    """A JSON object. ModelberthError says what the file was to be, where it should stand, and the reason."""
    try:
        value = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise ModelberthError(f"{what} is missing: {path} does not exist") from None
    except (ValueError, RecursionError) as error:
        raise ModelberthError(f"{what} is not JSON: {path}: {error}") from None
    if not isinstance(value, dict):
        raise ModelberthError(f"{what} must be a JSON object: {path}")
    return cast("dict[str, Any]", value)
