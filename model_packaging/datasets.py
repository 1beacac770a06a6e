# pyright: basic
# (pandas carries no types)
"""A data version: which data a model was trained on, told by its content."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .errors import ModelberthError

READERS = (".csv", ".csv.gz", ".parquet", ".json", ".jsonl")


def data_version(
    data: Any,
    *,
    name: str,
    origin: str = "",
    time: str | None = None,
) -> dict[str, Any]:
    """Describe a DataFrame, a file, a folder or several files.

    The digest depends on the content only: not on the order of files or of a DataFrame's rows and
    columns, nor on file names and times. `time` names the column whose range is recorded; `origin`
    says where the data came from.
    """
    import pandas as pd

    if isinstance(data, pd.DataFrame):
        frame, digest = data, _frame_digest(data)
    else:
        files = _files(data)
        digest = _files_digest(files)
        frame = pd.concat([read_table(file) for file in files], ignore_index=True)
    if time is not None and time not in frame:
        raise ModelberthError(f'the data has no column "{time}" to take the time range from')
    return {
        "name": name,
        "digest": digest,
        "rows": len(frame),
        "columns": {str(column): column_type(frame[column]) for column in frame.columns},
        "time_range": None if time is None else [str(frame[time].min()), str(frame[time].max())],
        "origin": origin,
    }


def read_table(file: str | Path) -> Any:
    """A CSV, Parquet or JSON file as a DataFrame. Raises ModelberthError naming the file."""
    import pandas as pd

    path = Path(file)
    try:
        if path.name.endswith((".csv", ".csv.gz")):
            return pd.read_csv(path)
        if path.suffix == ".parquet":
            return pd.read_parquet(path)
        if path.suffix in (".json", ".jsonl"):
            return pd.read_json(path, lines=path.suffix == ".jsonl")
    except (ValueError, OSError, ImportError) as error:
        raise ModelberthError(f"cannot read {path}: {str(error).splitlines()[0]}") from error
    raise ModelberthError(f"cannot read {path}: choose a file that ends in {', '.join(READERS)}")


def records(frame: Any) -> list[dict[str, Any]]:
    """The rows as JSON holds them."""
    return [
        {key: None if value is None or value != value else _plain(value) for key, value in row.items()}
        for row in frame.astype(object).to_dict("records")
    ]


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value


def column_type(series: Any) -> str:
    """The type of a column in the words of a signature, or pandas' own name for any other type."""
    import pandas as pd

    types = pd.api.types
    if isinstance(series.dtype, pd.CategoricalDtype):
        return "string"
    if types.is_bool_dtype(series):
        return "boolean"
    if types.is_integer_dtype(series):
        return "integer"
    if types.is_float_dtype(series):
        return "number"
    if types.is_string_dtype(series) or (types.is_object_dtype(series) and _texts(series)):
        return "string"
    return str(series.dtype)


def _texts(series: Any) -> bool:
    return all(isinstance(value, str) for value in series.dropna().unique())


def _files(data: str | Path | Sequence[str | Path]) -> list[Path]:
    given = [data] if isinstance(data, str | Path) else list(data)
    files: list[Path] = []
    for item in map(Path, given):
        files += sorted(path for path in item.rglob("*") if path.is_file()) if item.is_dir() else [item]
    missing = [str(file) for file in files if not file.is_file()]
    if missing or not files:
        raise ModelberthError(*(f"no such data file: {file}" for file in missing or map(str, given)))
    return files


def _files_digest(files: Sequence[Path]) -> str:
    parts: list[str] = []
    for file in files:
        with file.open("rb") as source:
            parts.append(hashlib.file_digest(source, "sha256").hexdigest())
    return _digest("files", sorted(parts))


def _frame_digest(frame: Any) -> str:
    columns = sorted(frame.columns, key=str)
    schema = ",".join(f"{column}:{column_type(frame[column])}" for column in columns)
    text = frame[columns].to_csv(index=False, header=False, lineterminator="\n")
    return _digest("frame", [schema, *sorted(text.splitlines())])


def _digest(kind: str, lines: Sequence[str]) -> str:
    content = "\n".join([kind, *lines]).encode()
    return f"sha256:{hashlib.sha256(content).hexdigest()}"
