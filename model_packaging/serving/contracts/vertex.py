"""Vertex AI's custom containers: GET AIP_HEALTH_ROUTE and POST AIP_PREDICT_ROUTE.

Rules: "Custom container requirements for prediction" in the Vertex AI documentation: the port is AIP_HTTP_PORT,
the health route answers 200 once predictions can be made, and the predict route gets
{"instances": [...], "parameters"?} and answers {"predictions": [...]}. RawPredict forwards any media type.
Without the variables, outside Vertex, there are no such routes.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from model_packaging.errors import ModelberthError
from model_packaging.serving.contracts import answering
from model_packaging.serving.media import RawRows
from model_packaging.serving.problems import RequestProblem, quoted
from model_packaging.serving.service import Service

_KEYS = ("instances",)


def routes(service: Service, environment: Mapping[str, str] = os.environ) -> list[Route]:
    """The routes that the environment names. ModelberthError where one is no path."""

    async def health(request: Request) -> Response:
        return answering.health(service)

    async def predict(request: Request) -> Response:
        return await answering.predict_media(request, service, _KEYS, _rows)

    found: list[Route] = []
    for variable, endpoint, method in (
        ("AIP_HEALTH_ROUTE", health, "GET"),
        ("AIP_PREDICT_ROUTE", predict, "POST"),
    ):
        path = environment.get(variable, "").strip()
        if not path:
            continue
        if not path.startswith("/") or "{" in path:
            raise ModelberthError(f'{variable} is "{path}": it must be a path such as /health')
        found.append(Route(path, endpoint, methods=[method]))
    return found


def _rows(body: bytes) -> RawRows:
    key, value, record = answering.envelope(body, _KEYS, ["parameters"])
    if record.get("parameters"):
        raise RequestProblem(400, f'"parameters" is {quoted(record["parameters"])}: the model takes none, leave it out')
    return answering.listed(key, value)
