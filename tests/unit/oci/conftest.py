"""A real registry, built once, run once; and a small package."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from model_packaging.package import Package
from tests.unit.packaging.conftest import packed

if shutil.which("go") is None:
    pytest.skip("the registry is built with Go, which is not on this machine", allow_module_level=True)


@pytest.fixture(scope="session")
def executable() -> Path:
    from sandbox.registry.run import ensure_registry

    return ensure_registry()


@pytest.fixture(scope="session")
def registry_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("registry")


@pytest.fixture(scope="session")
def registry(executable: Path, registry_folder: Path) -> Iterator[str]:
    from sandbox.registry.run import running

    with running(executable, registry_folder) as address:
        yield address


@pytest.fixture(scope="session")
def package(tmp_path_factory: pytest.TempPathFactory) -> Package:
    return packed(tmp_path_factory.mktemp("packages") / "churn")


@pytest.fixture(autouse=True)
def _surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELBERTH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
