"""How a job ends badly: the reason for people on stderr and where the platform or the user looks, then exit code 1."""

from __future__ import annotations

import contextlib
import signal
import sys
import traceback
from collections.abc import Callable, Generator
from pathlib import Path
from types import FrameType
from typing import NoReturn

from model_packaging.errors import ModelberthError

MOST = 1024
"""Characters that SageMaker keeps of a reason."""


class Stopped(BaseException):
    """The platform asked the job to stop (SIGTERM)."""


def into(reason_file: Path) -> Callable[[str], None]:
    """Writes the reason into a file of the platform, as much of it as SageMaker keeps."""

    def tell(text: str) -> None:
        reason_file.parent.mkdir(parents=True, exist_ok=True)
        reason_file.write_text(text if len(text) <= MOST else text[: MOST - 1] + "…", encoding="utf-8")

    return tell


@contextlib.contextmanager
def reported(job: str, tell: Callable[[str], None]) -> Generator[None]:
    """Runs a job's body, and tells the reason if it fails. Expected errors end without a traceback, others with
    one on stderr only; SIGTERM unwinds the body, so that what it was doing is undone, and says so."""
    previous = signal.signal(signal.SIGTERM, _stop)
    try:
        yield
    except ModelberthError as error:
        _end(job, tell, str(error))
    except Stopped:
        _end(job, tell, "stopped by the platform (SIGTERM) before it was done")
    except OSError as error:  # no disk space, no permission, no network
        where = f" ({error.filename})" if error.filename else ""
        _end(job, tell, f"{error.strerror or error}{where}")
    except Exception as error:
        traceback.print_exc()
        _end(job, tell, f"{type(error).__name__}: {error}")
    finally:
        signal.signal(signal.SIGTERM, previous)


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    raise Stopped


def _end(job: str, tell: Callable[[str], None], reason: str) -> NoReturn:
    text = f"{job}: {reason}"
    print(text, file=sys.stderr, flush=True)
    with contextlib.suppress(OSError, ModelberthError):  # the reason stands in the log already
        tell(text)
    raise SystemExit(1)
