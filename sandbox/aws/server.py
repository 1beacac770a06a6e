"""Serving the emulator, and starting one for tests."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

from sandbox import emulator_process
from sandbox.listening import listen


def serve(port: int, speed: float, folder: Path) -> None:
    """Serve on loopback until SIGTERM, SIGINT or the shutdown route; then end every container.

    Prints one line of JSON (url, port, pid, instance_id) once it answers. Raises PortTaken.
    """
    listener = listen(port)
    port = int(listener.getsockname()[1])
    # moto reads these when it is imported, so it is imported here.
    os.environ.setdefault("MOTO_IAM_LOAD_MANAGED_POLICIES", "true")
    os.environ.setdefault("MOTO_ALLOW_NONEXISTENT_REGION", "true")
    os.environ["MOTO_PORT"] = str(port)

    from moto.moto_server.werkzeug_app import MotoRequestHandler

    from sandbox.aws.emulator import Emulator
    from sandbox.aws.gateway import Gateway

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    emulator = Emulator(f"http://127.0.0.1:{port}", folder, speed)
    emulator_process.serve_until_stopped(listener, emulator, lambda stop: Gateway(emulator, stop), MotoRequestHandler)


class Handle(emulator_process.Handle):
    """An emulator in a process of its own."""

    def client(self, service: str, region: str = "eu-central-1") -> Any:
        """A plain boto3 client of this emulator."""
        import boto3

        session = boto3.session.Session(
            aws_access_key_id="AKIASANDBOX000000000", aws_secret_access_key="sandbox", region_name=region
        )
        return session.client(service, endpoint_url=self.url)  # type: ignore[call-overload]


def start(port: int = 0, speed: float = 1.0, folder: Path | None = None) -> Handle:
    """Start an emulator in a process of its own and wait until it answers (port 0: any free one)."""
    return Handle(*emulator_process.start("AWS", port, speed, folder))
