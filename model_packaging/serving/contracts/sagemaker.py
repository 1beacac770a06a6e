"""SageMaker hosting: GET /ping and POST /invocations.

Rules: "Use your own inference code with hosting services" in the SageMaker developer guide: the port is
SAGEMAKER_BIND_TO_PORT or 8080, /ping answers 200 within 2 s once the container takes requests, and
/invocations gets the caller's body, Content-Type and Accept unchanged.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from model_packaging.serving import media
from model_packaging.serving.contracts import answering
from model_packaging.serving.http import header
from model_packaging.serving.service import Service


def routes(service: Service) -> list[Route]:
    """The two routes."""

    async def ping(request: Request) -> Response:
        return answering.health(service)

    async def invocations(request: Request) -> Response:
        given = media.content_type(header(request, b"content-type"))
        wanted = media.accepted(header(request, b"accept"), given.name)
        return await answering.predict(request, service, lambda body: service.read(body, given), wanted)

    return [Route("/ping", ping), Route("/invocations", invocations, methods=["POST"])]
