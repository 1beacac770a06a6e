"""Read captured requests and answers, of whichever service captured them, as they are stored.

SageMaker's data capture is JSON Lines by the hour (Developer Guide, "Capture data from real-time endpoint": the
record's form, and the path `<capture>/<endpoint>/<variant>/yyyy/mm/dd/hh/<name>.jsonl`, in UTC). Exports of Vertex
AI's request-response log are JSON Lines or Parquet with the columns of its BigQuery table (Vertex AI documentation,
"Use online prediction logging"). Our own are Parquet. docs/metrics.md describes all three.
"""

from __future__ import annotations

import base64
import contextlib
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from model_packaging.jobs.monitor import parquet
from model_packaging.jobs.monitor.columns import plain
from model_packaging.jobs.monitor.parquet import Batch
from model_packaging.jobs.monitor.repeats import Repeats
from model_packaging.storage import explained, filesystem

MAX_LINE_BYTES = 128 * 1024 * 1024
"""A request and an answer of SageMaker's largest size, 25 MB each, both as base64, fit twice."""

_BLOCK_BYTES = 4 * 1024 * 1024
_MOST_EXAMPLES = 5
_TYPES = {"CSV": "text/csv", "JSON": "application/json"}
"""What an encoding says about a payload that bears no content type."""

_SUFFIXES = (".jsonl", ".json", ".parquet")
_LOGGED = ("request_id", "logging_time", "request_payload", "response_payload")
"""The columns of Vertex AI's table that are read; `endpoint` and `deployed_model_id` are not."""


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

    redacted: frozenset[str] = frozenset()
    """Inputs whose values were left out on purpose: null stands in their place, and says nothing of the traffic."""

    row: int = 0
    """Which row of its request the first one is, where a request's rows come one by one."""


def read(address: str, window: Window, unreadable: Examples, repeats: Repeats | None = None) -> Iterator[Exchange]:
    """What was captured within the window, each request by itself; the arguments are those of `stream`."""
    for one in stream(address, window, unreadable, repeats or Repeats()):
        yield from exchanges(one)


def stream(
    address: str,
    window: Window,
    unreadable: Examples,
    repeats: Repeats,
    columns: Sequence[str] | None = None,
) -> Iterator[Exchange | Batch]:
    """What was captured within the window: line by line, and Parquet of our own in batches.

    Args:
        address: The endpoint's folder, whose subfolders are its variants, which may not exist yet; or files, by an
            address that ends in .jsonl, .json or .parquet and may hold `*`.
        window: What is read; a record without a time counts by the hour of its folder.
        unreadable: Where lines and files that cannot be read are counted.
        repeats: Where events are counted that were delivered before.
        columns: Which inputs and predictions are read of Parquet; all where it is None.

    Raises:
        StorageError: the storage cannot be reached, or refuses.
    """
    fs, root = filesystem(address)
    root = root.rstrip("/")
    for path in _files(fs, root, address, window):
        name = path.removeprefix(f"{root}/")
        place = f"{address}/{name}" if name != path else path
        with explained(place, "read"), fs.open(path, "rb", block_size=_BLOCK_BYTES) as source:
            if path.endswith(".parquet"):
                yield from _parquet(source, name, window, unreadable, repeats, columns)
            else:
                yield from _json_lines(source, name, window, unreadable, repeats)


def exchanges(one: Exchange | Batch) -> Iterator[Exchange]:
    """A batch as the requests that its rows would be, in JSON; an exchange as it is."""
    if isinstance(one, Exchange):
        yield one
        return
    variant = one.where.partition(", from row ")[0]
    for row in one.rows.to_pylist():
        event = row.get(parquet.NAME) or row.get(parquet.EVENT)
        answer = _answer({key: value for key, value in row.items() if key.startswith(parquet.PREDICTION)})
        given = parquet.inputs(row)
        yield Exchange(
            variant,
            Payload(json.dumps([plain(given)]).encode(), "application/json") if given else None,
            None if answer is None else Payload(json.dumps([answer]).encode(), "application/json"),
            None if event is None else str(event),
            _time(row.get(parquet.TIME)),
            row=int(row.get(parquet.ROW) or 0),
        )


def _answer(row: Mapping[str, Any]) -> Any:
    values = {key.removeprefix(parquet.PREDICTION): value for key, value in row.items() if value is not None}
    if "value" in values:
        return values["value"]
    chances = {name[len("probability:") :]: value for name, value in values.items() if name.startswith("probability:")}
    return {"label": values["label"]} | ({"probabilities": chances} if chances else {}) if "label" in values else None


def _json_lines(source: Any, name: str, window: Window, unreadable: Examples, repeats: Repeats) -> Iterator[Exchange]:
    for number, line in enumerate(_lines(source), 1):
        where = f"{name}:{number}"
        try:
            found = _exchange(where, line, window)
        except ValueError as error:
            unreadable.add(f"{where}: {error}")
            continue
        if found is not None and repeats.is_first(found[1]):
            yield found[0]


def _parquet(
    source: Any,
    name: str,
    window: Window,
    unreadable: Examples,
    repeats: Repeats,
    columns: Sequence[str] | None,
) -> Iterator[Exchange | Batch]:
    try:
        file = parquet.open_file(source)
        if "request_payload" not in file.schema_arrow.names:
            yield from parquet.batches(file, name, (window.start, window.end), repeats, columns)
            return
        for number, row in enumerate(parquet.records(file, _LOGGED), 1):
            found = _logged(f"{name}:{number}", row, window)
            if found is not None and repeats.is_first(found[1]):
                yield found[0]
    except ValueError as error:
        unreadable.add(f"{name}: {error}")


def _files(fs: Any, root: str, address: str, window: Window) -> Iterator[str]:
    if address.endswith(_SUFFIXES):
        with explained(address, "list"):
            found = sorted(fs.glob(root)) if "*" in root else [root]
        yield from (str(one) for one in found)
        return
    with explained(address, "list"):
        variants = [one["name"] for one in _listed(fs, root, address) if one["type"] == "directory"]
    for variant in sorted(variants):
        for hour in window.hours():
            folder = f"{variant}/{hour:%Y/%m/%d/%H}"
            with explained(address, "list"):
                found = [str(one["name"]) for one in _listed(fs, folder, address) if one["type"] == "file"]
            yield from (name for name in sorted(found) if name.endswith(_SUFFIXES))


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


def _exchange(where: str, line: bytes, window: Window) -> tuple[Exchange, str | None] | None:
    """The record in a line with its event's identifier, None if it is not of this window; ValueError says what is
    wrong with it."""
    if not line.strip():
        return None
    if len(line) >= MAX_LINE_BYTES:
        raise ValueError(f"longer than {MAX_LINE_BYTES:,} bytes")
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not JSON: {error}") from None
    if isinstance(record, dict) and "request_payload" in record:
        return _logged(where, cast("dict[str, Any]", record), window)
    data = _object(record, "captureData")
    metadata = _object(record, "eventMetadata")
    when = _time(metadata.get("inferenceTime"))
    if when is not None and not window.start <= when < window.end:
        return None
    event, named = metadata.get("eventId"), metadata.get("inferenceId") or metadata.get("eventId")
    identifier = None if named is None else str(named)
    request, answer = _payload(data, "endpointInput"), _payload(data, "endpointOutput")
    redacted = _names(metadata.get("redactedColumns"))
    return Exchange(where, request, answer, identifier, when, redacted), None if event is None else str(event)


def _logged(where: str, row: dict[str, Any], window: Window) -> tuple[Exchange, str | None] | None:
    """The same for a row of Vertex AI's table, whose payloads are lists of texts: an instance or a prediction each,
    or the whole body of a raw prediction."""
    when = _time(row.get("logging_time"))
    if when is not None and not window.start <= when < window.end:
        return None
    identifier = None if row.get("request_id") is None else str(row["request_id"])
    request, answer = (_body(row, key) for key in ("request_payload", "response_payload"))
    return Exchange(where, request, answer, identifier, when), identifier


def _body(row: Mapping[str, Any], key: str) -> Payload | None:
    given = row.get(key)
    if not given:
        return None
    if not isinstance(given, list) or not all(isinstance(one, str) for one in cast("list[Any]", given)):
        raise ValueError(f"{key} is no list of texts")
    texts = cast("list[str]", given)
    # An object that stands alone may be the whole body, which is read as one.
    text = texts[0] if len(texts) == 1 and texts[0].lstrip().startswith("{") else f"[{','.join(texts)}]"
    return Payload(text.encode("utf-8", "surrogatepass"), "application/json")


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


def _names(given: Any) -> frozenset[str]:
    """The names in a list; what is none is passed over, as other unknown metadata is."""
    found = cast("list[Any]", given) if isinstance(given, list) else []
    return frozenset(name for name in found if isinstance(name, str))


def _time(given: Any) -> datetime | None:
    try:
        # BigQuery's exports write 2026-03-04 10:00:00.123456 UTC.
        when = given if isinstance(given, datetime) else datetime.fromisoformat(given.removesuffix(" UTC"))
    except (AttributeError, ValueError):
        return None
    return when if when.tzinfo else when.replace(tzinfo=UTC)
