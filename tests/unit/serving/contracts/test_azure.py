"""Azure Machine Learning's routes."""

import json
from typing import Any

import numpy as np
import pytest

from model_packaging.package import Package
from tests.unit.serving.conftest import Server, problem
from tests.unit.serving.contracts.conftest import chances, labels

COLUMNS = ["plan", "tenure", "charge"]
GOOD = {"input_data": {"columns": COLUMNS, "data": [["pro", 3, 60.5]]}}


def score(server: Server, body: Any, content_type: str = "application/json") -> Any:
    data = body if isinstance(body, str) else json.dumps(body)
    with server.session() as session:
        return session.post(f"{server.url}/score", data=data.encode(), headers={"Content-Type": content_type})


def test_the_recorded_predictions_come_back(server: Server, churn: Package) -> None:
    rows = churn.examples["inputs"]
    table = {"columns": COLUMNS, "index": [0, 1, 2, 3, 4], "data": [[row[name] for name in COLUMNS] for row in rows]}
    for body in ({"input_data": table}, {"input_data": rows}, {"instances": rows}):
        found = score(server, body).json()["predictions"]
        assert labels(found) == labels(churn.examples["predictions"])
        np.testing.assert_allclose(chances(found), chances(churn.examples["predictions"]), atol=1e-6)


def test_csv_is_scored_too(server: Server) -> None:
    assert score(server, "3,60.5,pro\n", "text/csv").text.startswith(("true,", "false,"))


def test_health(server: Server) -> None:
    assert server.get("/").json()["status"] == "ready"


def changed(**changes: object) -> dict[str, Any]:
    return {"input_data": {**GOOD["input_data"], **changes}}


BAD: dict[str, tuple[Any, str, int, str]] = {
    "missing column": (
        changed(columns=COLUMNS[:2], data=[["pro", 3]]),
        "application/json",
        400,
        'row 0: column "charge" is missing',
    ),
    "unknown category": (changed(data=[["gold", 3, 1]]), "application/json", 400, 'field "plan": "gold" was not in'),
    "text for a number": (changed(data=[["pro", 3, "x"]]), "application/json", 400, 'field "charge": "x" is not a'),
    "a ragged row": (changed(data=[["pro", 3]]), "application/json", 400, "row 0 has 2 values where there are 3 col"),
    "no row": (changed(data=[3]), "application/json", 400, "row 0 has 0 values where there are 3 columns"),
    "no data": (changed(data=None), "application/json", 400, '"input_data" must be a list of rows, or an object'),
    "a column twice": (changed(columns=["plan", "plan", "x"]), "application/json", 400, '"columns" has "plan": each'),
    "a column without a name": (changed(columns=["plan", 3, "x"]), "application/json", 400, '"columns" has 3: each'),
    "no input data": ({"data": []}, "application/json", 400, 'the body has no "input_data" or "instances"'),
    "NaN": ('{"input_data": [[3, NaN, "pro"]]}', "application/json", 400, "NaN is not a JSON value"),
    "empty": ("", "application/json", 400, "the body is empty"),
    "content type": ("3", "image/png", 415, 'content type "image/png" is not supported'),
    "a large body": ("x" * 20001, "application/json", 413, "larger than 20000 bytes"),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_input_is_named_and_the_server_goes_on(server: Server, kind: str) -> None:
    body, content_type, status, text = BAD[kind]
    answer = score(server, body, content_type)
    assert (answer.status_code, text in problem(answer)) == (status, True), answer.text
    assert score(server, GOOD).status_code == 200
