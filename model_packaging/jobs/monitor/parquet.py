# pyright: basic
# (pyarrow carries few types)
"""Captured traffic in Parquet files: our own, a row for each row of a request, and exports of Vertex AI's log."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import import_module
from typing import Any

from model_packaging.jobs.monitor.repeats import Repeats

EVENT, ROW, NAME, TIME, PREDICTION = "eventId", "row", "inferenceId", "time", "prediction."
"""The columns that are no inputs; `prediction.` goes before the names of baseline.json's predictions."""

INPUT = "input."
"""May go before an input's name, and must where the name is one of the four above."""

BATCH_ROWS = 65_536
_BUFFER_BYTES = 1024 * 1024


@dataclass(frozen=True)
class Batch:
    """Rows of a file, as columns."""

    where: str
    """The file, which begins with the variant, and the number of the first row."""

    rows: Any
    """An Arrow record batch."""


def inputs(row: Mapping[str, Any]) -> dict[str, Any]:
    """The inputs among a table's columns, or whatever else stands by the columns' names, by the inputs' names."""
    found = {
        name: value
        for name, value in row.items()
        if name not in (EVENT, ROW, NAME, TIME) and not name.startswith((PREDICTION, INPUT))
    }
    return found | {name.removeprefix(INPUT): value for name, value in row.items() if name.startswith(INPUT)}


def open_file(source: Any) -> Any:
    """The Parquet file of an open file object. ValueError says why it is none."""
    import pyarrow as pa
    import pyarrow.parquet as parquet

    try:
        # Without read-ahead a column is read page by page, however large a row group is.
        return parquet.ParquetFile(source, buffer_size=_BUFFER_BYTES, pre_buffer=False)
    except pa.ArrowException as error:
        raise ValueError(f"not Parquet: {str(error).splitlines()[0]}") from None


def batches(
    file: Any, name: str, span: tuple[datetime, datetime], repeats: Repeats, columns: Sequence[str] | None = None
) -> Iterator[Batch]:
    """The rows of one of our own files that are of the time span and were not delivered before.

    Args:
        file: What `open_file` gave.
        name: What messages call it.
        span: From when up to and without when; a row without a time counts.
        repeats: What was delivered before. An event is its `eventId`, and its `row` where a request had several.
        columns: Which inputs and predictions are read; all where it is None.
    """
    import pyarrow as pa

    present = file.schema_arrow.names
    asked = (EVENT, ROW, NAME, TIME, *(columns or ()), *(f"{INPUT}{one}" for one in columns or ()))
    wanted = None if columns is None else [one for one in dict.fromkeys(asked) if one in present]
    number = 0
    try:
        for rows in file.iter_batches(BATCH_ROWS, columns=wanted, use_threads=False):
            first, number = number, number + rows.num_rows
            rows = _within(rows, span)
            if EVENT in rows.schema.names and rows.num_rows:
                new = repeats.first(_events(rows))
                rows = rows if new.all() else rows.filter(pa.array(new))
            if rows.num_rows:
                yield Batch(f"{name}, from row {first}", rows)
    except (pa.ArrowException, OSError) as error:
        raise _damaged(error) from None


def requests(rows: Any) -> int:
    """How many requests the rows belong to: as many as are the first of theirs."""
    import pyarrow as pa

    compute: Any = import_module("pyarrow.compute")  # made at run time, so a checker finds nothing in it

    if ROW not in rows.schema.names:
        return rows.num_rows
    numbers = rows.column(ROW).cast(pa.int64(), safe=False).fill_null(0)
    return compute.sum(compute.equal(numbers, 0)).as_py() or 0


def records(file: Any, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
    """The rows of any file as objects."""
    import pyarrow as pa

    try:
        for rows in file.iter_batches(1024, columns=list(columns), use_threads=False):
            yield from rows.to_pylist()
    except (pa.ArrowException, OSError) as error:
        raise _damaged(error) from None


def _damaged(error: Exception) -> Exception:
    """What is wrong with the file; a storage's own error as it is. Arrow raises both, and numbers only the latter."""
    if isinstance(error, OSError) and (type(error) is not OSError or error.errno is not None):
        return error
    return ValueError(f"damaged Parquet: {str(error).splitlines()[0]}")


def _within(rows: Any, span: tuple[datetime, datetime]) -> Any:
    import pyarrow as pa

    compute: Any = import_module("pyarrow.compute")  # made at run time, so a checker finds nothing in it

    if TIME not in rows.schema.names:
        return rows
    times = rows.column(TIME)
    if not pa.types.is_timestamp(times.type):
        times = compute.cast(times, pa.timestamp("us", tz="UTC"))
    # A time without a zone is UTC.
    start, end = (
        pa.scalar(one.astimezone(UTC).replace(tzinfo=None), pa.timestamp("us")).cast(pa.timestamp(times.type.unit))
        for one in span
    )
    times = times.cast(pa.timestamp(times.type.unit))
    inside = compute.and_(compute.greater_equal(times, start), compute.less(times, end)).fill_null(True)
    return rows if compute.all(inside).as_py() else rows.filter(inside)


def _events(rows: Any) -> Any:
    import pyarrow as pa

    compute: Any = import_module("pyarrow.compute")  # made at run time, so a checker finds nothing in it

    events = rows.column(EVENT).cast(pa.large_string())
    if ROW not in rows.schema.names:
        return events
    numbers = rows.column(ROW).cast(pa.large_string()).fill_null("0")
    return compute.binary_join_element_wise(events, numbers, pa.scalar("/", pa.large_string()))
