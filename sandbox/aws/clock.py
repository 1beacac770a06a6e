"""The emulator's time. At speed 1 it is the wall clock; tests run it faster so that a bake time takes seconds."""

import threading
import time
from datetime import UTC, datetime


class Clock:
    """Time that runs `speed` times as fast as the wall clock from the moment the emulator started."""

    def __init__(self, speed: float = 1.0) -> None:
        self.speed = speed
        self._started = time.time()

    def time(self) -> float:
        """Now, in seconds since the epoch."""
        return self.of_wall(time.time())

    def now(self) -> datetime:
        """Now, in UTC."""
        return datetime.fromtimestamp(self.time(), UTC)

    def of_wall(self, seconds: float) -> float:
        """The emulator's time at a moment of the wall clock; what was before the start stays as it is."""
        return seconds if seconds <= self._started else self._started + (seconds - self._started) * self.speed

    def wait(self, seconds: float, until: threading.Event) -> bool:
        """Wait for `seconds` of the emulator's time; return True at once when `until` is set."""
        return until.wait(max(0.0, seconds) / self.speed)
