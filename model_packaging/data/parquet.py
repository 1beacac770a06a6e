# pyright: basic
# (pyarrow carries no types)
"""Parquet. One file of a version: schema and rows from its footer, values a batch at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..errors import ModelberthError
from .summaries import Columns

_BATCH = 65_536


def add(path: Path, shown: str, columns: Columns, time: str | None) -> list[Any]:
    """Adds the file's columns, and returns the least and the most of `time`, from the footer where it says so, or
    nothing where the file has no value of it. ModelberthError names `shown` where the file is not whole."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            schema = file.schema_arrow
            kinds = {field.name: kind(field.type) for field in schema}
            columns.rows += file.metadata.num_rows
            ends = _ends(file, time) if time in kinds else []
            summarised = {name: one for name, one in kinds.items() if one in _SUMMARISED}
            for name, one in kinds.items():
                columns.add(name, one)
            wanted = [*summarised, *([time] if time in kinds and ends is None and time not in summarised else [])]
            seen: list[Any] = []
            for batch in file.iter_batches(_BATCH, columns=wanted) if wanted else ():
                for name, values in zip(batch.schema.names, batch.columns, strict=True):
                    if name in summarised:
                        columns.add(name, summarised[name], _series(values, summarised[name]))
                    if name == time and ends is None:
                        seen += _least_and_most(values)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise ModelberthError(f"cannot read {shown}: {_reason(error)}") from error
    if ends is None:
        return [min(seen), max(seen)] if seen else []
    return ends


def actions(content: bytes, shown: str) -> Iterator[dict[str, Any]]:
    """Of a Delta table's checkpoint, what the table is and which files it has; its `remove` names only what was gone
    before it. ModelberthError names `shown` where it is none, or names its files elsewhere."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(pa.BufferReader(content))
        names = file.schema_arrow.names
        if "sidecar" in names:
            raise ValueError("its files are named in sidecars, which are not read")
        for batch in file.iter_batches(_BATCH, columns=[name for name in ("metaData", "add") if name in names]):
            yield from batch.to_pylist()
    except (pa.ArrowException, OSError, ValueError) as error:
        raise ModelberthError(f"{shown}: not a checkpoint that can be read: {_reason(error)}") from error


def kind(given: Any) -> str:
    """A column's type in the words of a signature, or Arrow's own name for any other."""
    import pyarrow.types as types

    if types.is_dictionary(given):
        return kind(given.value_type)
    for check, name in (
        (types.is_boolean, "boolean"),
        (types.is_integer, "integer"),
        (types.is_floating, "number"),
        (types.is_decimal, "number"),
        (types.is_string, "string"),
        (types.is_large_string, "string"),
        (types.is_null, "null"),
    ):
        if check(given):
            return name
    return str(given)


_SUMMARISED = frozenset({"boolean", "integer", "number", "string"})


def _series(values: Any, one: str) -> Any:
    import pyarrow as pa

    if one in ("integer", "number"):
        return values.cast(pa.float64(), safe=False).to_pandas()
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    return values.to_pandas()


def _ends(file: Any, time: str | None) -> list[Any] | None:
    """Least and most by the statistics of all row groups; None where those are missing, or may have been cut off, as
    those of texts may."""
    import pyarrow.types as types

    field = file.schema_arrow.field(time)
    if not (types.is_temporal(field.type) or types.is_integer(field.type)):
        return None
    groups: list[Any] = []
    for index in range(file.metadata.num_row_groups):
        group = file.metadata.row_group(index)
        column = next((c for c in map(group.column, range(group.num_columns)) if c.path_in_schema == time), None)
        statistics = column.statistics if column is not None else None
        if statistics is None or not statistics.has_null_count:
            return None
        if statistics.null_count == group.num_rows:
            continue
        if not statistics.has_min_max:
            return None
        groups += [statistics.min, statistics.max]
    return [min(groups), max(groups)] if groups else []


def _least_and_most(values: Any) -> list[Any]:
    from importlib import import_module

    compute: Any = import_module("pyarrow.compute")  # its functions are made when it is imported

    found: Mapping[str, Any] = compute.min_max(values).as_py()
    return [end for end in (found["min"], found["max"]) if end is not None]


def _reason(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
