"""Uploads and downloads.

Sources: Cloud Storage, "Uploads and downloads" (simple, multipart and resumable uploads; a session's Location; 308 with
Range; `bytes */size` asks for the state), "Object downloads" (Range, X-Goog-Hash).
"""

from __future__ import annotations

import base64
import copy
import hashlib
import json
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from email.parser import BytesParser
from pathlib import Path
from typing import Any
from urllib.parse import quote

import google_crc32c

from sandbox.google.api import Call, Raw
from sandbox.google.errors import GoogleError, invalid
from sandbox.google.storage.api import api, not_found
from sandbox.google.storage.state import Stored, check_preconditions, storage_of

CHUNK_BYTES = 256 * 1024
"""A resumable upload's chunks, but for the last, are multiples of it."""

_RANGE = re.compile(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)")


@dataclass
class Session:
    """A resumable upload under way."""

    bucket: str
    name: str
    given: dict[str, Any]
    query: dict[str, Any]
    content: Path
    done: dict[str, Any] | None = None


@api.method("objects.insert")
def insert(call: Call) -> Any:
    storage = storage_of(call.emulator)
    storage.bucket(call.path["bucket"])
    kind = str(call.query.get("uploadType", ""))
    if call.media is None or kind not in ("media", "multipart", "resumable"):
        raise invalid(f"Invalid upload type: uploadType is media, multipart or resumable, not '{kind}'.")
    if kind == "resumable":
        if "upload_id" in call.query:
            return _resume(call)
        return _begin(call)
    if kind == "media":
        given: dict[str, Any] = {"contentType": call.headers.get("content-type")}
        content = call.media
    else:
        given, content = _parts(call)
    return _finish(call, given, content, call.query)


def _metadata(call: Call, body: bytes) -> dict[str, Any]:
    try:
        given = json.loads(body or b"{}")
    except ValueError as error:
        raise GoogleError("INVALID_ARGUMENT", f"Parse Error: {error}", reason="parseError") from None
    return call.api.schemas.body(call.method, given)


def _parts(call: Call) -> tuple[dict[str, Any], bytes]:
    assert call.media is not None
    kind = call.headers.get("content-type", "")
    boundary = re.search(r'boundary="?([^";]+)"?', kind)
    if boundary is None:
        raise invalid("The Content-Type of a multipart upload names no boundary.")
    # The parts are cut here and not by an e-mail parser: their content is bytes that no line ending may change.
    pieces = (b"\r\n" + call.media).split(b"--" + boundary[1].encode())
    if len(pieces) != 4:
        raise invalid(
            "Invalid multipart request with 0 mime parts." if len(pieces) < 3 else "Invalid multipart request."
        )
    heads, bodies = [], []
    for piece in pieces[1:3]:
        separator = b"\r\n\r\n" if b"\r\n\r\n" in piece else b"\n\n"
        head, _, body = piece.partition(separator)
        heads.append(BytesParser().parsebytes(head.lstrip() + b"\n\n", headersonly=True))
        bodies.append(body[:-2] if body.endswith(b"\r\n") else body.removesuffix(b"\n"))
    given = _metadata(call, bodies[0])
    if heads[1]["Content-Type"]:
        given.setdefault("contentType", heads[1]["Content-Type"])
    return given, bodies[1]


def _finish(call: Call, given: dict[str, Any], content: bytes, query: Mapping[str, Any]) -> dict[str, Any]:
    from sandbox.google.storage.objects import check_name, user_set

    storage = storage_of(call.emulator)
    name = str(query.get("name") or given.get("name") or "")
    check_name(name)
    _check_hashes(given, content)
    with storage.lock:
        bucket = storage.bucket(call.path["bucket"])
        live = bucket.live(name)
        check_preconditions(query, live.resource if live else None)
        if live and (live.resource.get("temporaryHold") or live.resource.get("eventBasedHold")):
            raise invalid(
                f"Object '{bucket.name}/{name}' is under active hold and cannot be deleted, overwritten or "
                "archived until hold is removed."
            )
        taken = {key: value for key, value in user_set(given).items() if value is not None}
        if key := query.get("kmsKeyName") or given.get("kmsKeyName"):
            taken["kmsKeyName"] = key
        if query.get("contentEncoding"):
            taken["contentEncoding"] = query["contentEncoding"]
        path = storage.new_file()
        path.write_bytes(content)
        return copy.deepcopy(storage.put(bucket, name, path, taken).resource)


def _check_hashes(given: Mapping[str, Any], content: bytes) -> None:
    actual = {
        "md5Hash": base64.b64encode(hashlib.md5(content).digest()).decode(),
        "crc32c": base64.b64encode(google_crc32c.Checksum(content).digest()).decode(),
    }
    for key, word in (("md5Hash", "MD5"), ("crc32c", "CRC32C")):
        if given.get(key) and given[key] != actual[key]:
            raise invalid(f'Provided {word} hash "{given[key]}" doesn\'t match calculated {word} hash "{actual[key]}".')


def _begin(call: Call) -> Raw:
    from sandbox.google.storage.objects import check_name

    storage = storage_of(call.emulator)
    given = _metadata(call, call.media or b"")
    if kind := call.headers.get("x-upload-content-type"):
        given.setdefault("contentType", kind)
    name = str(call.query.get("name") or given.get("name") or "")
    check_name(name)
    bucket = storage.bucket(call.path["bucket"])
    check_preconditions(call.query, live.resource if (live := bucket.live(name)) else None)
    upload_id = uuid.uuid4().hex
    content = storage.new_file()
    content.touch()
    query = {key: value for key, value in call.query.items() if key != "uploadType"}
    storage.uploads[upload_id] = Session(bucket.name, name, given, query, content)
    location = (
        f"{call.emulator.url}/upload/storage/v1/b/{bucket.name}/o?uploadType=resumable&name={quote(name, safe='')}"
    )
    headers = {"Location": f"{location}&upload_id={upload_id}", "X-GUploader-UploadID": upload_id}
    return Raw(b"", headers)


def _resume(call: Call) -> Any:
    storage = storage_of(call.emulator)
    session: Session | None = storage.uploads.get(str(call.query["upload_id"]))
    if session is None:
        raise not_found("The upload session was not found, or it has expired.")
    if session.done is not None:
        return copy.deepcopy(session.done)
    media, size = call.media or b"", session.content.stat().st_size
    asked = _RANGE.fullmatch(call.headers.get("content-range", ""))
    if asked is None:
        if call.headers.get("content-range"):
            raise invalid(f"Invalid Content-Range: {call.headers['content-range']}")
        total, media = size + len(media), media
    elif asked[1] is None:
        total = int(asked[3]) if asked[3] != "*" else -1
        if media or size != total:
            return _incomplete(size)
    else:
        first, last = int(asked[1]), int(asked[2])
        total = int(asked[3]) if asked[3] != "*" else -1
        if first > size or last - first + 1 != len(media):
            raise GoogleError(
                "INVALID_ARGUMENT",
                "Invalid request.  According to the Content-Range header, the upload "
                f"offset is {first} byte(s), but {size} byte(s) are kept.",
                http=503,
            )
        # What is kept already is passed over, as after a lost answer.
        media = media[size - first :]
    with storage.lock, session.content.open("ab") as target:
        target.write(media)
    size = session.content.stat().st_size
    if size != total:
        if (len(media) + (size - len(media))) % CHUNK_BYTES and media:
            session.content.write_bytes(session.content.read_bytes()[: size - size % CHUNK_BYTES])
            size -= size % CHUNK_BYTES
        return _incomplete(size)
    session.done = _finish(call, {**session.given, "name": session.name}, session.content.read_bytes(), session.query)
    session.content.unlink(missing_ok=True)
    return copy.deepcopy(session.done)


def _incomplete(size: int) -> Raw:
    return Raw(b"", {"Range": f"bytes=0-{size - 1}"} if size else {}, 308)


def send(stored: Stored, headers: Mapping[str, str]) -> Raw:
    """An object's content, or the range of it that is asked for."""
    content, resource = stored.content.read_bytes(), stored.resource
    hashes = [f"crc32c={resource['crc32c']}"] + ([f"md5={resource['md5Hash']}"] if "md5Hash" in resource else [])
    told = {
        "Content-Type": resource.get("contentType", "application/octet-stream"),
        "ETag": resource["etag"],
        "X-Goog-Generation": resource["generation"],
        "X-Goog-Metageneration": resource["metageneration"],
        "X-Goog-Hash": ",".join(hashes),
        "X-Goog-Stored-Content-Length": str(len(content)),
        "X-Goog-Stored-Content-Encoding": resource.get("contentEncoding", "identity"),
        "X-Goog-Storage-Class": resource["storageClass"],
        "Accept-Ranges": "bytes",
    }
    if resource.get("contentEncoding"):
        told["Content-Encoding"] = resource["contentEncoding"]
    asked = re.fullmatch(r"bytes=(\d*)-(\d*)", headers.get("range", ""))
    if asked is None or not (asked[1] or asked[2]):
        return Raw(content, told)
    if asked[1]:
        first = int(asked[1])
        last = min(int(asked[2]), len(content) - 1) if asked[2] else len(content) - 1
    else:
        first, last = max(0, len(content) - int(asked[2])), len(content) - 1
    if first >= len(content):
        error = GoogleError(
            "OUT_OF_RANGE", "The requested range cannot be satisfied.", http=416, reason="requestedRangeNotSatisfiable"
        )
        raise error
    told["Content-Range"] = f"bytes {first}-{last}/{len(content)}"
    return Raw(content[first : last + 1], told, 206)
