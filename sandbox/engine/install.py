"""Finds the Pulumi engine, or builds it: a sandbox needs a `pulumi` command and nothing else of Pulumi's.

An installed `pulumi` that is recent enough is used as it is. Without one the engine is built once from its
published Go module, into the user's cache folder by version, where later clones find it.
"""

import os
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sandbox.go_tools import GoProgram, build, cache_folder

# The newest engine that the Go module proxy serves with all that it needs.
ENGINE_VERSION = "v3.259.0"
# Error hooks, by which a failed endpoint shows its log, came with this one.
OLDEST_VERSION = (3, 220, 0)
_SOURCE = Path(__file__).parent
_VERSION_SYMBOL = "github.com/pulumi/pulumi/sdk/v3/go/common/version.Version"
_PROGRAM = GoProgram(
    name="the engine",
    version=ENGINE_VERSION,
    source=_SOURCE,
    package="github.com/pulumi/pulumi/pkg/v3/cmd/pulumi",
    executable="pulumi",
    space_bytes=4 * 1024**3,
    minutes="about 6 minutes on two cores",
    without_go="There is neither Pulumi nor Go on this machine, and the sandbox needs one of them. "
    "Install Pulumi (https://www.pulumi.com/docs/install/, seconds) or Go 1.26 or later "
    "(https://go.dev/doc/install; the engine is then built once, which takes minutes).",
    instead="Installing Pulumi (https://www.pulumi.com/docs/install/) avoids the build.",
    ldflags=f"-X {_VERSION_SYMBOL}={ENGINE_VERSION}",
)


@dataclass(frozen=True)
class Engine:
    """A usable engine.

    `folder` goes first on the path. `installed` says that it is the user's own, which brings its own language host.
    """

    folder: Path
    version: str
    installed: bool


def installed_engine() -> Engine | None:
    """The `pulumi` on the path, if it is recent enough."""
    path = shutil.which("pulumi")
    if path is None:
        return None
    answer = subprocess.run([path, "version"], capture_output=True, text=True, check=False)
    match = re.match(r"v(\d+)\.(\d+)\.(\d+)", answer.stdout.strip())
    if match is None or tuple(int(part) for part in match.groups()) < OLDEST_VERSION:
        return None
    return Engine(folder=Path(path).parent, version=match.group(0), installed=True)


def ensure_engine(bin_folder: Path) -> Engine:
    """Return a usable engine; build one if there is none.

    Args:
        bin_folder: The sandbox's own folder for executables. A built engine is linked there beside a language host
            that runs this interpreter: the engine looks for its host next to itself.

    Raises:
        ModelberthError: there is neither Pulumi nor Go, or the build failed.
    """
    found = installed_engine()
    if found is not None:
        return found
    built = cache_folder() / "engine" / ENGINE_VERSION
    if not (built / "pulumi").exists():
        _build(built)
    bin_folder.mkdir(parents=True, exist_ok=True)
    _link(built / "pulumi", bin_folder / "pulumi")
    write_launcher(
        bin_folder / "pulumi-language-python",
        f'-m sandbox.engine.language_host --exec "{built / "pulumi-language-python-exec"}"',
    )
    return Engine(folder=bin_folder, version=ENGINE_VERSION, installed=False)


def write_launcher(path: Path, arguments: str) -> None:
    """Write an executable that runs this interpreter with `arguments` from any working directory."""
    root = Path(__file__).resolve().parents[2]
    text = f'#!/bin/sh\nPYTHONPATH="{root}${{PYTHONPATH:+:$PYTHONPATH}}" exec "{sys.executable}" {arguments} "$@"\n'
    if path.exists() and path.read_text() == text:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)


def _link(source: Path, target: Path) -> None:
    # A symbolic link would not do: the engine resolves it and then looks for its host in the shared cache.
    if target.exists() and target.stat().st_size == source.stat().st_size:
        return
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _build(target: Path) -> None:
    def add_executor(folder: Path, module_folder: Callable[[str], Path]) -> None:
        sdk = module_folder("github.com/pulumi/pulumi/sdk/v3")
        shutil.copy(sdk / "python" / "cmd" / "pulumi-language-python-exec", folder)

    build(_PROGRAM, target, add_executor)
