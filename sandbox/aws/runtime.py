"""What the emulated services share: the clock, the account, where files go, and how they are added to moto."""

import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .clock import Clock

ACCOUNT = "123456789012"
AdminRoute = Callable[[dict[str, Any]], Any]


@dataclass
class Runtime:
    """One running emulator.

    Attributes:
        clock: The emulator's time.
        work: The folder for containers' files.
        version: The version of the project's own image.
        url: Where the emulator listens, for containers' environment; set once the port is bound.
        stopping: Set when the emulator stops; every background thread ends then.
        admin: Handlers of `/_sandbox/<name>`: from the request's JSON body ({} for GET) to a JSON answer.
        on_stop: Called once, in reverse order, when the emulator stops.
    """

    clock: Clock
    work: Path
    version: str
    url: str = ""
    instance_id: str = field(default_factory=lambda: uuid.uuid4().hex)
    stopping: threading.Event = field(default_factory=threading.Event)
    admin: dict[str, AdminRoute] = field(default_factory=dict)
    on_stop: list[Callable[[], None]] = field(default_factory=list)

    def background(self, name: str, function: Callable[[], None]) -> threading.Thread:
        """Run `function` in a daemon thread; it must return soon after `stopping` is set."""
        thread = threading.Thread(target=function, name=name, daemon=True)
        thread.start()
        return thread


def override(target: type, *, name: str | None = None) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Put a function in the place of a method of one of moto's classes, or add it."""

    def install(function: Callable[..., Any]) -> Callable[..., Any]:
        setattr(target, name or function.__name__, function)
        return function

    return install
