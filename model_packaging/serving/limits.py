"""The server's settings, all from the environment because every platform can set that."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields

from model_packaging.errors import ModelberthError


@dataclass(frozen=True)
class Limits:
    """What one request may cost and how many may wait. The environment variable is
    `MODELBERTH_` and the field's name in capitals."""

    max_body_bytes: int = 25 * 1024 * 1024
    """Largest request body; SageMaker's own limit for real-time endpoints is 25 MB, so by default
    nothing that the platform lets through is refused for its size."""

    max_rows: int = 100_000
    """Most rows in one request."""

    timeout_seconds: float = 55.0
    """Longest wait for one answer, queueing included. SageMaker gives up after 60 s; answering first
    lets the caller read the reason instead of a bare time-out."""

    workers: int = 0
    """Predictions that run at the same time; 0 means one per processor, at most four."""

    queue: int = 64
    """Requests that may wait for a worker; one more is answered 503 with Retry-After at once. 503, not 429: RFC 6585
    has 429 for one client's rate, RFC 9110 has 503 for an overloaded server, which load balancers such as Envoy take
    as the sign to try another replica."""

    batch_rows: int = 256
    """Most rows of small requests that are joined into one prediction; 1 turns joining off. Some models
    give a row's last digits differently in company, by the order in which their library sums."""

    batch_wait_milliseconds: float = 5.0
    """Longest that a small request waits for a running prediction to end, so as to be joined with others,
    while another worker is free. A server where nothing runs predicts at once."""

    inline_milliseconds: float = 2.0
    """While small predictions have been taking less than this, they run on the event loop rather than in a worker,
    which is the faster for quick models. A model that then never returns stops /ping too, so that the platform
    replaces the replica, in place of a 504. 0: always in a worker."""

    drain_delay_seconds: float = 1.0
    """After SIGTERM: how long new connections are still answered (with `Connection: close`) while
    the load balancer notices that /ping fails."""

    drain_seconds: float = 25.0
    """After the delay: how long requests in progress may take. SageMaker kills after 30 s in all."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Limits:
        """Reads every setting; ModelberthError lists all the ones that are not numbers in range."""
        values: dict[str, float] = {}
        problems: list[str] = []
        for field in fields(cls):
            variable = f"MODELBERTH_{field.name.upper()}"
            text = environment.get(variable, "").strip()
            if not text:
                continue
            kind, least = _KINDS[field.name]
            try:
                value = kind(text)
            except ValueError:
                problems.append(f'{variable} is "{text}": it must be a number ({_noun(kind)} of at least {least})')
                continue
            if not least <= value < float("inf"):
                problems.append(f"{variable} is {text}: it must be {_noun(kind)} of at least {least}")
                continue
            values[field.name] = value
        if problems:
            raise ModelberthError(*problems)
        return cls(**values)  # pyright: ignore[reportArgumentType]

    @property
    def parallel(self) -> int:
        """Number of worker threads."""
        return self.workers or min(4, os.cpu_count() or 1)


_KINDS: dict[str, tuple[type[int] | type[float], float]] = {
    "max_body_bytes": (int, 1),
    "max_rows": (int, 1),
    "timeout_seconds": (float, 0.001),
    "workers": (int, 0),
    "queue": (int, 0),
    "batch_rows": (int, 1),
    "batch_wait_milliseconds": (float, 0),
    "inline_milliseconds": (float, 0),
    "drain_delay_seconds": (float, 0),
    "drain_seconds": (float, 0),
}


def _noun(kind: type) -> str:
    return "a whole number" if kind is int else "a number"
