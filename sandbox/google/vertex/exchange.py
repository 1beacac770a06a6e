"""What is told of a request to a deployed model, and to whom."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sandbox.google.api import Call, Resource


@dataclass(frozen=True)
class Exchange:
    """One request to a deployed model and what came of it: `status` and `answer` are the container's.

    `raw` tells a raw prediction, whose body Vertex AI passes on unread.
    """

    call: Call
    endpoint: Resource
    deployed: Resource
    raw: bool
    request: bytes
    answer: bytes
    status: int
    model_seconds: float
    total_seconds: float


LISTENERS: list[Callable[[Exchange], None]] = []
"""What is told of each request."""
