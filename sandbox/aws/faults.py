"""Failures on demand: an error, a throttle or a delay for the next calls of an operation."""

import threading
import time
from dataclasses import dataclass
from typing import Any

from sandbox.aws.api import ApiError

KINDS = ("error", "throttle", "delay")


@dataclass
class Fault:
    """What the next `times` calls meet. An empty service or operation stands for any."""

    service: str
    operation: str
    kind: str
    times: int = 1
    code: str = ""
    seconds: float = 0.0


class Faults:
    """The faults that wait for their calls."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._lock = threading.Lock()

    def add(self, given: dict[str, Any]) -> None:
        unknown = sorted(set(given) - set(Fault.__dataclass_fields__))
        if unknown or given.get("kind") not in KINDS:
            raise ValueError(f"a fault has {', '.join(Fault.__dataclass_fields__)}; kind is one of {', '.join(KINDS)}")
        fault = Fault(
            service=str(given.get("service") or ""),
            operation=str(given.get("operation") or ""),
            kind=str(given["kind"]),
            times=int(given.get("times") or 1),
            code=str(given.get("code") or ""),
            seconds=float(given.get("seconds") or 0),
        )
        with self._lock:
            self._faults.append(fault)

    def meet(self, service: str, name: str) -> None:
        """Let a call meet its fault, if one waits: wait, or raise the error."""
        with self._lock:
            for fault in self._faults:
                if fault.service in ("", service) and fault.operation in ("", name):
                    fault.times -= 1
                    if fault.times <= 0:
                        self._faults.remove(fault)
                    break
            else:
                return
        if fault.kind == "delay":
            time.sleep(fault.seconds)
        elif fault.kind == "throttle":
            raise ApiError(fault.code or "ThrottlingException", "Rate exceeded", 400)
        else:
            raise ApiError(fault.code or "InternalFailure", "An injected fault of the sandbox", 500)
