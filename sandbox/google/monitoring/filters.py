"""Monitoring filters: which time series a request or a condition is about.

Source: "Monitoring filters" (the objects project, group, resource, metric and metadata; labels by `labels.` or
`label.`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from sandbox.google.errors import invalid
from sandbox.google.filters import Predicate, compile_filter

_TEXT = r'"(?:[^"\\]|\\.)*"'
_FIELD = re.compile(
    r"project|group\.id|metric\.type|resource\.type|(?:metric|resource)\.labels\.[\w.\"]+"
    r"|metadata\.(?:user_labels|system_labels)\..+"
)
_COMPARED = re.compile(r"([A-Za-z_][\w.]*)\s*(?:!=|=|:|<=|>=|<|>)")


@dataclass(frozen=True)
class Selection:
    """What a filter selects. The types are those that it names outright; None where it does not."""

    passes: Predicate
    metric_type: str | None
    resource_type: str | None


def select(text: str) -> Selection:
    """Read a filter. Raises INVALID_ARGUMENT for a malformed one and for a field that series do not have."""
    written = re.sub(r"\b(metric|resource)\.label\.", r"\1.labels.", text)
    bare = re.sub(_TEXT, lambda found: '"' + "x" * (len(found[0]) - 2) + '"', written)
    for field in _COMPARED.findall(bare):
        if not _FIELD.fullmatch(field):
            raise invalid(f'The supplied filter has an invalid field "{field}": {text}', [("filter", field)])
    return Selection(compile_filter(written), _equal(written, "metric.type"), _equal(written, "resource.type"))


def _equal(text: str, field: str) -> str | None:
    found = re.search(rf'\b{re.escape(field)}\s*=\s*(?:"([^"]+)"|([^\s()"]+))', text)
    return (found[1] or found[2]) if found else None
