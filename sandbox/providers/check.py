"""Checking a resource's inputs against the published schema, at preview.

Every problem of a resource is reported at once, each with the path of its property.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from modelberth_provider.wire import UNKNOWN, Asset, is_unknown

from sandbox.providers import schema

DEFAULTS = "__defaults"
"""The inputs' list of the properties that the provider, not the program, filled in."""


@dataclass(frozen=True)
class Failure:
    """One thing wrong with the inputs."""

    path: str
    reason: str


@dataclass(frozen=True)
class AutoName:
    """How an unnamed resource gets its name: the logical name, a hyphen and seven hexadecimal digits."""

    property: str = "name"
    length: int = 255
    lower_case: bool = False
    prefix: str = ""
    suffix: Callable[[dict[str, Any]], str] = field(default=lambda inputs: "")


def check_object(
    values: dict[str, Any], properties: dict[str, schema.Property], where: str, failures: list[Failure]
) -> dict[str, Any]:
    """The values with their types adjusted as the official provider does; what is wrong is added to `failures`."""
    result: dict[str, Any] = {}
    for name, value in values.items():
        path = f"{where}.{name}" if where else name
        declared = properties.get(name)
        if declared is None:
            if name.startswith("__"):
                continue
            near = difflib.get_close_matches(name, properties, n=1, cutoff=0.6)
            hint = f": did you mean {near[0]}?" if near else f"; known are {', '.join(sorted(properties))}"
            failures.append(Failure(path, f'unknown property "{name}"{hint}'))
            continue
        if value is not None:
            result[name] = _check_value(value, declared.type, path, failures)
    for name, declared in properties.items():
        if declared.required and values.get(name) is None:
            path = f"{where}.{name}" if where else name
            failures.append(Failure(path, f'missing required property "{name}"'))
    return result


def _check_value(value: Any, declared: schema.Type, path: str, failures: list[Failure]) -> Any:
    if value is UNKNOWN or declared.kind == "any":
        return value
    kind = declared.kind
    if kind == "list" and isinstance(value, list):
        element = declared.element or schema.Type("any")
        return [
            item if item is None else _check_value(item, element, f"{path}[{index}]", failures)
            for index, item in enumerate(value)
        ]
    if kind == "map" and isinstance(value, dict):
        element = declared.element or schema.Type("any")
        return {
            key: _check_value(item, element, f"{path}.{key}", failures)
            for key, item in value.items()
            if item is not None and not key.startswith("__")
        }
    if kind == "object" and isinstance(value, dict):
        return check_object(value, schema.members(declared), path, failures)
    if kind == "asset" and isinstance(value, Asset):
        return value
    if kind == "json" and isinstance(value, dict | list):
        # A policy given as an object: the API takes text.
        return UNKNOWN if is_unknown(value) else json.dumps(value, separators=(",", ":"))
    scalar = _scalar(value, kind)
    if scalar is None:
        expected = {"list": "a list", "map": "a map", "object": "an object", "asset": "an asset or archive"}
        article = {"integer": "a whole number", "number": "a number", "boolean": "true or false"}
        wanted = expected.get(kind) or article.get(kind) or "a text"
        failures.append(Failure(path, f"expected {wanted}, got {_describe(value)}"))
        return value
    return scalar


def _scalar(value: Any, kind: str) -> Any:
    """The value as the kind of scalar, where the official provider would convert it, or None."""
    if kind in ("string", "json"):
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, str | int | float):
            return str(value)
        return None
    if kind == "boolean":
        return value if isinstance(value, bool) else {"true": True, "false": False}.get(value)
    if kind in ("integer", "number"):
        if isinstance(value, bool):
            return None
        if isinstance(value, str):
            try:
                value = float(value)
            except ValueError:
                return None
        if isinstance(value, int | float) and (kind == "number" or float(value).is_integer()):
            return int(value) if float(value).is_integer() else value
    return None


def _describe(value: Any) -> str:
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, Asset):
        return "an asset"
    return json.dumps(value)


def parsed(value: Any) -> Any:
    """A configuration value: nested ones arrive as JSON text."""
    if isinstance(value, str) and value[:1] in "[{":
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


def name_suffix(seed: bytes, name: str) -> str:
    """Seven hexadecimal digits: the same for a seed, so that a preview shows what the update will make."""
    if not seed:
        return secrets.token_hex(4)[:7]
    return hashlib.sha256(seed + name.encode()).hexdigest()[:7]


def auto_name(rule: AutoName, logical_name: str, seed: bytes, inputs: dict[str, Any]) -> str:
    """The name for an unnamed resource. Raises ValueError when the logical name is too long for the service."""
    suffix = rule.suffix(inputs)
    base = f"{rule.prefix}{logical_name}"
    if rule.lower_case:
        base = base.lower()
    name = f"{base}-{name_suffix(seed, logical_name)}{suffix}"
    if len(name) > rule.length:
        raise ValueError(
            f'the generated name "{name}" has {len(name)} characters, of which {rule.length} are allowed: '
            f"shorten the resource's name or give {rule.property}"
        )
    return name
