"""Long-running operations: they take time, outlive their caller, can be made to fail, and can be cancelled.

Source: google.longrunning.Operations (get, list, wait, cancel, delete).
"""

from __future__ import annotations

import random
import re
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sandbox.google.errors import GoogleError

if TYPE_CHECKING:
    from sandbox.google.emulator import Emulator

LONGEST_WAIT_SECONDS = 60.0


def timestamp(at: datetime) -> str:
    """A time as Google's APIs write it."""
    return at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


@dataclass
class Operation:
    """One operation. Its work may look at `cancelled` and end early."""

    name: str
    api: str
    metadata: dict[str, Any]
    response: dict[str, Any] | None = None
    error: dict[str, Any] | None = None
    cancelled: threading.Event = field(default_factory=threading.Event)
    done: threading.Event = field(default_factory=threading.Event)

    @property
    def resource(self) -> dict[str, Any]:
        """The operation as the API shows it."""
        found: dict[str, Any] = {"name": self.name, "metadata": self.metadata}
        if self.done.is_set():
            found["done"] = True
            if self.error is not None:
                found["error"] = self.error
            else:
                found["response"] = self.response
        return found


Work = Callable[[Operation], dict[str, Any]]
"""What an operation does; it gives the response, with its @type."""


class Operations:
    """All operations, by name. `seconds` is how long each takes at the least, in the emulator's time."""

    def __init__(self, emulator: Emulator) -> None:
        self.emulator = emulator
        self.seconds = 0.2
        self._all: dict[str, Operation] = {}
        self._lock = threading.Lock()

    def start(
        self,
        api: str,
        method: str,
        parent: str,
        work: Work,
        metadata: Callable[[], dict[str, Any]],
        undo: Callable[[], None] | None = None,
    ) -> Operation:
        """Begin an operation under a resource; `undo` takes back what the request began when the operation fails."""
        name = f"{parent}/operations/{random.randrange(10**17, 10**19)}".lstrip("/")
        operation = Operation(name, api, metadata())
        failure, slower = self.emulator.faults.of_operation(api, method)
        with self._lock:
            self._all[operation.name] = operation

        def run() -> None:
            try:
                self.emulator.clock.wait(operation.cancelled, self.seconds)
                if slower:
                    operation.cancelled.wait(slower)
                if operation.cancelled.is_set():
                    raise GoogleError("CANCELLED", "The operation was cancelled.")
                if failure is not None:
                    raise failure
                operation.response = work(operation)
            except GoogleError as error:
                operation.error = error.rpc
            except Exception as error:
                if not self.emulator.stopping.is_set():
                    traceback.print_exc(file=sys.stderr)
                    self.emulator.failures.append(f"{operation.name}: {error!r}")
                operation.error = GoogleError("INTERNAL", "Internal error occurred.").rpc
            if operation.error is not None and undo is not None:
                undo()
            operation.metadata = metadata()
            operation.done.set()

        threading.Thread(target=run, daemon=True, name=operation.name).start()
        return operation

    def find(self, name: str) -> Operation:
        """An operation by its name, also by its last part under the location; raises NOT_FOUND."""
        with self._lock:
            found = self._all.get(name)
            if found is None:
                location, _, number = name.rpartition("/operations/")
                found = next(
                    (
                        one
                        for key, one in self._all.items()
                        if key.startswith(f"{location}/") and key.endswith(f"/operations/{number}")
                    ),
                    None,
                )
        if found is None:
            raise GoogleError("NOT_FOUND", f"Operation {name} not found.")
        return found

    def below(self, parent: str) -> list[dict[str, Any]]:
        """The operations of a resource or of a location."""
        base = re.sub(r"/operations$", "", parent)
        with self._lock:
            return [one.resource for name, one in self._all.items() if name.startswith(f"{base}/")]

    def wait(self, name: str, seconds: float) -> Operation:
        """An operation once it is done, or after some time."""
        operation = self.find(name)
        deadline = time.monotonic() + min(seconds, LONGEST_WAIT_SECONDS)
        while not operation.done.wait(0.5) and time.monotonic() < deadline and not self.emulator.stopping.is_set():
            pass
        return operation

    def cancel(self, name: str) -> None:
        """Ask for an operation's end; what has ended stays as it is."""
        self.find(name).cancelled.set()

    def delete(self, name: str) -> None:
        """Forget an operation that is done."""
        operation = self.find(name)
        if not operation.done.is_set():
            raise GoogleError("FAILED_PRECONDITION", f"Operation {name} is not done.")
        with self._lock:
            self._all.pop(operation.name, None)
