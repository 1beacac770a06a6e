"""The user's script as a process of its own: its output streamed, its time limited, its children ended."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_TAIL = 4096
_GRACE_SECONDS = 10.0


@dataclass(frozen=True)
class Ended:
    """How a script ended. `code` is negative for a signal; `tail` is the end of what it printed."""

    code: int
    timed_out: bool
    tail: str


def run(
    command: Sequence[str],
    folder: Path,
    environment: Mapping[str, str],
    timeout_seconds: float,
    inherited: Sequence[int] = (),
    started: Callable[[int], None] = lambda group: None,
) -> Ended:
    """Runs to the end, or to the time-out, when the script gets SIGTERM, ten seconds, and SIGKILL, and so does all that
    it started. Its standard output and error go to this process's standard output as they come. It gets the
    descriptors in `inherited`; `started` is told the number of its process group."""
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        pass_fds=inherited,
        start_new_session=True,  # a group of its own, so that worker processes end with it
    )
    try:
        started(process.pid)
        tail, timed_out = _stream(process, time.monotonic() + timeout_seconds)
        if timed_out:
            _signal(process, signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_GRACE_SECONDS)
    finally:
        _signal(process, signal.SIGKILL)
        code = process.wait()
    return Ended(code, timed_out, tail.decode("utf-8", "replace").strip())


def _stream(process: subprocess.Popen[bytes], deadline: float) -> tuple[bytes, bool]:
    assert process.stdout is not None
    tail = b""
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while True:
            left = deadline - time.monotonic()
            if left <= 0:
                return tail, True
            if selector.select(min(left, 0.5)):
                chunk = os.read(process.stdout.fileno(), 65536)
                if not chunk:
                    break
                sys.stdout.buffer.write(chunk)
                sys.stdout.buffer.flush()
                tail = (tail + chunk)[-_TAIL:]
            elif process.poll() is not None:
                return tail, False  # ended, and a child of it still holds the pipe
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(max(0.0, deadline - time.monotonic()))
    return tail, process.poll() is None


def _signal(process: subprocess.Popen[bytes], number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)
