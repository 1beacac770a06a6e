"""A server as it runs in a container: a process of its own, asked over HTTP."""

import json
import os
import queue
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests

from model_packaging.package import Package
from tests.unit.packaging.conftest import packed


class Server:
    """`modelberth serve`, started and listening; its log is read as it comes."""

    def __init__(self, arguments: list[str], environment: dict[str, str]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, *arguments],
            env={**os.environ, "MODELBERTH_DRAIN_DELAY_SECONDS": "0.3", **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.lines: list[dict[str, Any]] = []
        self.other: list[str] = []
        self._events: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            try:
                record = json.loads(line)
            except ValueError:
                self.other.append(line)
                continue
            self.lines.append(record)
            self._events.put(record)
        self._events.put(None)

    def wait_for(self, event: str) -> dict[str, Any]:
        """The next line of the log with this event; fails where the process ends before it."""
        while (record := self._events.get(timeout=60)) is not None:
            if record["event"] == event:
                return record
        raise AssertionError(f"the server ended before {event!r}: {self.lines} {self.other}")

    def wait_for_request(self, **fields: object) -> dict[str, Any]:
        """The next request in the log with these fields."""
        while True:
            record = self.wait_for("request")
            if fields.items() <= record.items():
                return record

    def listening(self) -> "Server":
        found = self.wait_for("listening")
        self.url = f"http://{found['host']}:{found['port']}"
        self.grpc = f"{found['host']}:{found.get('grpc_port')}"
        return self

    def ready(self) -> "Server":
        self.listening().wait_for("ready")
        return self

    def session(self) -> requests.Session:
        session = requests.Session()
        session.trust_env = False  # a proxy of this machine's has no business with loopback
        return session

    def get(self, path: str) -> requests.Response:
        with self.session() as session:
            return session.get(self.url + path, timeout=30)

    def ask(self, content: bytes | str, content_type: str | None, accept: str | None = None) -> requests.Response:
        headers = {"Content-Type": content_type, "Accept": accept}
        data = content.encode() if isinstance(content, str) else content
        with self.session() as session:
            return session.post(f"{self.url}/invocations", data=data, headers=headers, timeout=30)

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def end(self) -> int:
        """The exit code, once the process has ended and its log is whole."""
        code = self.process.wait(60)
        self._reader.join(10)
        return code

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self._reader.join(10)


Serve = Callable[..., Server]


@pytest.fixture(scope="session")
def churn(tmp_path_factory: pytest.TempPathFactory) -> Package:
    return packed(tmp_path_factory.mktemp("packages") / "churn")


@pytest.fixture
def serve() -> Iterator[Serve]:
    started: list[Server] = []

    def start(*arguments: object, program: str | None = None, **environment: str) -> Server:
        """`program` is Python code to run before the command."""
        command = ["-c", f"{program}\nfrom model_packaging.cli import main\nmain()"] if program else None
        given = [*(command or ["-m", "model_packaging"]), "serve", *map(str, arguments)]
        started.append(Server(given, environment))
        return started[-1]

    yield start
    for server in started:
        server.kill()


@pytest.fixture(scope="module")
def server(churn: Package) -> Iterator[Server]:
    """One for all tests that only ask, with limits small enough to exceed."""
    limits = {"MODELBERTH_MAX_BODY_BYTES": "20000", "MODELBERTH_MAX_ROWS": "50"}
    found = Server(["-m", "model_packaging", "serve", str(churn.path), "--port", "0"], limits).ready()
    yield found
    found.kill()


def problem(response: requests.Response) -> str:
    """The text for people of a refusal."""
    body = response.json()
    assert body["error"] == "; ".join(body["problems"])
    assert not re.search(r"Traceback|File \"", body["error"])
    return body["error"]
