"""The control plane's time: alarm periods, bake times and schedules may run faster than the wall clock."""

import threading
import time
from datetime import UTC, datetime


class Clock:
    """Starts at the wall clock's time and runs `speed` times as fast."""

    def __init__(self, speed: float = 1.0) -> None:
        self.speed = speed
        self._start = time.time()
        self._start_monotonic = time.monotonic()

    def time(self) -> float:
        """Seconds since the epoch, in this clock's time."""
        return self._start + (time.monotonic() - self._start_monotonic) * self.speed

    def now(self) -> datetime:
        """The time as an aware UTC datetime."""
        return datetime.fromtimestamp(self.time(), UTC)

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """Wait `seconds` of this clock's time, or until the event is set; tells whether it is set."""
        return event.wait(max(0.0, seconds) / self.speed)
