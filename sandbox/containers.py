"""The process runtime: a container is a process of its image's program, in a folder of its own.

There is no container daemon: an image reference is looked up in the emulated registry, and what is found there
tells which program to run on this machine.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

_LAUNCHER = Path(__file__).with_name("launch.py")
_PASSED_ON = ("PATH", "HOME", "LANG", "TMPDIR", "LD_LIBRARY_PATH", "VIRTUAL_ENV", "PYTHONPATH")


def free_port() -> int:
    """A loopback port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Container:
    """One running (or ended) program."""

    name: str
    folder: Path
    process: subprocess.Popen[bytes]
    on_line: Callable[[str], None]
    tail: list[str] = field(default_factory=list)
    _reader: threading.Thread | None = None

    @property
    def running(self) -> bool:
        return self.process.poll() is None

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the program's end and for the last of its output; gives the exit code."""
        code = self.process.wait(timeout)
        if self._reader is not None:
            self._reader.join(5)
        return code

    def terminate(self) -> None:
        """Ask the program to end (SIGTERM), and leave it the time it needs."""
        if self.process.stdin is not None:
            with contextlib.suppress(BrokenPipeError, ValueError):
                self.process.stdin.write(b"t")
                self.process.stdin.flush()

    def stop(self) -> None:
        """End the program and all that it started: first politely, after three seconds by force."""
        if self.process.stdin is not None and not self.process.stdin.closed:
            self.process.stdin.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
        if self._reader is not None:
            self._reader.join(5)

    def kill(self) -> None:
        """End the program at once, as a machine's failure would."""
        for child in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(child.pid, signal.SIGKILL)

    def processes(self) -> list[psutil.Process]:
        """The program's processes, without the launcher."""
        try:
            return psutil.Process(self.process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []

    def _read(self) -> None:
        assert self.process.stdout is not None
        for raw in self.process.stdout:
            line = raw.decode("utf-8", "replace").rstrip("\n")
            self.tail = [*self.tail[-19:], line]
            try:
                self.on_line(line)
            except Exception:
                # A program whose output nobody reads would block: a line that cannot be logged is passed over.
                traceback.print_exc(file=sys.stderr)

    def follow(self) -> None:
        """Start to pass the program's output on."""
        self._reader = threading.Thread(target=self._read, daemon=True, name=f"log {self.name}")
        self._reader.start()


class Images:
    """Which program an image runs, by its digest in the emulated registry or by its reference."""

    def __init__(self) -> None:
        self._programs: dict[str, list[str]] = {}
        self._by_reference: dict[str, list[str]] = {}

    def add(self, digest: str, program: Sequence[str]) -> None:
        self._programs[digest] = list(program)

    def add_reference(self, reference: str, program: Sequence[str]) -> None:
        self._by_reference[reference] = list(program)

    def program(self, reference: str, digest: str | None) -> list[str] | None:
        """The program of an image, or None where the sandbox cannot run it."""
        if reference in self._by_reference:
            return self._by_reference[reference]
        return self._programs.get(digest or "")


PROJECT_PROGRAM = [sys.executable, "-m", "model_packaging"]
"""The ENTRYPOINT of the project's own image (`modelberth`), run from the current environment."""


def resolve_entrypoint(entrypoint: Sequence[str] | None, image_program: Sequence[str]) -> list[str]:
    """The command of a ContainerEntrypoint; the project's command is the current environment's."""
    if not entrypoint:
        return list(image_program)
    if entrypoint[0] == "modelberth":
        return [*PROJECT_PROGRAM, *entrypoint[1:]]
    if entrypoint[0] in {"python", "python3"}:
        return [sys.executable, *entrypoint[1:]]
    return list(entrypoint)


class ProcessRuntime:
    """Starts containers and knows those that run."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self.folder = folder
        self._environment = dict(environment)
        self._all: dict[int, Container] = {}
        self._lock = threading.Lock()
        self._closed = False

    def new_folder(self, name: str) -> Path:
        """An empty folder for a container."""
        safe = re.sub(r"[^A-Za-z0-9._-]", "_", name)
        with self._lock:
            count = 1
            while (path := self.folder / (safe if count == 1 else f"{safe}-{count}")).exists():
                count += 1
            path.mkdir(parents=True)
        return path

    def start(
        self,
        name: str,
        command: Sequence[str],
        folder: Path,
        environment: Mapping[str, str],
        on_line: Callable[[str], None],
    ) -> Container:
        """Start a program in its folder, with only what a container would see of the environment."""
        variables = {key: os.environ[key] for key in _PASSED_ON if key in os.environ}
        variables.update(self._environment)
        variables.update(environment)
        variables["PYTHONUNBUFFERED"] = "1"
        with self._lock:
            if self._closed:
                raise RuntimeError("the emulator is stopping")
            process = subprocess.Popen(
                [sys.executable, "-I", "-S", str(_LAUNCHER), *command],
                cwd=folder,
                env=variables,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
            )
            container = Container(name, folder, process, on_line)
            self._all = {pid: one for pid, one in self._all.items() if one.running}
            self._all[process.pid] = container
        container.follow()
        return container

    def running(self) -> list[Container]:
        with self._lock:
            return [container for container in self._all.values() if container.running]

    def stop_all(self) -> None:
        """End every container; no further one is started."""
        with self._lock:
            self._closed = True
            containers = [one for one in self._all.values() if one.running]
        threads = [threading.Thread(target=container.stop) for container in containers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
