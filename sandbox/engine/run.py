"""Running the engine's command line on a stack of this project."""

import importlib.metadata
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from model_packaging.errors import ModelberthError
from sandbox.engine.install import Engine, ensure_engine, write_launcher
from sandbox.settings import BIN, PULUMI_HOME, ROOT


def ensure_tools(bin_folder: Path = BIN) -> Engine:
    """Return the engine, with the providers in reach.

    An installed Pulumi fetches the official plugins by itself; an engine that was built here gets our stand-ins. The
    project's own plugin, which no registry has, both get from here.

    Raises:
        ModelberthError: there is no engine and none can be built.
    """
    engine = ensure_engine(bin_folder)
    version = importlib.metadata.version("modelberth")
    # On the path an installed Pulumi finds it too, and warns that it did.
    folder = bin_folder if engine.installed else PULUMI_HOME / "plugins" / f"resource-modelberth-v{version}"
    write_launcher(folder / "pulumi-resource-modelberth", "-m modelberth_provider")
    if not engine.installed:
        # Among Pulumi's own plugins, under the SDK's version: it is found as the official one would be.
        for name in ("aws", "gcp", "kubernetes"):
            version = importlib.metadata.version(f"pulumi-{name}")
            folder = PULUMI_HOME / "plugins" / f"resource-{name}-v{version}"
            write_launcher(folder / f"pulumi-resource-{name}", f"-m sandbox.providers.{name}")
    return engine


class Stack:
    """One stack of a project, this one unless said otherwise, driven by the engine's command line."""

    def __init__(self, name: str, environment: Mapping[str, str], project: Path = ROOT) -> None:
        self.name = name
        self._environment = dict(environment)
        self._project = project

    def exists(self) -> bool:
        """Whether the backend has the stack."""
        return self._run("stack", "--show-name", quiet=True).returncode == 0

    def ensure(self) -> None:
        """Make the stack if the backend does not have it."""
        if not self.exists():
            self.do("stack", "init", quiet=True)

    def up(self) -> None:
        """Bring the stack to what its configuration says; its output goes to the user."""
        self.do("up", "--yes", "--skip-preview", "--suppress-outputs")

    def preview(self) -> None:
        """Show what would be made, judged by what runs; its output goes to the user."""
        self.do("preview", "--suppress-outputs")

    def refresh(self) -> None:
        """Read the world again, because what the engine remembers may be gone."""
        self.do("refresh", "--yes", "--skip-preview", "--suppress-outputs", "--suppress-progress", quiet=True)

    def destroy(self, *, preview: bool) -> None:
        """Delete everything, and the stack's record with it.

        Args:
            preview: Whether the engine looks first, and refuses before anything is deleted if something is protected.
        """
        self.do("destroy", "--yes", "--suppress-outputs", *([] if preview else ["--skip-preview"]))
        self.do("stack", "rm", "--yes", "--preserve-config", quiet=True)

    def outputs(self) -> str:
        """Return the outputs as JSON."""
        return self.do("stack", "output", "--json", quiet=True)

    def do(self, *arguments: str, quiet: bool = False) -> str:
        """Run one command on the stack.

        Raises:
            ModelberthError: it failed; with `quiet`, the text holds what it printed, which else the user has seen.
        """
        done = self._run(*arguments, quiet=quiet)
        if done.returncode != 0:
            said = f"{done.stdout}{done.stderr}".strip() if quiet else ""
            raise ModelberthError(said or f"pulumi {arguments[0]} failed on the stack {self.name}; see above")
        return done.stdout or ""

    def _run(self, *arguments: str, quiet: bool) -> subprocess.CompletedProcess[str]:
        command = ["pulumi", *arguments, "--stack", self.name, "--non-interactive"]
        if not sys.stdout.isatty() or os.environ.get("NO_COLOR"):
            command += ["--color", "never"]
        executable = shutil.which("pulumi", path=self._environment["PATH"]) or "pulumi"
        return subprocess.run(
            [executable, *command[1:]],
            cwd=self._project,
            env=self._environment,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
            capture_output=quiet,
        )
