"""A job as the platform runs it: SageMaker's folders, and the command as a process of its own."""

import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from model_packaging.jobs.layout import Layout
from model_packaging.package import Package
from tests.unit.packaging.conftest import altered, packed


@dataclass
class Job:
    """The folders of one job, and what its commands get as environment."""

    base: Path
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def layout(self) -> Layout:
        return Layout(self.base)

    def start(self, *command: str, **environment: str) -> "subprocess.Popen[str]":
        settings = {"SAGEMAKER_BASE_DIR": str(self.base), "MODELBERTH_CACHE": str(self.base / "cache")}
        clean = {key: value for key, value in os.environ.items() if not key.startswith(("MODELBERTH_", "SM_"))}
        return subprocess.Popen(
            [sys.executable, "-m", "model_packaging", *command],
            env={**clean, **settings, **self.environment, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *command: str, **environment: str) -> tuple[int, str, str]:
        """Exit code, standard output and standard error."""
        process = self.start(*command, **environment)
        out, err = process.communicate(timeout=120)
        return process.returncode, out, err

    def candidate(self, folder: Path) -> None:
        """Puts a package where the training step's output arrives, packed as SageMaker does it."""
        self.layout.candidate.parent.mkdir(parents=True, exist_ok=True)
        with tarfile.open(self.layout.candidate, "w:gz") as archive:
            for path in sorted(folder.iterdir()):
                archive.add(path, path.name)

    def write(self, path: Path, document: Any) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(document))

    def message(self) -> str:
        """What SageMaker shows as ExitMessage."""
        return self.layout.message.read_text()


@pytest.fixture(scope="session")
def churn(tmp_path_factory: pytest.TempPathFactory) -> Package:
    return packed(tmp_path_factory.mktemp("packages") / "churn")


@pytest.fixture(scope="session")
def better(churn: Package, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A package of the same name with a better f1 in its validation."""

    def change(validation: dict[str, Any]) -> None:
        validation["metrics"]["f1"]["value"] += 0.05

    return altered(churn, tmp_path_factory.mktemp("packages") / "better", "validation.json", change)


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job(tmp_path / "ml")


Judged = Callable[..., Job]


@pytest.fixture
def judged(job: Job, churn: Package) -> Judged:
    """A job whose candidate was validated; `report` changes what the report says."""

    def make(**report: Any) -> Job:
        job.candidate(churn.path)
        job.write(job.layout.report, {"digest": churn.digest, "passed": True, "champion": None, **report})
        return job

    return make
