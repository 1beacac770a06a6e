"""The ASGI application: every contract's routes over one service."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from model_packaging.serving.contracts import routes
from model_packaging.serving.http import Application
from model_packaging.serving.metrics import CONTENT_TYPE
from model_packaging.serving.service import Service


def application(service: Service) -> Application:
    """An application that answers for the service, ready or not."""

    async def metrics(request: Request) -> Response:
        return Response(service.metrics.text(), headers={"Content-Type": CONTENT_TYPE})

    return Application(service, [*routes(service), Route("/metrics", metrics)])
