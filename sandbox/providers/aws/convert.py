"""Between the provider's properties and boto3's parameters, led by both published models.

The provider writes `productionVariants[].initialInstanceCount`, AWS `InitialInstanceCount`; a block
that may occur once is an object here and may be a list there, or the reverse; plural names vary. The
SDK's types say what the properties are, botocore's shapes what the parameters are.
"""

from __future__ import annotations

import datetime
import functools
from typing import Any

from sandbox.providers import schema


def to_aws(
    values: dict[str, Any],
    properties: dict[str, schema.Property],
    shape: Any,
    renames: dict[str, str] | None = None,
    only: frozenset[str] | None = None,
) -> dict[str, Any]:
    """Parameters for a structure shape. What has no member there is left out: callers add it by hand."""
    result: dict[str, Any] = {}
    for name, value in values.items():
        if value is None or name not in properties or (only is not None and name not in only):
            continue
        member = _member(name, shape, renames or {})
        if member is not None:
            result[member] = _to_aws(value, properties[name].type, shape.members[member], renames or {})
    return result


def from_aws(
    answer: dict[str, Any],
    properties: dict[str, schema.Property],
    shape: Any,
    renames: dict[str, str] | None = None,
) -> dict[str, Any]:
    """Properties from a structure shape. Empty lists, objects and texts are left out."""
    result: dict[str, Any] = {}
    for name, declared in properties.items():
        member = _member(name, shape, renames or {})
        if member is None or answer.get(member) is None:
            continue
        value = _from_aws(answer[member], declared.type, shape.members[member], renames or {})
        if value not in (None, [], {}, ""):
            result[name] = value
    return result


def _to_aws(value: Any, declared: schema.Type, shape: Any, renames: dict[str, str]) -> Any:
    kind = shape.type_name
    if kind == "structure":
        if declared.kind == "list":
            return _to_aws(value[0], declared.element or schema.Type("any"), shape, renames) if value else {}
        if declared.kind == "object" and isinstance(value, dict):
            return to_aws(value, schema.members(declared), shape, renames)
        return value
    if kind == "list":
        if declared.kind == "list":
            element = declared.element or schema.Type("any")
            return [_to_aws(item, element, shape.member, renames) for item in value]
        if declared.kind == "map":
            # Name and value pairs: CloudWatch's dimensions.
            first, second = list(shape.member.members)[:2]
            return [{first: key, second: item} for key, item in value.items()]
        return [_to_aws(value, declared, shape.member, renames)]
    if kind in ("integer", "long"):
        return int(value)
    if kind in ("float", "double"):
        return float(value)
    if kind == "string" and not isinstance(value, str):
        return str(value).lower() if isinstance(value, bool) else str(value)
    return value


def _from_aws(value: Any, declared: schema.Type, shape: Any, renames: dict[str, str]) -> Any:
    kind = shape.type_name
    if kind == "structure":
        if declared.kind == "list":
            element = declared.element or schema.Type("any")
            return [_from_aws(value, element, shape, renames)]
        if declared.kind == "object":
            return from_aws(value, schema.members(declared), shape, renames)
        return value
    if kind == "list":
        if declared.kind == "list":
            element = declared.element or schema.Type("any")
            return [_from_aws(item, element, shape.member, renames) for item in value]
        if declared.kind == "map":
            first, second = list(shape.member.members)[:2]
            return {item[first]: item[second] for item in value}
        return _from_aws(value[0], declared, shape.member, renames) if value else None
    if isinstance(value, datetime.datetime):
        return timestamp(value)
    if declared.kind == "integer" and isinstance(value, float) and value.is_integer():
        return int(value)
    if declared.kind == "string" and not isinstance(value, str):
        return str(value)
    return value


def timestamp(value: datetime.datetime) -> str:
    """A time as AWS's APIs print it."""
    return value.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _member(name: str, shape: Any, renames: dict[str, str]) -> str | None:
    wanted = renames.get(name)
    if wanted is not None:
        return wanted if wanted in shape.members else None
    index = _index(tuple(shape.members))
    lower = name.lower()
    for candidate in (
        lower,
        lower.removesuffix("s"),
        f"{lower}s",
        f"{lower}list",
        lower.removesuffix("lists") + "list",
    ):
        if candidate in index:
            return index[candidate]
    if lower.endswith("ies"):
        return index.get(lower.removesuffix("ies") + "y")
    return None


@functools.cache
def _index(members: tuple[str, ...]) -> dict[str, str]:
    return {member.lower(): member for member in members}


def has_member(name: str, shape: Any, renames: dict[str, str] | None = None) -> bool:
    """Whether the structure shape has the property."""
    return _member(name, shape, renames or {}) is not None
