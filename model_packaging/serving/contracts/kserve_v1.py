"""KServe's V1 protocol: GET /v1/models, GET /v1/models/{name} and POST /v1/models/{name}:predict.

Rules: "V1 Protocol" in KServe's documentation. The model's name is the package's.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from model_packaging.serving.contracts import answering
from model_packaging.serving.media import JSON, RawRows
from model_packaging.serving.open_inference import served
from model_packaging.serving.problems import RequestProblem
from model_packaging.serving.service import Service

_KEYS = ("instances", "inputs")


def routes(service: Service) -> list[Route]:
    """The three routes."""

    async def models(request: Request) -> Response:
        return JSONResponse({"models": [service.package.name]})

    async def ready(request: Request) -> Response:
        name = served(service, request.path_params["name"]).name
        if not service.ready:
            raise RequestProblem(503, f'model "{name}" is not ready: the server is stopping')
        return JSONResponse({"name": name, "ready": True})

    async def predict(request: Request) -> Response:
        served(service, request.path_params["name"])
        answering.require_content_type(request, JSON)
        return await answering.predict(request, service, lambda body: service.enveloped(body, _KEYS, _rows))

    return [
        Route("/v1/models", models),
        Route("/v1/models/{name}:predict", predict, methods=["POST"]),
        Route("/v1/models/{name}", ready),
    ]


def _rows(body: bytes) -> RawRows:
    # "signature_name" is of the TensorFlow Serving interface that V1 is made after.
    key, value, _ = answering.envelope(body, _KEYS, ["signature_name"])
    return answering.listed(key, value)
