"""Tables whose older commits live in checkpoints, versions asked for by number, and the data that DVC keeps."""

import gzip
import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from model_packaging import ModelberthError, data_version
from model_packaging.datasets import bring, content_digest
from tests.unit.data.conftest import sales
from tests.unit.data.test_versions import META, add, delta, digest, iceberg

FILE = pa.struct(
    [
        ("path", pa.string()),
        ("size", pa.int64()),
        ("dataChange", pa.bool_()),
        ("stats", pa.string()),
        ("deletionVector", pa.struct([("storageType", pa.string()), ("pathOrInlineDv", pa.string())])),
    ]
)
CHECKPOINT = pa.schema(
    [
        ("metaData", pa.struct([("id", pa.string()), ("schemaString", pa.string())])),
        ("add", FILE),
        ("remove", pa.struct([("path", pa.string())])),
    ]
)


def checkpoint(table: Path, version: int, *parts: list[dict[str, Any]], drop: bool = True) -> Path:
    """Writes a checkpoint of one or several files, and cleans away the commits up to its version, as Delta does."""
    log = table / "_delta_log"
    for number, actions in enumerate(parts, 1):
        middle = "" if len(parts) == 1 else f".{number:010}.{len(parts):010}"
        pq.write_table(
            pa.Table.from_pylist(actions, CHECKPOINT),
            log / f"{version:020}.checkpoint{middle}.parquet",
            row_group_size=1,
        )
    for old in range(version + 1) if drop else ():
        (log / f"{old:020}.json").unlink()
    return table


def commits(folder: Path) -> Path:
    vector = {"storageType": "u", "pathOrInlineDv": "x"}
    return delta(
        folder,
        [META, add("a", 3), add("b", 4)],
        [{"remove": {"path": "a"}}, add("c", 5)],
        [add("d", 6, deletionVector=vector)],
        [{"remove": {"path": "b"}}],
    )


STATE = [META, add("b", 4), add("c", 5), {"remove": {"path": "a"}}]


def test_a_checkpoint_replaces_the_commits_before_it(tmp_path: Path) -> None:
    whole = data_version(commits(tmp_path / "whole"), name="t")
    assert (whole["rows"], whole["snapshot"]["version"], whole["snapshot"]["files"]) == (11, 3, 2)
    cleaned = data_version(checkpoint(commits(tmp_path / "cleaned"), 1, STATE), name="t")
    parts = data_version(checkpoint(commits(tmp_path / "parts"), 1, STATE[:2], STATE[2:]), name="t")
    both = data_version(checkpoint(commits(tmp_path / "both"), 1, STATE, drop=False), name="t")
    for one in (cleaned, parts, both):
        assert {**one, "origin": ""} == {**whole, "origin": ""}
    vector = {"storageType": "u", "pathOrInlineDv": "x"}
    last = checkpoint(commits(tmp_path / "last"), 3, [META, add("c", 5), add("d", 6, deletionVector=vector)])
    assert digest(last) == whole["digest"]


def test_a_version_of_a_table_can_be_asked_for(tmp_path: Path) -> None:
    table = commits(tmp_path / "table")
    first = data_version(f"{table}@v0", name="t")
    assert (first["rows"], first["snapshot"]["version"], first["origin"]) == (7, 0, f"{table}@v0")
    assert digest(f"{table}@v0") == digest(delta(tmp_path / "other", [META, add("a", 3), add("b", 4)]))
    assert digest(f"{table.as_uri()}@v3") == digest(table)
    assert bring(f"{table}@v0", tmp_path / "unused") == Path(table)
    with pytest.raises(ModelberthError, match="has no version 9, the newest is 3"):
        digest(f"{table}@v9")
    checkpoint(table, 1, STATE)
    with pytest.raises(ModelberthError, match="version 0 cannot be read: the commit 0 is missing"):
        digest(f"{table}@v0")
    (tmp_path / "plain").mkdir()
    with pytest.raises(ModelberthError, match="is neither a Delta nor an Iceberg table, so it has no version 3"):
        digest(f"{tmp_path / 'plain'}@v3")


def broken(table: Path, content: bytes) -> None:
    next((table / "_delta_log").glob("*.checkpoint.parquet")).write_bytes(content)


def test_a_checkpoint_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    table = checkpoint(commits(tmp_path / "table"), 1, STATE)
    name = f"{1:020}.checkpoint.parquet"
    for content in (b"", b"PAR1", (table / "_delta_log" / name).read_bytes()[:300]):
        broken(table, content)
        with pytest.raises(ModelberthError, match=rf"{name}: not a checkpoint that can be read: .+"):
            digest(table)
    pq.write_table(pa.table({"sidecar": ["x"]}), table / "_delta_log" / name)
    with pytest.raises(ModelberthError, match="named in sidecars, which are not read"):
        digest(table)
    (table / "_delta_log" / name).rename(table / "_delta_log" / f"{1:020}.checkpoint.{'a' * 8}-0000.parquet")
    with pytest.raises(ModelberthError, match="the commit 0 is missing"):
        digest(table)
    part = checkpoint(commits(tmp_path / "part"), 1, STATE[:2], STATE[2:])
    next((part / "_delta_log").glob("*.0000000002.parquet")).unlink()
    with pytest.raises(ModelberthError, match="the commit 0 is missing"):
        digest(part)


def test_a_log_with_an_absurd_number_is_refused_at_once(tmp_path: Path) -> None:
    table = delta(tmp_path / "table", [META, add("a", 3)])
    (table / "_delta_log" / f"{'9' * 20}.json").write_text("{}")
    with pytest.raises(ModelberthError, match="the commit 1 is missing"):
        digest(table)


@pytest.mark.parametrize("action", [{"add": "a"}, {"remove": [1]}, {"metaData": "x"}, {"metaData": {"id": 1}}])
def test_actions_that_are_none_are_refused(tmp_path: Path, action: dict[str, Any]) -> None:
    with pytest.raises(ModelberthError, match=r"not an action of a Delta table|not a Delta table"):
        digest(delta(tmp_path / "table", [META, action]))


def test_an_iceberg_snapshot_can_be_asked_for_and_metadata_be_compressed(tmp_path: Path) -> None:
    table = iceberg(tmp_path / "table", 12)
    assert data_version(f"{table}@11", name="t")["rows"] == 5
    assert digest(f"{table}@11") == digest(iceberg(tmp_path / "old", 11))
    with pytest.raises(ModelberthError, match="has no snapshot 13"):
        digest(f"{table}@13")
    plain = table / "metadata" / "v2.metadata.json"
    before = digest(table)
    (table / "metadata" / "v2.gz.metadata.json").write_bytes(gzip.compress(plain.read_bytes()))
    plain.unlink()
    assert digest(table) == before
    (table / "metadata" / "v2.gz.metadata.json").write_bytes(b"\x1f\x8b\x08broken")
    with pytest.raises(ModelberthError, match=r"v2\.gz\.metadata\.json: not gzip"):
        digest(table)


# DVC


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository of DVC whose data is in its cache only."""
    root = tmp_path / "repository"
    content = sales(50).to_csv(index=False).encode()
    keep(root / ".dvc" / "cache" / "files" / "md5", content)
    (root / ".dvc" / "config").write_text("[core]\n    remote = shelf\n['remote \"shelf\"']\n    url = ../../shelf\n")
    track(root, "sales.csv", md5(content))
    return root


def keep(store: Path, content: bytes, end: str = "") -> Path:
    checksum = md5(content)
    path = store / checksum[:2] / f"{checksum[2:]}{end}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def track(root: Path, path: str, checksum: str) -> None:
    out = {"md5": checksum, "hash": "md5", "path": path}
    (root / f"{path}.dvc").write_text(yaml.safe_dump({"outs": [out]}))


def test_what_dvc_tracks_is_read_from_its_cache(repository: Path, tmp_path: Path) -> None:
    file = repository / "sales.csv.dvc"
    found = data_version(file, name="sales", time="day")
    assert (found["rows"], found["columns"]["price"], found["time_range"][0]) == (50, "number", "2026-01-01")
    assert found["snapshot"]["format"] == "dvc"
    folder = bring(str(file), tmp_path / "brought")
    assert (folder / "sales.csv").read_bytes() == sales(50).to_csv(index=False).encode()
    cache = repository / ".dvc" / "cache"
    shutil.move(cache / "files" / "md5", tmp_path / "shelf")  # as DVC 2 laid out a remote
    assert data_version(file, name="sales", time="day") == found
    shutil.rmtree(tmp_path / "shelf")
    without = data_version(file, name="sales")
    assert (without["digest"], without["rows"]) == (found["digest"], None)
    with pytest.raises(ModelberthError, match=r"sales\.csv\.dvc: what it tracks is not on this machine"):
        bring(str(file), tmp_path / "again")


def test_data_that_is_not_what_was_recorded_is_not_read(repository: Path) -> None:
    (repository / "sales.csv").write_text("price\n1\n")
    assert data_version(repository / "sales.csv.dvc", name="sales")["rows"] == 50
    for path in (repository / ".dvc" / "cache").rglob("*"):
        if path.is_file():
            path.write_bytes(b"spoiled")
    assert data_version(repository / "sales.csv.dvc", name="sales")["rows"] is None
    (repository / "sales.csv").write_bytes(sales(50).to_csv(index=False).encode())
    assert data_version(repository / "sales.csv.dvc", name="sales")["rows"] == 50


def test_a_tracked_folder(repository: Path, tmp_path: Path) -> None:
    store = repository / ".dvc" / "cache" / "files" / "md5"
    parts = [sales(30, seed=seed).to_csv(index=False).encode() for seed in (1, 2)]
    listed = [{"md5": keep(store, part) and md5(part), "relpath": f"{n}/part.csv"} for n, part in enumerate(parts)]
    content = json.dumps(listed).encode()
    keep(store, content, ".dir")
    track(repository, "lake", f"{md5(content)}.dir")
    assert data_version(repository / "lake.dvc", name="lake")["rows"] == 60
    assert content_digest(repository / "lake.dvc") == digest(repository / "lake.dvc")
    assert (bring(str(repository / "lake.dvc"), tmp_path / "brought") / "1" / "part.csv").read_bytes() == parts[1]
    for wrong in ([{"md5": md5(parts[0]), "relpath": "../../escape"}], [{"md5": "x", "relpath": "a"}], [1], {"a": 1}):
        content = json.dumps(wrong).encode()
        keep(store, content, ".dir")
        track(repository, "lake", f"{md5(content)}.dir")
        with pytest.raises(ModelberthError, match="not the list of a folder that DVC tracks"):
            digest(repository / "lake.dvc")
