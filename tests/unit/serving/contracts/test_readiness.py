"""Every contract's answers before the model is loaded, and once the server stops."""

import json

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from model_packaging.package import Package
from model_packaging.serving.app import application
from model_packaging.serving.limits import Limits
from model_packaging.serving.service import Service, load
from tests.unit.serving.contracts.conftest import VERTEX, request

HEALTH = ["/ping", "/health", "/v1/models/churn", "/v2/health/ready", "/v2/models/churn/ready", "/"]
ROW = {"instances": [[3, 60.5, "pro"]]}
PREDICTIONS = ["/invocations", VERTEX["AIP_PREDICT_ROUTE"], "/v1/models/churn:predict", "/score"]


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Service:
    for name, value in VERTEX.items():
        monkeypatch.setenv(name, value)
    return Service(Limits())


@pytest.fixture
def app(service: Service) -> Starlette:
    return application(service)


def test_while_the_model_loads_nothing_is_ready(app: Starlette, churn: Package) -> None:
    client = TestClient(app)
    assert {path: client.get(path).status_code for path in HEALTH} == dict.fromkeys(HEALTH, 503)
    answers = [client.post(path, json=ROW) for path in PREDICTIONS]
    answers.append(client.post("/v2/models/churn/infer", json=request(churn)))
    assert {answer.status_code for answer in answers} == {503}
    assert {answer.json()["error"] for answer in answers} == {"the model is still loading: try again"}
    assert client.get("/v2/health/live").json() == {"live": True}


def test_while_the_server_stops_requests_are_answered_and_health_is_not(
    app: Starlette, service: Service, churn: Package
) -> None:
    service.start(*load(str(churn.path)))
    client = TestClient(app)
    assert {path: client.get(path).status_code for path in HEALTH} == dict.fromkeys(HEALTH, 200)
    service.draining = True
    assert {path: client.get(path).status_code for path in HEALTH} == dict.fromkeys(HEALTH, 503)
    answers = [client.post(path, json=ROW).json() for path in PREDICTIONS]
    assert all(answer == answers[0] for answer in answers)
    inferred = client.post("/v2/models/churn/infer", json=request(churn))
    assert json.loads(inferred.content)["model_version"] == churn.digest
