"""Parquet: schema, rows and times from the footer, summaries a batch at a time, and what is broken named."""

import gzip
import json
import shutil
import tracemalloc
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as dataset
import pyarrow.parquet as pq
import pytest

from model_packaging import ModelberthError, data_version
from model_packaging.data.changes import changes, sentences
from model_packaging.data.summaries import HASHES, SAMPLE, Columns
from tests.unit.data.conftest import sales


def timed(rows: int = 1000, **changed: Any) -> pd.DataFrame:
    return sales(rows, **changed).assign(at=pd.date_range("2026-01-01", periods=rows, freq="h"))


def test_parquet_and_csv_say_the_same_of_the_same_rows(csv: Path, tmp_path: Path) -> None:
    sales().to_parquet(tmp_path / "sales.parquet", row_group_size=70)
    text, columnar = (data_version(path, name="sales", time="day") for path in (csv, tmp_path / "sales.parquet"))
    for key in ("rows", "columns", "time_range", "summaries"):
        assert columnar[key] == text[key]
    assert columnar["digest"] != text["digest"]


def test_a_time_range_is_read_from_the_footer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = timed()
    table.to_parquet(tmp_path / "sales.parquet", row_group_size=100)
    pq.write_table(pa.Table.from_pandas(table), tmp_path / "plain.parquet", write_statistics=False)
    expected = ["2026-01-01 00:00:00", "2026-02-11 15:00:00"]
    for name in ("sales.parquet", "plain.parquet"):
        assert data_version(tmp_path / name, name="sales", time="at")["time_range"] == expected

    def unread(self: Any, *arguments: Any, columns: list[str], **options: Any) -> Any:
        assert "at" not in columns
        return iter(())

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", unread)
    assert data_version(tmp_path / "sales.parquet", name="sales", time="at")["time_range"] == expected
    with pytest.raises(ModelberthError, match='no column "when"'):
        data_version(tmp_path / "sales.parquet", name="sales", time="when")


def test_partitions_are_columns_and_count_for_the_digest(tmp_path: Path) -> None:
    table = timed().assign(year=[2025, 2026] * 500, region=["north", "south"] * 500)
    dataset.write_dataset(
        pa.Table.from_pandas(table), tmp_path / "lake", format="parquet", partitioning=["year", "region"],
        partitioning_flavor="hive",
    )  # fmt: skip
    (tmp_path / "lake" / "_SUCCESS").touch()
    found = data_version(tmp_path / "lake", name="sales", time="at")
    assert (found["rows"], found["columns"]["year"], found["columns"]["region"]) == (1000, "integer", "string")
    assert found["columns"]["at"].startswith("timestamp")
    assert found["time_range"] == ["2026-01-01 00:00:00", "2026-02-11 15:00:00"]
    assert found["summaries"]["region"]["frequencies"] == {"north": 0.5, "south": 0.5}
    (tmp_path / "lake" / ".crc").write_text("a checksum of Hadoop's")
    assert data_version(tmp_path / "lake", name="sales")["digest"] == found["digest"]
    (tmp_path / "lake" / "year=2026").rename(tmp_path / "lake" / "year=2024")
    assert data_version(tmp_path / "lake", name="sales")["digest"] != found["digest"]


def test_s3_and_a_folder_agree(tmp_path: Path, aws: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", aws)
    client: Any = boto3.client("s3")
    client.create_bucket(Bucket="parquet", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    for year in (2025, 2026):
        folder = tmp_path / "lake" / f"year={year}"
        folder.mkdir(parents=True)
        timed(500, seed=year).to_parquet(folder / "part-0.parquet")
        client.upload_file(str(folder / "part-0.parquet"), "parquet", f"lake/year={year}/part-0.parquet")
    here = data_version(tmp_path / "lake", name="sales", time="at")
    there = data_version("s3://parquet/lake", name="sales", time="at")
    assert there == here | {"origin": "s3://parquet/lake"}


def test_drift_between_two_versions_is_found_by_streaming(tmp_path: Path) -> None:
    """More rows than are kept: what is exact stays so, and the index of a shift agrees with the one of the rows."""
    rows = 3 * SAMPLE
    generator = np.random.default_rng(5)
    paths = [tmp_path / "old.parquet", tmp_path / "new.parquet"]
    frames = [
        pd.DataFrame({"price": generator.normal(mean, 10, rows), "rare": np.arange(rows) % 50_000 == 7})
        for mean in (50, 53)
    ]
    for frame, path in zip(frames, paths, strict=True):
        frame.assign(rare=frame["rare"].astype(int)).to_parquet(path)
    old, new = (data_version(path, name="sales") for path in paths)
    summary = old["summaries"]["price"]
    assert (summary["count"], summary["sampled"]) == (rows, SAMPLE)
    assert summary["mean"] == pytest.approx(frames[0]["price"].mean(), rel=1e-9)
    assert summary["std"] == pytest.approx(frames[0]["price"].std(ddof=0), rel=1e-9)
    assert (summary["minimum"], summary["maximum"]) == (
        pytest.approx(frames[0]["price"].min()),
        pytest.approx(frames[0]["price"].max()),
    )
    assert summary["quantiles"]["0.5"] == pytest.approx(50, abs=0.3)
    assert old["summaries"]["rare"]["counts"] == [rows - 6, 6]
    edges = np.quantile(frames[0]["price"], np.linspace(0, 1, 11))[1:-1]
    p, q = (np.bincount(np.searchsorted(edges, one["price"], "right"), minlength=10) / rows for one in frames)
    found = changes(old, new)
    assert found["distribution"]["price"]["psi"] == pytest.approx(float(((q - p) * np.log(q / p)).sum()), rel=0.15)
    assert found["distribution"]["rare"]["level"] == "stable"
    assert next(line for line in sentences(found) if "PSI" in line).startswith("price: PSI")


def test_memory_does_not_grow_with_the_rows() -> None:
    """The values kept of a column are no more after three times the rows."""
    generator = np.random.default_rng(1)
    peaks: list[int] = []
    for pieces in (12, 36):
        columns = Columns()
        tracemalloc.start()
        for _ in range(pieces):
            values = pd.Series(generator.random(10_000))
            columns.rows += len(values)
            columns.add("number", "number", values)
            columns.add("text", "string", (values * 1e9).astype(int).astype(str))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] * 1.5
    summary = columns.summaries()
    assert summary["number"]["count"] == 360_000
    assert summary["text"]["distinct"] == pytest.approx(360_000, rel=3 / HASHES**0.5)


def test_files_that_differ_in_a_type_are_joined(tmp_path: Path) -> None:
    for name, values in {"a": [1, 2], "b": [0.5, None], "c": ["x", "y"]}.items():
        folder = tmp_path / ("numbers" if name != "c" else "texts")
        for place in (folder, tmp_path / "both"):
            place.mkdir(exist_ok=True)
            pd.DataFrame({"v": values}).to_parquet(place / f"{name}.parquet")
    numbers = data_version(tmp_path / "numbers", name="n")
    assert (numbers["columns"], numbers["summaries"]["v"]["missing"]) == ({"v": "number"}, 0.25)
    both = data_version(tmp_path / "both", name="n")
    assert (both["columns"], both["summaries"]) == ({"v": "object"}, {})


def test_a_folder_of_other_files_has_a_digest_and_no_rows(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "1.png").write_bytes(b"\x89PNG")
    found = data_version(tmp_path / "images", name="images")
    assert (found["rows"], found["columns"], found["files"][0]["name"]) == (None, {}, "1.png")
    with pytest.raises(ModelberthError, match=r"cannot read .*1\.png: choose a file that ends in"):
        data_version(tmp_path / "images" / "1.png", name="image")


def damaged(path: Path, change: Any) -> Path:
    path.write_bytes(change(path.read_bytes()))
    return path


BROKEN: dict[str, Any] = {
    "empty": lambda content: b"",
    "cut off": lambda content: content[: len(content) // 2],
    "another format": lambda content: b"a,b\n1,2\n" * 100,
    "a footer of noise": lambda content: b"PAR1" + b"\xff" * (len(content) - 12) + content[-8:],
    "a page of noise": lambda content: content[:40] + bytes(400) + content[440:],
}


@pytest.mark.parametrize("damage", BROKEN)
def test_a_broken_file_is_named_with_the_reason(tmp_path: Path, damage: str) -> None:
    (tmp_path / "lake").mkdir()
    sales(2000).to_parquet(tmp_path / "lake" / "1.parquet")
    shutil.copy(tmp_path / "lake" / "1.parquet", tmp_path / "lake" / "2.parquet")
    damaged(tmp_path / "lake" / "2.parquet", BROKEN[damage])
    with pytest.raises(ModelberthError, match=r"cannot read .*lake/2\.parquet: .+") as told:
        data_version(tmp_path / "lake", name="sales")
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", b""),
        ("a.csv", b'a,b\n"1,2\n'),
        ("a.csv", b"a\xff\xfe\x00,b\n1,2\n"),
        ("a.csv.gz", gzip.compress(b"a,b\n1,2\n")[:12]),
        ("a.json", b"{"),
        ("a.jsonl", b'{"a": 1}\n[2'),
    ],
)
def test_broken_text_is_named_too(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ModelberthError, match=rf"cannot read .*{name}: .+"):
        data_version(tmp_path / name, name="sales")


def test_a_version_can_be_written_as_json(tmp_path: Path) -> None:
    timed().to_parquet(tmp_path / "sales.parquet")
    found = data_version(tmp_path / "sales.parquet", name="sales", time="at")
    assert json.loads(json.dumps(found, allow_nan=False)) == found
