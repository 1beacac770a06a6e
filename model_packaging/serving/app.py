"""The ASGI application: every contract's routes over one service."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.middleware import Middleware

from model_packaging.serving.contracts import routes
from model_packaging.serving.http import HANDLERS, AccessLog
from model_packaging.serving.service import Service


def application(service: Service) -> Starlette:
    """An application that answers for the service, ready or not."""
    return Starlette(
        routes=routes(service),
        middleware=[Middleware(AccessLog, service)],
        exception_handlers=HANDLERS,
    )
