"""`python -m sandbox.aws`: run the AWS emulator."""

import argparse
import socket
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

import psutil

from .server import HOST, serve


def main() -> None:
    parser = argparse.ArgumentParser(description="An AWS emulator on loopback, for the sandbox and its tests.")
    parser.add_argument("--port", type=int, default=5566, help="0 takes a free one (default: %(default)s)")
    parser.add_argument("--speed", type=float, default=1.0, help="how much faster than the wall clock time runs")
    parser.add_argument("--work", type=Path, help="the folder for containers' files (default: a temporary one)")
    options = parser.parse_args()
    if options.port and (holder := _holder(options.port)):
        sys.exit(f"Port {options.port} is taken by {holder}. Stop it, or set MODELBERTH_SANDBOX_PORT to another port.")
    work = options.work or Path(tempfile.mkdtemp(prefix="modelberth-aws-"))
    serve(options.port, speed=options.speed, work=work, version=version("modelberth"))


def _holder(port: int) -> str | None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
            return None
        except OSError:
            pass
    for connection in psutil.net_connections(kind="tcp"):
        if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port and connection.pid:
            process = psutil.Process(connection.pid)
            return f"process {process.pid} ({' '.join(process.cmdline())[:120] or process.name()})"
    return "another process"


if __name__ == "__main__":
    main()
