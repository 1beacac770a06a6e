"""SageMaker hosting: GET /ping and POST /invocations.

Rules: "Use your own inference code with hosting services" in the SageMaker developer guide: the port is
SAGEMAKER_BIND_TO_PORT or 8080, /ping answers 200 within 2 s once the container takes requests, and
/invocations gets the caller's body, Content-Type and Accept unchanged.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from model_packaging.serving import media
from model_packaging.serving.http import read_body
from model_packaging.serving.service import Service


def routes(service: Service) -> list[Route]:
    """The two routes."""

    async def ping(request: Request) -> Response:
        status = "ready" if service.ready else "draining" if service.draining else "loading"
        return JSONResponse({"status": status, "package": service.digest}, 200 if service.ready else 503)

    async def invocations(request: Request) -> Response:
        columns = service.columns  # 503 while loading, before the body is read
        given = media.content_type(request.headers.get("content-type"))
        wanted = media.accepted(request.headers.get("accept"), given.name)
        body = await read_body(request, service.limits)

        def answer() -> tuple[bytes, int]:
            raw = media.decode(body, given, columns, service.limits.max_rows)
            return media.encode(service.predict(raw), wanted, service.classes), len(raw.rows)

        content, rows = await service.run(answer)
        request.state.rows = rows  # for the access log
        return Response(content, media_type=wanted)

    return [Route("/ping", ping), Route("/invocations", invocations, methods=["POST"])]
