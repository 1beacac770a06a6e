"""Cloud Storage as files below /gcs/, as custom jobs and pipelines see it.

A path below /gcs/ that a command or a variable names is one in the container's own folder: what the bucket has there
is copied before the program starts, and what the program wrote is in the bucket when it has ended.

Source: "Prepare training code", "Use Cloud Storage as a mounted file system" (Cloud Storage FUSE at /gcs/<bucket>).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from sandbox.google import storage
from sandbox.google.errors import precondition

if TYPE_CHECKING:
    from sandbox.google.emulator import Emulator

_ROOT = re.compile(r"(?<![\w./-])/gcs/(?=[a-z0-9])")
_PATH = re.compile(r"(?<![\w./-])/gcs/([a-z0-9][a-z0-9._-]+/[^\s\"'\\,;]*)")

Seen = dict[Path, tuple[int, int]]
"""Files and what tells whether they were changed."""


def inside(text: str, folder: Path) -> str:
    """A text in which the paths below /gcs/ are those of a container's folder."""
    return _ROOT.sub(lambda _: f"{folder}/gcs/", text)


def fetch(emulator: Emulator, texts: Iterable[str], folder: Path) -> Seen:
    """Copy what the buckets have at the paths in the texts."""
    for path in sorted({found for text in texts for found in _PATH.findall(text)}):
        target = folder / "gcs" / path.rstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            target.write_bytes(storage.read(emulator, f"gs://{path}"))
        except (FileNotFoundError, IsADirectoryError):
            storage.download(emulator, f"gs://{path}", target)
    return _files(folder / "gcs")


def store(emulator: Emulator, folder: Path, seen: Seen) -> None:
    """Put what was written into the buckets; raises FAILED_PRECONDITION for a bucket that is not there."""
    root = folder / "gcs"
    for path, state in _files(root).items():
        if seen.get(path) != state:
            address = f"gs://{path.relative_to(root).as_posix()}"
            try:
                storage.write(emulator, address, path.read_bytes())
            except FileNotFoundError:
                raise precondition(f"The bucket of {address} does not exist.") from None


def _files(root: Path) -> Seen:
    return {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in root.rglob("*") if path.is_file()}
