# pyright: basic
# (pandas carries no types)
"""A data version: which data a model was trained on, told by its content."""

import hashlib
import tempfile
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .errors import ModelberthError, StorageError
from .storage import explained, filesystem, is_remote

READERS = (".csv", ".csv.gz", ".parquet", ".json", ".jsonl")
MAX_LISTED_FILES = 100
"""Of more files only the digest over all is kept."""


def data_version(
    data: Any,
    *,
    name: str,
    origin: str = "",
    time: str | None = None,
    parent: str | None = None,
) -> dict[str, Any]:
    """Describe a DataFrame, a file, a folder or several files, an address, a DVC file, a Delta or Iceberg table.

    The digest depends on the content only: not on the order of files or of a DataFrame's rows and
    columns, nor on file names and times. A table's digest is that of its current snapshot's files, a
    DVC file's that of the checksum it records; of both, only metadata is read.

    Args:
        data: What is described: also `s3://…`, `gs://…` and whatever else fsspec knows.
        name: What the data is called.
        origin: Where it came from; the address or path by default for what is not a DataFrame.
        time: The column whose range is recorded.
        parent: The digest of the version that this one follows.

    Raises:
        ModelberthError: it cannot be read, or has no column `time`.
        StorageError: its storage cannot be reached.
    """
    import pandas as pd

    from .tables import snapshot

    if isinstance(data, pd.DataFrame):
        frame, digest, files = data, _frame_digest(data), []
    elif (found := snapshot(data)) is not None:
        if time is not None:
            raise ModelberthError(f'{data}: the range of "{time}" is not in its metadata, which is all that is read')
        return _with({"name": name, "time_range": None, "origin": origin or str(data)} | found, parent)
    else:
        with _local(data) as paths:
            files = _listing(paths)
            digest = digest_of("files", sorted(entry["sha256"] for entry in files))
            frame = pd.concat([read_table(path) for _, path in paths], ignore_index=True)
    if time is not None and time not in frame:
        raise ModelberthError(f'the data has no column "{time}" to take the time range from')
    version: dict[str, Any] = {
        "name": name,
        "digest": digest,
        "rows": len(frame),
        "columns": {str(column): column_type(frame[column]) for column in frame.columns},
        "time_range": None if time is None else [str(frame[time].min()), str(frame[time].max())],
        "origin": origin,
        "summaries": _summaries(frame),
    }
    if 0 < len(files) <= MAX_LISTED_FILES:
        version["files"] = files
    return _with(version, parent)


def _with(version: dict[str, Any], parent: str | None) -> dict[str, Any]:
    return version if parent is None else version | {"parent": parent}


def _summaries(frame: Any) -> dict[str, Any]:
    """What the columns hold, for telling later what changed; a column of another type is left out. Texts that
    are free or identify somebody do not belong into a description."""
    from .baseline import MAX_CATEGORIES, categorical, numeric, rounded

    found: dict[str, Any] = {}
    for column in frame.columns:
        kind = column_type(frame[column])
        if kind in ("number", "integer"):
            found[str(column)] = numeric(frame[column])
        elif kind in ("string", "boolean"):
            distinct = int(frame[column].nunique())
            summary = categorical(frame[column])
            if distinct > MAX_CATEGORIES:
                summary = {
                    "kind": "text",
                    "missing": summary["missing"],
                    "count": summary["count"],
                    "distinct": distinct,
                }
            found[str(column)] = summary
    return rounded(found)


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


def read_tables(data: str | Path | Sequence[str | Path]) -> Any:
    """Files, folders and addresses as one DataFrame. Raises ModelberthError or StorageError naming them."""
    import pandas as pd

    with _local(data) as paths:
        return pd.concat([read_table(path) for _, path in paths], ignore_index=True)


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


@contextmanager
def _local(data: Any) -> Generator[list[tuple[str, Path]]]:
    """Every file's name within what was given, with a path of this machine; remote ones are brought here."""
    given = [data] if isinstance(data, str | Path) else list(data)
    with tempfile.TemporaryDirectory(prefix="modelberth-") as temporary:
        found: list[tuple[str, Path]] = []
        for number, item in enumerate(given):
            if isinstance(item, str) and is_remote(item):
                found += _download(item, Path(temporary) / str(number))
                continue
            path = Path(item)
            if path.is_dir():
                inside = sorted(one for one in path.rglob("*") if one.is_file())
                found += [(one.relative_to(path).as_posix(), one) for one in inside]
            else:
                found.append((path.name, path))
        missing = [str(path) for _, path in found if not path.is_file()]
        if missing or not found:
            raise ModelberthError(*(f"no such data file: {file}" for file in missing or map(str, given)))
        yield found


def _download(address: str, folder: Path) -> list[tuple[str, Path]]:
    fs, root = filesystem(address)
    with explained(address, "read"):
        paths = [root] if fs.isfile(root) else sorted(fs.find(root))
        found: list[tuple[str, Path]] = []
        for remote in paths:
            name = remote.rpartition("/")[2] if remote == root else remote[len(root) :].lstrip("/")
            local = folder / name
            if not local.resolve().is_relative_to(folder.resolve()):
                raise StorageError(f"cannot read {address}: the file {name!r} leads out of it")
            local.parent.mkdir(parents=True, exist_ok=True)
            fs.get_file(remote, str(local))
            found.append((name, local))
    return found


def _listing(paths: Sequence[tuple[str, Path]]) -> list[dict[str, Any]]:
    files: list[dict[str, Any]] = []
    for name, path in paths:
        with path.open("rb") as source:
            digest = hashlib.file_digest(source, "sha256").hexdigest()
        files.append({"name": name, "sha256": digest, "bytes": path.stat().st_size})
    return files


def _frame_digest(frame: Any) -> str:
    columns = sorted(frame.columns, key=str)
    schema = ",".join(f"{column}:{column_type(frame[column])}" for column in columns)
    text = frame[columns].to_csv(index=False, header=False, lineterminator="\n")
    return digest_of("frame", [schema, *sorted(text.splitlines())])


def digest_of(kind: str, lines: Sequence[str]) -> str:
    """One digest over the lines of what is described."""
    content = "\n".join([kind, *lines]).encode()
    return f"sha256:{hashlib.sha256(content).hexdigest()}"
