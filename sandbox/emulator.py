"""An emulator, of AWS or Google Cloud, as a background process that outlives the command which started it."""

import contextlib
import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil

from model_packaging.errors import ModelberthError
from sandbox.settings import HOME, ROOT

_START_SECONDS = 60
_STOP_SECONDS = 60


def health(url: str) -> dict[str, Any] | None:
    """Return what the emulator at `url` says of itself; nothing where none answers."""
    try:
        with urllib.request.urlopen(f"{url}/_sandbox/health", timeout=5) as answer:
            found = json.load(answer)
    except (OSError, ValueError, urllib.error.URLError):
        return None
    return found if isinstance(found, dict) and "instance_id" in found else None


def ensure(url: str, cloud: str) -> str:
    """Return the identity of the emulator at `url`; start one of a cloud, "AWS" or "Google", if there is none.

    Its state lives and dies with its process: another identity than last time means that everything is gone.

    Raises:
        ModelberthError: it does not start, such as when the port is taken; the text says by which process.
    """
    running = health(url)
    if running is None:
        _start(url, cloud)
        running = health(url)
    if running is None:
        log = _log(cloud).relative_to(ROOT)
        raise ModelberthError(f"the {cloud} emulator does not answer at {url}; its log is {log}")
    return str(running["instance_id"])


def _log(cloud: str) -> Path:
    return HOME / f"{cloud.lower()}.log"


def _start(url: str, cloud: str) -> None:
    HOME.mkdir(exist_ok=True)
    module = f"sandbox.{cloud.lower()}"
    work = HOME / cloud.lower()
    command = [sys.executable, "-m", module, "--port", str(urlsplit(url).port), "--work", str(work)]
    with _log(cloud).open("wb") as log:
        process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    deadline = time.monotonic() + _START_SECONDS
    while health(url) is None:
        if process.poll() is not None:
            lines = _log(cloud).read_text(errors="replace").strip().splitlines()[-10:]
            raise ModelberthError(f"the {cloud} emulator did not start: " + "\n".join(lines).removeprefix("error: "))
        if time.monotonic() > deadline:
            process.kill()
            raise ModelberthError(f"the {cloud} emulator did not answer within {_START_SECONDS} s; see {_log(cloud)}")
        time.sleep(0.1)


def stop(url: str) -> bool:
    """End the emulator at `url` and every process that it started; tells whether there was one.

    Raises:
        ModelberthError: it does not end.
    """
    running = health(url)
    if running is None:
        return False
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(int(running["pid"]))
        family = [process, *process.children(recursive=True)]
        process.terminate()
        _, left = psutil.wait_procs(family, timeout=_STOP_SECONDS)
        if left:
            raise ModelberthError("these processes of the sandbox did not end: " + ", ".join(str(p.pid) for p in left))
    return True
