"""Vertex AI's custom container, asked by Google's own client and by hand."""

import json
from pathlib import Path
from typing import Any

import google.cloud.aiplatform_v1 as aiplatform
import numpy as np
import pytest
from google.auth.credentials import AnonymousCredentials

from model_packaging.errors import ModelberthError
from model_packaging.package import Package
from model_packaging.serving.contracts import vertex
from model_packaging.serving.limits import Limits
from model_packaging.serving.server import default_port
from model_packaging.serving.service import Service
from tests.unit.serving.conftest import Serve, Server, problem
from tests.unit.serving.contracts.conftest import VERTEX, VERTEX_ENDPOINT, chances, labels

ROW = {"tenure": 3, "charge": 60.5, "plan": "pro"}


@pytest.fixture
def client(server: Server) -> aiplatform.PredictionServiceClient:
    """Google's client, for which the server stands in the place of the whole service."""
    return aiplatform.PredictionServiceClient(
        transport="rest", credentials=AnonymousCredentials(), client_options={"api_endpoint": server.url}
    )


def post(server: Server, body: Any, content_type: str = "application/json", **headers: str) -> Any:
    data = body if isinstance(body, str) else json.dumps(body)
    with server.session() as session:
        return session.post(
            server.url + VERTEX["AIP_PREDICT_ROUTE"],
            data=data.encode(),
            headers={"Content-Type": content_type, **headers},
        )


def test_googles_client_gets_the_recorded_predictions(
    client: aiplatform.PredictionServiceClient, churn: Package
) -> None:
    answer = client.predict(endpoint=VERTEX_ENDPOINT, instances=churn.examples["inputs"], parameters={})
    found = [
        {"label": row["label"], "probabilities": {name: row["probabilities"][name] for name in ("false", "true")}}
        for row in answer.predictions
    ]
    assert labels(found) == labels(churn.examples["predictions"])
    np.testing.assert_allclose(chances(found), chances(churn.examples["predictions"]), atol=1e-6)


def test_a_raw_prediction_may_be_csv(server: Server) -> None:
    answer = post(server, "3,60.5,pro\n", "text/csv")
    assert answer.headers["Content-Type"].startswith("text/csv")
    assert answer.text.startswith(("true,", "false,"))


def test_the_health_route(server: Server) -> None:
    assert server.get(VERTEX["AIP_HEALTH_ROUTE"]).json()["status"] == "ready"


BAD: dict[str, tuple[Any, str, int, str]] = {
    "missing column": ({"instances": [{"tenure": 3, "charge": 1}]}, "application/json", 400, 'column "plan" is miss'),
    "unknown category": ({"instances": [{**ROW, "plan": "gold"}]}, "application/json", 400, '"gold" was not in'),
    "NaN": ('{"instances": [[3, NaN, "pro"]]}', "application/json", 400, "NaN is not a JSON value"),
    "no instances": ({"parameters": {}}, "application/json", 400, 'the body has no "instances"'),
    "parameters": ({"instances": [ROW], "parameters": {"top": 3}}, "application/json", 400, "the model takes none"),
    "another key": ({"instances": [ROW], "params": {}}, "application/json", 400, 'send only "instances" and "param'),
    "empty": ("", "application/json", 400, "the body is empty"),
    "content type": ("3", "image/png", 415, 'content type "image/png" is not supported'),
    "a large body": ("x" * 20001, "application/json", 413, "larger than 20000 bytes"),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_input_is_named_and_the_server_goes_on(server: Server, kind: str) -> None:
    body, content_type, status, text = BAD[kind]
    answer = post(server, body, content_type)
    assert (answer.status_code, text in problem(answer)) == (status, True), answer.text
    assert post(server, {"instances": [ROW]}).status_code == 200


def test_outside_vertex_it_has_no_routes() -> None:
    assert vertex.routes(Service(Limits()), {}) == []


@pytest.mark.parametrize("path", ["health", "http://host/health", "/{name}"])
def test_a_route_is_a_path(path: str) -> None:
    with pytest.raises(ModelberthError, match=f'AIP_HEALTH_ROUTE is "{path}": it must be a path such as /health'):
        vertex.routes(Service(Limits()), {"AIP_HEALTH_ROUTE": path})


def test_the_port_is_vertexs() -> None:
    assert default_port({"AIP_HTTP_PORT": "7080"}) == 7080
    with pytest.raises(ModelberthError, match='AIP_HTTP_PORT is "http": it must be a port'):
        default_port({"AIP_HTTP_PORT": "http"})


def test_the_container_follows_its_environment(serve: Serve, churn: Package) -> None:
    """Vertex starts the container without arguments; routes of other contracts give way to Vertex's."""
    server = serve(
        AIP_HTTP_PORT="0",
        AIP_STORAGE_URI=Path(churn.path).as_uri(),
        AIP_HEALTH_ROUTE="/v2/health/ready",
        AIP_PREDICT_ROUTE="/invocations",
    ).ready()
    assert server.get("/v2/health/ready").json() == {"status": "ready", "package": churn.digest}
    answer = server.ask('{"instances": [[3, 60.5, "pro"]], "parameters": {"top": 3}}', "application/json")
    assert problem(answer) == '"parameters" is an object: the model takes none, leave it out'
