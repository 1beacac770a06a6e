"""Field masks. Source: google.protobuf.FieldMask, and AIP-134 for updates."""

from __future__ import annotations

import copy
from typing import Any

from sandbox.google.errors import invalid
from sandbox.google.schema import Schemas, camel


def paths_of(mask: str, schemas: Schemas, schema: str) -> list[list[str]]:
    """The mask's paths in JSON names; raises INVALID_ARGUMENT for a field that is not there."""
    found: list[list[str]] = []
    for path in filter(None, (one.strip() for one in mask.split(","))):
        steps: list[str] = []
        current: str | None = schema
        for step in path.split("."):
            # Below a map or a plain object anything may come, under its own name.
            if current is None:
                steps.append(step)
                continue
            properties = schemas.properties(current)
            name = step if step in properties else camel(step)
            if name not in properties:
                text = f"Invalid field mask path: '{path}'. The field '{step}' is not found."
                raise invalid(text, [("update_mask", text)])
            steps.append(name)
            current = properties[name].get("$ref")
        found.append(steps)
    return found


def merge(resource: dict[str, Any], given: dict[str, Any], paths: list[list[str]]) -> dict[str, Any]:
    """The resource with what the paths name taken from `given`; what is not there is cleared."""
    result = copy.deepcopy(resource)
    for steps in paths:
        source: Any = given
        target = result
        for step in steps[:-1]:
            source = source.get(step, {}) if isinstance(source, dict) else {}
            target = target.setdefault(step, {})
        if isinstance(source, dict) and steps[-1] in source:
            target[steps[-1]] = copy.deepcopy(source[steps[-1]])
        else:
            target.pop(steps[-1], None)
    return result
