"""The API's line, and the rules that several of its resources share."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from sandbox.google.api import Api, Call
from sandbox.google.errors import GoogleError, invalid

api = Api("monitoring", "v3", "google.monitoring.v3")
CHANNELS = "projects.notificationChannels"
POLICIES = "projects.alertPolicies"

_LABEL_KEY = re.compile(r"[a-z][a-z0-9_-]*")
_LABEL_VALUE = re.compile(r"[a-z0-9_-]*")


def refuse(field: str, value: object, why: str) -> GoogleError:
    """The refusal of a field's value, in Cloud Monitoring's words."""
    text = f'Field {field} had an invalid value of "{value}": {why}'
    return invalid(text, [(field, text)])


def check_user_labels(at: str, labels: Mapping[str, str]) -> None:
    """Refuse labels against the rules that the fields `userLabels` describe."""
    if len(labels) > 64:
        raise refuse(f"{at}.user_labels", len(labels), "at most 64 entries are allowed.")
    for key, value in labels.items():
        if not _LABEL_KEY.fullmatch(key) or not _LABEL_VALUE.fullmatch(value) or max(len(key), len(value)) > 63:
            raise refuse(
                f"{at}.user_labels",
                f"{key}: {value}",
                "keys and values have at most 63 lowercase letters, digits, underscores and dashes; a key begins with "
                "a letter.",
            )


def mutation(call: Call) -> dict[str, Any]:
    """A MutationRecord of now."""
    return {"mutateTime": call.now, "mutatedBy": "user@example.com"}


def seconds(duration: str | None) -> float:
    """A Duration in seconds; 0 where there is none."""
    return float((duration or "0s").removesuffix("s"))
