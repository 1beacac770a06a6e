"""Builds and runs the registry: https://distribution.github.io/distribution/about/configuration/."""

import json
import re
import subprocess
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from model_packaging.errors import ModelberthError
from sandbox.go_tools import GoProgram, build, cache_folder

VERSION = "v3.1.2"

_PROGRAM = GoProgram(
    name="the registry",
    version=VERSION,
    source=Path(__file__).parent,
    package="github.com/distribution/distribution/v3/cmd/registry",
    executable="registry",
    space_bytes=2 * 1024**3,
    minutes="about 3 minutes on two cores",
    without_go="There is no Go on this machine, and a registry of our own is built with it: "
    "install Go 1.26 or later (https://go.dev/doc/install).",
)


def ensure_registry() -> Path:
    """The registry's executable; built once into the user's cache. Raises ModelberthError where it cannot be."""
    folder = cache_folder() / "registry" / VERSION
    if not (folder / "registry").exists():
        build(_PROGRAM, folder)
    return folder / "registry"


@contextmanager
def running(executable: Path, folder: Path, passwords: Path | None = None) -> Generator[str]:
    """Run a registry on loopback that keeps everything in `folder`; its `host:port`.

    With `passwords`, a file that `htpasswd -B` wrote, it asks for a user and a password.
    Raises ModelberthError where it does not start.
    """
    configuration: dict[str, object] = {
        "version": 0.1,
        "log": {"level": "info", "formatter": "json", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(folder / "data")}, "delete": {"enabled": True}},
        "http": {"addr": "127.0.0.1:0"},
    }
    if passwords is not None:
        configuration["auth"] = {"htpasswd": {"realm": "registry", "path": str(passwords)}}
    folder.mkdir(parents=True, exist_ok=True)
    settings = folder / "config.json"  # JSON is YAML
    settings.write_text(json.dumps(configuration))
    process = subprocess.Popen(
        [executable, "serve", settings],
        env={"OTEL_TRACES_EXPORTER": "none", "PATH": ""},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        said: list[str] = []
        for line in process.stderr:
            said.append(line)
            if match := re.search(r"listening on (127\.0\.0\.1:\d+)", line):
                break
        else:
            raise ModelberthError(f"the registry did not start: {''.join(said[-5:]).strip()}")
        # What it says later must be read, or it would block once the pipe is full.
        threading.Thread(target=process.stderr.read, daemon=True).start()
        yield match[1]
    finally:
        process.terminate()
        process.wait(30)
