"""A model as the file of its format."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Stored:
    """What packing writes."""

    format: str
    file: str
    content: bytes
    how: str
    """For the card: in which form the model is kept, and why."""

    task: str | None = None
    """Known from the model itself; else the caller says."""

    classes: list[Any] | None = None


def plain(classes: Any) -> list[Any] | None:
    """Classes as JSON holds them: a library keeps them in an array of its own scalars."""
    if classes is None:
        return None
    return [value.item() if hasattr(value, "item") else value for value in classes]
