"""What differs between two sets of inputs, as the engine shows it: a path for every leaf."""

from __future__ import annotations

import json
from typing import Any

from modelberth_provider.wire import UNKNOWN, Asset


def canonical_json(text: str) -> Any:
    """JSON text as a value to compare, or the text itself when it is not JSON."""
    try:
        return json.loads(text)
    except ValueError:
        return text


# Parts of a policy in which one item and a list of it mean the same, and order means nothing.
_POLICY_LISTS = frozenset({"Action", "NotAction", "Resource", "NotResource", "AWS", "Service", "Federated"})


def canonical_policy(text: str) -> Any:
    """A policy as a value to compare: order and single-item lists as IAM treats them."""
    value = canonical_json(text)
    return _canonical_policy(value) if isinstance(value, dict) else value


def _canonical_policy(value: Any, key: str = "", inside_condition: bool = False) -> Any:
    if isinstance(value, dict):
        condition = inside_condition or key == "Condition"
        result = {name: _canonical_policy(item, name, condition) for name, item in value.items()}
        if key in ("Principal", "NotPrincipal") and result == {"AWS": ["*"]}:
            return "*"
        return result
    if key == "Statement" and not inside_condition:
        statements = value if isinstance(value, list) else [value]
        return [_canonical_policy(item) for item in statements]
    if inside_condition or key in _POLICY_LISTS:
        items = value if isinstance(value, list) else [value]
        return sorted(str(item).lower() if isinstance(item, bool) else str(item) for item in items)
    if isinstance(value, list):
        return [_canonical_policy(item) for item in value]
    return value


def same(old: Any, new: Any) -> bool:
    """Whether two values are the same to the provider."""
    if new is UNKNOWN or old is UNKNOWN:
        return False
    if isinstance(old, Asset) and isinstance(new, Asset):
        return old.hash == new.hash and old.signature == new.signature
    if isinstance(old, dict) and isinstance(new, dict):
        keys = {key for key in old.keys() | new.keys() if not key.startswith("__")}
        return all(same(old.get(key), new.get(key)) for key in keys)
    if isinstance(old, list) and isinstance(new, list):
        return len(old) == len(new) and all(same(a, b) for a, b in zip(old, new, strict=True))
    if isinstance(old, bool) != isinstance(new, bool):
        return False
    return old == new


def same_unordered(old: Any, new: Any) -> bool:
    """Whether two lists hold the same items in any order."""
    if not isinstance(old, list) or not isinstance(new, list) or len(old) != len(new):
        return same(old, new)
    rest = list(new)
    for item in old:
        match = next((index for index, other in enumerate(rest) if same(item, other)), None)
        if match is None:
            return False
        del rest[match]
    return True


def leaves(old: Any, new: Any, path: str) -> dict[str, str]:
    """The paths that differ, with "add", "delete" or "update"."""
    if same(old, new):
        return {}
    if old is None:
        return {path: "add"}
    if new is None:
        return {path: "delete"}
    found: dict[str, str] = {}
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(k for k in old.keys() | new.keys() if not k.startswith("__")):
            step = f"{path}.{key}" if key.replace("_", "").isalnum() else f'{path}["{key}"]'
            found |= leaves(old.get(key), new.get(key), step)
        return found
    if isinstance(old, list) and isinstance(new, list):
        for index in range(max(len(old), len(new))):
            before = old[index] if index < len(old) else None
            after = new[index] if index < len(new) else None
            found |= leaves(before, after, f"{path}[{index}]")
        return found
    return {path: "update"}


def project(inputs: Any, actual: Any) -> Any:
    """The inputs as they would read today: only what they named, with the values really there.

    So a refresh shows drift in what the program set, and not what the service filled in beside it.
    """
    if isinstance(inputs, dict) and isinstance(actual, dict):
        result = {key: project(value, actual[key]) for key, value in inputs.items() if actual.get(key) is not None}
        # What reads as nothing is the same as having been set to nothing.
        return result | {key: value for key, value in inputs.items() if actual.get(key) is None and not value}
    if isinstance(inputs, list) and isinstance(actual, list):
        if same_unordered(inputs, actual):
            return inputs
        if len(inputs) == len(actual):
            return [project(a, b) for a, b in zip(inputs, actual, strict=True)]
    return actual
