"""A loopback port for an emulator, and who holds it when it is taken."""

import errno
import socket

import psutil


class PortTaken(Exception):
    """Another process listens on the port; the message names it."""


def _holder(port: int) -> str:
    """Who listens on a port, as far as this user may know."""
    for process in psutil.process_iter(["name", "cmdline"]):
        try:
            listening = [one.laddr.port for one in process.net_connections("tcp") if one.status == psutil.CONN_LISTEN]
        except psutil.Error:
            continue
        if port in listening:
            command = " ".join(process.info["cmdline"] or [])[:120]
            return f"{process.info['name']} (process {process.pid}: {command})"
    return "another process"


def listen(port: int) -> socket.socket:
    """A listening socket on 127.0.0.1 (port 0: any free one). Raises PortTaken."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
    except OSError as error:
        listener.close()
        if error.errno != errno.EADDRINUSE:
            raise
        raise PortTaken(f"port {port} of 127.0.0.1 is taken by {_holder(port)}") from None
    listener.listen(128)
    return listener
