"""Builds programs once from their published Go module, into the user's cache folder by version.

Later clones find it there. The folder that holds a program's go.mod and go.sum pins everything it is made of.
"""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from model_packaging.errors import ModelberthError


@dataclass(frozen=True)
class GoProgram:
    """A program that can be built here. The texts are for the user."""

    name: str
    """In the middle of a sentence, such as "the engine"."""

    version: str
    source: Path
    """The folder with go.mod and go.sum, and with the program itself where it is ours."""

    package: str
    """The Go package of the program's main function."""

    executable: str
    space_bytes: int
    """Needed while building."""

    minutes: str
    """How long it takes, such as "about 6 minutes on two cores"."""

    without_go: str
    """What to say when there is no Go on this machine."""

    instead: str = ""
    """What else would do, as a sentence."""

    ldflags: str = ""
    tags: str = ""
    """Go's build tags."""

    cgo: bool | None = None
    """Whether C code is built in; where unset Go decides by whether there is a compiler."""

    companions: Mapping[str, str] = field(default_factory=dict[str, str])
    """More executables from the same module, each with the Go package of its main function."""


def cache_folder() -> Path:
    """Where built tools are kept, by version: `$XDG_CACHE_HOME/modelberth` or `~/.cache/modelberth`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "modelberth"


def build(
    program: GoProgram, target: Path, complete: Callable[[Path, Callable[[str], Path]], None] | None = None
) -> None:
    """Build the program into the folder `target`, which appears whole or not at all.

    Args:
        program: What to build.
        target: The folder to make; the executables lie in it.
        complete: Adds to the built folder what belongs beside the executable. It is given the folder and a function
            that tells where the source of a Go module lies.

    Raises:
        ModelberthError: there is no Go, too little space, or the build failed.
    """
    go = shutil.which("go")
    if go is None:
        raise ModelberthError(program.without_go)
    target.parent.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(target.parent).free
    if free < program.space_bytes:
        raise ModelberthError(
            f"Building {program.name} needs {program.space_bytes // 1024**3} GB in {target.parent}; "
            f"{free / 1024**3:.1f} GB are free. Free some space, or set XDG_CACHE_HOME to another disk. "
            f"{program.instead}".rstrip()
        )
    print(
        f"Building {program.name} {program.version} from its published Go module.\n"
        f"  This takes {program.minutes}, once; it is kept in {target}",
        flush=True,
    )
    work = target.with_name(f".{target.name}-{os.getpid()}")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    environment = os.environ | {"GOFLAGS": "-mod=mod -buildvcs=false"}
    if program.cgo is not None:
        environment["CGO_ENABLED"] = str(int(program.cgo))

    def module_folder(module: str) -> Path:
        command = [go, "list", "-m", "-f", "{{.Dir}}", module]
        done = subprocess.run(command, cwd=work, env=environment, capture_output=True, text=True, check=True)
        return Path(done.stdout.strip())

    try:
        for file in program.source.iterdir():
            if file.name in ("go.mod", "go.sum") or file.suffix == ".go":
                shutil.copy(file, work / file.name)
        ldflags = f"-ldflags=-s -w {program.ldflags}".rstrip()
        for executable, package in {program.executable: program.package, **program.companions}.items():
            command = [go, "build", "-tags", program.tags, ldflags, "-o", executable, package]
            _run_with_progress(program, command, work, environment)
        if complete is not None:
            complete(work, module_folder)
        shutil.rmtree(target, ignore_errors=True)
        work.rename(target)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def module_folder(source: Path, module: str) -> Path:
    """Return where a Go module's source lies that the go.mod in `source` names, of the version and content it pins.

    Raises:
        ModelberthError: there is no Go, or the module cannot be had.
    """
    go = shutil.which("go")
    if go is None:
        raise ModelberthError(f"{module} is read from its published Go module, and there is no Go on this machine")
    command = [go, "mod", "download", "-json", module]
    done = subprocess.run(
        command, cwd=source, env=os.environ | {"GOFLAGS": ""}, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise ModelberthError(f"the Go module {module} cannot be had: {done.stderr.strip() or done.stdout.strip()}")
    return Path(json.loads(done.stdout)["Dir"])


def _run_with_progress(program: GoProgram, command: list[str], folder: Path, environment: dict[str, str]) -> None:
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
            f"Building {program.name} failed (go exited with {code}); the end of its output:\n{tail}\n{program.instead}"
        )
    print(f"  built in {time.monotonic() - started:.0f} s", flush=True)
