"""The API's line, and how filters are read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from sandbox.google.api import Api
from sandbox.google.filters import Predicate, compile_filter

api = Api("logging", "v2", "google.logging.v2")
METRICS = "projects.metrics"
SEVERITIES = {
    "DEFAULT": 0,
    "DEBUG": 100,
    "INFO": 200,
    "NOTICE": 300,
    "WARNING": 400,
    "ERROR": 500,
    "CRITICAL": 600,
    "ALERT": 700,
    "EMERGENCY": 800,
}
"""LogSeverity's names and numbers, by which a filter compares them."""
_SEVERITY = re.compile(r'\bseverity\s*(<=|>=|!=|=|<|>)\s*"?([A-Za-z]+)"?')


def select(text: str) -> Predicate:
    """What tells whether an entry passes a filter. Raises INVALID_ARGUMENT.

    Source: "Logging query language". Text without a field, and functions, are not emulated.
    """
    numbered = _SEVERITY.sub(
        lambda found: f"severity{found[1]}{SEVERITIES.get(found[2].upper(), found[2])}", text.replace("\n", " ")
    )
    passes = compile_filter(numbered)

    def of(entry: Mapping[str, Any]) -> bool:
        return passes({**entry, "severity": SEVERITIES[entry.get("severity", "DEFAULT")]})

    return of
