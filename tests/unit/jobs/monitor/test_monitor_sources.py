"""The same traffic, however it was captured and stored, gives the same report; repeated events count once."""

import json
import subprocess
import sys
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from model_packaging import formats
from model_packaging.jobs.monitor import parquet
from model_packaging.jobs.monitor.capture import Examples, Window, read
from model_packaging.jobs.monitor.repeats import SLOTS, Repeats, fingerprints
from model_packaging.jobs.monitor.traffic import Traffic
from model_packaging.serving.media import encode

from .conftest import NOW, Case, customers, record, rows_of, side

WHEN = NOW - timedelta(hours=1)
WINDOW = Window(NOW - timedelta(hours=24), NOW)


def folder(case: Case) -> Path:
    found = case.capture / "blue" / f"{WHEN:%Y/%m/%d/%H}"
    found.mkdir(parents=True, exist_ok=True)
    return found


def table(case: Case, frame: pd.DataFrame, **columns: Any) -> pa.Table:
    """Traffic as our own Parquet has it."""
    said = formats.load(case.package).predict(rows_of(frame))
    frame = frame.assign(
        eventId=[f"event {number}" for number in range(len(frame))],
        time=WHEN,
        **{"prediction.label": [one["label"] for one in said]},
        **{f"prediction.probability:{name}": [one["probabilities"][name] for one in said] for name in _classes(case)},
        **columns,
    )
    return pa.Table.from_pandas(frame, preserve_index=False)


def _classes(case: Case) -> list[str]:
    return case.package.signature["outputs"]["classes"]


def logged(case: Case, rows: Sequence[dict[str, Any]], batch: int = 7) -> list[dict[str, Any]]:
    """Traffic as Vertex AI's table has it."""
    model = formats.load(case.package)
    found = []
    for start in range(0, len(rows), batch):
        some = rows[start : start + batch]
        found.append(
            {
                "endpoint": "5",
                "deployed_model_id": "7",
                "logging_time": f"{WHEN:%Y-%m-%d %H:%M:%S}.250000 UTC",
                "request_id": str(10**20 + start),
                "request_payload": [json.dumps(row) for row in some],
                "response_payload": [json.dumps(one) for one in model.predict(some)],
            }
        )
    return found


def lines(rows: Sequence[dict[str, Any]]) -> str:
    return "".join(f"{json.dumps(row)}\n" for row in rows)


def meaning(report: dict[str, Any]) -> dict[str, Any]:
    """The report without what depends on the storage: how many requests, and where an example stands."""
    return {
        "rows": report["rows"],
        "metrics": report["metrics"],
        "features": report["features"],
        "predictions": report["predictions"],
        "violations": report["type_violations"]["count"],
        "reasons": [one.partition(", row ")[2].partition(" ")[2] for one in report["type_violations"]["examples"]],
        "unreadable": {name: one["count"] for name, one in report["unreadable"].items()},
        "verdict": report["verdict"],
    }


STORED = ["text/csv", "application/jsonlines", "parquet", "parquet, many row groups", "log in JSON", "log in Parquet"]


@pytest.mark.parametrize("stored", STORED)
def test_however_it_is_stored_the_report_means_the_same(case: Case, tmp_path: Path, stored: str) -> None:
    frame = customers(500, seed=8)
    frame.loc[frame.index % 9 == 0, "plan"] = "gold"
    frame["charge"] = (frame["charge"] + 7).round(2)  # as JSON writes it
    case.serve(rows_of(frame))
    expected = case.run()
    other = Case(case.package, tmp_path / "other", case.output)
    if stored.startswith("parquet"):
        size = 37 if "many" in stored else None
        pq.write_table(table(other, frame), folder(other) / "a.parquet", row_group_size=size)
    elif stored == "log in JSON":
        (folder(other) / "a.json").write_text(lines(logged(other, rows_of(frame))))
    elif stored == "log in Parquet":
        rows = pd.DataFrame(logged(other, rows_of(frame)))
        rows["logging_time"] = pd.to_datetime(rows["logging_time"].str.removesuffix(" UTC"), utc=True)
        pq.write_table(pa.Table.from_pandas(rows), folder(other) / "a.parquet")
    else:
        other.serve(rows_of(frame), stored, "BASE64")
    found = meaning(other.run())
    # Sums in another order differ in their last digits.
    exact, means = _without_means(found), _means(found)
    wanted = meaning(expected)
    assert means == pytest.approx(_means(wanted), rel=1e-12)
    assert exact == _without_means(wanted)


def _means(found: dict[str, Any]) -> list[float]:
    columns = {**found["features"], **found["predictions"]}
    return [one[key] for one in columns.values() for key in ("mean", "wasserstein_distance") if key in one]


def _without_means(found: dict[str, Any]) -> dict[str, Any]:
    left = json.loads(json.dumps(found))
    for one in (*left["features"].values(), *left["predictions"].values()):
        one.pop("mean", None)
        one.pop("wasserstein_distance", None)
    return left


def test_values_that_do_not_fit_are_the_same_in_parquet(case: Case, tmp_path: Path) -> None:
    rows = [
        {"tenure": 1.5, "charge": 20.0, "plan": "pro", "paperless": True},
        {"tenure": 3.0, "charge": None, "plan": "pro", "paperless": None},
        {"tenure": None, "charge": 1.0, "plan": None, "paperless": False},
        {"tenure": 1e300, "charge": 2.0, "plan": "basic", "paperless": False},
    ]
    case.send(rows)
    expected = case.run()
    assert expected["type_violations"]["count"] == 2
    other = Case(case.package, tmp_path / "other", case.output)
    pq.write_table(pa.Table.from_pylist(rows), folder(other) / "a.parquet")
    assert meaning(other.run()) == meaning(expected)


@pytest.mark.parametrize(
    ("column", "values", "reason"),
    [
        ("tenure", pa.array(["1", "2", None]), '"1" is not an integer'),
        ("tenure", pa.array([True, False, None]), "true is not an integer"),
        ("charge", pa.array([float("inf"), 1.0, None]), "is not a number"),
        ("charge", pa.array([NOW, NOW, None]), "is not a number"),
        ("plan", pa.array([4, 5, None]), "4 is not a string"),
        ("plan", pa.array([b"pro", b"pro", None]), "is not a string"),
        ("plan", pa.array([["pro"], [], None]), "is not a string"),
        ("paperless", pa.array([1, 0, None]), "1 is not true or false"),
    ],
)
def test_a_column_of_another_type_is_counted_as_violations(case: Case, column: str, values: Any, reason: str) -> None:
    good = {"tenure": [1, 2, 3], "charge": [1.0, 2.0, 3.0], "plan": ["pro"] * 3, "paperless": [True] * 3}
    pq.write_table(pa.table({**good, column: values}), folder(case) / "a.parquet")
    report = case.run()
    wrong = 1 if "inf" in str(values[0]) else 2
    assert report["rows"] == 3
    assert report["type_violations"]["count"] == report["features"][column]["type_violations"] == wrong
    assert reason in report["type_violations"]["examples"][0]
    assert report["features"][column]["rows"] == 3 - wrong
    assert report["features"][column]["missing_ratio"] == pytest.approx(1 / (3 - wrong))
    others = [one for name, one in report["features"].items() if name != column]
    assert all(one["rows"] == 3 and one["missing_ratio"] == 0 for one in others)


@pytest.mark.parametrize(
    "kind",
    [pa.int8(), pa.uint32(), pa.float32(), pa.float16(), pa.decimal128(25, 2), pa.dictionary(pa.int8(), pa.int64())],
)
def test_every_kind_of_number_is_a_number(case: Case, kind: Any) -> None:
    numbers = pa.array([3, 60, None], pa.int64())
    column = numbers.dictionary_encode() if pa.types.is_dictionary(kind) else numbers.cast(kind)
    good = {"charge": [1.0, 2.0, 3.0], "plan": pa.array(["pro"] * 3).dictionary_encode(), "paperless": [True] * 3}
    pq.write_table(pa.table({**good, "tenure": column}), folder(case) / "a.parquet")
    report = case.run()
    assert report["type_violations"]["count"] == 0
    assert report["features"]["tenure"]["range"] == [3, 60]
    assert report["features"]["tenure"]["missing_ratio"] == pytest.approx(1 / 3)
    assert report["features"]["plan"]["bins"][-1]["traffic"] == 0


def test_a_file_without_one_of_the_inputs_says_so(case: Case) -> None:
    pq.write_table(
        pa.table({"tenure": [1, 2], "charge": [1.0, 2.0], "plan": ["pro", "pro"]}), folder(case) / "a.parquet"
    )
    pq.write_table(pa.table({"something": [1, 2]}), folder(case) / "b.parquet")
    (folder(case) / "c.parquet").write_bytes(b"PAR1 but not really")
    report = case.run()
    assert report["rows"] == report["type_violations"]["count"] == 2
    assert 'column "paperless" is missing' in report["type_violations"]["examples"][0]
    assert report["features"]["tenure"]["rows"] == 2
    assert "b.parquet, from row 0: it has none of the columns" in report["unreadable"]["requests"]["examples"][0]
    assert "c.parquet: not Parquet: " in report["unreadable"]["lines"]["examples"][0]


def test_a_file_that_breaks_off_is_named(case: Case) -> None:
    path = folder(case) / "a.parquet"
    pq.write_table(table(case, customers(5000)), path, row_group_size=1000)
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 4000] = b"\xff" * 4000
    path.write_bytes(content)
    report = case.run()
    assert "a.parquet: damaged Parquet: " in report["unreadable"]["lines"]["examples"][0]


def test_an_input_with_a_reserved_name_stands_by_its_prefix(case: Case) -> None:
    given = {"eventId": ["a"], "input.time": [5], "input.x": [1], "y": [2], "prediction.value": [3.0], "time": [WHEN]}
    assert parquet.inputs({name: values[0] for name, values in given.items()}) == {"time": 5, "x": 1, "y": 2}


def test_only_the_windows_rows_count(case: Case) -> None:
    frame = customers(6)
    times = [WINDOW.start - timedelta(seconds=1), WINDOW.start, WHEN, NOW - timedelta(microseconds=1), NOW, None]
    for name, column in {
        "zoned": pa.array(times, pa.timestamp("ms", "Europe/Prague")),
        "text": pa.array([one and one.isoformat() for one in times]),
        "plain": pa.array([one and one.replace(tzinfo=None) for one in times], pa.timestamp("us")),
    }.items():
        data = table(case, frame).drop_columns(["time", "eventId"]).append_column("time", column)
        pq.write_table(data, folder(case) / f"{name}.parquet")
        # The last millisecond of the window rounds into it; a row without a time counts.
        assert case.run()["rows"] == 4, name
        (folder(case) / f"{name}.parquet").unlink()


@pytest.mark.parametrize("pattern", ["part-*.parquet", "part-1.parquet"])
def test_files_may_be_named_by_an_address(case: Case, pattern: str) -> None:
    memory = fsspec.filesystem("memory")
    for number in (1, 2):
        with memory.open(f"/exports/part-{number}.parquet", "wb") as file:
            data = table(case, customers(20, seed=number))
            pq.write_table(data.set_column(data.schema.get_field_index("eventId"), "eventId",
                                           pa.array([f"{number} {one}" for one in range(20)])), file)  # fmt: skip
    report = case.run(MODELBERTH_CAPTURE=f"memory://exports/{pattern}")
    assert report["rows"] == (40 if "*" in pattern else 20)


def test_a_raw_predictions_body_is_read_as_it_was_sent(case: Case) -> None:
    rows = rows_of(customers(4))
    said = encode(formats.load(case.package).predict(rows), "application/json", _classes(case)).decode()
    raw = {"request_payload": [json.dumps({"instances": rows})], "response_payload": [said], "request_id": "1"}
    as_lists = {"request_payload": [json.dumps(list(rows[0].values()))], "response_payload": [], "request_id": "2"}
    wrong = {"request_payload": "x", "request_id": "3"}
    (folder(case) / "a.jsonl").write_text(lines([raw, as_lists, wrong]))
    report = case.run()
    assert (report["requests"], report["rows"]) == (2, 5)
    assert report["predictions"]["label"]["rows"] == 4
    assert "request_payload is no list of texts" in report["unreadable"]["lines"]["examples"][0]


def test_every_storage_gives_exchanges_too(case: Case) -> None:
    rows = rows_of(customers(6))
    pq.write_table(table(case, customers(6)), folder(case) / "a.parquet")
    found = list(read(str(case.capture), WINDOW, Examples()))
    assert [one.identifier for one in found] == [f"event {number}" for number in range(6)]
    assert all(one.where.partition("/")[0] == "blue" and one.time == WHEN for one in found)
    traffic = Traffic(case.package)
    said = [traffic.answers(one.answer)[0]["label"] for one in found if one.answer]
    assert said == [one["label"] for one in formats.load(case.package).predict(rows)]
    for one in found:
        traffic.add(one)
    assert (traffic.rows, traffic.misfit_rows.count) == (6, 0)


def test_an_event_that_is_delivered_twice_counts_once(case: Case) -> None:
    line = record(side("INPUT", "application/json", json.dumps(rows_of(customers(3))).encode(), "JSON"), None, WHEN)
    other = record(side("INPUT", "application/json", json.dumps(rows_of(customers(2))).encode(), "JSON"), None, WHEN)
    case.write([line, other, line])
    case.write([line])
    data = table(case, customers(50))
    pq.write_table(pa.concat_tables([data, data.slice(10, 5)]), folder(case) / "a.parquet")
    pq.write_table(data.slice(40), folder(case) / "b.parquet")
    report = case.run()
    assert report["rows"] == 3 + 2 + 50
    assert report["requests"] == 2 + 50
    assert report["repeated_events"] == 2 + 5 + 10


def test_rows_of_one_request_are_no_repeats(case: Case) -> None:
    data = table(case, customers(6)).drop_columns(["eventId"])
    events = pa.table({"eventId": ["a", "a", "a", "b", "b", "a"], "row": [0, 1, 2, 0, 1, 1]})
    for name in events.column_names:
        data = data.append_column(name, events[name])
    pq.write_table(data, folder(case) / "a.parquet")
    report = case.run()
    assert (report["rows"], report["requests"], report["repeated_events"]) == (5, 2, 1)


def test_repeats_are_found_as_often_as_promised() -> None:
    repeats = Repeats()
    count = 400_000
    for start in range(0, count, 50_000):
        repeats.first(pa.array([f"event-{number:012d}" for number in range(start, start + 50_000)]))
    assert repeats.count == 0
    new = repeats.first(pa.array([f"event-{number:012d}" for number in range(1000)]))
    assert new.mean() == pytest.approx(1 - (1 - 1 / SLOTS) ** count, abs=0.04)
    again = Repeats()
    assert [again.is_first(name) for name in ("a", "b", "a", None, None)] == [True, True, False, True, True]
    assert again.first(pa.array(["x", None, "x", None, "y"])).tolist() == [True, True, False, True, True]


def test_fingerprints_are_of_the_text_alone() -> None:
    texts = ["", "a", "a" * 8, "a" * 9, "\0", "\0\0", "äö", "x" * 300, "a"]
    whole = fingerprints(pa.array(texts))
    assert len(set(whole.tolist())) == len(texts) - 1 and whole[1] == whole[-1]
    for number, text in enumerate(texts):
        assert fingerprints(pa.array([text], pa.large_string()))[0] == whole[number]
    assert fingerprints(pa.array(texts).slice(3, 2)).tolist() == whole[3:5].tolist()
    many = fingerprints(pa.array([f"{number:036d}" for number in range(200_000)]))
    assert len(np.unique(many)) == 200_000
    filled = len(np.unique(many % np.uint64(2**18))) / 2**18
    assert filled == pytest.approx(1 - np.exp(-200_000 / 2**18), abs=0.01)


_PEAK = """
import resource, sys
from datetime import timedelta
from model_packaging.jobs.monitor.capture import Examples, stream
from model_packaging.jobs.monitor.traffic import Traffic
from model_packaging.package import open_package
from tests.unit.jobs.monitor.test_monitor_sources import WINDOW
traffic = Traffic(open_package(sys.argv[1]))
for one in stream(sys.argv[2], WINDOW, Examples(), traffic.repeats, traffic.columns):
    traffic.add(one)
print(traffic.rows, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def test_memory_is_flat_from_once_to_four_times_the_rows(case: Case) -> None:
    rows = 400_000
    generator = np.random.default_rng(1)
    data = pa.table(
        {
            "tenure": generator.integers(1, 72, rows),
            "charge": generator.normal(60, 20, rows),
            "plan": generator.choice(["basic", "family", "pro"], rows),
            "paperless": generator.random(rows) < 0.5,
            "eventId": np.char.add("event ", generator.integers(0, 2**60, rows).astype(str)),
        }
    )
    path = case.bucket / "a.parquet"
    peaks = []
    for times in (1, 4):
        # A single row group, which would be read whole if columns were not read page by page.
        pq.write_table(pa.concat_tables([data] * times), path, row_group_size=rows * times, use_dictionary=["plan"])
        command = [sys.executable, "-c", _PEAK, str(case.package.path), str(path)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        _, peak = done.stdout.split()
        peaks.append(int(peak) / 1024)
    assert peaks[1] < peaks[0] + 30, peaks
