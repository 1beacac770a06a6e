"""The provider served over real gRPC, against the Google emulator in a process of its own."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from sandbox.emulator_process import Handle
from sandbox.google.server import start
from sandbox.providers.gcp.provider import GcpProvider
from sandbox.providers.gcp.services import SERVICES
from tests.provider_engine import Engine, served

PROJECT, REGION = "test-project", "europe-west4"


def custom_endpoints(url: str) -> dict[str, str]:
    """The provider's options by which every API is the emulator's."""
    found: dict[str, str] = {}
    for service in SERVICES.values():
        path = service.base.partition("googleapis.com/")[2]
        host = f"{service.document.partition('.')[0]}.googleapis.com"
        # The official plugin's uploads go to the root, so storage is told apart by its path alone.
        found[f"{service.option}CustomEndpoint"] = f"{url}/{path if path.startswith('storage') else f'{host}/{path}'}"
    return found


@pytest.fixture(scope="session")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Handle]:
    handle = start(folder=tmp_path_factory.mktemp("google") / "work")
    yield handle
    failures = handle.get("failures")
    handle.stop()
    # An answer that is not as Google's schemas say.
    assert failures == []


@pytest.fixture
def bare_engine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """A provider with neither project nor credentials nor a cloud to reach."""
    for name in list(os.environ):
        if name.startswith(("GOOGLE_", "GCLOUD_", "CLOUDSDK_")):
            monkeypatch.delenv(name)
    with served(GcpProvider()) as engine:
        yield engine


@pytest.fixture
def engine(bare_engine: Engine, emulator: Handle) -> Engine:
    """A provider pointed at the emulator by its own configuration."""
    bare_engine.configure(
        project=PROJECT,
        region=REGION,
        accessToken="sandbox",
        defaultLabels='{"project": "flights"}',
        **custom_endpoints(emulator.url),
    )
    return bare_engine
