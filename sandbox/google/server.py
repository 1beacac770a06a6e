"""Serving the emulator, and starting one for tests."""

from __future__ import annotations

import logging
from pathlib import Path

from sandbox import emulator_process
from sandbox.emulator_process import Handle
from sandbox.listening import listen


def serve(port: int, speed: float, folder: Path) -> None:
    """Serve on loopback until SIGTERM, SIGINT or the shutdown route; then end every container.

    Prints one line of JSON (url, port, pid, instance_id) once it answers. Raises PortTaken.
    """
    from werkzeug.serving import WSGIRequestHandler

    from sandbox.google.apis import prepare
    from sandbox.google.emulator import Emulator
    from sandbox.google.gateway import Gateway

    class Handler(WSGIRequestHandler):
        protocol_version = "HTTP/1.1"

    listener = listen(port)
    logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
    emulator = Emulator(f"http://127.0.0.1:{listener.getsockname()[1]}", folder, speed)
    prepare(emulator)
    emulator_process.serve_until_stopped(listener, emulator, lambda stop: Gateway(emulator, stop), Handler)


def start(port: int = 0, speed: float = 1.0, folder: Path | None = None) -> Handle:
    """Start an emulator in a process of its own and wait until it answers (port 0: any free one)."""
    return Handle(*emulator_process.start("Google", port, speed, folder))
