"""Between the provider's properties and the bodies of Google's REST APIs, led by both published descriptions.

The names are mostly the same. A list's may be a plural here that the API does not have (`lifecycleRules`, `rule`), a
block that may occur once is an object, 64-bit numbers are texts on the wire, and what has a form of its own, such as a
dashboard or a pipeline, is JSON text here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sandbox.providers import schema

Names = Mapping[str, str]
"""Properties that the API calls otherwise, with dots where they lie deeper there."""
Schemas = Mapping[str, Mapping[str, Any]]


def to_wire(value: Any, declared: schema.Type, shape: Mapping[str, Any], schemas: Schemas, names: Names) -> Any:
    """A property's value as the API takes it."""
    shape = _resolved(shape, schemas)
    kind = shape.get("type")
    if kind in ("object", "array") and isinstance(value, str):
        return json.loads(value)
    if "properties" in shape:
        if isinstance(value, list):
            value = value[0] if value else {}
            declared = declared.element or schema.Type("any")
        if not isinstance(value, dict) or declared.kind != "object":
            return value
        body: dict[str, Any] = {}
        for name, declaration in schema.members(declared).items():
            if value.get(name) is None or (steps := path(name, shape, schemas, names)) is None:
                continue
            put(body, steps, to_wire(value[name], declaration.type, at(shape, steps, schemas), schemas, names))
        return body
    element = declared.element or schema.Type("any")
    if kind == "array":
        items = value if isinstance(value, list) else [value]
        return [to_wire(item, element, shape["items"], schemas, names) for item in items]
    if kind == "object" and isinstance(value, dict) and "additionalProperties" in shape:
        below = shape["additionalProperties"]
        return {key: to_wire(item, element, below, schemas, names) for key, item in value.items()}
    if kind == "string" and not isinstance(value, str):
        return str(value).lower() if isinstance(value, bool) else str(value)
    if kind == "integer" and isinstance(value, str):
        return int(value)
    return value


def from_wire(value: Any, declared: schema.Type, shape: Mapping[str, Any], schemas: Schemas, names: Names) -> Any:
    """A value of the API as the property tells it."""
    shape = _resolved(shape, schemas)
    if declared.kind == "string" and not isinstance(value, str):
        if isinstance(value, bool):
            return str(value).lower()
        return json.dumps(value) if isinstance(value, dict | list) else str(value)
    if declared.kind == "list" and declared.element:
        items = value if isinstance(value, list) else [value]
        below = shape.get("items", shape)
        return [from_wire(item, declared.element, below, schemas, names) for item in items]
    if declared.kind == "map" and declared.element and isinstance(value, dict):
        below = shape.get("additionalProperties", {})
        return {key: from_wire(item, declared.element, below, schemas, names) for key, item in value.items()}
    if declared.kind == "object" and isinstance(value, dict):
        found: dict[str, Any] = {}
        for name, declaration in schema.members(declared).items():
            steps = path(name, shape, schemas, names)
            told = None if steps is None else look(value, steps)
            if steps is not None and told is not None:
                found[name] = from_wire(told, declaration.type, at(shape, steps, schemas), schemas, names)
        return found
    if declared.kind == "integer" and isinstance(value, str | float):
        return int(value)
    return value


def path(name: str, shape: Mapping[str, Any], schemas: Schemas, names: Names) -> list[str] | None:
    """Where a property is in a shape; None where the shape does not have it."""
    members = _resolved(shape, schemas).get("properties", {})
    singular = name[:-3] + "y" if name.endswith("ies") else name.removesuffix("s")
    for candidate in filter(None, (names.get(name), name, singular, name.removesuffix("es"))):
        steps = candidate.split(".")
        if steps[0] in members:
            return steps
    return None


def at(shape: Mapping[str, Any], steps: list[str], schemas: Schemas) -> Mapping[str, Any]:
    """The shape below a shape."""
    for step in steps:
        shape = _resolved(shape, schemas)["properties"][step]
    return shape


def put(body: dict[str, Any], steps: list[str], value: Any) -> None:
    """Set a value deep in a body."""
    for step in steps[:-1]:
        body = body.setdefault(step, {})
    body[steps[-1]] = value


def look(body: Any, steps: list[str]) -> Any:
    """A value deep in a body; None where there is none."""
    for step in steps:
        body = body.get(step) if isinstance(body, dict) else None
    return body


def with_nothing(asked: Any, told: Any) -> Any:
    """What the API tells, with what was asked to be nothing: the APIs leave out what is false, zero or empty."""
    if isinstance(asked, dict) and isinstance(told, dict):
        missing = {key: value for key, value in asked.items() if key not in told and _is_nothing(value)}
        return {key: with_nothing(asked.get(key), value) for key, value in told.items()} | missing
    if isinstance(asked, list) and isinstance(told, list) and len(asked) == len(told):
        return [with_nothing(a, b) for a, b in zip(asked, told, strict=True)]
    if told is None and _is_nothing(asked):
        return asked
    return told


def _is_nothing(value: Any) -> bool:
    if isinstance(value, dict):
        return all(_is_nothing(item) for item in value.values())
    return not value


def _resolved(shape: Mapping[str, Any], schemas: Schemas) -> Mapping[str, Any]:
    return schemas[shape["$ref"]] if "$ref" in shape else shape
