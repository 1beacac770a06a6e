"""An emulator in a process of its own, and Google's own clients pointed at it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

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
