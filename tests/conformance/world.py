"""What the suite asks of a platform: how to run it here, and how to see what is there.

A platform's module in this folder bears the registry's name for it and has a class `World`, derived from this one.
"""

import hashlib
import importlib
import json
import os
import shutil
import subprocess
import sys
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar

import yaml

from model_packaging.package import Package, open_package
from sandbox import settings
from sandbox.engine.run import Stack, ensure_tools

HERE = Path(__file__).parent
MODEL = "tumours"
STACK = "conformance"
KINDS: dict[str, dict[str, float]] = {
    "good": {},
    "better": {"trees": 60, "depth": 6},
    "slow": {"trees": 5000, "depth": 1},
    "worse": {"noise": 0.45},
}
"""The packages that the tests deploy, by what makes them so."""
BROKEN = "broken"
"""A package that is whole and passes the gate, but whose model does not give the predictions that it recorded."""


class World(ABC):
    """One platform, running on this machine, and one stack of this suite on it."""

    needed: ClassVar[dict[str, Any]] = {}
    """What a model must say of the platform before anything can be deployed there."""
    larger: ClassVar[dict[str, Any]] = {"cpu": 8, "memory": "16Gi"}
    """A `compute` that this machine has, and that is more than the model's usual one."""

    soon: ClassVar[str] = "*/5 * * * *"
    """A schedule that is due within a minute of waiting."""
    patience: ClassVar[float] = 1.0
    """How many times longer than on an emulator, whose minutes are short, an alarm takes."""

    def __init__(self, platform: str, folder: Path, packages: Path) -> None:
        self.platform = platform
        self.folder = folder
        self.packages = packages
        self.stack: Stack
        self.before: set[str] = set()
        """All that existed before the first deployment."""

    def prepare(self) -> None:
        """Lay out a project of the suite's own beside a state of its own."""
        engine = ensure_tools()
        (self.folder / "stacks").mkdir(parents=True)
        (self.folder / "state").mkdir()
        shutil.copy(settings.ROOT / "Pulumi.yaml", self.folder)
        shutil.copy(settings.ROOT / "stacks" / "__main__.py", self.folder / "stacks")
        variables = settings.backend(built=not engine.installed) | self.environment()
        variables |= {"PATH": settings.path(), "PULUMI_BACKEND_URL": (self.folder / "state").as_uri()}
        self.stack = Stack(STACK, settings.process_environment(variables), self.folder)

    def model(self, package: str) -> dict[str, Any]:
        """The suite's model as a stack's file writes it, serving one of `KINDS`."""
        return {
            "package": "none" if package == "none" else str(self.packages / package),
            "champion": str(self.packages / "good"),
            "endpoint": {
                "scale": {"min": 2},
                "rollout": {"canary": "50%", "bake": "5m"},
                "capture": {"sample": "100%"},
            },
            "alarms": {
                "latency_p95": {"above": "250ms", "period": "1m", "periods": 1},
                "error_rate": {"above": "20%", "period": "1m", "periods": 1},
                "drift.psi": {"above": 0.2, "period": "1m"},
                "data.missing_ratio": {"above": "5%", "period": "1m"},
                "notify": ["mailto:ml@example.org"],
                # Once a year, here and below: a run that nobody started would come between the tests.
                "monitor": {"schedule": "0 3 1 1 *"},
            },
            "retraining": {
                "schedule": "0 3 1 1 *",
                "timezone": "Europe/Prague",
                "on": ["drift"],
                "source": str(HERE / "model"),
                "entrypoint": "train.py",
                "data": str(self.packages / "data"),
                "compute": {"cpu": 2, "memory": "4Gi"},
            },
            "gate": {
                "metrics": {"roc_auc": {"min": 0.9}},
                "no_worse_than": "champion",
                "tolerance": 0.05,
                "require": ["cross_validation"],
            },
        }

    def configure(self, package: str, **changes: Any) -> None:
        """Write the stack's file; `changes` are parts of the model that replace the usual ones."""
        config = {"modelberth:models": {MODEL: self.model(package) | changes}, "modelberth:development": True}
        path = self.folder / "stacks" / f"Pulumi.{STACK}.yaml"
        old = yaml.safe_load(path.read_text()) if path.exists() else {}
        salt = {key: value for key, value in old.items() if key != "config"}
        path.write_text(yaml.safe_dump({"config": self.config() | config} | salt))

    def destroy(self) -> None:
        """Delete everything."""
        self.stack.do("destroy", "--yes", "--skip-preview", "--suppress-progress", quiet=True)

    def up(self, *flags: str) -> str:
        """Deploy what is configured; returns what the engine printed, and raises with it where it failed."""
        return self.stack.do("up", "--yes", "--skip-preview", "--suppress-progress", *flags, quiet=True)

    def package(self, kind: str) -> Package:
        """One of `KINDS`, opened."""
        return open_package(self.packages / kind)

    def sharing(self) -> dict[str, Any]:
        """What an endpoint must say besides so that it can share its requests and copy them; begins what that needs."""
        return {}

    @abstractmethod
    def start(self) -> None:
        """Start what stands for the platform on this machine."""

    @abstractmethod
    def stop(self) -> None:
        """End it and everything that it started."""

    @abstractmethod
    def environment(self) -> dict[str, str]:
        """The variables that the engine and the clients need."""

    @abstractmethod
    def config(self) -> dict[str, Any]:
        """The platform's part of the stack's configuration."""

    @abstractmethod
    def predict(self, endpoint: str, body: str, content_type: str, accept: str) -> str:
        """Ask a live endpoint as an application does; raises where it does not answer."""

    @abstractmethod
    def served(self, endpoint: str) -> dict[str, int]:
        """How many requests each variant of an endpoint answered, a shadow's too."""

    @abstractmethod
    def running(self, endpoint: str) -> list[str]:
        """The digests of the packages whose containers run for an endpoint."""

    @abstractmethod
    def break_replicas(self, endpoint: str) -> None:
        """Make requests fail, until `heal_replicas`; may be asked again while they do."""

    @abstractmethod
    def heal_replicas(self, endpoint: str) -> None:
        """Make requests succeed again, if the platform does not replace by itself what fails."""

    @abstractmethod
    def scaled(self, endpoint: str) -> tuple[int, int] | None:
        """Between how many replicas an endpoint is scaled by its load, if it is."""

    @abstractmethod
    def alarm_state(self, name: str) -> str:
        """OK, ALARM or INSUFFICIENT_DATA."""

    @abstractmethod
    def told(self) -> list[str]:
        """The subjects of all messages that reached the subscriber."""

    @abstractmethod
    def start_job(self, name: str) -> str:
        """Start by hand what a schedule starts; returns the run."""

    @abstractmethod
    def runs(self, name: str) -> dict[str, str]:
        """The states of all runs of a job: executing, succeeded or failed."""

    @abstractmethod
    def why(self, name: str, run: str) -> str:
        """What a run says of its end."""

    @abstractmethod
    def objects(self, bucket: str) -> list[str]:
        """The keys in a bucket, named by its address."""

    def is_the_same_model(self, bucket: str, digest: str, kind: str) -> bool:
        """Whether a package in the bucket is one of `KINDS`, trained again."""
        return f"sha256:{digest}" == self.package(kind).digest

    @abstractmethod
    def bucket_facts(self, bucket: str) -> dict[str, bool]:
        """Whether it is versioned, encrypted, private and refuses what is not encrypted in transit."""

    @abstractmethod
    def everything(self) -> set[str]:
        """All that exists on the platform, but for logs, which outlive what wrote them."""


def world_class(platform: str) -> type[World]:
    """The class of a platform of the registry."""
    return importlib.import_module(f"tests.conformance.{platform}").World


def train(folder: Path) -> None:
    """Make the packages of `KINDS` and their data, with the example's own script."""
    from tests.conformance.model.train import write_data

    write_data(folder / "data")
    for kind, parameters in KINDS.items():
        command = [sys.executable, str(HERE / "model" / "train.py"), "--data", str(folder / "data")]
        options = ["--output", str(folder / kind), "--name", MODEL, "--parameters", json.dumps(parameters)]
        environment = {**os.environ, "PYTHONPATH": str(settings.ROOT)}
        subprocess.run([*command, *options], check=True, env=environment, stdout=subprocess.DEVNULL)
    _break(folder / "good", folder / BROKEN)


def _break(source: Path, target: Path) -> None:
    shutil.copytree(source, target)
    examples = json.loads((target / "examples.json").read_text())
    examples["predictions"].reverse()
    content = json.dumps(examples).encode()
    (target / "examples.json").write_bytes(content)
    manifest = json.loads((target / "manifest.json").read_text())
    manifest["files"]["examples.json"] = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    (target / "manifest.json").write_text(json.dumps(manifest))
