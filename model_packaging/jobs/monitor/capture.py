"""Read what an endpoint's data capture wrote: requests and answers, as JSON Lines by the hour.

Source: SageMaker Developer Guide, "Capture data from real-time endpoint": the record's form, and the path
`<capture>/<endpoint>/<variant>/yyyy/mm/dd/hh/<name>.jsonl`, in UTC.
"""

from __future__ import annotations

import base64
import contextlib
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from model_packaging.storage import explained, filesystem

MAX_LINE_BYTES = 128 * 1024 * 1024
"""A request and an answer of SageMaker's largest size, 25 MB each, both as base64, fit twice."""

_BLOCK_BYTES = 4 * 1024 * 1024
_MOST_EXAMPLES = 5
_TYPES = {"CSV": "text/csv", "JSON": "application/json"}
"""What an encoding says about a payload that bears no content type."""


@dataclass
class Examples:
    """How often something was found, and the first few of it in words."""

    count: int = 0
    examples: list[str] = field(default_factory=list[str])

    def add(self, example: str) -> None:
        self.count += 1
        if len(self.examples) < _MOST_EXAMPLES:
            self.examples.append(example)


@dataclass(frozen=True)
class Window:
    """The span of time that is looked at, from `start` up to and without `end`."""

    start: datetime
    end: datetime

    def hours(self) -> Iterator[datetime]:
        """The beginning of every hour that the window touches."""
        hour = self.start.replace(minute=0, second=0, microsecond=0)
        while hour < self.end:
            yield hour
            hour += timedelta(hours=1)


@dataclass(frozen=True)
class Payload:
    """What was sent in one direction."""

    body: bytes
    content_type: str | None


@dataclass(frozen=True)
class Exchange:
    """One request and its answer, as far as they were captured."""

    where: str
    """The file, which begins with the variant, and the line."""

    request: Payload | None
    answer: Payload | None
    identifier: str | None = None
    """What labels refer to it by: the caller's inferenceId, else SageMaker's eventId."""

    time: datetime | None = None
    """When it was answered, if the record tells."""


def read(address: str, window: Window, unreadable: Examples) -> Iterator[Exchange]:
    """What was captured within the window, line by line; lines that are no capture records go to `unreadable`.

    Args:
        address: The endpoint's folder, whose subfolders are its variants. It may not exist yet.
        window: What is read; a record without a time counts by the hour of its folder.
        unreadable: Where lines that cannot be read are counted.

    Raises:
        StorageError: the storage cannot be reached, or refuses.
    """
    fs, root = filesystem(address)
    root = root.rstrip("/")
    for path in _files(fs, root, address, window):
        name = path.removeprefix(f"{root}/")
        with explained(f"{address}/{name}", "read"), fs.open(path, "rb", block_size=_BLOCK_BYTES) as source:
            for number, line in enumerate(_lines(source), 1):
                where = f"{name}:{number}"
                try:
                    exchange = _exchange(where, line, window)
                except ValueError as error:
                    unreadable.add(f"{where}: {error}")
                    continue
                if exchange is not None:
                    yield exchange


def _files(fs: Any, root: str, address: str, window: Window) -> Iterator[str]:
    with explained(address, "list"):
        variants = [one["name"] for one in _listed(fs, root, address) if one["type"] == "directory"]
    for variant in sorted(variants):
        for hour in window.hours():
            folder = f"{variant}/{hour:%Y/%m/%d/%H}"
            with explained(address, "list"):
                found = [str(one["name"]) for one in _listed(fs, folder, address) if one["type"] == "file"]
            yield from (name for name in sorted(found) if name.endswith(".jsonl"))


def _listed(fs: Any, folder: str, address: str) -> list[dict[str, Any]]:
    """What is in a folder: nothing where there is no such folder. Without its bucket, though, traffic is not
    absent but out of sight."""
    try:
        return fs.ls(folder, detail=True)
    except FileNotFoundError:
        bucket = folder.partition("/")[0]
        if bucket:  # a path of a disk or of memory begins with a slash
            with contextlib.suppress(PermissionError):  # the bucket is there; its root may not be listed
                fs.ls(bucket)
        return []


def _lines(source: Any) -> Iterator[bytes]:
    """The lines, without holding more than one; one that is too long is cut off."""
    reader = io.BufferedReader(source, _BLOCK_BYTES)
    while line := reader.readline(MAX_LINE_BYTES):
        yield line
        while not line.endswith(b"\n") and (line := reader.readline(MAX_LINE_BYTES)):
            pass


def _exchange(where: str, line: bytes, window: Window) -> Exchange | None:
    """The record in a line, None if it is not of this window; ValueError says what is wrong with it."""
    if not line.strip():
        return None
    if len(line) >= MAX_LINE_BYTES:
        raise ValueError(f"longer than {MAX_LINE_BYTES:,} bytes")
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not JSON: {error}") from None
    data = _object(record, "captureData")
    metadata = _object(record, "eventMetadata")
    when = _time(metadata.get("inferenceTime"))
    if when is not None and not window.start <= when < window.end:
        return None
    named = metadata.get("inferenceId") or metadata.get("eventId")
    identifier = None if named is None else str(named)
    return Exchange(where, _payload(data, "endpointInput"), _payload(data, "endpointOutput"), identifier, when)


def _payload(data: dict[str, Any], side: str) -> Payload | None:
    if side not in data:  # capture of inputs only, or of outputs only
        return None
    given = _object(data, side)
    text, encoding = given.get("data"), given.get("encoding")
    if not isinstance(text, str):
        raise ValueError(f"{side} holds no data")
    kind = given.get("observedContentType") or _TYPES.get(str(encoding))
    if encoding == "BASE64":
        try:
            return Payload(base64.b64decode(text, validate=True), kind)
        except ValueError as error:
            raise ValueError(f"{side} is not BASE64: {error}") from None
    if encoding not in _TYPES:
        raise ValueError(f'{side} has the encoding "{encoding}": known are BASE64, CSV and JSON')
    return Payload(text.encode("utf-8", "surrogatepass"), kind)


def _object(value: Any, key: str) -> dict[str, Any]:
    found = cast("dict[str, Any]", value).get(key) if isinstance(value, dict) else None
    if not isinstance(found, dict):
        raise ValueError(f"no capture record: {key} is missing")
    return cast("dict[str, Any]", found)


def _time(text: Any) -> datetime | None:
    try:
        when = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return None
    return when if when.tzinfo else when.replace(tzinfo=UTC)
