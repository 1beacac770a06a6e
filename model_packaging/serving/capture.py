"""Data capture where the platform has none: requests and answers as JSON Lines, at any fsspec address.

The records and the path `<url>/<variant>/yyyy/mm/dd/hh/<name>.jsonl` (UTC) are those of SageMaker's data capture
(developer guide, "Capture data from real-time endpoint"), so that the monitor job reads both alike. Whatever the
contract, a request is written as {"instances": [...]} in the order of the signature. Requests that were refused are
not written: nobody knows what they hold.
"""

from __future__ import annotations

import queue
import random
import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast
from urllib.parse import urlsplit

import orjson

from model_packaging.errors import ModelberthError, did_you_mean
from model_packaging.formats.predictor import Columns, Predictions, count
from model_packaging.serving.log import log
from model_packaging.serving.metrics import Metrics
from model_packaging.storage import explained, filesystem

FILE_BYTES = 8 * 1024 * 1024
"""A file ends when it has this size,"""

FILE_SECONDS = 60.0
"""or when its first record is so old, or with the hour."""

MOST_WAITING = 1_000
MOST_WAITING_ROWS = 200_000
"""Requests, and rows of theirs, that may wait to be written; more are dropped and counted."""

CLOSE_SECONDS = 10.0
"""How long the end of the process waits for the last file."""


@dataclass(frozen=True)
class CaptureSettings:
    """What is captured, and where to; each field is the variable MODELBERTH_CAPTURE_ and its name in capitals."""

    url: str
    """The endpoint's folder, at any address that fsspec knows."""

    sample: float = 100.0
    """Share of the requests, in percent, chosen by chance."""

    redact: tuple[str, ...] = ()
    """Columns whose values are never written; null stands in their place, and what is wrong with a row is told and
    logged without them. A list with commas."""

    variant: str = "primary"
    """The folder below `url`, which tells the variants of an endpoint apart."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> CaptureSettings | None:
        """None where no address is set. ModelberthError names each bad setting."""
        url = environment.get("MODELBERTH_CAPTURE_URL", "").strip().rstrip("/")
        if not url:
            return None
        problems: list[str] = []
        text = environment.get("MODELBERTH_CAPTURE_SAMPLE", "").strip().removesuffix("%") or "100"
        try:
            sample = float(text)
        except ValueError:
            sample = -1.0
        if not 0 <= sample <= 100:
            problems.append(f'MODELBERTH_CAPTURE_SAMPLE is "{text}": it must be a percentage from 0 to 100')
        variant = environment.get("MODELBERTH_CAPTURE_VARIANT", "").strip() or cls.variant
        if "/" in variant or variant in (".", ".."):
            problems.append(f'MODELBERTH_CAPTURE_VARIANT is "{variant}": it must be the name of one folder')
        if urlsplit(url).scheme == "" and not url.startswith("/"):
            problems.append(f'MODELBERTH_CAPTURE_URL is "{url}": it must be a URL or an absolute path')
        if problems:
            raise ModelberthError(*problems)
        names = environment.get("MODELBERTH_CAPTURE_REDACT", "").split(",")
        return cls(url, sample, tuple(name.strip() for name in names if name.strip()), variant)


@dataclass(frozen=True, slots=True)
class _Taken:
    when: float
    columns: Columns
    predictions: Predictions
    identifier: str | None


class Capture:
    """Takes requests without ever waiting, and writes them on a thread of its own."""

    def __init__(self, settings: CaptureSettings, columns: Sequence[str], metrics: Metrics) -> None:
        """ModelberthError where a column to redact does not exist: its values would be written."""
        unknown = [name for name in settings.redact if name not in columns]
        if unknown:
            raise ModelberthError(
                *(
                    f'MODELBERTH_CAPTURE_REDACT names "{name}", which is no column: there are {", ".join(columns)}'
                    f"{did_you_mean(name, columns)}"
                    for name in unknown
                )
            )
        self._settings = settings
        self._metrics = metrics
        self._queue: queue.SimpleQueue[_Taken | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._waiting = 0
        self._waiting_rows = 0
        self._lines: list[bytes] = []
        self._size = 0
        self._began = 0.0
        self._hour = ""
        self._thread = threading.Thread(target=self._run, name="capture", daemon=True)
        self._thread.start()

    def add(self, columns: Columns, predictions: Predictions, identifier: str | None = None) -> None:
        """Takes a request and its answer into the sample, by chance. Never raises, never waits."""
        if random.random() * 100 >= self._settings.sample:
            return
        rows = len(predictions)
        with self._lock:
            full = self._waiting >= MOST_WAITING or self._waiting_rows + rows > MOST_WAITING_ROWS
            if not full:
                self._waiting += 1
                self._waiting_rows += rows
        if full:
            self._metrics.dropped("queue full")
            return
        self._queue.put(_Taken(time.time(), columns, predictions, identifier))

    def close(self) -> None:
        """Writes what waits; gives up after some seconds, and says so."""
        self._queue.put(None)
        self._thread.join(CLOSE_SECONDS)
        if self._thread.is_alive():
            log("capture not finished", "warning", unwritten=self._waiting + len(self._lines))

    def _run(self) -> None:
        while True:
            due = self._began + FILE_SECONDS - time.monotonic() if self._lines else None
            try:
                taken = self._queue.get(timeout=None if due is None else max(due, 0))
            except queue.Empty:
                self._flush()
                continue
            if taken is None:
                self._flush()
                return
            try:
                self._keep(taken)
            except Exception as error:  # whatever a value is, the next request must be written
                self._metrics.dropped("not writable")
                log("capture failed", "warning", problem=f"{type(error).__name__}: {error}")
            with self._lock:
                self._waiting -= 1
                self._waiting_rows -= len(taken.predictions)

    def _keep(self, taken: _Taken) -> None:
        when = datetime.fromtimestamp(taken.when, UTC)
        hour = f"{when:%Y/%m/%d/%H}"
        if hour != self._hour:
            self._flush()
            self._hour = hour
        line = self._record(taken, when)
        if not self._lines:
            self._began = time.monotonic()
        self._lines.append(line)
        self._size += len(line)
        if self._size >= FILE_BYTES:
            self._flush()

    def _record(self, taken: _Taken, when: datetime) -> bytes:
        values = [self._values(name, taken.columns) for name in taken.columns]
        given = {"instances": list(zip(*values, strict=True))}
        metadata: dict[str, Any] = {"eventId": str(uuid.uuid4()), "inferenceTime": f"{when:%Y-%m-%dT%H:%M:%SZ}"}
        if self._settings.redact:
            # Beside SageMaker's own keys: else nobody could tell a redacted value from a missing one.
            metadata["redactedColumns"] = list(self._settings.redact)
        if taken.identifier:
            metadata["inferenceId"] = taken.identifier
        data = {
            "endpointInput": _side("INPUT", given),
            "endpointOutput": _side("OUTPUT", {"predictions": taken.predictions.objects()}),
        }
        return orjson.dumps({"captureData": data, "eventMetadata": metadata, "eventVersion": "0"}) + b"\n"

    def _values(self, name: str, columns: Columns) -> list[Any]:
        if name in self._settings.redact:
            return [None] * count(columns)
        return [None if value != value else value for value in cast("list[Any]", columns[name].tolist())]

    def _flush(self) -> None:
        if not self._lines:
            return
        lines, self._lines, self._size = self._lines, [], 0
        name = f"{datetime.now(UTC):%M-%S-%f}-{uuid.uuid4()}.jsonl"
        address = f"{self._settings.url}/{self._settings.variant}/{self._hour}/{name}"
        try:
            with explained(address, "write"):
                fs, path = filesystem(address)
                fs.makedirs(path.rpartition("/")[0], exist_ok=True)
                fs.pipe_file(path, b"".join(lines))
        except Exception as error:  # capture that cannot be written fails no request
            self._metrics.dropped("not written", len(lines))
            log("capture failed", "warning", requests=len(lines), problem=str(error))
            return
        self._metrics.captured.inc(len(lines))


def _side(mode: str, value: object) -> dict[str, str]:
    text = orjson.dumps(value).decode()
    return {"observedContentType": "application/json", "mode": mode, "data": text, "encoding": "JSON"}
