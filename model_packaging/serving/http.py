"""HTTP that all contracts share: bounded bodies, errors as JSON, one log line per request."""

from __future__ import annotations

import asyncio
import time

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from model_packaging.serving.limits import Limits
from model_packaging.serving.log import log
from model_packaging.serving.problems import RequestProblem
from model_packaging.serving.service import Service

_DISCARD = 4
"""A body over the limit is still read up to this many times the limit, because a client that is
cut off while it sends sees a broken connection in place of the 413."""


async def read_body(request: Request, limits: Limits) -> bytes:
    """The request's body. RequestProblem: 413 over the limit, 408 where it comes too slowly."""
    most = limits.max_body_bytes
    announced = request.headers.get("content-length", "")
    length = int(announced) if announced.isdigit() and len(announced) < 20 else 0
    if length > most * _DISCARD:
        raise _too_large(most)
    chunks: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(limits.timeout_seconds):
            async for chunk in request.stream():
                size += len(chunk)
                if size <= most:
                    chunks.append(chunk)
                elif size > most * _DISCARD:
                    break
    except TimeoutError:
        raise RequestProblem(408, f"the body did not arrive within {limits.timeout_seconds:g} s") from None
    if size > most:
        raise _too_large(most)
    return b"".join(chunks)


def on_problem(request: Request, error: Exception) -> Response:
    """Answers bad input."""
    assert isinstance(error, RequestProblem)
    request.state.problem = error.problems[0]
    headers = {"Retry-After": "1"} if error.status == 503 else None
    return JSONResponse(error.body(), error.status, headers)


def on_http_error(request: Request, error: Exception) -> Response:
    """Answers an unknown path (404) or method (405)."""
    assert isinstance(error, HTTPException)
    problem = f"{request.method} {request.url.path}: {error.detail}"
    return JSONResponse(RequestProblem(error.status_code, problem).body(), error.status_code, error.headers)


def on_disconnect(request: Request, error: Exception) -> Response:
    """The client went away while it sent; nobody reads this answer."""
    return Response(status_code=400)


class AccessLog:
    """Logs and counts each request except health checks, refuses those over the limit, answers 500 for a
    failing model, and asks clients to close their connections while the server drains."""

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self.app = app
        self.service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began = time.perf_counter()
        answered: list[int] = []

        async def watch(message: Message) -> None:
            if message["type"] == "http.response.start":
                answered.append(message["status"])
                if self.service.draining:
                    message["headers"] = [*message.get("headers", []), (b"connection", b"close")]
            await send(message)

        failure: str | None = None
        try:
            if self.service.full and scope["method"] == "POST":
                # Before anything is read: an overloaded server must not spend on refusals what it has for answers.
                raise RequestProblem(503, f"{self.service.busy} requests are in progress or waiting: try again")
            await self.app(scope, receive, watch)
        except RequestProblem as problem:
            scope.setdefault("state", {})["problem"] = problem.problems[0]
            await JSONResponse(problem.body(), problem.status, {"Retry-After": "1"})(scope, receive, watch)
        except Exception as error:
            failure = f"{type(error).__name__}: {error}"
            if not answered:
                body = RequestProblem(500, f"the model failed: {failure}").body()
                await JSONResponse(body, 500)(scope, receive, watch)
        status = answered[0] if answered else 0
        seconds = time.perf_counter() - began
        if scope["method"] == "POST":
            # An endpoint is a function of its contract's module.
            module = getattr(scope.get("endpoint"), "__module__", "none")
            self.service.metrics.request(module.rpartition(".")[2], status, seconds)
        if scope["method"] == "GET" and status in (200, 503):
            return  # health checks, several a second; what changes their answer is logged where it happens
        state = scope.get("state", {})
        log(
            "request",
            "error" if status == 500 else "warning" if status >= 400 else "info",
            method=scope["method"],
            path=scope["path"],
            status=status,
            milliseconds=round(seconds * 1000, 2),
            **{name: state[name] for name in ("rows", "problem") if name in state},
            **({"failure": failure} if failure else {}),
        )


def _too_large(most: int) -> RequestProblem:
    return RequestProblem(
        413, f"the body is larger than {most} bytes: send fewer rows, or raise MODELBERTH_MAX_BODY_BYTES"
    )


HANDLERS = {RequestProblem: on_problem, HTTPException: on_http_error, ClientDisconnect: on_disconnect}
