"""Where `modelberth retrain` works: one folder for each set of inputs, which one run at a time has for itself."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import socket
import time
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

from model_packaging.errors import ModelberthError

KEPT_SECONDS = 7 * 24 * 3600
"""How long a folder that no run uses is kept for one that continues."""

_LOCK = ".lock"


@dataclass(frozen=True)
class Held:
    """A folder that is this run's alone."""

    folder: Path
    descriptor: int
    """Of the lock. A training process inherits it: while one is left over from a killed run, nobody else has it."""

    def training(self, group: int) -> None:
        """Writes down which process group trains, for the run that finds the lock held by it alone."""
        _write(self.descriptor, f"{os.getpid()} {group} {socket.gethostname()}")


def default() -> Path:
    """Beside the packages in the cache (`MODELBERTH_CACHE`, else `~/.cache/modelberth`)."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "modelberth"
    return Path(os.environ.get("MODELBERTH_CACHE") or cache) / "retraining"


@contextlib.contextmanager
def held(folder: Path) -> Generator[Held]:
    """Waits until no other run has the folder, makes it, and holds it. The lock is the operating system's: it ends
    with whoever holds it, however that ends."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    descriptor = _lock(folder.with_name(folder.name + _LOCK))
    try:
        folder.mkdir(exist_ok=True)
        yield Held(folder, descriptor)
    finally:
        os.utime(folder.with_name(folder.name + _LOCK))
        # Said aloud, because a process that outlived the training may have the descriptor still.
        fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)


def prune(work: Path, own: Path) -> None:
    """Removes what no run used for a week: the folders with their locks, and downloads that were broken off."""
    oldest = time.time() - KEPT_SECONDS
    for lock in work.glob(f"*{_LOCK}"):
        folder = lock.with_name(lock.name.removesuffix(_LOCK))
        if folder == own or lock.stat().st_mtime > oldest:
            continue
        descriptor = os.open(lock, os.O_RDWR)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
            lock.unlink()
        except BlockingIOError:
            pass
        finally:
            os.close(descriptor)
    for broken in work.glob("incoming-*"):
        if broken.stat().st_mtime < oldest:
            shutil.rmtree(broken, ignore_errors=True)


def _lock(path: Path) -> int:
    told = False
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _end_leftover(descriptor)
            if not told:
                print(f"another run has {path.with_suffix('')}: waiting for it", flush=True)
                told = True
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            except BaseException:
                os.close(descriptor)
                raise
        except OSError as error:
            os.close(descriptor)
            raise ModelberthError(
                f"{path}: cannot be locked ({error.strerror}): set work to a folder on a disk of this machine"
            ) from None
        with contextlib.suppress(FileNotFoundError):
            if os.fstat(descriptor).st_ino == path.stat().st_ino:  # else it was pruned in between
                _write(descriptor, f"{os.getpid()} 0 {socket.gethostname()}")
                return descriptor
        os.close(descriptor)


def _end_leftover(descriptor: int) -> None:
    """Ends the training of a run that was killed: its process group holds the lock, and the run is gone. Numbers of
    another machine, or of another container, say nothing here."""
    words = os.pread(descriptor, 1000, 0).decode("utf-8", "replace").split()
    if len(words) != 3 or words[2] != socket.gethostname():
        return
    run, group = int(words[0]), int(words[1])
    if group and not _alive(run):
        print(f"ending the training that a killed run left behind (process group {group})", flush=True)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _write(descriptor: int, text: str) -> None:
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, text.encode(), 0)
