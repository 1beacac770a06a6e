"""The ASGI application: every contract's routes over one service."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from model_packaging.serving.contracts import routes
from model_packaging.serving.http import HANDLERS, AccessLog
from model_packaging.serving.metrics import CONTENT_TYPE
from model_packaging.serving.service import Service


def application(service: Service) -> Starlette:
    """An application that answers for the service, ready or not."""

    async def metrics(request: Request) -> Response:
        return Response(service.metrics.text(), headers={"Content-Type": CONTENT_TYPE})

    return Starlette(
        routes=[*routes(service), Route("/metrics", metrics)],
        middleware=[Middleware(AccessLog, service)],
        exception_handlers=HANDLERS,
    )
