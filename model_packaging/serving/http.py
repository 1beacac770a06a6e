"""HTTP that all contracts share: routes, bounded bodies, errors as JSON, one log line per request."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Match, Route
from starlette.types import Receive, Scope, Send

from model_packaging.serving.limits import Limits
from model_packaging.serving.log import log
from model_packaging.serving.problems import RequestProblem
from model_packaging.serving.service import Service

_DISCARD = 4
"""A body over the limit is still read up to this many times the limit, because a client that is
cut off while it sends sees a broken connection in place of the 413."""

_PATHS = 64
"""Paths whose route is remembered. A model has about a dozen, and anybody may ask for others."""


def header(request: Request, name: bytes) -> str | None:
    """The value of a header, whose name is given in small letters; None where it was not sent. Starlette's mapping of
    headers is made anew for each request, which costs more than the few that are looked at."""
    for key, value in request.scope["headers"]:
        if key == name:
            return value.decode("latin-1")
    return None


async def read_body(request: Request, limits: Limits) -> bytes:
    """The request's body. RequestProblem: 413 over the limit, 408 where it comes too slowly."""
    most = limits.max_body_bytes
    announced = header(request, b"content-length") or ""
    length = int(announced) if announced.isdigit() and len(announced) < 20 else 0
    if length > most * _DISCARD:
        raise _too_large(most)
    chunks: list[bytes] = []
    size = 0
    more = True
    try:
        async with asyncio.timeout(limits.timeout_seconds):
            while more and size <= most * _DISCARD:
                message = await request.receive()
                if message["type"] == "http.disconnect":
                    raise ClientDisconnect
                chunk = message.get("body", b"")
                more = message.get("more_body", False)
                size += len(chunk)
                if size <= most:
                    chunks.append(chunk)
    except TimeoutError:
        raise RequestProblem(408, f"the body did not arrive within {limits.timeout_seconds:g} s") from None
    if size > most:
        raise _too_large(most)
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


class Application:
    """The ASGI application of some routes.

    It logs and counts each request except health checks, refuses those over the limit, answers 500 for a failing
    model, and asks clients to close their connections while the server drains. Routes, requests and responses are
    Starlette's; its stack of middleware, which looks through all routes for each request, costs more than a small
    prediction.
    """

    def __init__(self, service: Service, routes: Sequence[Route]) -> None:
        self._service = service
        self._routes = routes
        self._find = lru_cache(maxsize=_PATHS)(self._search)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise NotImplementedError(f"{scope['type']} is not served")
        began = time.perf_counter()
        service = self._service
        method = scope["method"]
        request = Request(scope, receive)
        contract = "none"
        fields: dict[str, Any] = {}
        try:
            if method == "POST" and service.full:
                # Before anything is read: an overloaded server must not spend on refusals what it has for answers.
                raise RequestProblem(503, f"{service.busy} requests are in progress or waiting: try again")
            route, found = self._find(method, scope["path"])
            scope.update(found)
            # An endpoint is a function of its contract's module.
            contract = route.endpoint.__module__.rpartition(".")[2]
            response = await route.endpoint(request)
        except RequestProblem as problem:
            fields["problem"] = problem.problems[0]
            response = JSONResponse(problem.body(), problem.status, problem.headers)
        except ClientDisconnect:
            response = Response(status_code=400)  # it went away while it sent; nobody reads this
        except Exception as error:
            fields["failure"] = service.failure(error)
            response = JSONResponse(RequestProblem(500, f"the model failed: {fields['failure']}").body(), 500)
        if service.draining:
            response.headers["connection"] = "close"
        await response(scope, receive, send)
        seconds = time.perf_counter() - began
        status = response.status_code
        if method == "POST":
            service.metrics.request(contract, status, seconds)
        if method == "GET" and status in (200, 503):
            return  # health checks, several a second; what changes their answer is logged where it happens
        log(
            "request",
            "error" if status == 500 else "warning" if status >= 400 else "info",
            method=method,
            path=scope["path"],
            status=status,
            milliseconds=round(seconds * 1000, 2),
            **scope.get("state", {}),
            **fields,
        )

    def _search(self, method: str, path: str) -> tuple[Route, Scope]:
        """The route of a path, and what it found in it. RequestProblem: 404 for an unknown path, 405 for a method."""
        scope: Scope = {"type": "http", "method": method, "path": path}
        allowed: set[str] = set()
        for route in self._routes:
            match, found = route.matches(scope)
            if match is Match.FULL:
                return route, found
            if match is Match.PARTIAL:
                allowed |= route.methods or set()
        if allowed:
            raise RequestProblem(405, f"{method} {path}: Method Not Allowed", {"Allow": ", ".join(sorted(allowed))})
        raise RequestProblem(404, f"{method} {path}: Not Found")


def _too_large(most: int) -> RequestProblem:
    return RequestProblem(
        413, f"the body is larger than {most} bytes: send fewer rows, or raise MODELBERTH_MAX_BODY_BYTES"
    )
