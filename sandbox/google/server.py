"""Serving the emulator, and starting one for tests."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import tempfile
import threading
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sandbox.listening import listen


def serve(port: int, speed: float, folder: Path) -> None:
    """Serve on loopback until SIGTERM, SIGINT or the shutdown route; then end every container.

    Prints one line of JSON (url, port, pid, instance_id) once it answers. Raises PortTaken.
    """
    from werkzeug.serving import WSGIRequestHandler, make_server

    from sandbox.google.apis import prepare
    from sandbox.google.emulator import Emulator
    from sandbox.google.gateway import Gateway

    class Handler(WSGIRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
            """Requests are not logged: the emulator's output is for its failures."""

    listener = listen(port)
    port = int(listener.getsockname()[1])
    url = f"http://127.0.0.1:{port}"
    logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    emulator = Emulator(url, folder, speed)
    prepare(emulator)
    gateway = Gateway(emulator, stopped.set)
    server = make_server("127.0.0.1", port, gateway, threaded=True, request_handler=Handler, fd=listener.fileno())
    threading.Thread(target=server.serve_forever, daemon=True).start()
    emulator.start()
    started = {"url": url, "port": port, "pid": os.getpid(), "instance_id": emulator.instance_id}
    print(json.dumps(started), flush=True)
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
        """The answer of an administration route, such as `resources`."""
        with urllib.request.urlopen(f"{self.url}/_sandbox/{route}", timeout=30) as answer:
            return json.load(answer)

    def post(self, route: str, **given: Any) -> Any:
        """Send something to an administration route, such as `faults`."""
        url = f"{self.url}/_sandbox/{route}"
        request = urllib.request.Request(url, json.dumps(given).encode(), method="POST")
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)


def start(port: int = 0, speed: float = 1.0, folder: Path | None = None) -> Handle:
    """Start an emulator in a process of its own and wait until it answers (port 0: any free one)."""
    folder = folder or Path(tempfile.mkdtemp(prefix="sandbox-google-"))
    log = folder.with_name(folder.name + ".log")
    command = [sys.executable, "-m", "sandbox.google", "--port", str(port), "--speed", str(speed)]
    with log.open("w") as errors:
        process = subprocess.Popen(
            [*command, "--work", str(folder)],
            cwd=Path(__file__).parents[2],
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line.startswith("{"):
        process.wait(10)
        raise RuntimeError(f"the Google emulator did not start: {log.read_text().strip()[-2000:]}")
    return Handle(json.loads(line)["url"], process, log)
