"""Waiting for what a controller does in its own time."""

import time
from collections.abc import Callable
from typing import TypeVar

Found = TypeVar("Found")


def eventually(attempt: Callable[[], Found], seconds: float = 30) -> Found:
    """Return the first truthy result of `attempt`; fails when there is none in time."""
    deadline = time.monotonic() + seconds
    while not (found := attempt()):
        assert time.monotonic() < deadline, f"it did not happen within {seconds} s"
        time.sleep(0.1)
    return found
