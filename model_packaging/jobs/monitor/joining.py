# pyright: basic
# (pandas and pyarrow carry no types)
"""Predictions and labels that wait for each other from one run to the next.

Everything stands in one table, a row of it for each predicted row, named by its request and its place in there. A
prediction waits for its label for the label delay, and a label as long for its prediction, whose capture file may be
written after it. The table is kept between runs as one Parquet file, and is what makes counting exact: a row that is
read again is the same row, and `point` tells in which point of the metrics over time it has been counted.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from zlib import crc32

import numpy as np

from model_packaging.errors import StorageError
from model_packaging.formats.predictor import class_key
from model_packaging.jobs.monitor.capture import Examples, Exchange, Window
from model_packaging.jobs.monitor.labels import files_below
from model_packaging.jobs.monitor.traffic import Traffic
from model_packaging.package import Package
from model_packaging.serving import media
from model_packaging.serving.problems import RequestProblem
from model_packaging.serving.rows import Checker
from model_packaging.storage import explained, filesystem

MOST_ROWS = 1_000_000
"""Rows that wait or can still be corrected. Beyond, half of the requests are left out, chosen by a hash of their
identifier, and again half of those until the rest fits: the labels that are counted are then a sample."""

MOST_POINTS = 200
"""Points of the metrics over time that are remembered."""

OVERLAP = timedelta(hours=1)
"""How far before the last run's end is read again. Capture files are written some minutes after what is in them."""

_BLOCK_ROWS = 50_000
_META = b"modelberth"


@dataclass
class Joined:
    """What came together in one run."""

    new: int = 0
    """Labels that found their prediction for the first time."""
    corrected: int = 0
    """Labels that replaced another one of an earlier run, or of an earlier time."""
    repeated: int = 0
    """Labels that say again what is known."""
    contradicting: int = 0
    """Second labels of one run that differ from the first of it without a later time; the last one counts."""
    touched: set[int] = field(default_factory=set)
    """The points whose rows got another label."""


class State:
    """The table, and what is remembered beside it."""

    def __init__(self, classes: Sequence[Any], segments: Sequence[str]) -> None:
        import pandas as pd

        self.chances = [f"probability:{class_key(one)}" for one in classes]
        self.segments = [f"segment:{name}" for name in segments]
        numbers = ["at", "predicted", *self.chances, "label", "label_time", "labelled", "since"]
        columns = {name: pd.Series(dtype=float) for name in numbers}
        columns |= {name: pd.Series(dtype=object) for name in self.segments}
        self.table: Any = pd.DataFrame(columns | {"point": pd.Series(dtype="int64")}, index=pd.Index([], dtype=object))
        self.digest = ""
        """The package whose predictions these are."""
        self.read_to: datetime | None = None
        """Up to where captured traffic has been read."""
        self.share = 1.0
        """The share of requests that is kept."""
        self.stamps: dict[str, str] = {}
        """The label files that have been read."""
        self.points: list[dict[str, Any]] = []
        """The metrics over time, oldest first; a row's `point` is the `number` of one of them, 0 before."""

    @property
    def joined(self) -> Any:
        """Which rows have both."""
        return self.table["predicted"].notna() & self.table["label"].notna()

    def window(self, end: datetime, delay: timedelta, digest: str) -> Window:
        """What of the captured traffic is not known yet."""
        earliest = end - delay
        if self.read_to is None:
            return Window(earliest, end)
        # What another package predicted before is not this one's.
        known = self.read_to if digest != self.digest else self.read_to - OVERLAP
        return Window(min(max(earliest, known), end), end)

    def adopt(self, digest: str) -> None:
        """From here on the predictions are this package's; those of another one are forgotten, its points stay."""
        if digest != self.digest:
            self.table = self.table[self.table["predicted"].isna()]
        self.digest = digest

    def add_predictions(self, block: Any, now: float) -> None:
        """Add predictions by their key; one that is known stays as it is."""
        import pandas as pd

        block = block[~block.index.duplicated() & self._kept(block.index)]
        known = self.table.index[self.table["predicted"].notna()]
        block = block[~block.index.isin(known)]
        waiting = block.index.intersection(self.table.index)
        self.table.loc[waiting, block.columns] = block.loc[waiting]
        fresh = block.drop(waiting).reindex(columns=self.table.columns)
        fresh["since"], fresh["point"] = now, 0
        if len(fresh):
            self.table = pd.concat([self.table, fresh.astype(self.table.dtypes)]) if len(self.table) else fresh
        self._fit()

    def add_labels(self, block: Any, now: float, joined: Joined) -> None:
        """Add labels by their key. A later one replaces an earlier one: later by its time where both bear one, else
        by the order of reading."""
        import pandas as pd

        block = block[self._kept(block["key"])]
        timed = block["time"].notna().any()
        ordered = block.sort_values("time", kind="stable", na_position="first") if timed else block
        last = ordered.drop_duplicates("key", keep="last").set_index("key")
        self._count_duplicates(ordered, last, joined)
        table = self.table
        there = last.index.intersection(table.index)
        before, after = table.loc[there], last.loc[there]
        labelled = before["label"].notna()
        outdated = labelled & (after["time"] < before["label_time"])
        same = labelled & (before["label"] == after["label"])
        other = labelled & ~outdated & ~same
        joined.repeated += int((same | outdated).sum())
        clash = other & (before["labelled"] == now) & ~(after["time"] > before["label_time"])
        joined.contradicting += int(clash.sum())
        joined.corrected += int((other & ~clash).sum())
        joined.touched |= set(before["point"][other].astype(int)) - {0}
        changed = there[~(outdated | same)]
        table.loc[changed, "label"] = last.loc[changed, "label"]
        table.loc[changed, "label_time"] = last.loc[changed, "time"]
        table.loc[changed, "labelled"] = now
        fresh = last.drop(there).rename(columns={"time": "label_time"}).reindex(columns=table.columns)
        fresh["labelled"], fresh["since"], fresh["point"] = now, now, 0
        if len(fresh):
            self.table = pd.concat([table, fresh.astype(table.dtypes)]) if len(table) else fresh
        self._fit()

    def _count_duplicates(self, ordered: Any, last: Any, joined: Joined) -> None:
        twice = ordered[ordered.duplicated("key", keep="last")]
        if not len(twice):
            return
        winner = last.loc[twice["key"]]
        same = twice["label"].to_numpy() == winner["label"].to_numpy()
        earlier = twice["time"].to_numpy() < winner["time"].to_numpy()
        joined.repeated += int(same.sum())
        joined.corrected += int((~same & earlier).sum())
        joined.contradicting += int((~same & ~earlier).sum())

    def forget(self, before: float) -> None:
        """Drop predictions and labels that have waited too long, and rows that are counted and as old."""
        waits = self.joined & (self.table["point"] == 0)
        age = self.table["at"].fillna(self.table["since"])
        self.table = self.table[waits | (age >= before)]

    def _kept(self, keys: Any) -> Any:
        if self.share == 1.0:
            return np.ones(len(keys), dtype=bool)
        # Whole requests are kept or left out, so that the rows of one stay together.
        return np.array([crc32(key.rpartition("/")[0].encode()) < self.share * 2**32 for key in keys], dtype=bool)

    def _fit(self) -> None:
        while len(self.table) > MOST_ROWS:
            self.share /= 2
            self.table = self.table[self._kept(self.table.index)]

    def save(self, address: str) -> None:
        """Write the file in one step. StorageError where that fails."""
        import pyarrow as pa
        from pyarrow.parquet import write_table

        meta = {
            "version": 1,
            "digest": self.digest,
            "read_to": None if self.read_to is None else self.read_to.isoformat(),
            "share": self.share,
            "stamps": self.stamps,
            "points": self.points[-MOST_POINTS:],
        }
        found = pa.Table.from_pandas(self.table.rename_axis("key").reset_index(), preserve_index=False)
        content = io.BytesIO()
        write_table(found.replace_schema_metadata({_META: json.dumps(meta)}), content, compression="zstd")
        fs, path = filesystem(address)
        with explained(address, "write"):
            local = "file" in fs.protocol
            if local or "memory" in fs.protocol:
                fs.makedirs(path.rpartition("/")[0], exist_ok=True)
            # An object appears whole; a file has to be put in place.
            fs.pipe_file(f"{path}.new" if local else path, content.getvalue())
            if local:
                os.replace(f"{path}.new", path)

    @classmethod
    def load(cls, address: str, classes: Sequence[Any], segments: Sequence[str]) -> State:
        """What the last run kept, or an empty state. StorageError where the file is not one."""
        from pyarrow import ArrowException
        from pyarrow.parquet import read_table

        state = cls(classes, segments)
        fs, path = filesystem(address)
        try:
            with explained(address, "read"):
                if not any(one["name"] == path for one in files_below(fs, path.rpartition("/")[0])):
                    return state
                content = fs.cat_file(path)
            found = read_table(io.BytesIO(content))
            meta = json.loads(found.schema.metadata[_META])
            table = found.to_pandas().set_index("key").rename_axis(None)
            table.index = table.index.astype(object)
            # A package with other classes or segments begins anew.
            if list(table.columns) == list(state.table.columns):
                state.table = table.astype(state.table.dtypes)
            state.digest, state.share, state.stamps = meta["digest"], meta["share"], meta["stamps"]
            state.read_to = None if meta["read_to"] is None else datetime.fromisoformat(meta["read_to"])
            state.points = meta["points"]
        except (ArrowException, KeyError, TypeError, ValueError) as error:
            raise StorageError(
                f"cannot read {address}: it is not what an earlier run kept ({str(error).splitlines()[0]}): delete "
                "it, and labels of the last label delay are read and counted anew"
            ) from error
        return state


def predicted(
    exchanges: Iterator[Exchange], package: Package, segments: Sequence[str], end: datetime, skipped: Examples
) -> Iterator[Any]:
    """Tables of captured predictions by their key, as `State.add_predictions` takes them. What has no identifier, or
    no readable answer, cannot be joined: it goes to `skipped`."""
    outputs = package.signature["outputs"]
    regression = outputs["task"] == "regression"
    keys = [class_key(one) for one in outputs.get("classes") or []]
    place = {key: float(position) for position, key in enumerate(keys)}
    traffic = Traffic(package)
    columns = _Segments(package, segments)
    rows: list[dict[str, Any]] = []
    names: list[str] = []
    for exchange in exchanges:
        if exchange.answer is None:
            continue
        if exchange.identifier is None:
            skipped.add(f"{exchange.where}: no eventId and no inferenceId")
            continue
        try:
            answers = traffic.answers(exchange.answer)
            found = [
                {"predicted": one["value"] if regression else place[class_key(one["label"])]} | one for one in answers
            ]
        except (RequestProblem, ValueError) as error:
            skipped.add(f"{exchange.where}: {error}")
            continue
        except KeyError as error:
            skipped.add(f"{exchange.where}: the class {error} is not one of the model")
            continue
        values = columns.of(exchange, len(found))
        at = (exchange.time or end).astimezone(UTC).timestamp()
        rows += [one | value | {"at": at} for one, value in zip(found, values, strict=True)]
        names += [f"{exchange.identifier}/{exchange.row + row}" for row in range(len(found))]
        if len(rows) >= _BLOCK_ROWS:
            yield _table(rows, names, keys, segments)
            rows, names = [], []
    if rows:
        yield _table(rows, names, keys, segments)


def _table(rows: list[dict[str, Any]], names: list[str], keys: Sequence[str], segments: Sequence[str]) -> Any:
    import pandas as pd

    numbers = ["at", "predicted", *(f"probability:{key}" for key in keys)]
    table = pd.DataFrame.from_records(rows, index=pd.Index(names, dtype=object))
    table = table.reindex(columns=[*numbers, *(f"segment:{name}" for name in segments)])
    return table.astype(dict.fromkeys(numbers, float) | {f"segment:{name}": object for name in segments})


class _Segments:
    """The values of a request's rows in the columns that segments are made of."""

    def __init__(self, package: Package, names: Sequence[str]) -> None:
        given: list[Mapping[str, Any]] = package.signature["inputs"]
        self._checker = Checker({"inputs": [{**one, "nullable": True} for one in given]})
        self._names = names

    def of(self, exchange: Exchange, rows: int) -> list[dict[str, Any]]:
        unknown: list[dict[str, Any]] = [{} for _ in range(rows)]
        if not self._names or exchange.request is None:
            return unknown
        try:
            kind = media.content_type(exchange.request.content_type)
            found = self._checker.rows(media.decode(exchange.request.body, kind, self._checker.columns, 2**31))
        except RequestProblem:
            return unknown
        if len(found) != rows:
            return unknown
        return [
            {f"segment:{name}": class_key(row[name]) for name in self._names if row.get(name) is not None}
            for row in found
        ]
