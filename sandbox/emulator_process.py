"""What the emulators have in common as processes: how one is served, and how one is started for tests."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from sandbox.settings import ROOT


class Emulator(Protocol):
    """What runs beside the requests."""

    instance_id: str

    def start(self) -> None:
        """Start what runs beside the requests."""
        ...

    def stop(self) -> None:
        """End every container."""
        ...


def serve_until_stopped(
    listener: socket.socket, emulator: Emulator, gateway: Callable[[Callable[[], None]], Any], handler: Any
) -> None:
    """Serve until SIGTERM, SIGINT or the shutdown route; then end every container.

    Prints one line of JSON (url, port, pid, instance_id) once it answers.

    Args:
        listener: Where it listens.
        emulator: What is served.
        gateway: Makes its application, given what the shutdown route calls.
        handler: The requests' handler.
    """
    from werkzeug.serving import make_server

    class Handler(handler):
        def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
            """Requests are not logged: the emulator's output is for its failures."""

    port = int(listener.getsockname()[1])
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    application = gateway(stopped.set)
    server = make_server("127.0.0.1", port, application, threaded=True, request_handler=Handler, fd=listener.fileno())
    threading.Thread(target=server.serve_forever, daemon=True).start()
    emulator.start()
    url = f"http://127.0.0.1:{port}"
    print(json.dumps({"url": url, "port": port, "pid": os.getpid(), "instance_id": emulator.instance_id}), flush=True)
    # A wait without a time-out would keep Python from running the signal handlers on some systems.
    while not stopped.wait(1.0):
        pass
    emulator.stop()
    server.shutdown()


@dataclass
class Handle:
    """An emulator in a process of its own."""

    url: str
    process: subprocess.Popen[str]
    log: Path

    def stop(self) -> None:
        """Ask it to end, and wait until it and its containers have."""
        self.process.terminate()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()

    def get(self, route: str) -> Any:
        """The answer of an administration route, such as `processes`."""
        with urllib.request.urlopen(f"{self.url}/_sandbox/{route}", timeout=30) as answer:
            return json.load(answer)

    def post(self, route: str, **given: Any) -> Any:
        """Send something to an administration route, such as `faults`."""
        url = f"{self.url}/_sandbox/{route}"
        request = urllib.request.Request(url, json.dumps(given).encode(), method="POST")
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)


def start(cloud: str, port: int, speed: float, folder: Path | None) -> tuple[str, subprocess.Popen[str], Path]:
    """Start the emulator of a cloud, "AWS" or "Google", in a process of its own and wait until it answers.

    Returns:
        What a `Handle` is made of.
    """
    folder = folder or Path(tempfile.mkdtemp(prefix=f"sandbox-{cloud.lower()}-"))
    log = folder.with_name(folder.name + ".log")
    command = [sys.executable, "-m", f"sandbox.{cloud.lower()}", "--port", str(port), "--speed", str(speed)]
    with log.open("w") as errors:
        process = subprocess.Popen(
            [*command, "--work", str(folder)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line.startswith("{"):
        process.wait(10)
        raise RuntimeError(f"the {cloud} emulator did not start: {log.read_text().strip()[-2000:]}")
    return json.loads(line)["url"], process, log
