"""Checks a request against botocore's published model: required members, enums, patterns, ranges.

botocore itself checks only required members, types and minimums on the client's side; the services also
refuse unknown enum values, broken patterns and too long or too large values. Where a pattern uses syntax
that Python's `re` does not know, it is not checked.
"""

import re
from functools import cache
from typing import Any

from botocore.model import ListShape, MapShape, Shape, StringShape, StructureShape


def problems_of(value: Any, shape: Shape, path: str = "") -> list[str]:
    """What is wrong with a request, in the services' words; empty when nothing is."""
    if value is None:
        return []
    if isinstance(shape, StructureShape) and isinstance(value, dict):
        return _structure(value, shape, path)
    if isinstance(shape, ListShape) and isinstance(value, list):
        found = _range(len(value), value, shape, path, "length")
        for index, item in enumerate(value, 1):
            found += problems_of(item, shape.member, f"{path}.{index}.member")
        return found
    if isinstance(shape, MapShape) and isinstance(value, dict):
        found = _range(len(value), value, shape, path, "length")
        for key, item in value.items():
            found += problems_of(item, shape.value, f"{path}.{key}.member")
        return found
    if isinstance(shape, StringShape) and isinstance(value, str):
        return _string(value, shape, path)
    if shape.type_name in {"integer", "long", "float", "double"} and isinstance(value, (int, float)):
        return _range(value, value, shape, path, "value")
    return []


def _structure(value: dict[str, Any], shape: StructureShape, path: str) -> list[str]:
    found: list[str] = []
    for name in shape.required_members:
        if value.get(name) is None:
            found.append(f"Value null at '{_member(path, name)}' failed to satisfy constraint: Member must not be null")
    for name, member in shape.members.items():
        if value.get(name) is not None:
            found += problems_of(value[name], member, _member(path, name))
    return found


def _string(value: str, shape: StringShape, path: str) -> list[str]:
    enum: list[str] = shape.enum
    if enum and value not in enum:
        return [
            f"Value '{value}' at '{path}' failed to satisfy constraint: "
            f"Member must satisfy enum value set: [{', '.join(enum)}]"
        ]
    found = _range(len(value), value, shape, path, "length")
    pattern = shape.metadata.get("pattern")
    compiled = _compiled(pattern) if pattern else None
    if compiled is not None and compiled.fullmatch(value) is None:
        found.append(
            f"Value '{value}' at '{path}' failed to satisfy constraint: "
            f"Member must satisfy regular expression pattern: {pattern}"
        )
    return found


def _range(size: float, value: Any, shape: Shape, path: str, what: str) -> list[str]:
    minimum, maximum = shape.metadata.get("min"), shape.metadata.get("max")
    found: list[str] = []
    prefix = f"Value '{value}' at '{path}' failed to satisfy constraint: Member must have {what} "
    if minimum is not None and size < minimum:
        found.append(f"{prefix}greater than or equal to {minimum}")
    if maximum is not None and size > maximum:
        found.append(f"{prefix}less than or equal to {maximum}")
    return found


@cache
def _compiled(pattern: str) -> re.Pattern[str] | None:
    try:
        return re.compile(pattern.replace("\\p{L}", "\\w").replace("\\p{Z}", "\\s").replace("\\p{N}", "\\d"))
    except re.error:
        return None


def _member(path: str, name: str) -> str:
    first = name[0].lower() + name[1:]
    return f"{path}.{first}" if path else first
