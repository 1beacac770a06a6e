"""The project's commands in a copy of the project, on a port of its own, as a person runs them."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sandbox.containers import free_port
from sandbox.settings import ROOT

Make = Callable[..., subprocess.CompletedProcess[str]]
STACK_FILE = "stacks/Pulumi.local-sagemaker.yaml"


@pytest.fixture(scope="module")
def port() -> int:
    """Where the copy's sandbox listens."""
    return free_port()


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory, port: int) -> Path:
    """A copy of what git would give, with this environment instead of one made anew."""
    folder = tmp_path_factory.mktemp("checkout")
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    (folder / ".venv").symlink_to(ROOT / ".venv", target_is_directory=True)
    stack = folder / STACK_FILE
    stack.write_text(stack.read_text().replace("127.0.0.1:5566", f"127.0.0.1:{port}"))
    return folder


@pytest.fixture(scope="module")
def make(checkout: Path) -> Iterator[Make]:
    """Runs make in the copy; at the end nothing of its sandbox is left."""

    def run(*arguments: str, fails: bool = False) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "PYTHONPATH": f"{checkout}:{checkout / 'components'}"}
        done = subprocess.run(
            # The environment is this one; made anew it would be installed from the copy.
            ["make", "-o", ".venv/.ready", *arguments],
            cwd=checkout,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        assert (done.returncode != 0) == fails, done.stdout + done.stderr
        return done

    yield run
    run("down")
