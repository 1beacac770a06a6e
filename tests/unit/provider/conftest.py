"""Vertex AI on loopback, and the real engine with the provider as its plugin."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.engine.install import ensure_engine, write_launcher

from .direct import Start
from .vertex import Vertex

QUIET = ("-y", "--skip-preview", "--suppress-progress")
_HIDDEN = ("GOOGLE_", "CLOUDSDK_", "PULUMI_")


@pytest.fixture
def vertex() -> Iterator[Vertex]:
    found = Vertex()
    yield found
    found.close()


class Engine:
    """The engine's command line on a project of its own."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder, self.environment = folder, environment

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        command = ["pulumi", *arguments, "--non-interactive", "--color", "never"]
        return subprocess.Popen(
            command,
            cwd=self.folder,
            env=self.environment,
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def __call__(self, *arguments: str, fails: bool = False) -> str:
        process = self.start(*arguments)
        said = process.communicate(timeout=120)[0]
        assert (process.returncode != 0) == fails, said
        return said

    def up(self, program: str | None = None, *arguments: str, fails: bool = False) -> str:
        if program is not None:
            (self.folder / "__main__.py").write_text(program)
        return self("up", *QUIET, *arguments, fails=fails)


@pytest.fixture
def bare_engine(tmp_path: Path) -> Engine:
    """Without access to Google at all."""
    binaries, project = tmp_path / "bin", tmp_path / "project"
    engine = ensure_engine(binaries)
    write_launcher(binaries / "pulumi-resource-modelberth", "-m modelberth_provider")
    project.mkdir()
    (tmp_path / "state").mkdir()
    (project / "Pulumi.yaml").write_text("name: models\nruntime: python\n")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(_HIDDEN)} | {
        "PATH": f"{binaries}:{engine.folder}:{os.environ['PATH']}",
        "PULUMI_BACKEND_URL": (tmp_path / "state").as_uri(),
        "PULUMI_CONFIG_PASSPHRASE": "test",
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        "GOOGLE_CLOUD_PROJECT": "acme",
        "GOOGLE_CLOUD_REGION": "europe-west4",
    }
    found = Engine(project, environment)
    found("stack", "init", "dev")
    return found


@pytest.fixture
def engine(bare_engine: Engine, vertex: Vertex) -> Engine:
    """With Vertex AI on loopback."""
    bare_engine("config", "set", "modelberth:vertexEndpoint", vertex.url)
    return bare_engine


@pytest.fixture
def start(vertex: Vertex) -> Iterator[Start]:
    found = Start(vertex)
    yield found
    vertex.hold.set()
    found.stop()
