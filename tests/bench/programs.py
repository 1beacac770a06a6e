"""The two programs that are compared, each with a stack and an emulator of its own."""

import json
import os
import re
import shutil
import subprocess
import sys
from abc import abstractmethod
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from sandbox.aws.server import start
from sandbox.examples import PACKAGING, digest_of
from sandbox.settings import HOME, ROOT
from tests.conformance import sagemaker, world

PREVIEW = ("preview", "--suppress-progress")
UP = ("up", "--yes", "--skip-preview", "--suppress-progress")
DESTROY = ("destroy", "--yes", "--skip-preview", "--suppress-progress")


class Program(sagemaker.World):
    """A program that deploys any number of models like the conformance suite's, on SageMaker."""

    title: str
    """What the tables call it."""

    def __init__(self, folder: Path, packages: Path, variables: dict[str, str]) -> None:
        super().__init__(folder, packages)
        self.variables = variables

    def environment(self) -> dict[str, str]:
        return super().environment() | self.variables

    def start(self) -> None:
        # At its real speed, so that no hourly job of the stack disturbs what is measured.
        self.handle = start(folder=self.folder.parent / f"{self.folder.name}-work")
        self._clients = {}

    @abstractmethod
    def settings(self, models: list[str], with_package: bool) -> dict[str, Any]:
        """The program's own part of the stack's configuration."""

    def deploys(self, models: list[str], *, with_package: bool = True) -> None:
        """Write the stack's file; without a package there is neither an endpoint nor an alarm."""
        path = self.folder / "stacks" / f"Pulumi.{world.STACK}.yaml"
        salt = {key: value for key, value in yaml.safe_load(path.read_text()).items() if key != "config"}
        config = self.config() | self.settings(models, with_package)
        path.write_text(yaml.safe_dump({"config": config} | salt))

    def run(self, *command: str) -> str:
        """Run one command of the engine on the stack."""
        return self.stack.do(*command, quiet=True)


class Components(Program):
    """The project's own stack program: `ModelDeployment` for each model of the configuration."""

    title = "modelberth"

    def settings(self, models: list[str], with_package: bool) -> dict[str, Any]:
        model = self.model("good")
        if not with_package:
            # Without alarms nothing starts a run but the schedule, and there is no champion to compare with.
            model = {"package": "none", "retraining": model["retraining"] | {"on": []}}
        return {"modelberth:models": dict.fromkeys(models, model), "modelberth:development": True}


class ByHand(Program):
    """`tests/bench/by_hand`: the same resources in plain pulumi_aws."""

    title = "by hand"

    def prepare(self) -> None:
        super().prepare()
        shutil.copy(Path(__file__).parent / "by_hand" / "__main__.py", self.folder / "stacks")

    def settings(self, models: list[str], with_package: bool) -> dict[str, Any]:
        if not with_package:
            raise NotImplementedError("it is written for a model with a package")
        return {
            "bench:package": str(self.packages / "good"),
            "bench:models": models,
            "bench:image": sagemaker.IMAGE,
            "bench:script": str(world.HERE / "model" / "train.py"),
            "bench:table": str(self.packages / "data" / "tumours.csv"),
        }


@contextmanager
def both(folder: Path, **variables: str) -> Iterator[tuple[ByHand, Components]]:
    """Start both programs' emulators and make their empty stacks; `variables` are set for the engine."""
    packages = _packages()
    folder.mkdir(parents=True)
    programs = ByHand(folder / "by-hand", packages, variables), Components(folder / "components", packages, variables)
    started: list[Program] = []
    try:
        for program in programs:
            program.start()
            started.append(program)
            program.prepare()
            program.stack.ensure()
        yield programs
    finally:
        for program in started:
            program.stop()


def _packages() -> Path:
    """The suite's good package and its data, trained once for each state of their sources."""
    folder = HOME / "bench" / digest_of(PACKAGING, world.HERE / "model")[:16]
    if not folder.is_dir():
        from tests.conformance.model.train import write_data

        shutil.rmtree(folder.parent, ignore_errors=True)
        unfinished = folder.with_suffix(".part")
        write_data(unfinished / "data")
        script = [sys.executable, str(world.HERE / "model" / "train.py"), "--name", world.MODEL]
        options = ["--data", str(unfinished / "data"), "--output", str(unfinished / "good")]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        subprocess.run([*script, *options], check=True, env=environment, stdout=subprocess.DEVNULL)
        unfinished.rename(folder)
    return folder


def resources(program: Program) -> Counter[str]:
    """The cloud's resources in a program's state: type and inputs, without what is drawn by lot."""
    state = json.loads(program.run("stack", "export"))["deployment"].get("resources", [])
    return Counter(
        f"{entry['type']} {json.dumps(_comparable(entry['inputs'], program.handle.url), sort_keys=True)}"
        for entry in state
        if entry["custom"] and not entry["type"].startswith("pulumi:")
    )


def _comparable(value: Any, url: str) -> Any:
    if isinstance(value, dict):
        return {key: _comparable(one, url) for key, one in value.items()}
    if isinstance(value, list):
        return [_comparable(one, url) for one in value]
    if not isinstance(value, str):
        return value
    if value.startswith("{"):
        return _comparable(json.loads(value), url)
    # The emulator's port, the ends of names that the provider makes up, and digests in keys: the two programs
    # compute the version of a folder differently.
    value = value.replace(url, "<emulator>")
    value = re.sub(r"-(model|config)-[0-9a-f]{8}-", r"-\1-", value)
    value = re.sub(r"-[0-9a-f]{7}(?![0-9a-z])", "-<random>", value)
    return re.sub(r"\b(sources|data)/([a-z0-9-]+)/[0-9a-f]{64}/", r"\1/\2/<version>/", value)


def refuse_difference(by_hand: ByHand, components: Components) -> int:
    """Return how many resources each program has made.

    Raises:
        AssertionError: they are not the same; the text has each resource that only one of them made.
    """
    written, made = resources(by_hand), resources(components)
    wrong = [f"only {by_hand.title}: {one}" for one in (written - made).elements()]
    wrong += [f"only {components.title}: {one}" for one in (made - written).elements()]
    if wrong or not made:
        raise AssertionError("\n".join(["the programs do not make the same resources:", *sorted(wrong)]))
    return made.total()
