"""A receiver of Alertmanager's notifications, for tests.

https://prometheus.io/docs/alerting/latest/configuration/#webhook_config
"""

import json
import threading
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Received:
    """What came in so far, and where it comes in."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._alerts: list[dict[str, Any]] = []
        self._arrived = threading.Condition()

    def add(self, alerts: list[dict[str, Any]]) -> None:
        """Take the alerts of one notification."""
        with self._arrived:
            self._alerts += alerts
            self._arrived.notify_all()

    def wait(self, name: str, status: str, seconds: float) -> dict[str, Any]:
        """Return the first alert of that name and status (`firing` or `resolved`), also one that came before.

        Raises:
            TimeoutError: none came in time; the text says what did.
        """

        def found() -> dict[str, Any] | None:
            matches = (a for a in self._alerts if (a["labels"].get("alertname"), a["status"]) == (name, status))
            return next(matches, None)

        with self._arrived:
            if (alert := self._arrived.wait_for(found, seconds)) is None:
                came = [f"{a['labels'].get('alertname')} {a['status']}" for a in self._alerts]
                raise TimeoutError(f"no alert {name} was {status} within {seconds} s; received: {came}")
            return alert


@contextmanager
def receiving(address: str) -> Generator[Received]:
    """Receive at a free port of `address` for as long as the block takes."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            received.add(body["alerts"])
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer((address, 0), Handler)
    received = Received(f"http://{address}:{server.server_port}")
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield received
    finally:
        server.shutdown()
        server.server_close()
