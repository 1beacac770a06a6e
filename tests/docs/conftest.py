"""A project as the guides speak of it: a package, a training script, and an endpoint that nobody asks."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from model_packaging.package import Package
from sandbox.settings import ROOT
from tests.unit.components.conftest import packed

MARKDOWN = sorted(
    path
    for path in ROOT.rglob("*.md")
    if not any(part.startswith(".") or part in ("packages", "dist") for part in path.relative_to(ROOT).parts)
)


@pytest.fixture(scope="session")
def package(tmp_path_factory: pytest.TempPathFactory) -> Package:
    return packed(tmp_path_factory.mktemp("packages") / "churn")


@pytest.fixture
def project(package: Package, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with what the guides name, as the current one; the live endpoint is taken to be right."""
    shutil.copytree(package.path, tmp_path / "packages" / "churn")
    examples = tmp_path / "examples" / "flights"
    shutil.copytree(ROOT / "examples" / "flights", examples, ignore=shutil.ignore_patterns("data", "__pycache__"))
    for folder in (tmp_path / "training", examples / "data"):
        folder.mkdir(exist_ok=True)
        (folder / "train.py").write_text("# what the guides call a script, and data that nobody reads\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MODELBERTH_CACHE", str(tmp_path / "cache"))

    def believe(*arguments: Any) -> None:
        return None

    monkeypatch.setattr("modelberth.platforms.sagemaker.live.verify", believe)
    return tmp_path
