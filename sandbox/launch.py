"""Runs one container's program and ends it, with everything it started, when the emulator is gone.

Usage: python -I -S launch.py <command> [argument …], with the emulator holding the other end of stdin. A byte on it
asks the program to end (SIGTERM). The end of stdin means that the emulator has stopped or died, however that came
about. Exits with the program's own exit code, or 128 + the signal that ended it.
"""

import contextlib
import os
import select
import signal
import subprocess
import sys
import time

GRACE_SECONDS = 3.0


def main() -> int:
    """Start the program in a process group of its own and wait for it or for the emulator's end."""
    signal.signal(signal.SIGTERM, lambda *_: None)  # stopping comes through stdin
    try:
        child = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, start_new_session=True)
    except OSError as error:
        print(f"cannot start the container's program: {error}", file=sys.stderr)
        return 127
    while child.poll() is None:
        readable, _, _ = select.select([sys.stdin], [], [], 0.05)
        if readable:
            if not os.read(sys.stdin.fileno(), 1):
                break
            # To the program alone, as a container's first process gets it.
            child.send_signal(signal.SIGTERM)
    code = child.poll()
    _signal(child.pid, signal.SIGTERM)
    deadline = time.monotonic() + GRACE_SECONDS
    while code is None and time.monotonic() < deadline:
        time.sleep(0.02)
        code = child.poll()
    _signal(child.pid, signal.SIGKILL)
    code = child.wait()
    return code if code >= 0 else 128 - code


def _signal(group: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, number)


sys.exit(main())
