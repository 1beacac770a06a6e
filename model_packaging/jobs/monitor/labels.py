# pyright: basic
# (pandas and pyarrow carry no types)
"""Read label files: what turned out to be true, by the identifier of the request that it was predicted for.

A file is JSON Lines (`.jsonl`), CSV (`.csv`) or Parquet (`.parquet`), the first two also as `.gz`, and has the
columns `id` (the captured inferenceId, else eventId) and `label`; for requests of several rows `row`, from 0; and,
where labels are corrected later, `time`, when the label was established (ISO 8601, UTC where it names no offset).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from model_packaging.errors import ModelberthError, did_you_mean
from model_packaging.formats.predictor import class_key
from model_packaging.jobs.monitor.capture import Examples
from model_packaging.storage import explained, filesystem

BLOCK_ROWS = 100_000
ENDINGS = (".csv", ".jsonl", ".parquet")
_COLUMNS = ("id", "label", "row", "time")


@dataclass
class Arrived:
    """What was found in the label files that were new or had changed."""

    files: int = 0
    rows: int = 0
    missing: int = 0
    """Rows without a label."""
    unknown: Examples = field(default_factory=Examples)
    """Labels that are no class of the model, or no number where one is predicted."""
    ill_formed: Examples = field(default_factory=Examples)
    """Files, lines and rows that are no labels."""
    stamps: dict[str, str] = field(default_factory=dict)
    """Each file's path and what tells it from another version of itself."""


def read(address: str, known: Mapping[str, str], classes: Sequence[Any], arrived: Arrived) -> Iterator[Any]:
    """Tables of `key`, `label` and `time`, from the files that are new or changed since `known`.

    `key` is the identifier and the row with a slash between; `label` is the number, or the position in `classes`;
    `time` is in seconds since 1970, NaN where it is not told. A file that cannot be read is told in every run until
    it is mended.

    Raises:
        StorageError: the storage cannot be reached, or refuses.
    """
    import pandas as pd

    fs, root = filesystem(address)
    with explained(address, "list"):
        found = {one["name"]: one for one in files_below(fs, root.rstrip("/"))}
    for path in sorted(path for path in found if path.removesuffix(".gz").endswith(ENDINGS)):
        name = path.removeprefix(root).lstrip("/") or path.rpartition("/")[2]
        stamp = _stamp(found[path])
        if known.get(name) == stamp:
            arrived.stamps[name] = stamp
            continue
        arrived.files += 1
        with explained(f"{address.rstrip('/')}/{name}", "read"), fs.open(path, "rb", compression="infer") as source:
            try:
                for block in _blocks(source, path.removesuffix(".gz"), name, arrived):
                    yield _labels(block, name, classes, arrived)
            except (ModelberthError, ValueError, UnicodeDecodeError, pd.errors.ParserError) as error:
                arrived.ill_formed.add(f"{name}: {str(error).splitlines()[0]}")
                continue
        arrived.stamps[name] = stamp


def files_below(fs: Any, folder: str) -> Iterator[Mapping[str, Any]]:
    """The files of a folder and of those in it; none where there is no such folder. Only listings are asked for: on S3
    a role that may list a folder is refused when it asks whether a file is there that is not."""
    try:
        entries = fs.ls(folder, detail=True)
    except FileNotFoundError:
        return
    for entry in entries:
        if entry["type"] != "directory":
            yield entry
        elif entry["name"].rstrip("/") != folder:
            yield from files_below(fs, entry["name"].rstrip("/"))


def _stamp(entry: Mapping[str, Any]) -> str:
    """What changes with a file's content, in the words of whichever storage it is."""
    for key in ("ETag", "etag", "md5Hash"):
        if entry.get(key):
            return str(entry[key])
    time = next((entry[key] for key in ("mtime", "LastModified", "updated", "created") if key in entry), "")
    return f"{entry.get('size')} {time}"


def _blocks(source: Any, path: str, name: str, arrived: Arrived) -> Iterator[Any]:
    import pandas as pd

    if path.endswith(".csv"):
        # "NA" or "None" may be a class: only an empty cell is a missing label.
        yield from pd.read_csv(source, dtype=str, chunksize=BLOCK_ROWS, keep_default_na=False, na_values=[""])
    elif path.endswith(".parquet"):
        from pyarrow import ArrowInvalid
        from pyarrow.parquet import ParquetFile

        try:
            file = ParquetFile(source)
            there = [column for column in _COLUMNS if column in file.schema_arrow.names]
            for batch in file.iter_batches(BLOCK_ROWS, columns=there or None):
                yield batch.to_pandas().astype(object)
        except ArrowInvalid as error:
            raise ModelberthError(str(error)) from error
    else:
        rows: list[dict[str, Any]] = []
        for number, line in enumerate(source, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:
                arrived.ill_formed.add(f"{name}:{number}: not JSON: {error}")
                continue
            if not isinstance(row, dict) or "id" not in row:
                arrived.ill_formed.add(f"{name}:{number}: no object with an id")
                continue
            rows.append({column: row.get(column) for column in _COLUMNS})
            if len(rows) == BLOCK_ROWS:
                yield pd.DataFrame(rows, dtype=object)
                rows = []
        if rows:
            yield pd.DataFrame(rows, dtype=object)


def _labels(block: Any, name: str, classes: Sequence[Any], arrived: Arrived) -> Any:
    import pandas as pd

    absent = [column for column in ("id", "label") if column not in block]
    if absent:
        hints = "".join(did_you_mean(column, list(map(str, block.columns))) for column in absent)
        raise ModelberthError(f"has no column {' and no '.join(absent)}{hints}")
    arrived.rows += len(block)
    rows = pd.to_numeric(block["row"], errors="coerce").fillna(-1) if "row" in block else pd.Series(0, block.index)
    if "row" in block:
        rows = rows.where(block["row"].notna(), 0)  # in JSON Lines a row may be told of some requests only
    wrong = block["id"].isna() | (rows < 0) | (rows % 1 != 0)
    for index in block.index[wrong][:5]:
        one = block.loc[index]
        arrived.ill_formed.add(f"{name}: id {one['id']!r}, row {one.get('row', 0)!r}: no request and its row")
    arrived.ill_formed.count += max(0, int(wrong.sum()) - 5)
    missing = block["label"].isna() & ~wrong
    arrived.missing += int(missing.sum())
    rows, block = rows[~wrong & ~missing], block[~wrong & ~missing]
    values = _positions(block["label"], classes) if classes else pd.to_numeric(block["label"], errors="coerce")
    values = values.astype(float).replace([np.inf, -np.inf], np.nan)
    what = f"the model knows {', '.join(map(class_key, classes))}" if classes else "a number is predicted"
    strange = values.isna()
    for label, count in block["label"][strange].astype(str).value_counts().items():
        arrived.unknown.add(f"{label!r}: {what}")
        arrived.unknown.count += int(count) - 1
    times = pd.Series(np.nan, block.index)
    if "time" in block:
        parsed = pd.to_datetime(block["time"], errors="coerce", utc=True, format="ISO8601")
        times = (parsed - pd.Timestamp(0, tz="UTC")) / pd.Timedelta(seconds=1)
    keys = block["id"].astype(str) + "/" + rows.astype(int).astype(str)
    table = pd.DataFrame({"key": keys.astype(object), "label": values, "time": times.astype(float)})
    return table[~strange].reset_index(drop=True)


def _positions(labels: Any, classes: Sequence[Any]) -> Any:
    """Each label's class, however a file writes it: `True`, `true` and 1 are one, and so are 3, `3` and 3.0."""
    place: dict[str, int] = {class_key(one): position for position, one in enumerate(classes)}
    for position, one in enumerate(classes):
        if isinstance(one, bool):
            for text in (str(one), str(int(one)), str(float(one))):
                place.setdefault(text, position)
        elif isinstance(one, int | float) and one == int(one):
            for text in (str(int(one)), str(float(one))):
                place.setdefault(text, position)
    return labels.map(lambda label: place.get(class_key(label), np.nan))
