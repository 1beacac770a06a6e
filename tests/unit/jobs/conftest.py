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
from model_packaging.package import Package, open_package, verify
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
        out, err = process.communicate(timeout=300)
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


RETRAINING_SCRIPT = """
import argparse, json, os, pathlib, shutil
parser = argparse.ArgumentParser()
for option in ("--data", "--output", "--name", "--parameters"):
    parser.add_argument(option)
given = parser.parse_args()
version = json.loads(pathlib.Path(os.environ["MODELBERTH_DATA_VERSION"]).read_text())
print("training on", sorted(os.listdir(given.data)), version["digest"], version["rows"], flush=True)
shutil.copytree(json.loads(given.parameters)["package"], given.output, dirs_exist_ok=True)
"""
HERE = Path(__file__).parent


class Run(Job):
    """A retraining, with all settings in one document, as a platform gives them."""

    settings: dict[str, Any]

    @property
    def bucket(self) -> Path:
        return self.base / "bucket"

    @property
    def work(self) -> Path:
        return self.base / "work"

    def retrain(self, **settings: Any) -> tuple[int, str, str]:
        return self.run("retrain", MODELBERTH_RETRAIN=json.dumps({**self.settings, **settings}))

    def verdict(self) -> dict[str, Any]:
        return json.loads((self.base / "verdict" / "verdict.json").read_bytes())

    def page(self) -> str:
        return (self.base / "verdict" / "verdict.md").read_text()

    def killed(self, at: str, below: Path, driver: str = "killed.py", **environment: str) -> int:
        """Runs until SIGKILL, and returns the exit code."""
        settings = {"KILL_AT": at, "KILL_BELOW": str(below), "MODELBERTH_RETRAIN": json.dumps(self.settings)}
        clean = {key: value for key, value in os.environ.items() if not key.startswith("MODELBERTH_")}
        given = {**clean, "MODELBERTH_CACHE": str(self.base / "cache"), **settings, **self.environment, **environment}
        given["PYTHONPATH"] = str(Path(__file__).parents[3])
        done = subprocess.run([sys.executable, HERE / driver, "retrain"], env=given, capture_output=True, timeout=300)
        return done.returncode


@pytest.fixture
def run(tmp_path: Path, churn: Package) -> Run:
    made = Run(tmp_path / "place")
    for folder in ("code", "data", "bucket"):
        (made.base / folder).mkdir(parents=True)
    (made.base / "code" / "train.py").write_text(RETRAINING_SCRIPT)
    (made.base / "data" / "rows.csv").write_text("a,b\n1,3\n2,5\n")
    made.settings = {
        "model": "churn",
        "source": str(made.base / "code"),
        "entrypoint": "train.py",
        "data": str(made.base / "data"),
        "bucket": str(made.bucket),
        "gate": {"metrics": {"f1": {"min": 0.5}}},
        "parameters": {"package": str(churn.path)},
        "work": str(made.work),
        "verdict": str(made.base / "verdict"),
        "execution": "run-7",
        "code_version": "c0ffee",
    }
    return made


def published(bucket: Path) -> list[str]:
    """The digests of the candidates that a reader finds; fails where one, or any package, is not whole."""
    found: list[str] = []
    for record in bucket.glob("candidates/churn/*.json"):
        document = json.loads(record.read_bytes())
        assert open_package(document["address"]).digest == document["digest"]
        assert record.with_suffix(".md").read_text().startswith("# churn: candidate published\n")
        found.append(document["digest"])
    for manifest in bucket.glob("packages/churn/*/manifest.json"):
        verify(manifest.parent, f"sha256:{manifest.parent.name}")
    return found
