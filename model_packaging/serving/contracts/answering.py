"""What the contracts with a body of rows share: health by readiness, and rows in, predictions out."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, cast

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from model_packaging.formats.predictor import Columns
from model_packaging.serving import columnar, media
from model_packaging.serving.http import header, read_body
from model_packaging.serving.media import RawRows
from model_packaging.serving.problems import RequestProblem, quoted
from model_packaging.serving.service import Service


def health(service: Service) -> Response:
    """200 while requests should be sent here, else 503."""
    status = "ready" if service.ready else "draining" if service.draining else "loading"
    return JSONResponse({"status": status, "package": service.digest}, 200 if service.ready else 503)


async def predict(
    request: Request, service: Service, decode: Callable[[bytes], Columns], wanted: str = media.JSON
) -> Response:
    """The predictions for the rows that `decode` finds in the body, as the wanted media type."""
    service.require_model()  # 503 while loading, before the body is read
    body = await read_body(request, service.limits)
    content, rows = await service.answer(
        len(body),
        lambda: decode(body),
        lambda predictions: columnar.write(predictions, wanted, service.classes),
        header(request, b"x-request-id"),
    )
    request.state.rows = rows  # for the access log
    return Response(content, media_type=wanted)


async def predict_media(
    request: Request, service: Service, keys: Collection[str], decode_json: Callable[[bytes], RawRows]
) -> Response:
    """The predictions for a body of any media type; JSON has the contract's own form, with its rows under one of the
    keys."""
    given = media.content_type(header(request, b"content-type"))
    wanted = media.accepted(header(request, b"accept"), given.name)

    def decode(body: bytes) -> Columns:
        return service.enveloped(body, keys, decode_json) if given.name == media.JSON else service.read(body, given)

    return await predict(request, service, decode, wanted)


def require_content_type(request: Request, *allowed: str) -> None:
    """RequestProblem (415) where the body is said to be anything else; nothing needs to be said."""
    given = (header(request, b"content-type") or "").partition(";")[0].strip().lower()
    if given and given not in allowed:
        raise RequestProblem(415, f"content type {quoted(given)} is not supported here: send {' or '.join(allowed)}")


def envelope(body: bytes, keys: Collection[str], beside: Collection[str]) -> tuple[str, Any, dict[str, Any]]:
    """The first of `keys` in the JSON object, its value, and the object. RequestProblem (400) where none is
    there, or another than those `beside` it."""
    document = media.document(body)
    wanted = " or ".join(f'"{key}"' for key in keys)
    if not isinstance(document, dict):
        raise RequestProblem(400, f"the body is {quoted(document)}: it must be an object with {wanted}")
    record = cast("dict[str, Any]", document)
    found = next((key for key in keys if key in record), None)
    if found is None:
        raise RequestProblem(400, f"the body has no {wanted}")
    unknown = sorted(record.keys() - {found, *beside})
    if unknown:
        allowed = " and ".join(f'"{key}"' for key in (found, *beside))
        raise RequestProblem(400, f"unexpected key {quoted(unknown[0])} in the body: send only {allowed}")
    return found, record[found], record


def listed(key: str, value: object) -> RawRows:
    """The rows of an envelope's list. RequestProblem (400) where it is no list."""
    if not isinstance(value, list):
        raise RequestProblem(400, f'"{key}" is {quoted(value)}: it must be a list of rows')
    return RawRows(cast("list[Any]", value))
