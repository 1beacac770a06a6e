"""A model as the file of its format."""

import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Stored:
    """What packing writes."""

    format: str
    files: dict[str, bytes | Path]
    """Path in the package to the content, or to a file on this machine that holds it: a large model is copied block
    by block and never held in memory."""

    how: str
    """For the card: in which form the model is kept, and why."""

    task: str | None = None
    """Known from the model itself; else the caller says."""

    classes: list[Any] | None = None

    made: tempfile.TemporaryDirectory[str] | None = field(default=None, repr=False)
    """Where the files lie that were made for this; it goes when nobody needs this any more."""


def plain(classes: Any) -> list[Any] | None:
    """Classes as JSON holds them: a library keeps them in an array of its own scalars."""
    if classes is None:
        return None
    return [value.item() if hasattr(value, "item") else value for value in classes]
