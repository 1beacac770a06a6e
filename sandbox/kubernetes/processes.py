"""Programs that run in the background, outlive the command that started them, and are remembered in a folder."""

import contextlib
import json
import os
import random
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import psutil

from model_packaging.errors import ModelberthError

_STOP_SECONDS = 40
# Below what the kernel hands out to outgoing connections, and below Kubernetes' own node ports, so that a port is
# still free after a restart.
_PORTS = range(20000, 29999)
_CHILDREN: dict[int, subprocess.Popen[bytes]] = {}
"""What this very process started: its end has to be collected here."""


class Processes:
    """The background processes that belong to one folder: another instance for the same folder finds them again."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        (folder / "logs").mkdir(parents=True, exist_ok=True)
        (folder / "processes").mkdir(exist_ok=True)

    def start(self, name: str, command: Sequence[str | Path], environment: Mapping[str, str] | None = None) -> bool:
        """Start `command` unless the process `name` runs; tells whether it was started now."""
        if self.find(name) is not None:
            return False
        with self.log(name).open("wb") as log:
            process = subprocess.Popen(
                [str(part) for part in command],
                cwd=self._folder,
                env=os.environ | environment if environment else None,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        _CHILDREN[process.pid] = process
        with contextlib.suppress(psutil.NoSuchProcess):
            created = psutil.Process(process.pid).create_time()
            self._record(name).write_text(json.dumps({"pid": process.pid, "created": created}))
        return True

    def find(self, name: str) -> psutil.Process | None:
        """Return the process, if it runs."""
        record = self._record(name)
        if not record.is_file():
            return None
        known = json.loads(record.read_text())
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(known["pid"])
            # A process number is used again; with the time of its start it is unique.
            if process.create_time() == known["created"] and process.status() != psutil.STATUS_ZOMBIE:
                return process
        return None

    def names(self) -> list[str]:
        """The processes that were started and not stopped, whether they still run or not."""
        return sorted(path.stem for path in (self._folder / "processes").glob("*.json"))

    def crashed(self) -> list[str]:
        """What to tell about each process that has ended by itself."""
        return [self.explain(name) for name in self.names() if self.find(name) is None]

    def explain(self, name: str) -> str:
        """A text with the end of what the process wrote."""
        log = self.log(name)
        lines = log.read_text(errors="replace").strip().splitlines()[-12:] if log.exists() else []
        return f"{name} has ended by itself; the end of {log}:\n" + "\n".join(lines)

    def log(self, name: str) -> Path:
        """The file with what the process writes."""
        return self._folder / "logs" / f"{name}.log"

    def wait(self, name: str, ready: Callable[[], bool], seconds: float) -> None:
        """Wait until `ready` says so.

        Raises:
            ModelberthError: the process ended before, or it took longer than `seconds`; with the end of its log.
        """
        deadline = time.monotonic() + seconds
        while not ready():
            if self.find(name) is None:
                raise ModelberthError(self.explain(name))
            if time.monotonic() > deadline:
                text = self.explain(name).replace("has ended by itself", f"was not ready within {seconds:.0f} s")
                raise ModelberthError(text)
            time.sleep(0.05)

    def stop(self, name: str) -> bool:
        """End the process; tells whether it ran.

        Raises:
            ModelberthError: it does not end, even when killed.
        """
        process = self.find(name)
        if process is not None:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.terminate()
                if not self._ends(name, _STOP_SECONDS):
                    process.kill()
                    if not self._ends(name, 5):
                        raise ModelberthError(f"the process {name} ({process.pid}) does not end")
            if (child := _CHILDREN.pop(process.pid, None)) is not None:
                child.wait(_STOP_SECONDS)
        self._record(name).unlink(missing_ok=True)
        return process is not None

    def _ends(self, name: str, seconds: float) -> bool:
        # One that has ended and is not yet collected by its parent, which may be slow, counts as ended.
        deadline = time.monotonic() + seconds
        while self.find(name) is not None:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        return True

    def memory_bytes(self) -> dict[str, int]:
        """The resident memory of each running process."""
        running = {name: self.find(name) for name in self.names()}
        return {name: process.memory_info().rss for name, process in running.items() if process is not None}

    def _record(self, name: str) -> Path:
        return self._folder / "processes" / f"{name}.json"


LOOPBACK = "127.0.0.1"
_USUAL = {"kube-apiserver": 6443, "object-store": 9000, "prometheus": 9090, "pushgateway": 9091}
"""Their ports on an address that nothing else uses."""


def stable_ports(file: Path, names: Sequence[str], address: str) -> dict[str, int]:
    """Return a port for each name: the one that `file` remembers, else a free one, which is written there.

    On the cluster's own address that is the usual one: network policies see a server's port, not its Service's.
    """
    known: dict[str, int] = json.loads(file.read_text()) if file.is_file() else {}
    for name in names:
        usual = _USUAL.get(name) if address != LOOPBACK else None
        while name not in known:
            port, usual = usual or random.choice(_PORTS), None
            if port not in known.values() and _is_free(address, port):
                known[name] = port
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(known, indent=1))
    return known


def _is_free(address: str, port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind((address, port))
        except OSError:
            return False
    return True


def answers(url: str, authority: Path | None = None) -> bool:
    """Whether an HTTP server answers at `url` with success; its certificate is checked against `authority`."""
    context = ssl.create_default_context(cafile=str(authority)) if authority else None
    try:
        with urllib.request.urlopen(url, timeout=5, context=context):
            return True
    except (OSError, urllib.error.URLError):
        return False
