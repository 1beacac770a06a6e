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
import time
from dataclasses import dataclass
from pathlib import Path

from model_packaging.errors import ModelberthError

# The newest engine that the Go module proxy serves with all that it needs.
ENGINE_VERSION = "v3.259.0"
# Error hooks, by which a failed endpoint shows its log, came with this one.
OLDEST_VERSION = (3, 220, 0)
_SOURCE = Path(__file__).parent
_VERSION_SYMBOL = "github.com/pulumi/pulumi/sdk/v3/go/common/version.Version"
_BUILD_SPACE_BYTES = 4 * 1024**3


@dataclass(frozen=True)
class Engine:
    """A usable engine.

    `folder` goes first on the path. `installed` says that it is the user's own, which brings its own language host.
    """

    folder: Path
    version: str
    installed: bool


def cache_folder() -> Path:
    """Where built tools are kept, by version: `$XDG_CACHE_HOME/modelberth` or `~/.cache/modelberth`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "modelberth"


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
    go = shutil.which("go")
    if go is None:
        raise ModelberthError(
            "There is neither Pulumi nor Go on this machine, and the sandbox needs one of them. "
            "Install Pulumi (https://www.pulumi.com/docs/install/, seconds) or Go 1.26 or later "
            "(https://go.dev/doc/install; the engine is then built once, which takes minutes)."
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(target.parent).free
    if free < _BUILD_SPACE_BYTES:
        raise ModelberthError(
            f"Building the engine needs {_BUILD_SPACE_BYTES // 1024**3} GB in {target.parent}; "
            f"{free / 1024**3:.1f} GB are free. Free some space, set XDG_CACHE_HOME to another disk, or install Pulumi."
        )
    print(
        f"No Pulumi on the path: building its engine {ENGINE_VERSION} from the published Go module.\n"
        "  This takes about 6 minutes on two cores, once; it is kept in " + str(target),
        flush=True,
    )
    work = target.with_name(f".{target.name}-{os.getpid()}")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    try:
        for name in ("go.mod", "go.sum"):
            shutil.copy(_SOURCE / name, work / name)
        environment = os.environ | {"GOFLAGS": "-mod=mod -buildvcs=false"}
        _run_with_progress(
            [
                go,
                "build",
                f"-ldflags=-s -w -X {_VERSION_SYMBOL}={ENGINE_VERSION}",
                "-o",
                "pulumi",
                "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi",
            ],
            work,
            environment,
        )
        module = subprocess.run(
            [go, "list", "-m", "-f", "{{.Dir}}", "github.com/pulumi/pulumi/sdk/v3"],
            cwd=work,
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        shutil.copy(Path(module) / "python" / "cmd" / "pulumi-language-python-exec", work)
        shutil.rmtree(target, ignore_errors=True)
        work.rename(target)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _run_with_progress(command: list[str], folder: Path, environment: dict[str, str]) -> None:
    log = folder / "build.log"
    started = time.monotonic()
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=output, stderr=subprocess.STDOUT)
        while True:
            try:
                code = process.wait(timeout=15)
                break
            except subprocess.TimeoutExpired:
                print(f"  … building, {time.monotonic() - started:.0f} s", flush=True)
    if code != 0:
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
        raise ModelberthError(
            f"The engine could not be built (go exited with {code}); the end of its output:\n{tail}\n"
            "Installing Pulumi instead (https://www.pulumi.com/docs/install/) avoids the build."
        )
    print(f"  built in {time.monotonic() - started:.0f} s", flush=True)
