"""What the server answers: the recorded predictions in every media type, and a 4xx that names the field."""

import csv
import io
import json
from collections.abc import Callable
from typing import Any

import pytest

from model_packaging.package import Package
from tests.unit.serving.conftest import Server, problem

COLUMNS = ["tenure", "charge", "plan"]
CSV, JSON, LINES = "text/csv", "application/json", "application/jsonlines"
GOOD = '{"instances": [{"tenure": 3, "charge": 60.5, "plan": "pro"}]}'


def as_csv(rows: list[dict[str, Any]], *, header: bool = False) -> str:
    target = io.StringIO()
    names = sorted(COLUMNS) if header else COLUMNS
    writer = csv.DictWriter(target, names, lineterminator="\r\n")
    if header:
        writer.writeheader()
    writer.writerows(rows)
    return target.getvalue()


def values(rows: list[dict[str, Any]]) -> list[list[Any]]:
    return [[row[name] for name in COLUMNS] for row in rows]


REQUESTS: dict[str, tuple[str, Callable[[list[dict[str, Any]]], str]]] = {
    "CSV": (CSV, as_csv),
    "CSV with a header in another order": (CSV, lambda rows: as_csv(rows, header=True)),
    "CSV with header=present": (f"{CSV}; header=present", lambda rows: as_csv(rows, header=True)),
    "CSV with header=absent": (f"{CSV}; header=absent; charset=utf-8", as_csv),
    "CSV with a byte order mark": (CSV, lambda rows: "\ufeff" + as_csv(rows)),
    "instances as records": (JSON, lambda rows: json.dumps({"instances": rows})),
    "instances as lists": (JSON, lambda rows: json.dumps({"instances": values(rows)})),
    "records": (JSON, json.dumps),
    "lists": (f"{JSON}; charset=UTF-8", lambda rows: json.dumps(values(rows))),
    "JSON Lines of records": (LINES, lambda rows: "\n".join(map(json.dumps, rows))),
    "JSON Lines of lists": ("application/x-jsonlines", lambda rows: "\r\n".join(map(json.dumps, values(rows))) + "\n"),
}


def read(content: str, media_type: str) -> list[Any]:
    """An answer as the package writes predictions."""
    if media_type == JSON:
        return json.loads(content)["predictions"]
    if media_type == LINES:
        return [json.loads(line) for line in content.splitlines()]
    return [
        {
            "label": {"true": True, "false": False}[label],
            "probabilities": dict(zip(["false", "true"], map(float, cells), strict=True)),
        }
        for label, *cells in csv.reader(io.StringIO(content))
    ]


@pytest.mark.parametrize("accept", [CSV, JSON, LINES])
@pytest.mark.parametrize("kind", REQUESTS)
def test_the_recorded_predictions_come_back(server: Server, churn: Package, kind: str, accept: str) -> None:
    content_type, write = REQUESTS[kind]
    answer = server.ask(write(churn.examples["inputs"]), content_type, accept)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].partition(";")[0] == accept
    found = read(answer.content.decode(), accept)
    assert len(found) == len(churn.examples["predictions"]) == 5
    for given, recorded in zip(found, churn.examples["predictions"], strict=True):
        assert given["label"] is recorded["label"]
        assert given["probabilities"] == pytest.approx(recorded["probabilities"], abs=churn.examples["tolerance"])


def test_one_object_is_one_row(server: Server, churn: Package) -> None:
    answer = server.ask(json.dumps(churn.examples["inputs"][2]), JSON)
    (found,) = answer.json()["predictions"]
    assert found["label"] is churn.examples["predictions"][2]["label"]


def test_without_a_content_type_it_is_json(server: Server) -> None:
    assert server.ask(GOOD, None).headers["content-type"] == JSON


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (None, JSON),
        ("*/*", JSON),
        ("application/*", JSON),
        ("text/*", CSV),
        ("application/jsonlines;q=0.4, text/csv;q=0.5", CSV),
        ("image/png, application/x-ndjson;q=0.1", LINES),
        ("application/json;q=0, text/csv;q=0.2", CSV),
    ],
)
def test_the_clients_first_known_preference_wins(server: Server, accept: str | None, expected: str) -> None:
    answer = server.ask(GOOD, JSON, accept)
    assert answer.headers["content-type"].partition(";")[0] == expected


def test_csv_is_answered_as_csv_unless_asked_otherwise(server: Server) -> None:
    answer = server.ask("3,60.5,pro", CSV, "*/*")
    assert answer.headers["content-type"].startswith(CSV)
    label, no, yes = answer.text.strip().split(",")
    assert label in ("true", "false")
    assert float(no) + float(yes) == pytest.approx(1)


ROW = '{"tenure": 3, "charge": 60.5, "plan": "pro"%s}'
BAD: dict[str, tuple[str | bytes, str, int, str]] = {
    "missing column": ('{"tenure": 3, "charge": 60.5}', JSON, 400, 'row 0: column "plan" is missing'),
    "misspelt column": (
        '[{"tenure": 3, "charge": 1, "plam": "pro"}]',
        JSON,
        400,
        'column "plan" is missing (it was sent as "plam"); row 0: unexpected column "plam" (did you mean "plan"?)',
    ),
    "unexpected column": (ROW % ', "age": 3', JSON, 400, 'row 0: unexpected column "age"'),
    "text for a number": (
        '{"instances": [[3, 1.0, "pro"], [3, "much", "pro"]]}',
        JSON,
        400,
        'row 1, field "charge": "much" is not a number',
    ),
    "text for a number in CSV": ("3,60.5,pro\n3,much,pro", CSV, 400, 'row 1, field "charge": "much" is not a number'),
    "a fraction for an integer": ("3.5,1,pro", CSV, 400, 'row 0, field "tenure": "3.5" is not an integer'),
    "a number for a text": ('{"instances": [[3, 1, 7]]}', JSON, 400, 'row 0, field "plan": 7 is not a string'),
    "true for a number": ('{"instances": [[3, true, "pro"]]}', JSON, 400, 'field "charge": true is not a number'),
    "NaN in JSON": ('{"instances": [[3, NaN, "pro"]]}', JSON, 400, "NaN is not a JSON value; send null"),
    "infinity in JSON": ('{"instances": [[3, 1e999, "pro"]]}', JSON, 400, 'field "charge": inf is not a number'),
    "NaN in CSV": ("3,nan,pro", CSV, 400, 'row 0, field "charge": "nan" is not a number; this field may not be'),
    "null": ('{"instances": [[3, null, "pro"]]}', JSON, 400, 'field "charge": a value is missing; it must be a number'),
    "an empty cell": ("3,,pro", CSV, 400, 'row 0, field "charge": a value is missing'),
    "a cell too many": ("3,60.5,pro,1", CSV, 400, "row 0 has 4 values: it must have 3 (tenure, charge, plan)"),
    "a ragged row": ("tenure,charge,plan\n3,60.5", CSV, 400, "row 0 has 2 values where the header has 3 columns"),
    "a column twice": ("tenure,plan,plan\n1,2,3", f"{CSV}; header=present", 400, '"plan" is given twice'),
    "an open quote": ('3,60.5,"pro', CSV, 400, "line 1 is not CSV"),
    "a key twice": ('{"tenure": 3, "tenure": 4, "charge": 1, "plan": "pro"}', JSON, 400, '"tenure" is given twice'),
    "unknown category": (
        "3,60.5,gold",
        CSV,
        400,
        'row 0, field "plan": "gold" was not in the training data; known are',
    ),
    "an empty body": ("", CSV, 400, "the body is empty: send at least one row as text/csv"),
    "an empty list": ('{"instances": []}', JSON, 400, "the body holds no rows"),
    "bad JSON": ('{"instances": [', JSON, 400, "the body is not JSON: Expecting value at line 1 column 16"),
    "bad JSON line": (f"{ROW % ''}\n{{", LINES, 400, "row 1 is not JSON"),
    "a number as the body": ("3", JSON, 400, "the body is 3: send"),
    "a number as a row": ('{"instances": [3]}', JSON, 400, "row 0 is 3: a row is an object by column name"),
    "a key beside instances": ('{"instances": [], "parameters": {}}', JSON, 400, 'unexpected key "parameters"'),
    "nested without end": ("[" * 9000, JSON, 400, "nested too deeply"),
    "not UTF-8": (b"3,60.5,pr\xff", CSV, 400, "the body is not UTF-8: byte 9 is 0xff"),
    "content type": (GOOD, "application/xml", 415, 'content type "application/xml" is not supported: send'),
    "charset": ("3,60.5,pro", f"{CSV}; charset=latin-1", 415, 'charset "latin-1" is not supported'),
    "too many rows": ("3,60.5,pro\n" * 51, CSV, 413, "more than 50 rows: send fewer, or raise MODELBERTH_MAX_ROWS"),
    "a large body": ("3,60.5,pro\n" * 3000, CSV, 413, "larger than 20000 bytes: send fewer rows, or raise"),
    "a huge body": ("3,60.5,pro\n" * 300_000, CSV, 413, "larger than 20000 bytes"),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_input_is_named_and_the_server_goes_on(server: Server, kind: str) -> None:
    content, content_type, status, text = BAD[kind]
    try:
        answer = server.ask(content, content_type)
    except OSError:
        assert kind == "a huge body"  # cut off while it still sends, after its length alone condemned it
    else:
        assert (answer.status_code, text in problem(answer)) == (status, True), answer.text
    assert server.ask(GOOD, JSON).status_code == 200


def test_every_problem_comes_at_once(server: Server) -> None:
    found = server.ask('{"instances": [["x", "y", "pro"], [1, 2, 3]]}', JSON).json()["problems"]
    assert [text.partition(":")[0] for text in found] == [
        'row 0, field "tenure"',
        'row 0, field "charge"',
        'row 1, field "plan"',
    ]


def test_an_answer_nobody_accepts_is_refused(server: Server) -> None:
    answer = server.ask(GOOD, JSON, "image/png")
    assert answer.status_code == 406
    assert 'cannot answer as "image/png": accept application/json' in problem(answer)


def test_other_paths_and_methods(server: Server) -> None:
    assert server.get("/models").status_code == 404
    assert server.get("/invocations").status_code == 405
    assert server.get("/ping").json()["status"] == "ready"


def test_requests_are_logged_with_rows_and_problem(server: Server) -> None:
    server.ask("3,60.5,pro\n4,1,pro", CSV)
    assert server.wait_for_request(rows=2)["status"] == 200
    server.ask("3,60.5,gilt", CSV)
    assert server.wait_for_request(status=400, level="warning")["problem"].startswith("row ")
