"""The short cuts between bytes and columns give what the exact way gives, or leave the request to it."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_packaging.errors import InputError
from model_packaging.formats.predictor import Numbers, Predictions, class_key
from model_packaging.serving import media
from model_packaging.serving.columnar import ColumnReader, write
from model_packaging.serving.problems import RequestProblem
from model_packaging.serving.rows import Checker

MIXED = [
    {"name": "n", "type": "number", "nullable": False},
    {"name": "gap", "type": "number", "nullable": True},
    {"name": "i", "type": "integer", "nullable": False},
    {"name": "b", "type": "boolean", "nullable": False},
    {"name": "s", "type": "string", "nullable": True},
]
NUMBERS = [{"name": name, "type": "number", "nullable": False} for name in "xy"]
CSV, JSON, LINES = (media.content_type(name) for name in ("text/csv", "application/json", "application/jsonlines"))

anything = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=True),
    st.sampled_from(["", " ", "1", "1_0", "+1", "nan", "x:y", "½", '"', "a,b", "true", "1e999", "\u0661"]),
)
fitting = st.fixed_dictionaries(
    {
        "n": st.floats(allow_nan=False, allow_infinity=False),
        "gap": st.one_of(st.none(), st.integers(-9, 9)),
        "i": st.integers(-(2**63), 2**63 - 1),
        "b": st.booleans(),
        "s": st.text(max_size=3),
    }
)


def same(inputs: list[dict[str, Any]], body: bytes, kind: media.MediaType) -> bool:
    """Whether the short cut was taken; fails where it gives anything else than the exact way."""
    quick = ColumnReader(inputs).read(body, kind, 100)
    if quick is None:
        return False
    checker = Checker({"inputs": inputs})
    exact = checker.typed(media.decode(body, kind, checker.columns, 100))
    assert list(quick) == list(exact)
    for name, column in exact.items():
        assert column.dtype == quick[name].dtype
        assert [repr(value) for value in column.tolist()] == [repr(value) for value in quick[name].tolist()]
    return True


@given(st.lists(fitting, min_size=1, max_size=4))
def test_good_rows_are_read_alike(rows: list[dict[str, Any]]) -> None:
    lists = [list(row.values()) for row in rows]
    for body in (rows, lists, {"instances": rows}, {"instances": lists}):
        same(MIXED, json.dumps(body).encode(), JSON)
    same(MIXED, "\n".join(map(json.dumps, rows)).encode(), LINES)
    assert same(NUMBERS, json.dumps([{"y": row["n"], "x": 1} for row in rows]).encode(), JSON)


@given(st.lists(fitting, min_size=1, max_size=3), st.sampled_from(["instances", "inputs"]))
def test_envelopes_of_good_rows_are_read_alike(rows: list[dict[str, Any]], key: str) -> None:
    numbers = [{"x": row["n"], "y": row["i"]} for row in rows]
    table = {"columns": ["x", "y"], "data": [list(row.values()) for row in numbers]}
    reader, exact = ColumnReader(NUMBERS), Checker({"inputs": NUMBERS}).typed(media.RawRows(numbers))
    for value in (numbers, table["data"], table):
        quick = reader.enveloped(json.dumps({key: value}).encode(), ("instances", "inputs"), 3)
        assert quick is not None
        assert {name: column.tolist() for name, column in quick.items()} == {
            name: column.tolist() for name, column in exact.items()
        }


@pytest.mark.parametrize(
    "body",
    [
        b'{"instances": [[1, 2]], "parameters": {}}',
        b'{"instances": [[1, 2]], "instances": [[3, 4]]}',
        b'{"inputs": [[1, 2]], "instances": [[3, 4]]}',
        b'{"other": [[1, 2]]}',
        b'{"instances": []}',
        b'{"instances": [[1, 2], [1, 2], [1, 2]]}',
        b'{"instances": null}',
        b'{"instances": {"columns": ["y", "x"], "data": [[1, 2]]}}',
        b'{"instances": {"columns": ["x", "y"], "index": [0], "data": [[1, 2]]}}',
        b'{"instances": {"columns": ["x", "y"], "data": [{"x": 1, "y": 2}]}}',
        b'{"instances": {"columns": null, "data": [[1, 2]]}}',
        b'{"instances": {"columns": ["x", "y"], "data": null}}',
        b'{"instances": {"columns": ["x", "y"]}}',
        b'{"instances": {"x": 1, "y": 2}}',
        b'{"instances": [{"x": 1, "x": 1, "y": 2}]}',
        b"[[1, 2]]",
        b"{}",
        b"",
    ],
)
def test_unusual_envelopes_are_left_to_the_exact_way(body: bytes) -> None:
    assert ColumnReader(NUMBERS).enveloped(body, ("instances", "inputs"), 2) is None


@given(st.lists(st.lists(anything, min_size=1, max_size=2), max_size=3))
def test_whatever_is_read_the_exact_way_reads_too(rows: list[list[Any]]) -> None:
    records = [dict(zip("xy", row, strict=False)) for row in rows]
    cells = "\n".join(",".join(str(value) for value in row) for row in rows).encode()
    for inputs in (
        NUMBERS,
        [{**one, "type": "string"} for one in NUMBERS],
        [{**one, "type": "integer"} for one in NUMBERS],
    ):
        for body in (rows, records, {"instances": records}):
            same(inputs, json.dumps(body).encode(), JSON)
        same(inputs, cells, CSV)
        same(inputs, b"y,x\n" + cells, CSV)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b'[{"x": 1, "x": 2, "y": 3}]', JSON),
        (b'{"instances": [[1, 2]], "instances": [[3, 4]]}', JSON),
        (b'[{"x": 1, "y": NaN}]', JSON),
        (b"[[1, 1e999]]", JSON),
        (b"[[true, 1]]", JSON),
        (b'{"instances": [[1, false]]}', JSON),
        (b'{"instances": [[1, null]]}', JSON),
        (b'{"instances": [[1, "2"]]}', JSON),
        (b"1,1_0", CSV),
        (b"1,nan", CSV),
        (b"1,\xff", CSV),
        (b'1,"2', CSV),
        (b"[1, 2]\n[3]", LINES),
    ],
)
def test_what_is_unusual_is_left_to_the_exact_way(body: bytes, kind: media.MediaType) -> None:
    assert not same(NUMBERS, body, kind)


@pytest.mark.parametrize("kind", ["x,y\n1,2\n3,4", "1,2\n3,4", "y,x\r\n2,1\r\n4,3\r\n"])
def test_csv_takes_the_short_cut(kind: str) -> None:
    assert same(NUMBERS, kind.encode(), CSV)


def test_arrays_are_taken_in_any_type_that_holds_the_values() -> None:
    reader = ColumnReader(MIXED)
    given = {
        "n": np.array([1, 2], dtype=np.int32),
        "gap": np.array([np.nan, 1], dtype=np.float32),
        "i": np.array([1, 2], dtype=np.uint16),
        "b": np.array([True, False]),
        "s": np.array(["a", "b"]),
    }
    found = reader.check(given)
    assert found is not None
    assert [column.dtype.kind for column in found.values()] == list("ffibO")
    assert reader.check({**given, "n": np.array([1, np.nan])}) is None
    assert reader.check({**given, "n": np.array([1.0])}) is None
    matrix = ColumnReader(NUMBERS).check(Numbers(("x", "y"), np.array([[1, 2]], dtype=np.float32)))
    assert isinstance(matrix, Numbers)
    with pytest.raises(RequestProblem, match='row 1, field "n": a value is missing'):
        Checker({"inputs": MIXED}).arrays({**given, "n": np.array([1, np.nan])})


@given(
    st.sampled_from([[False, True], [3, 1, 2], ["a", 'b"},{', "ü%s"], [1.5, 2.5], ["one"]]),
    st.lists(st.floats(0, 1), min_size=1, max_size=20),
    st.sampled_from([CSV, JSON, LINES]),
)
def test_answers_are_written_alike(classes: list[Any], chances: list[float], kind: media.MediaType) -> None:
    rows = len(chances)
    labels = [classes[index % len(classes)] for index in range(rows)]
    probabilities = np.array(chances).repeat(len(classes)).reshape(rows, -1) / np.arange(1, len(classes) + 1)
    keys = [class_key(label) for label in classes]
    for predictions in (
        Predictions(labels, probabilities, keys, classifies=True),
        Predictions(labels * 5, np.asfortranarray(np.tile(probabilities, (5, 1))), keys, classifies=True).part(1, 5),
        Predictions(labels, None, keys, classifies=True),
        Predictions(chances),
    ):
        assert write(predictions, kind.name, classes) == media.encode(predictions.objects(), kind.name, classes)


@pytest.mark.parametrize("rows", [1, 20])
def test_a_number_that_is_not_finite_is_not_written(rows: int) -> None:
    chances = np.array([[0.5, 0.5]] * (rows - 1) + [[0.5, np.nan]])
    with pytest.raises(InputError, match="the model gives nan"):
        write(Predictions([1] * rows, chances, ["0", "1"], classifies=True), "application/json", [0, 1])
    with pytest.raises(InputError, match="the model gives inf"):
        write(Predictions([1.0] * (rows - 1) + [float("inf")]), "application/json", [])
