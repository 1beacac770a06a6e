"""An emulator in a process of its own, and Google's own clients pointed at it."""

from __future__ import annotations

import queue
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, TypeVar

import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage

from sandbox.google.server import Handle, start

PROJECT = "test-project"
T = TypeVar("T")


def wait_for(probe: Callable[[], T], seconds: float = 30) -> T:
    """Poll until the probe gives something true; fails after some seconds."""
    deadline = time.monotonic() + seconds
    while not (found := probe()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)
    return found


PYTHON = "europe-west4-docker.pkg.dev/test-project/images/python:3"
"""An image that runs this interpreter, once `bucket_for_programs` has made it known."""


def bucket_for_programs(emulator: Handle, name: str) -> Any:
    """Make a bucket, and let containers of the image `PYTHON` run at once."""
    emulator.post("images", reference=PYTHON, entrypoint=[sys.executable])
    emulator.post("operations", seconds=0.01)
    client = storage.Client(
        project=PROJECT, credentials=AnonymousCredentials(), client_options={"api_endpoint": emulator.url}
    )
    return client.create_bucket(name, location="europe-west4")


def point_aiplatform(emulator: Handle, credentials: Any, **more: Any) -> None:
    """Lead google-cloud-aiplatform to the emulator."""
    from google.cloud import aiplatform

    aiplatform.init(
        project=PROJECT,
        location="europe-west4",
        credentials=credentials,
        api_transport="rest",
        api_endpoint=emulator.url,
        **more,
    )


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Handle]:
    folder: Path = tmp_path_factory.mktemp("google")
    handle = start(folder=folder / "work")
    yield handle
    failures = handle.get("failures")
    handle.stop()
    # An answer that is not as Google's schemas say fails the module that asked for it.
    assert failures == []


@pytest.fixture(scope="module")
def credentials() -> Any:
    from google.oauth2.credentials import Credentials

    return Credentials("ya29.test")


@pytest.fixture(scope="module")
def discovery(emulator: Handle, credentials: Any) -> Any:
    """Builds Google's discovery client of an API."""
    from googleapiclient.discovery import build

    def make(api: str, version: str) -> Any:
        options = {"api_endpoint": f"{emulator.url}/{api}.googleapis.com/"}
        return build(api, version, static_discovery=True, credentials=credentials, client_options=options)

    return make


@pytest.fixture(scope="module")
def account(discovery: Any) -> str:
    """The address of a service account."""
    accounts = discovery("iam", "v1").projects().serviceAccounts()
    made = accounts.create(name=f"projects/{PROJECT}", body={"accountId": "retrainer"}).execute()
    return str(made["email"])


@dataclass
class Hook:
    """An HTTP server of this machine: what it was sent, and the statuses that it still answers before 204."""

    url: str
    statuses: list[int] = field(default_factory=list)
    got: queue.Queue[tuple[dict[str, str], bytes]] = field(default_factory=queue.Queue)


@pytest.fixture
def hook() -> Iterator[Hook]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(found.statuses.pop(0) if found.statuses else 204)
            self.end_headers()
            found.got.put((dict(self.headers), body))

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    found = Hook(f"http://127.0.0.1:{server.server_port}/hook")
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield found
    server.shutdown()
    server.server_close()
