"""KServe's V1 protocol."""

import json
from typing import Any

import numpy as np
import pytest

from model_packaging.package import Package
from tests.unit.serving.conftest import Server, problem
from tests.unit.serving.contracts.conftest import chances, labels

PREDICT = "/v1/models/churn:predict"
COLUMNS = ["tenure", "charge", "plan"]
ROW = {"tenure": 3, "charge": 60.5, "plan": "pro"}


def post(server: Server, body: Any, path: str = PREDICT, content_type: str | None = "application/json") -> Any:
    data = body if isinstance(body, str) else json.dumps(body)
    with server.session() as session:
        return session.post(server.url + path, data=data.encode(), headers={"Content-Type": content_type})


@pytest.mark.parametrize("key", ["instances", "inputs"])
def test_the_recorded_predictions_come_back(server: Server, churn: Package, key: str) -> None:
    for rows in (churn.examples["inputs"], [[row[name] for name in COLUMNS] for row in churn.examples["inputs"]]):
        found = post(server, {key: rows}).json()["predictions"]
        assert labels(found) == labels(churn.examples["predictions"])
        np.testing.assert_allclose(chances(found), chances(churn.examples["predictions"]), atol=1e-6)


def test_models_and_readiness(server: Server) -> None:
    assert server.get("/v1/models").json() == {"models": ["churn"]}
    assert server.get("/v1/models/churn").json() == {"name": "churn", "ready": True}
    answer = server.get("/v1/models/chum")
    assert (answer.status_code, problem(answer)) == (404, 'there is no model "chum": this server has "churn"')


BAD: dict[str, tuple[Any, str | None, int, str]] = {
    "missing column": ({"instances": [{"tenure": 3, "charge": 1}]}, None, 400, 'row 0: column "plan" is missing'),
    "unknown category": ({"instances": [{**ROW, "plan": "gold"}]}, None, 400, 'row 0, field "plan": "gold" was not'),
    "text for a number": ({"instances": [{**ROW, "charge": "much"}]}, None, 400, 'field "charge": "much" is not a n'),
    "NaN": ('{"instances": [[3, NaN, "pro"]]}', None, 400, "NaN is not a JSON value"),
    "empty": ("", None, 400, "the body is empty"),
    "bad JSON": ("{", None, 400, "the body is not JSON"),
    "no instances": ({"rows": []}, None, 400, 'the body has no "instances" or "inputs"'),
    "no rows": ({"instances": []}, None, 400, "the body holds no rows"),
    "an object as the instances": ({"instances": ROW}, None, 400, '"instances" is an object: it must be a list'),
    "a list as the body": ([ROW], None, 400, "the body is a list: it must be an object with"),
    "another key": ({"instances": [ROW], "parameter": 1}, None, 400, 'unexpected key "parameter"'),
    "content type": ({"instances": [ROW]}, "text/csv", 415, "send application/json"),
    "too many rows": ({"instances": [ROW] * 51}, None, 413, "more than 50 rows"),
    "a large body": ("x" * 20001, None, 413, "larger than 20000 bytes"),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_input_is_named_and_the_server_goes_on(server: Server, kind: str) -> None:
    body, content_type, status, text = BAD[kind]
    answer = post(server, body, content_type=content_type)
    assert (answer.status_code, text in problem(answer)) == (status, True), answer.text
    assert post(server, {"instances": [ROW]}).status_code == 200


def test_an_unknown_model_predicts_nothing(server: Server) -> None:
    answer = post(server, {"instances": [ROW]}, "/v1/models/chum:predict")
    assert (answer.status_code, problem(answer)) == (404, 'there is no model "chum": this server has "churn"')
    assert post(server, {"instances": [ROW]}, "/v1/models/churn:explain").status_code == 405
