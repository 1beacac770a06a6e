"""The API's line, and the rules that all its resources share."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache, cached_property
from importlib import import_module
from typing import Any

from sandbox.google.api import Api, Call, Handler
from sandbox.google.discovery import Method
from sandbox.google.errors import GoogleError, Violation, invalid
from sandbox.google.schema import snake

_PREFIXES = {"v1": "GoogleCloudAiplatformV1", "v1beta1": "GoogleCloudAiplatformV1beta1"}


@cache
def _enums(version: str) -> dict[tuple[str, str], dict[int, str]]:
    """The names of the enums' numbers, by schema and field, from the published protocol buffers."""
    # Only Google's generated clients send numbers: without one of them nothing is imported.
    types = import_module(f"google.cloud.aiplatform_{version}")
    found: dict[tuple[str, str], dict[int, str]] = {}

    def read(message: Any, name: str) -> None:
        for field in message.fields:
            if field.enum_type is not None:
                parts = field.name.split("_")
                written = parts[0] + "".join(part[:1].upper() + part[1:] for part in parts[1:])
                found[_PREFIXES[version] + name, written] = {one.number: one.name for one in field.enum_type.values}
        for below in message.nested_types:
            read(below, name + below.name)

    for kind in types.__all__:
        described = getattr(getattr(types, kind), "pb", None)
        if described is not None:
            read(getattr(types, kind).pb().DESCRIPTOR, kind)
    return found


def _not_found(kind: str, name: str) -> str:
    return f"The {kind} does not exist."


class _Regional(Api):
    """An API whose resources are in regions, those that its description names."""

    @cached_property
    def locations(self) -> frozenset[str]:
        return frozenset(self.document.locations)

    def handler(self, method: Method) -> Handler | None:
        found = super().handler(method)

        def answer(call: Call) -> Any:
            assert found is not None
            location = location_of(call.name)
            if location not in self.locations | {"", "-", "global"}:
                # The text is that of Google's front end for other services; which one Vertex AI has is not published.
                raise GoogleError(
                    "PERMISSION_DENIED", f"Permission denied on 'locations/{location}' (or it may not exist)."
                )
            return found(call)

        return None if found is None else answer


def _api(version: str) -> Api:
    return _Regional(
        "aiplatform",
        version,
        f"google.cloud.aiplatform.{version}",
        _PREFIXES[version],
        numbered=True,
        enum_name=lambda schema, field, number: _enums(version).get((schema, field), {}).get(number),
        not_found=_not_found,
    )


api = _api("v1")
beta = _api("v1beta1")
"""What v1 does not have; both versions are of the same resources."""

_LABEL = re.compile(r"[^A-Z\s]{0,63}")
_KEY = re.compile(r"projects/[^/]+/locations/([^/]+)/keyRings/[^/]+/cryptoKeys/[^/]+")


def location_of(name: str) -> str:
    """The region in a resource's name."""
    found = re.search(r"/locations/([^/]+)", name)
    return found[1] if found else ""


def found_errors(violations: list[Violation]) -> GoogleError:
    """The refusal of a request whose fields are wrong, as Vertex AI words it."""
    text = "".join(f"\t{n}.Field: {path}; Message: {why}" for n, (path, why) in enumerate(violations, 1))
    return invalid(f"List of found errors:{text}\t", violations)


def check_common(call: Call, resource: Mapping[str, Any], kind: str) -> None:
    """The rules of display names, labels and keys. Sources: their fields' descriptions in the reference."""
    violations: list[Violation] = []
    at = snake(kind)
    if len(str(resource.get("displayName", ""))) > 128:
        violations.append((f"{at}.display_name", "Display name can be up to 128 characters long."))
    labels = resource.get("labels", {})
    if len(labels) > 64:
        violations.append((f"{at}.labels", "No more than 64 user labels can be associated with a resource."))
    for key, value in labels.items():
        if not key or not re.match(r"[a-z]", key) or not _LABEL.fullmatch(key) or not _LABEL.fullmatch(value):
            violations.append(
                (
                    f"{at}.labels",
                    f'The label "{key}": "{value}" is invalid: at most 63 lowercase letters, digits, "_", "-".',
                )
            )
    key_name = resource.get("encryptionSpec", {}).get("kmsKeyName")
    if key_name:
        found = _KEY.fullmatch(key_name)
        if found is None:
            violations.append((f"{at}.encryption_spec.kms_key_name", f"Invalid key name: {key_name}."))
        elif found[1] != location_of(call.name):
            violations.append(
                (
                    f"{at}.encryption_spec.kms_key_name",
                    f"The key must be in the same region as the resource: {location_of(call.name)}, not {found[1]}.",
                )
            )
    if violations:
        raise found_errors(violations)
