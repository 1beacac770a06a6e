"""The digest of data says that its content is the same, wherever and however it lies."""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import boto3
import fsspec
import pandas as pd
import pytest
import yaml

from model_packaging import ModelberthError, data_version
from model_packaging.data.changes import changes, sentences
from tests.unit.data.conftest import sales


def digest(data: Any) -> str:
    return data_version(data, name="sales")["digest"]


def test_a_version_tells_schema_rows_and_times(csv: Path) -> None:
    found = data_version(csv, name="sales", time="day", origin="the shop", parent="sha256:" + "a" * 64)
    assert (found["rows"], found["time_range"]) == (1000, ["2026-01-01", "2026-02-11"])
    assert found["columns"] == {
        "day": "string", "price": "number", "flag": "integer", "plan": "string", "mail": "string",
    }  # fmt: skip
    assert (found["origin"], found["parent"]) == ("the shop", "sha256:" + "a" * 64)
    content = csv.read_bytes()
    assert found["files"] == [
        {"name": "sales.csv", "sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    ]


def test_texts_that_identify_somebody_are_not_kept(csv: Path) -> None:
    found = data_version(csv, name="sales")
    assert found["summaries"]["mail"] == {"kind": "text", "missing": 0.0, "count": 1000, "distinct": 1000}
    assert "@example.org" not in json.dumps(found)


def test_names_order_and_place_do_not_count_but_content_does(csv: Path, tmp_path: Path) -> None:
    table = sales()
    table[:400].to_csv(tmp_path / "1.csv", index=False)
    table[400:].to_csv(tmp_path / "2.csv", index=False)
    first = digest([tmp_path / "1.csv", tmp_path / "2.csv"])
    folder = tmp_path / "folder" / "deep"
    folder.mkdir(parents=True)
    shutil.copy(tmp_path / "2.csv", folder / "a.csv")
    shutil.copy(tmp_path / "1.csv", folder / "b.csv")
    assert digest(tmp_path / "folder") == first
    fs = fsspec.filesystem("memory")
    fs.put(str(tmp_path / "folder"), "/sales-data/", recursive=True)
    assert digest("memory://sales-data") == first
    assert data_version("memory://sales-data", name="sales")["rows"] == 1000
    with (folder / "a.csv").open("a") as file:
        file.write("2026-03-01,1.0,0,pro,x\n")
    assert digest(tmp_path / "folder") != first


def test_s3_and_a_folder_agree(csv: Path, aws: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", aws)
    client: Any = boto3.client("s3")
    client.create_bucket(Bucket="lake", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    client.upload_file(str(csv), "lake", "sales/2026/sales.csv")
    found = data_version("s3://lake/sales", name="sales")
    assert (found["digest"], found["rows"]) == (digest(csv), 1000)
    assert found["files"][0]["name"] == "2026/sales.csv"
    assert digest("s3://lake/sales/2026/sales.csv") == digest(csv)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ("nothing.csv", "no such data file: nothing.csv"),
        ("memory://nowhere/at-all", "no such data file|does not exist|no such"),
    ],
)
def test_what_is_not_there_is_said(data: str, text: str) -> None:
    with pytest.raises(ModelberthError, match=text):
        data_version(data, name="sales")


# what describes itself


def test_a_dvc_file(tmp_path: Path) -> None:
    path = tmp_path / "sales.csv.dvc"
    out = {"md5": "d" * 32, "size": 12, "hash": "md5", "path": "sales.csv"}
    path.write_text(yaml.safe_dump({"outs": [out]}))
    found = data_version(path, name="sales")
    assert (found["rows"], found["columns"]) == (None, {})
    assert found["snapshot"]["outputs"] == [{"path": "sales.csv", "md5": "d" * 32, "size": 12}]
    moved = tmp_path / "other.dvc"
    moved.write_text(yaml.safe_dump({"outs": [out | {"path": "other.csv"}]}))
    assert digest(moved) == found["digest"]
    moved.write_text(yaml.safe_dump({"outs": [out | {"md5": "e" * 32}]}))
    assert digest(moved) != found["digest"]
    for wrong in ("", "outs: []", "outs: [{md5: short}]", "outs: {", "[1]"):
        moved.write_text(wrong)
        with pytest.raises(ModelberthError, match="not a DVC file"):
            digest(moved)


def delta(folder: Path, *commits: list[dict[str, Any]]) -> Path:
    log = folder / "_delta_log"
    log.mkdir(parents=True)
    for number, actions in enumerate(commits):
        (log / f"{number:020}.json").write_text("\n".join(map(json.dumps, actions)))
    return folder


def add(path: str, rows: int | None, **more: Any) -> dict[str, Any]:
    stats = {} if rows is None else {"stats": json.dumps({"numRecords": rows})}
    return {"add": {"path": path, "size": 10, "dataChange": True, **stats, **more}}


SCHEMA = json.dumps(
    {
        "type": "struct",
        "fields": [
            {"name": "price", "type": "double"},
            {"name": "count", "type": "long"},
            {"name": "tags", "type": {"type": "array", "elementType": "string"}},
        ],
    }
)
META = {"metaData": {"id": "t-1", "schemaString": SCHEMA}}


def test_a_delta_table_by_its_newest_snapshot(tmp_path: Path) -> None:
    one = delta(tmp_path / "one", [{"protocol": {}}, META, add("a", 3), add("b", 4)])
    found = data_version(one, name="sales")
    assert (found["rows"], found["snapshot"]["version"]) == (7, 0)
    assert found["columns"] == {"price": "number", "count": "integer", "tags": "array"}
    removed = delta(tmp_path / "two", [META, add("a", 3), add("b", 4)], [{"remove": {"path": "a"}}, add("c", 5)])
    assert data_version(str(removed), name="sales")["rows"] == 9
    back = delta(tmp_path / "three", [META, add("a", 3), add("b", 4)], [{"remove": {"path": "a"}}], [add("a", 3)])
    assert (digest(back), data_version(back, name="s")["snapshot"]["version"]) == (found["digest"], 2)
    assert digest(removed) != found["digest"]
    vector = delta(
        tmp_path / "four", [META, add("a", 3, deletionVector={"storageType": "u", "pathOrInlineDv": "x"}), add("b", 4)]
    )
    assert digest(vector) != found["digest"]
    assert data_version(delta(tmp_path / "five", [META, add("a", None)]), name="s")["rows"] is None


def test_a_delta_log_that_is_not_whole_is_refused(tmp_path: Path) -> None:
    table = delta(tmp_path / "table", [META, add("a", 3)], [add("b", 4)], [add("c", 5)])
    (table / "_delta_log" / f"{1:020}.json").unlink()
    with pytest.raises(ModelberthError, match="the commit 1 is missing and no checkpoint replaces it"):
        digest(table)
    with pytest.raises(ModelberthError, match="not a Delta table"):
        digest(delta(tmp_path / "empty", [add("a", 3)]))
    broken = delta(tmp_path / "broken", [META])
    (broken / "_delta_log" / f"{0:020}.json").write_text("{")
    with pytest.raises(ModelberthError, match=r"00\.json:1: not JSON"):
        digest(broken)


def iceberg(folder: Path, current: int, name: str = "v2.metadata.json") -> Path:
    (folder / "metadata").mkdir(parents=True, exist_ok=True)
    document = {
        "format-version": 2,
        "table-uuid": "u-1",
        "current-snapshot-id": current,
        "current-schema-id": 1,
        "schemas": [
            {"schema-id": 0, "fields": [{"id": 1, "name": "price", "type": "double"}]},
            {
                "schema-id": 1,
                "fields": [
                    {"id": 1, "name": "price", "type": "double"},
                    {"id": 2, "name": "at", "type": "timestamptz"},
                ],
            },
        ],
        "snapshots": [
            {"snapshot-id": 11, "schema-id": 0, "summary": {"operation": "append", "total-records": "5"}},
            {"snapshot-id": 12, "schema-id": 1, "summary": {"operation": "append", "total-records": "9"}},
        ],
    }  # fmt: skip
    (folder / "metadata" / name).write_text(json.dumps(document))
    return folder


def test_an_iceberg_table_by_its_current_snapshot(tmp_path: Path) -> None:
    old = data_version(iceberg(tmp_path / "table", 11, "v9.metadata.json"), name="sales")
    assert (old["rows"], old["columns"]) == (5, {"price": "number"})
    new = data_version(iceberg(tmp_path / "table", 12, "v10.metadata.json"), name="sales")
    assert (new["rows"], new["columns"]) == (9, {"price": "number", "at": "timestamptz"})
    assert old["digest"] != new["digest"]
    with pytest.raises(ModelberthError, match="no snapshot yet"):
        digest(iceberg(tmp_path / "new", -1))
    with pytest.raises(ModelberthError, match="not in its metadata"):
        data_version(tmp_path / "table", name="sales", time="at")


# what changed


def between(old: pd.DataFrame, new: pd.DataFrame) -> dict[str, Any]:
    return changes(data_version(old, name="sales"), data_version(new, name="sales"))


def test_schema_and_rows_that_changed_are_told() -> None:
    old, new = sales(), sales(1200).drop(columns="plan").assign(shop=1, flag=lambda t: t["flag"].astype(str))
    found = between(old, new)
    assert found["schema"] == {
        "added": {"shop": "integer"},
        "removed": {"plan": "string"},
        "retyped": {"flag": ["integer", "string"]},
    }
    assert found["rows"] == [1000, 1200]
    lines = sentences(found)
    for line in ("new column shop (integer)", "column plan (string) is gone", "column flag was integer, is string"):
        assert line in lines
    assert "rows: 1,000 → 1,200" in lines
    assert sentences(between(old, old)) == ["the same content"]


def test_the_psi_of_a_flag_and_a_category_is_exact() -> None:
    old = pd.DataFrame({"flag": [0] * 90 + [1] * 10, "plan": ["a"] * 90 + ["b"] * 10})
    new = pd.DataFrame({"flag": [0] * 60 + [1] * 40, "plan": ["a"] * 60 + ["b"] * 40})
    # (0.6 - 0.9) ln(0.6 / 0.9) + (0.4 - 0.1) ln(0.4 / 0.1)
    for column in between(old, new)["distribution"].values():
        assert (column["psi"], column["level"]) == (pytest.approx(0.5375, abs=1e-4), "major")


def test_the_psi_of_numbers_is_near_the_one_of_the_rows() -> None:
    import numpy as np

    old, new = sales(5000)[["price"]], sales(5000, shift=6, seed=2)[["price"]]
    edges = np.quantile(old["price"], np.linspace(0, 1, 11))[1:-1]
    p, q = (np.bincount(np.searchsorted(edges, one["price"], "right"), minlength=10) / 5000 for one in (old, new))
    expected = float(((q - p) * np.log(q / p)).sum())
    assert between(old, new)["distribution"]["price"]["psi"] == pytest.approx(expected, rel=0.15)
    assert between(old, sales(5000, seed=3)[["price"]])["distribution"]["price"]["level"] == "stable"


def test_values_that_went_missing_are_seen() -> None:
    new = sales()
    new.loc[:300, "price"] = None
    found = between(sales(), new)
    assert found["distribution"]["price"]["level"] == "major"
    assert next(line for line in sentences(found) if line.startswith("price: ")).endswith("missing 0 → 0.301")
