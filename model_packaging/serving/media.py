"""Media types: request bytes to raw rows, predictions to response bytes. Pure functions.

The rules are those of "Common data formats for inference" in the SageMaker guide, plus RFC 4180 (CSV,
with its `header` parameter), RFC 8259 (JSON) and jsonlines.org.
A raw row is a dict by column name or a list in the signature's order; values are not yet checked.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from email.message import Message
from functools import lru_cache
from typing import Any, NoReturn, cast

import orjson

from model_packaging.formats.predictor import class_key
from model_packaging.serving.problems import RequestProblem, quoted

CSV = "text/csv"
JSON = "application/json"
JSON_LINES = "application/jsonlines"

_SAME_AS = {
    "application/x-jsonlines": JSON_LINES,
    "application/jsonl": JSON_LINES,
    "application/x-ndjson": JSON_LINES,
    "application/x-json": JSON,
    "application/csv": CSV,
}

csv.field_size_limit(2**31 - 1)  # the body is limited already, and the default of 128 KiB would be a 500


@dataclass(frozen=True)
class MediaType:
    """A parsed Content-Type: the canonical name and its parameters."""

    name: str
    parameters: dict[str, str]


@dataclass(frozen=True)
class RawRows:
    """Decoded rows; messages count them from 0. `text` says that values are CSV cells, to be read by
    the column's type."""

    rows: list[Any]
    text: bool = False


@lru_cache(maxsize=256)
def content_type(header: str | None) -> MediaType:
    """The request's media type, by default JSON as SageMaker's own containers have it; 415 if unknown."""
    if header is None or not header.strip():
        return MediaType(JSON, {})
    message = Message()
    message["Content-Type"] = header
    parameters = {name.lower(): value for name, value in (message.get_params() or [])[1:]}
    name = header.split(";", 1)[0].strip().lower()
    name = _SAME_AS.get(name, name)
    if name not in DECODERS:
        raise RequestProblem(415, f"content type {quoted(header)} is not supported: send {_listed(DECODERS)}")
    if parameters.get("charset", "utf-8").lower().replace("_", "-") not in (
        "utf-8",
        "utf8",
        "us-ascii",
        "ascii",
    ):
        raise RequestProblem(415, f"charset {quoted(parameters['charset'])} is not supported: send utf-8")
    return MediaType(name, parameters)


@lru_cache(maxsize=256)
def accepted(header: str | None, given: str) -> str:
    """The media type of the answer: the first of the client's preferences that is known, the type of
    the request where anything will do; 406 if none is."""
    if header is None or not header.strip():
        return given
    preferences: list[tuple[float, int, str]] = []
    for position, part in enumerate(header.split(",")):
        name, *parameters = (piece.strip().lower() for piece in part.split(";"))
        quality = next((p[2:] for p in parameters if p.startswith("q=")), "1")
        try:
            weight = float(quality)
        except ValueError:
            weight = 0.0
        if name and weight > 0:
            preferences.append((-weight, position, _SAME_AS.get(name, name)))
    for _, _, name in sorted(preferences):
        if name in ENCODERS:
            return name
        if name == "*/*" or name == f"{given.split('/')[0]}/*":
            return given
        if name in ("application/*", "text/*"):
            return JSON if name == "application/*" else CSV
    raise RequestProblem(406, f"cannot answer as {quoted(header)}: accept {_listed(ENCODERS)}")


def decode(body: bytes, media: MediaType, columns: Sequence[str], max_rows: int) -> RawRows:
    """The rows of a request body. RequestProblem: 400 where it is not what its media type says,
    413 where it has more than `max_rows` rows."""
    return bounded(DECODERS[media.name](_text(body, media.name), media, columns, max_rows), max_rows)


def encode(predictions: Sequence[Any], media_type: str, classes: Sequence[Any]) -> bytes:
    """The response body, of predictions that are finite (`Predictions.objects` sees to that)."""
    return ENCODERS[media_type](predictions, classes)


def bounded(raw: RawRows, max_rows: int) -> RawRows:
    """The same rows. RequestProblem: 400 where there is none, 413 where there are more than `max_rows`."""
    bound(len(raw.rows), max_rows)
    return raw


def bound(rows: int, max_rows: int) -> None:
    """RequestProblem: 400 where there are no rows, 413 where there are more than `max_rows`."""
    if not rows:
        raise RequestProblem(400, "the body holds no rows: send at least one")
    if rows > max_rows:
        raise _too_many(max_rows)


def document(body: bytes) -> Any:
    """The body as one JSON value, for contracts that have an envelope of their own. RequestProblem (400)
    where it is none."""
    return _parse(_text(body, JSON), "the body")


def _text(body: bytes, name: str) -> str:
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise RequestProblem(400, f"the body is not UTF-8: byte {error.start} is 0x{body[error.start]:02x}") from None
    if not text.strip():
        raise RequestProblem(400, f"the body is empty: send at least one row as {name}")
    return text


def _decode_csv(text: str, media: MediaType, columns: Sequence[str], max_rows: int) -> RawRows:
    # SageMaker's CSV has no header, but people send one; a first line that spells exactly the
    # signature's columns, in any order, cannot be anything else.
    header = media.parameters.get("header", "").lower()
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows: list[Any] = []
    names: list[str] | None = None
    try:
        for cells in reader:
            if not cells:  # a blank line
                continue
            if not rows and names is None and header != "absent":
                stripped = [cell.strip() for cell in cells]
                if header == "present" or sorted(stripped) == sorted(columns):
                    names = stripped
                    _refuse_duplicates(names)
                    continue
            rows.append(cells)
            if len(rows) > max_rows:
                raise _too_many(max_rows)
    except csv.Error as error:
        raise RequestProblem(400, f"line {reader.line_num} is not CSV: {error}") from None
    if names is None:
        return RawRows(rows, text=True)
    for number, cells in enumerate(rows):
        if len(cells) != len(names):
            raise RequestProblem(400, f"row {number} has {len(cells)} values where the header has {len(names)} columns")
    return RawRows([dict(zip(names, cells, strict=True)) for cells in rows], text=True)


def _decode_json(text: str, media: MediaType, columns: Sequence[str], max_rows: int) -> RawRows:
    value = _parse(text, "the body")
    if isinstance(value, dict):
        record = cast("dict[str, Any]", value)
        if "instances" not in record or "instances" in columns:
            return RawRows([record])
        unknown = sorted(set(record) - {"instances"})
        if unknown:
            raise RequestProblem(400, f'unexpected key {quoted(unknown[0])} beside "instances": send only "instances"')
        value = record["instances"]
        if not isinstance(value, list):
            raise RequestProblem(400, f'"instances" is {quoted(value)}: it must be a list of rows')
    if not isinstance(value, list):
        raise RequestProblem(
            400,
            f'the body is {quoted(value)}: send {{"instances": [...]}}, a list of rows, or one row as an object',
        )
    return RawRows(cast("list[Any]", value))


def _decode_json_lines(text: str, media: MediaType, columns: Sequence[str], max_rows: int) -> RawRows:
    rows: list[Any] = []
    # Only \n separates (and \r\n): splitlines() would also cut at U+2028, which may stand in a string.
    for line in text.split("\n"):
        if line.strip():
            rows.append(_parse(line, f"row {len(rows)}"))
            if len(rows) > max_rows:
                raise _too_many(max_rows)
    return RawRows(rows)


def _parse(text: str, what: str) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_unique)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno} column {error.colno}"
        raise RequestProblem(400, f"{what} is not JSON: {error.msg} at {where}") from None
    except RecursionError:
        raise RequestProblem(400, f"{what} is nested too deeply") from None
    except ValueError as error:  # NaN, a repeated key, an integer of thousands of digits
        raise RequestProblem(400, f"{what} is not usable JSON: {error}") from None


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON value; send null for a missing value")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) != len(pairs):
        _refuse_duplicates([name for name, _ in pairs], ValueError)
    return record


def _refuse_duplicates(names: Sequence[str], error: Callable[[str], Exception] | None = None) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            text = f"{quoted(name)} is given twice"
            raise error(text) if error else RequestProblem(400, f"the header is wrong: {text}")
        seen.add(name)


def _encode_json(predictions: Sequence[Any], classes: Sequence[Any]) -> bytes:
    return orjson.dumps({"predictions": predictions})


def _encode_json_lines(predictions: Sequence[Any], classes: Sequence[Any]) -> bytes:
    return b"".join(orjson.dumps(one, option=orjson.OPT_APPEND_NEWLINE) for one in predictions)


def _encode_csv(predictions: Sequence[Any], classes: Sequence[Any]) -> bytes:
    output = io.StringIO(newline="")
    writer = csv.writer(output, lineterminator="\n")
    writer.writerows(_cells(predictions, [class_key(label) for label in classes]))
    return output.getvalue().encode()


def _cells(predictions: Sequence[Any], classes: Sequence[str]) -> Iterator[list[Any]]:
    for prediction in predictions:
        if not isinstance(prediction, dict):
            yield [prediction]
            continue
        record = cast("dict[str, Any]", prediction)
        probabilities = cast("dict[str, float]", record.get("probabilities", {}))
        chances = [probabilities[name] for name in classes] if probabilities else []
        yield [class_key(record["label"]), *chances]


def _too_many(max_rows: int) -> RequestProblem:
    return RequestProblem(413, f"the body has more than {max_rows} rows: send fewer, or raise MODELBERTH_MAX_ROWS")


def _listed(names: dict[str, Any]) -> str:
    *others, last = sorted(names)
    return f"{', '.join(others)} or {last}"


DECODERS: dict[str, Callable[[str, MediaType, Sequence[str], int], RawRows]] = {
    CSV: _decode_csv,
    JSON: _decode_json,
    JSON_LINES: _decode_json_lines,
}
ENCODERS: dict[str, Callable[[Sequence[Any], Sequence[Any]], bytes]] = {
    CSV: _encode_csv,
    JSON: _encode_json,
    JSON_LINES: _encode_json_lines,
}
