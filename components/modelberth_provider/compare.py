"""What differs between two sets of inputs, by path."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, cast

from modelberth_provider.google import Json
from modelberth_provider.wire import UNKNOWN

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True)
class Change:
    """One difference; the path is written as the engine does, such as `containerSpec.env[0].value`."""

    path: str
    kind: Literal["ADD", "DELETE", "UPDATE"]


def changes(old: Json, new: Json, path: str = "") -> Iterator[Change]:
    """Every difference, as deep as it lies. What is not known yet differs from everything."""
    for key in sorted(old.keys() | new.keys()):
        below = _joined(path, key)
        if key not in old:
            yield Change(below, "ADD")
        elif key not in new:
            yield Change(below, "DELETE")
        else:
            yield from _compare(old[key], new[key], below)


def _compare(old: Any, new: Any, path: str) -> Iterator[Change]:
    if isinstance(old, dict) and isinstance(new, dict):
        yield from changes(cast(Json, old), cast(Json, new), path)
    elif isinstance(old, list) and isinstance(new, list):
        before, after = cast("list[Any]", old), cast("list[Any]", new)
        for index in range(max(len(before), len(after))):
            below = f"{path}[{index}]"
            if index >= len(before):
                yield Change(below, "ADD")
            elif index >= len(after):
                yield Change(below, "DELETE")
            else:
                yield from _compare(before[index], after[index], below)
    elif old != new or new is UNKNOWN:
        yield Change(path, "UPDATE")


def _joined(path: str, key: str) -> str:
    if not _PLAIN.fullmatch(key):
        return f'{path}["{key}"]'
    return f"{path}.{key}" if path else key
