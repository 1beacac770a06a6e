"""The API's line, and the rules that all its resources share."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from sandbox.google.api import Api, Call
from sandbox.google.errors import GoogleError, Violation, invalid
from sandbox.google.schema import snake

_PREFIX = "GoogleCloudAiplatformV1"


@cache
def _enums() -> dict[tuple[str, str], dict[int, str]]:
    """The names of the enums' numbers, by schema and field, from the published protocol buffers."""
    # Only Google's generated clients send numbers: without one of them nothing is imported.
    from google.cloud import aiplatform_v1

    found: dict[tuple[str, str], dict[int, str]] = {}

    def read(message: Any, name: str) -> None:
        for field in message.fields:
            if field.enum_type is not None:
                parts = field.name.split("_")
                written = parts[0] + "".join(part[:1].upper() + part[1:] for part in parts[1:])
                found[_PREFIX + name, written] = {one.number: one.name for one in field.enum_type.values}
        for below in message.nested_types:
            read(below, name + below.name)

    for kind in aiplatform_v1.__all__:
        described = getattr(getattr(aiplatform_v1, kind), "pb", None)
        if described is not None:
            read(getattr(aiplatform_v1, kind).pb().DESCRIPTOR, kind)
    return found


def _enum_name(schema: str, field: str, number: int) -> str | None:
    return _enums().get((schema, field), {}).get(number)


def _not_found(kind: str, name: str) -> str:
    return f"The {kind} does not exist."


api = Api(
    "aiplatform",
    "v1",
    "google.cloud.aiplatform.v1",
    _PREFIX,
    numbered=True,
    enum_name=_enum_name,
    not_found=_not_found,
)

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
