"""Failures on demand, quotas, missing permissions and services that are not enabled.

Sources: "Cloud APIs, Errors" (ErrorInfo's RATE_LIMIT_EXCEEDED, IAM_PERMISSION_DENIED, SERVICE_DISABLED).
"""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from sandbox.google.errors import HTTP_STATUS, GoogleError

KINDS = ("error", "throttle", "delay", "operation", "slow_operation", "drop")


@dataclass
class Fault:
    """What the next `times` calls meet. An empty service or operation stands for any.

    `operation` is a method, such as `projects.locations.models.upload`, or its end. `error` answers with the code,
    a name of google.rpc.Code; `operation` lets the long-running operation that the call starts end with it;
    `slow_operation` lets it take so many seconds more; `drop` does the work and closes the connection unanswered.
    """

    service: str
    operation: str
    kind: str
    times: int = 1
    code: str = ""
    seconds: float = 0.0
    message: str = ""

    def fits(self, service: str, method: str) -> bool:
        return self.service in ("", service) and (
            not self.operation or method == self.operation or method.endswith("." + self.operation)
        )

    def error(self) -> GoogleError:
        """The error of `error` and `operation`."""
        default = "INTERNAL" if self.kind == "operation" else "UNAVAILABLE"
        return GoogleError(self.code or default, self.message or "An injected fault of the sandbox.")


@dataclass
class Quota:
    """A limit of calls to a method within 60 seconds."""

    service: str
    operation: str
    limit: int
    calls: deque[float] = field(default_factory=deque)


class Faults:
    """The faults that wait for their calls, and the limits."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._quotas: list[Quota] = []
        self._lock = threading.Lock()
        self.denied: set[str] = set()

    def add(self, given: dict[str, Any]) -> None:
        """Add a fault from its JSON form; raises ValueError."""
        unknown = sorted(set(given) - set(Fault.__dataclass_fields__))
        if unknown or given.get("kind") not in KINDS:
            raise ValueError(f"a fault has {', '.join(Fault.__dataclass_fields__)}; kind is one of {', '.join(KINDS)}")
        if given.get("code") and given["code"] not in HTTP_STATUS:
            raise ValueError(f"code is one of {', '.join(HTTP_STATUS)}")
        text = {key: str(given.get(key) or "") for key in ("service", "operation", "kind", "code", "message")}
        fault = Fault(times=int(given.get("times") or 1), seconds=float(given.get("seconds") or 0), **text)
        with self._lock:
            self._faults.append(fault)

    def limit(self, given: dict[str, Any]) -> None:
        """Allow so many calls a minute to an operation of a service."""
        with self._lock:
            self._quotas.append(Quota(str(given["service"]), str(given["operation"]), int(given["limit"])))

    def _take(self, service: str, method: str, kinds: tuple[str, ...]) -> Fault | None:
        with self._lock:
            for fault in self._faults:
                if fault.kind in kinds and fault.fits(service, method):
                    fault.times -= 1
                    if fault.times <= 0:
                        self._faults.remove(fault)
                    return fault
        return None

    def meet(self, service: str, method: str) -> None:
        """Let a call meet its fault, if one waits: wait, or raise the error."""
        self._count(service, method)
        fault = self._take(service, method, ("error", "throttle", "delay"))
        if fault is None:
            return
        if fault.kind == "delay":
            time.sleep(fault.seconds)
        elif fault.kind == "throttle":
            raise _exceeded(service, method)
        else:
            raise fault.error()

    def of_operation(self, service: str, method: str) -> tuple[GoogleError | None, float]:
        """How the operation that a call starts is to fail, and how much longer it takes."""
        fault = self._take(service, method, ("operation",))
        slow = self._take(service, method, ("slow_operation",))
        return (fault.error() if fault else None), (slow.seconds if slow else 0.0)

    def drops(self, service: str, method: str) -> bool:
        """Whether the call's answer gets lost."""
        return self._take(service, method, ("drop",)) is not None

    def _count(self, service: str, method: str) -> None:
        now = time.monotonic()
        with self._lock:
            for quota in self._quotas:
                if quota.service == service and (method == quota.operation or method.endswith("." + quota.operation)):
                    while quota.calls and quota.calls[0] < now - 60:
                        quota.calls.popleft()
                    if len(quota.calls) >= quota.limit:
                        raise _exceeded(service, method)
                    quota.calls.append(now)


def _exceeded(service: str, method: str) -> GoogleError:
    text = (
        f"Quota exceeded for quota metric '{method.rpartition('.')[2]} requests' and limit "
        f"'{method.rpartition('.')[2]} requests per minute' of service '{service}.googleapis.com'."
    )
    detail = {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": "RATE_LIMIT_EXCEEDED",
        "domain": "googleapis.com",
        "metadata": {"service": f"{service}.googleapis.com", "quota_location": "global"},
    }
    return GoogleError("RESOURCE_EXHAUSTED", text, [detail], reason="rateLimitExceeded")
