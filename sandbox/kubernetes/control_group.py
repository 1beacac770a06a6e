"""Linux control groups of either version: find, make and remove a group of our own."""

import contextlib
import os
import signal
import time
from pathlib import Path

_ROOT = Path("/sys/fs/cgroup")
_NEEDED = ("cpu", "cpuacct", "cpuset", "memory", "pids")
"""What the kubelet requires."""
_REMOVE_SECONDS = 20


def hierarchies() -> list[Path]:
    """The mounted hierarchies: one in version 2, one for each controller in version 1."""
    if (_ROOT / "cgroup.controllers").exists():
        return [_ROOT]
    return sorted(path.parent for path in _ROOT.glob("*/cgroup.procs"))


def missing_controllers() -> list[str]:
    """The controllers that a kubelet needs and this machine does not offer."""
    unified = _ROOT / "cgroup.controllers"
    if unified.exists():
        offered = set(unified.read_text().split()) | {"cpuacct"}  # version 2 counts in its cpu controller
    else:
        offered = {path.name for path in hierarchies()}
    return [name for name in _NEEDED if name not in offered]


def make(name: str) -> None:
    """Make the group in every hierarchy. OSError where that is not allowed."""
    for hierarchy in hierarchies():
        (hierarchy / name).mkdir(exist_ok=True)


def remove(name: str) -> None:
    """Kill everything in the group and the groups below, and remove them. OSError where one cannot be removed."""
    deadline = time.monotonic() + _REMOVE_SECONDS
    while groups := [hierarchy / name for hierarchy in hierarchies() if (hierarchy / name).is_dir()]:
        for group in groups:
            try:
                _remove(group)
            except OSError:
                # A killed process takes a moment to leave.
                if time.monotonic() > deadline:
                    raise
        time.sleep(0.05)


def _remove(group: Path) -> None:
    for folder, _, _ in os.walk(group, topdown=False):
        for number in (Path(folder) / "cgroup.procs").read_text().split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(number), signal.SIGKILL)
        Path(folder).rmdir()
