"""Files that other programs read: written whole or not at all."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any, cast

from model_packaging.errors import ModelberthError


def write_json(path: Path, value: Any) -> None:
    """Replaces the file in one step. ValueError for a number that JSON cannot hold."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n"
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(temporary, 0o644)  # mkstemp makes it private, and the next step may run as another user
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


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
