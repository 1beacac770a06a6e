"""The Open Inference Protocol over HTTP, asked by Triton's client and, for what it would not send, by hand."""

import json
from typing import Any

import numpy as np
import pytest
import tritonclient.http
from tritonclient.utils import InferenceServerException

from model_packaging.formats.predictor import Numbers
from model_packaging.package import Package
from model_packaging.serving import open_inference, tensors
from model_packaging.serving.problems import RequestProblem
from tests.unit.serving.conftest import Server, problem
from tests.unit.serving.contracts.conftest import chances, column, labels, request

Client = tritonclient.http.InferenceServerClient
INFER = "/v2/models/churn/infer"


def post(server: Server, body: Any, path: str = INFER, **headers: str) -> Any:
    data = body if isinstance(body, bytes | str) else json.dumps(body)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    with server.session() as session:
        return session.post(server.url + path, data=data, headers={"Content-Type": "application/json", **named})


def tensors_of(package: Package, *, binary: bool, column_shape: bool = False) -> list[Any]:
    made: list[Any] = []
    for name, datatype, dtype in (("tenure", "INT64", "int64"), ("charge", "FP64", "float64"), ("plan", "BYTES", "O")):
        values = np.array(column(package, name), dtype=dtype)
        values = values.reshape(-1, 1) if column_shape else values
        made.append(tritonclient.http.InferInput(name, list(values.shape), datatype))
        made[-1].set_data_from_numpy(values, binary_data=binary)
    return made


@pytest.mark.parametrize("column_shape", [False, True], ids=["[n]", "[n, 1]"])
@pytest.mark.parametrize("asked", [None, True, False], ids=["no outputs named", "binary outputs", "JSON outputs"])
@pytest.mark.parametrize("sent", [True, False], ids=["binary", "JSON"])
def test_tritons_client_gets_the_recorded_predictions(
    triton: Client, churn: Package, sent: bool, asked: bool | None, column_shape: bool
) -> None:
    wanted = [
        tritonclient.http.InferRequestedOutput(name, binary_data=asked) for name in ("probabilities", "label") if asked
    ]
    answer = triton.infer(
        "churn", tensors_of(churn, binary=sent, column_shape=column_shape), outputs=wanted or None, request_id="7"
    )
    said = answer.get_response()
    assert (said["model_name"], said["model_version"], said["id"]) == ("churn", churn.digest, "7")
    if asked:
        assert [output["name"] for output in said["outputs"]] == ["probabilities", "label"]
    assert answer.as_numpy("label").tolist() == labels(churn.examples["predictions"])
    np.testing.assert_allclose(answer.as_numpy("probabilities"), chances(churn.examples["predictions"]), atol=1e-6)


def test_outputs_come_as_they_are_asked_for(server: Server, churn: Package) -> None:
    """Each output's own parameter comes before that of the whole request."""
    asked = {
        **request(churn),
        "parameters": {"binary_data_output": True},
        "outputs": [{"name": "label", "parameters": {"binary_data": False}}, {"name": "probabilities"}],
    }
    answer = post(server, asked)
    length = int(answer.headers["Inference-Header-Content-Length"])
    label, probabilities = json.loads(answer.content[:length])["outputs"]
    assert answer.headers["Content-Type"] == "application/octet-stream"
    assert label["data"] == labels(churn.examples["predictions"])
    assert probabilities["parameters"] == {"binary_data_size": 80}
    found = np.frombuffer(answer.content[length:], "<f8").reshape(probabilities["shape"])
    np.testing.assert_allclose(found, chances(churn.examples["predictions"]), atol=1e-6)


def test_one_output_alone(triton: Client, churn: Package) -> None:
    answer = triton.infer(
        "churn", tensors_of(churn, binary=True), outputs=[tritonclient.http.InferRequestedOutput("label")]
    )
    assert [output["name"] for output in answer.get_response()["outputs"]] == ["label"]


def test_the_version_is_the_digest(triton: Client, churn: Package) -> None:
    assert triton.is_model_ready("churn", churn.digest)
    answer = triton.infer("churn", tensors_of(churn, binary=True), model_version=churn.digest)
    assert len(answer.as_numpy("label")) == 5
    with pytest.raises(InferenceServerException, match=r'model "churn" has no version "1": its only version is "sha'):
        triton.infer("churn", tensors_of(churn, binary=True), model_version="1")


def test_health_and_metadata(triton: Client, churn: Package) -> None:
    assert triton.is_server_live()
    assert triton.is_server_ready()
    assert triton.is_model_ready("churn")
    assert not triton.is_model_ready("chum")
    assert triton.get_server_metadata()["extensions"] == ["binary_tensor_data"]
    assert triton.get_model_metadata("churn", churn.digest) == {
        "name": "churn",
        "versions": [churn.digest],
        "platform": churn.format,
        "inputs": [
            {"name": "tenure", "datatype": "INT64", "shape": [-1]},
            {"name": "charge", "datatype": "FP64", "shape": [-1]},
            {"name": "plan", "datatype": "BYTES", "shape": [-1]},
        ],
        "outputs": [
            {"name": "label", "datatype": "BOOL", "shape": [-1]},
            {"name": "probabilities", "datatype": "FP64", "shape": [-1, 2]},
        ],
        "properties": {"classes": "[false, true]"},
    }


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "missing column": ({"plan": None}, 'input "plan" is missing'),
    "misspelt column": ({"plan": {"name": "plam"}}, 'there is no input "plam" (did you mean "plan"?)'),
    "a column twice": ({"plan": {"name": "charge"}}, 'input "charge" is given twice'),
    "unknown category": ({"plan": {"data": ["pro", "gold"] + ["pro"] * 3}}, 'row 1, field "plan": "gold" was not in'),
    "text for a number": ({"charge": {"data": [1, "much", 3, 4, 5]}}, 'input "charge", element 1: "much" is not'),
    "a fraction for an integer": (
        {"tenure": {"datatype": "FP64", "data": [1, 2.5, 3, 4, 5]}},
        'row 1, field "tenure": 2.5 is not an integer',
    ),
    "null": ({"charge": {"data": [1, None, 3, 4, 5]}}, 'row 1, field "charge": a value is missing; it must be a'),
    "wrong datatype": ({"charge": {"datatype": "BYTES", "data": ["a"] * 5}}, "it holds numbers, send FP64"),
    "unknown datatype": ({"charge": {"datatype": "float"}}, 'input "charge": datatype "float" is unknown'),
    "wrong shape": ({"charge": {"shape": [5, 2], "data": [1] * 10}}, '"charge" has shape [5, 2]: it must be [rows]'),
    "wrong size": ({"charge": {"shape": [4]}}, 'input "charge" has 5 values: shape [4] has 4'),
    "no shape": ({"charge": {"shape": None}}, 'input "charge": shape must be a list'),
    "no data": ({"charge": {"data": None}}, 'input "charge": "data" is null: it must be a list'),
    "other numbers of rows": ({"plan": {"shape": [1], "data": ["pro"]}}, '"plan" has 1 rows where "tenure" has 5'),
    "no rows": (
        {name: {"shape": [0], "data": []} for name in ("tenure", "charge", "plan")},
        "the body holds no rows",
    ),
    "shared memory": (
        {"charge": {"parameters": {"shared_memory_region": "x"}}},
        'parameter "shared_memory_region" is of an extension that this server has not',
    ),
    "binary data that is not there": (
        {"charge": {"parameters": {"binary_data_size": 40}}},
        'input "charge": binary_data_size is 40, and 0 bytes of data are left',
    ),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_tensors_are_named_and_the_server_goes_on(server: Server, churn: Package, kind: str) -> None:
    changes, text = BAD[kind]
    answer = post(server, request(churn, **changes))
    assert (answer.status_code, text in problem(answer)) == (400, True), answer.text
    assert post(server, request(churn)).status_code == 200


GOOD_LENGTH = {"Inference_Header_Content_Length": "13"}
BODIES: dict[str, tuple[Any, dict[str, str], int, str]] = {
    "empty": ("", {}, 400, "the body is empty"),
    "bad JSON": ('{"inputs": [', {}, 400, "the body is not JSON"),
    "NaN": ('{"inputs": [NaN]}', {}, 400, "NaN is not a JSON value; send null"),
    "nested without end": ("[" * 9000, {}, 400, "nested too deeply"),
    "a list": ([], {}, 400, "the body is a list: it must be an object"),
    "no inputs": ({}, {}, 400, '"inputs" is missing'),
    "inputs are an object": ({"inputs": {}}, {}, 400, '"inputs" is an object: it must be a list'),
    "an input is a number": ({"inputs": [3]}, {}, 400, "inputs[0] is 3: it must be an object"),
    "an input without a name": ({"inputs": [{}]}, {}, 400, 'inputs[0] has no "name"'),
    "an endless name": ({"inputs": [{"name": "x" * 500}]}, {}, 400, "inputs[0] has a name of 500 characters"),
    "no tensor at all": ({"inputs": []}, {}, 400, 'input "tenure" is missing; input "charge" is missing'),
    "an id that is a number": ({"id": 3, "inputs": []}, {}, 400, '"id" is 3: it must be a string'),
    "content type": ("{}", {"Content_Type": "text/csv"}, 415, '"text/csv" is not supported here: send application/js'),
    "a header length beyond": ("{}", GOOD_LENGTH, 400, "Inference-Header-Content-Length is 13, and the body has 2"),
    "a header length that is none": ("{}", {"Inference_Header_Content_Length": "-1"}, 400, 'is "-1": it must be'),
    "raw data for three inputs": ("12", {"Inference_Header_Content_Length": "0"}, 400, "the model has 3 inputs"),
    "bytes that nobody announced": ('{"inputs":[]}x', GOOD_LENGTH, 400, "1 bytes follow the data of the last input"),
    "a large body": ("x" * 20001, {}, 413, "larger than 20000 bytes: send fewer rows, or raise"),
}


@pytest.mark.parametrize("kind", BODIES)
def test_bad_bodies_are_refused_and_the_server_goes_on(server: Server, churn: Package, kind: str) -> None:
    body, headers, status, text = BODIES[kind]
    answer = post(server, body, **headers)
    assert (answer.status_code, text in problem(answer)) == (status, True), answer.text
    assert post(server, request(churn)).status_code == 200


def test_too_many_rows(server: Server) -> None:
    rows = {"tenure": ("INT64", [1] * 51), "charge": ("FP64", [1] * 51), "plan": ("BYTES", ["pro"] * 51)}
    sent = [
        {"name": name, "datatype": datatype, "shape": [51], "data": data} for name, (datatype, data) in rows.items()
    ]
    answer = post(server, {"inputs": sent})
    assert (answer.status_code, "more than 50 rows" in problem(answer)) == (413, True)


def test_unknown_names(server: Server, churn: Package) -> None:
    answer = post(server, request(churn), "/v2/models/chum/infer")
    assert (answer.status_code, problem(answer)) == (404, 'there is no model "chum": this server has "churn"')
    answer = post(server, request(churn), "/v2/models/churn/versions/2/infer")
    assert (answer.status_code, 'has no version "2"' in problem(answer)) == (404, True)
    answer = post(server, {**request(churn), "outputs": [{"name": "score"}]})
    assert (answer.status_code, problem(answer)) == (400, 'there is no output "score": choose label or probabilities')
    answer = post(server, {**request(churn), "outputs": [{"name": "label", "parameters": {"classification": 2}}]})
    assert (answer.status_code, 'parameter "classification" is of an' in problem(answer)) == (400, True)


NUMERIC = {
    "inputs": [
        {"name": "a", "type": "number", "nullable": True},
        {"name": "b", "type": "integer", "nullable": False},
    ]
}


def test_one_tensor_may_hold_all_columns() -> None:
    matrix = tensors.from_values("input-0", "FP32", (2, 2), [[1.5, 2], [None, 4]])
    found = open_inference.columns([matrix], NUMERIC)
    assert isinstance(found, Numbers)
    np.testing.assert_equal(found.rows, [[1.5, 2.0], [np.nan, 4.0]])


def test_one_tensor_of_all_columns_must_suit_them() -> None:
    wide = tensors.from_values("input-0", "FP32", (1, 3), [[1, 2, 3]])
    with pytest.raises(RequestProblem, match=r'"input-0" has shape \[1, 3\]: .* has shape \[rows, 2\] \(a, b\)'):
        open_inference.columns([wide], NUMERIC)
    texts = tensors.from_values("input-0", "BYTES", (1, 2), [["x", "y"]])
    with pytest.raises(RequestProblem, match='datatype BYTES: column "b" holds integers, send INT64'):
        open_inference.columns([texts], NUMERIC)


def test_columns_are_found_by_name() -> None:
    sent = [
        tensors.from_bytes("b", "INT64", (1,), np.array([3]).tobytes()),
        tensors.from_bytes("a", "FP64", (1, 1), np.array([np.nan]).tobytes()),
    ]
    found = open_inference.columns(sent, NUMERIC)
    assert list(found) == ["a", "b"]
    np.testing.assert_equal({name: column.tolist() for name, column in found.items()}, {"a": [np.nan], "b": [3]})


def test_a_key_twice_is_refused(server: Server) -> None:
    answer = post(server, '{"inputs": [{"name": "a", "name": "b"}]}')
    assert (answer.status_code, '"name" is given twice' in problem(answer)) == (400, True)


def test_a_colon_in_a_text_is_a_text(server: Server, churn: Package) -> None:
    answer = post(server, {"id": "a:b", **request(churn)})
    assert (answer.status_code, answer.json()["id"]) == (200, "a:b")
