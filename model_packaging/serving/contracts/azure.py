"""Azure Machine Learning's online endpoints: GET / and POST /score.

Rules: the routes are those of Azure's inference HTTP server, to be named as liveness, readiness and scoring route
in the `inference_config` of a custom container ("Use a custom container to deploy a model to an online endpoint").
The body is for the container to define: the rows as everywhere, or, as Azure's documentation of MLflow models
has it, {"input_data": {"columns": [...], "index"?: [...], "data": [[...], ...]}}.
"""

from __future__ import annotations

from typing import Any, cast

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from model_packaging.serving.contracts import answering
from model_packaging.serving.media import RawRows
from model_packaging.serving.problems import RequestProblem, quoted
from model_packaging.serving.service import Service

_KEYS = ("input_data", "instances")


def routes(service: Service) -> list[Route]:
    """The two routes."""

    async def health(request: Request) -> Response:
        return answering.health(service)

    async def score(request: Request) -> Response:
        return await answering.predict_media(request, service, _KEYS, _rows)

    return [Route("/", health), Route("/score", score, methods=["POST"])]


def _rows(body: bytes) -> RawRows:
    key, value, _ = answering.envelope(body, _KEYS, ["params"])
    return _split(cast("dict[str, Any]", value)) if isinstance(value, dict) else answering.listed(key, value)


def _split(table: dict[str, Any]) -> RawRows:
    columns, data = table.get("columns"), table.get("data")
    if not isinstance(columns, list) or not isinstance(data, list):
        raise RequestProblem(400, '"input_data" must be a list of rows, or an object with lists "columns" and "data"')
    names = cast("list[Any]", columns)
    unusable = next((name for name in names if not isinstance(name, str) or names.count(name) > 1), None)
    if unusable is not None:
        raise RequestProblem(400, f'"columns" has {quoted(unusable)}: each column must be named, and once')
    rows: list[Any] = []
    for number, row in enumerate(cast("list[Any]", data)):
        values = cast("list[Any]", row) if isinstance(row, list) else []
        if len(values) != len(names):
            raise RequestProblem(400, f"row {number} has {len(values)} values where there are {len(names)} columns")
        rows.append(dict(zip(names, values, strict=True)))
    return RawRows(rows)
