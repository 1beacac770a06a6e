"""Structured logs: one JSON object per line on stdout, which every platform collects."""

from __future__ import annotations

import json
import logging
import sys
import threading
from datetime import UTC, datetime

import orjson

_lock = threading.Lock()


def log(event: str, level: str = "info", **fields: object) -> None:
    """Writes one line; `event` is what happened, `fields` are whatever JSON can hold."""
    record = {
        "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "level": level,
        "event": event,
        **fields,
    }
    # Strings may hold halves of surrogate pairs, which a client sent and orjson does not write.
    try:
        line = orjson.dumps(record, default=str).decode()
    except (TypeError, ValueError):
        line = json.dumps(record, default=str)
    with _lock:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()


def capture_library_logs() -> None:
    """Sends the warnings of libraries (uvicorn, scikit-learn) through the same lines."""
    logging.captureWarnings(True)
    logging.basicConfig(handlers=[_Lines()], level=logging.WARNING, force=True)


class _Lines(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        fields: dict[str, object] = {"logger": record.name}
        if record.exc_info:
            fields["exception"] = logging.Formatter().formatException(record.exc_info)
        log(record.getMessage(), record.levelname.lower(), **fields)
