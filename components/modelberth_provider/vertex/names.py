"""Names of Vertex AI's resources, and what is allowed in them.

Source: Vertex AI REST reference, v1, projects.locations.models and projects.locations.endpoints.
"""

from __future__ import annotations

import re
from typing import Any

from modelberth_provider.google import Json, Settings
from modelberth_provider.resource import Refused
from modelberth_provider.wire import UNKNOWN

LABEL = re.compile(r"[\w-]{0,63}")
"""A label's value; a key is not empty besides. Lower case only, which `\\w` alone does not say."""
_MOST_LABELS = 64
_MODEL = re.compile(r"projects/[^/@]+/locations/[^/@]+/models/[^/@]+")
_VERSIONED = re.compile(_MODEL.pattern + r"(@[^/@]+)?")
_ENDPOINT = re.compile(r"projects/[^/]+/locations/[^/]+/endpoints/[^/]+")
_KEY = re.compile(r"projects/[^/]+/locations/[^/]+/keyRings/[^/]+/cryptoKeys/[^/]+")


def placed(inputs: Json, settings: Settings) -> Json:
    """Inputs with the project and the location that the provider is configured with, where they name none."""
    given = {"project": settings.project, "location": settings.location}
    return {name: value for name, value in given.items() if value} | inputs


def check_place(inputs: Json) -> dict[str, str]:
    """What is wrong with the project and the location."""
    return {
        name: f"is missing: set it here, or modelberth:{name} in the stack's configuration, or {variable}"
        for name, variable in (("project", "GOOGLE_CLOUD_PROJECT"), ("location", "GOOGLE_CLOUD_REGION"))
        if not inputs.get(name)
    }


def check_labels(labels: Any) -> dict[str, str]:
    """What is wrong with labels, by their path."""
    problems: dict[str, str] = {}
    if not isinstance(labels, dict):
        return problems
    known: Json = {**labels}
    for key, value in known.items():
        path = f'labels["{key}"]'
        if not key or not LABEL.fullmatch(key) or key != key.lower():
            problems[path] = f"{key!r} is no label's key: 1 to 63 lower case letters, digits, _ or -"
        elif value is not UNKNOWN and (not LABEL.fullmatch(value) or value != value.lower()):
            problems[path] = f"{value!r} is no label's value: up to 63 lower case letters, digits, _ or -"
    if len(known) > _MOST_LABELS:
        problems["labels"] = f"{len(known)} labels are more than the {_MOST_LABELS} that Vertex AI takes"
    return problems


def check_model(value: Any) -> str:
    """What is wrong with a model's name without a version, or nothing."""
    return _wrong(value, _MODEL, "projects/<project>/locations/<location>/models/<model>")


def check_versioned_model(value: Any) -> str:
    """What is wrong with a model's name with or without a version, or nothing."""
    return _wrong(value, _VERSIONED, "projects/<project>/locations/<location>/models/<model>@<version>")


def check_key(value: Any) -> str:
    """What is wrong with a Cloud KMS key's name, or nothing."""
    return _wrong(value, _KEY, "projects/<project>/locations/<location>/keyRings/<ring>/cryptoKeys/<key>")


def endpoint_name(value: str, project: str, location: str) -> str:
    """An endpoint's whole name. Refused if `value` is neither that nor its last part."""
    if "/" not in value:
        return f"projects/{project}/locations/{location}/endpoints/{value}"
    if not _ENDPOINT.fullmatch(value):
        raise Refused(f"{value!r} is no endpoint: write projects/<project>/locations/<location>/endpoints/<endpoint>")
    return value


def _wrong(value: Any, form: re.Pattern[str], shape: str) -> str:
    if not isinstance(value, str) or form.fullmatch(value):
        return ""
    return f"{value!r} is no such name: write {shape}"
