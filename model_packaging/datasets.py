# pyright: basic
# (pandas carries no types)
"""A data version: which data a model was trained on, told by its content."""

import hashlib
import re
import tempfile
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from .errors import ModelberthError, StorageError
from .storage import explained, filesystem, is_remote

READERS = (".csv", ".csv.gz", ".parquet", ".json", ".jsonl")
MAX_LISTED_FILES = 100
"""Of more files only the digest over all is kept."""

_NO_VALUE = "__HIVE_DEFAULT_PARTITION__"


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
    columns, nor on file names and times. A table's digest is that of a snapshot's files, a DVC file's that of
    the checksum it records; of tables, only metadata is read. Parquet is read in batches, one file at a time, so
    memory does not grow with it. Files of a folder that are no tables count for the digest alone; hidden ones do not.

    Args:
        data: What is described: also `s3://…`, `gs://…` and whatever else fsspec knows. A Delta table's address may
            end in `@v12`, a version, an Iceberg table's in `@` and a snapshot's id.
        name: What the data is called.
        origin: Where it came from. By default the address that the data was given by, or the table's folder; the place
            of a file on this machine is not recorded.
        time: The column whose range is recorded.
        parent: The digest of the version that this one follows.

    Raises:
        ModelberthError: it cannot be read, or has no column `time`.
        StorageError: its storage cannot be reached.
    """
    import pandas as pd

    from .data.summaries import Columns
    from .tables import snapshot

    columns, ends, files, extra = Columns(), [], [], {}
    if isinstance(data, pd.DataFrame):
        digest = _frame_digest(data)
        ends = _add_frame(data, columns, time)
    elif (found := snapshot(data)) is not None:
        described = {"name": name, "time_range": None, "origin": origin or str(data)} | found.version
        if found.files is None:
            if time is not None:
                raise ModelberthError(
                    f'{data}: the range of "{time}" is not in its metadata, which is all that is read'
                )
            return _with(described, parent)
        digest, extra, origin = found.version["digest"], {"snapshot": found.version["snapshot"]}, described["origin"]
        with tempfile.TemporaryDirectory(prefix="modelberth-") as temporary:
            _, ends, _ = _read(_sources(_linked(found.files, Path(temporary) / "data")), columns, time)
    else:
        origin = origin or (data if isinstance(data, str) and is_remote(data) else "")
        digest, ends, files = _read(_sources(data), columns, time)
    types = columns.types()
    if time is not None and time not in types and columns.rows:
        raise ModelberthError(f'the data has no column "{time}" to take the time range from')
    version: dict[str, Any] = {
        "name": name,
        "digest": digest,
        "rows": columns.rows if types else None,
        "columns": types,
        "time_range": [str(min(ends)), str(max(ends))] if ends else None,
        "origin": origin,
        "summaries": columns.summaries(),
        **extra,
    }
    if 0 < len(files) <= MAX_LISTED_FILES:
        version["files"] = files
    return _with(version, parent)


def content_digest(data: Any) -> str:
    """The digest that `data_version` gives, without reading what the data says."""
    from .tables import snapshot

    found = snapshot(data)
    if found is not None:
        return found.version["digest"]
    with tempfile.TemporaryDirectory(prefix="modelberth-") as temporary:
        return _files_digest((source, source.entry(path)) for source, path in _brought(_sources(data), Path(temporary)))


def _with(version: dict[str, Any], parent: str | None) -> dict[str, Any]:
    return version if parent is None else version | {"parent": parent}


@dataclass(frozen=True)
class _Source:
    """One file, here or behind an address."""

    name: str
    """Within what was given."""

    shown: str
    """For errors."""

    path: Path | None
    fs: Any = field(default=None, repr=False)
    remote: str = ""
    alone: bool = False
    """Whether it was named by itself, and not found in a folder."""

    @property
    def partition(self) -> dict[str, str]:
        """What the folders above say of all its rows, as Hive and Spark write it: `year=2026/month=3`."""
        folders = self.name.split("/")[:-1]
        return {unquote(key): unquote(value) for key, sign, value in (f.partition("=") for f in folders) if sign}

    @property
    def table(self) -> bool:
        """Whether it holds rows; a name with an underscore is a writer's own, such as _SUCCESS."""
        return self.alone or (self.name.endswith(READERS) and not self.name.rpartition("/")[2].startswith("_"))

    def entry(self, path: Path) -> dict[str, Any]:
        with path.open("rb") as source:
            digest = hashlib.file_digest(source, "sha256").hexdigest()
        return {"name": self.name, "sha256": digest, "bytes": path.stat().st_size}


def _sources(data: Any) -> list[_Source]:
    """Every file of what was given. Hidden ones, such as checksums that Hadoop keeps beside, are no data."""
    given = [data] if isinstance(data, str | Path) else list(data)
    found: list[_Source] = []
    missing: list[str] = []
    for item in given:
        if isinstance(item, str) and is_remote(item):
            found += _remote(item)
            continue
        path = Path(item)
        if path.is_dir():
            inside = ((one, one.relative_to(path).as_posix()) for one in sorted(path.rglob("*")) if one.is_file())
            found += [_Source(name, str(one), one) for one, name in inside if not _hidden(name)]
        elif path.is_file():
            found.append(_Source(path.name, str(path), path, alone=True))
        else:
            missing.append(str(path))
    if missing or not found:
        raise ModelberthError(*(f"no such data file: {file}" for file in missing or map(str, given)))
    return found


def _hidden(name: str) -> bool:
    return any(part.startswith(".") for part in name.split("/"))


def _remote(address: str) -> list[_Source]:
    fs, root = filesystem(address)
    with explained(address, "read"):
        if fs.isfile(root):
            return [_Source(root.rpartition("/")[2], address, None, fs, root, alone=True)]
        found: list[_Source] = []
        for remote in sorted(fs.find(root)):
            name = remote[len(root) :].lstrip("/")
            if ".." in name.split("/"):
                raise StorageError(f"cannot read {address}: the file {name!r} leads out of it")
            if name and not _hidden(name):
                found.append(_Source(name, f"{address.rstrip('/')}/{name}", None, fs, remote))
        return found


def _brought(sources: Iterable[_Source], temporary: Path) -> Generator[tuple[_Source, Path]]:
    """Each file as one of this machine: a remote one is here only until the next."""
    for source in sources:
        if source.path is not None:
            yield source, source.path
            continue
        local = temporary / source.name.rpartition("/")[2]
        with explained(source.shown, "read"):
            source.fs.get_file(source.remote, str(local))
        yield source, local
        local.unlink()


def _read(sources: list[_Source], columns: Any, time: str | None) -> tuple[str, list[Any], list[dict[str, Any]]]:
    """Digest, least and most of `time`, and the listing. What is not Parquet is read as one table, as pandas does,
    so that a column's type is the one of all of it."""
    import pandas as pd

    from .data import parquet

    entries: list[tuple[_Source, dict[str, Any]]] = []
    frames: list[Any] = []
    ends: list[Any] = []
    keys = {key for source in sources if source.table for key in source.partition}
    whole = {
        key for key in keys if all(re.fullmatch(r"-?\d{1,18}", s.partition.get(key, "0")) for s in sources if s.table)
    }
    with tempfile.TemporaryDirectory(prefix="modelberth-") as temporary:
        for source, path in _brought(sources, Path(temporary)):
            entries.append((source, source.entry(path)))
            if not source.table:
                continue
            if source.name.endswith(".parquet"):
                before = columns.rows
                ends += parquet.add(path, source.shown, columns, time)
                ends += _add_partition(source, columns.rows - before, whole, columns, time)
            else:
                frame = read_table(path, source.shown)
                frames.append(frame.assign(**_values(source, whole)) if source.partition else frame)
    if frames:
        ends += _add_frame(pd.concat(frames, ignore_index=True), columns, time)
    try:
        ends = [min(ends), max(ends)] if ends else []
    except TypeError:
        raise ModelberthError(f'the column "{time}" is of another type in some files: it has no range') from None
    return _files_digest(entries), ends, [entry for _, entry in entries]


def _files_digest(entries: Iterable[tuple[_Source, dict[str, Any]]]) -> str:
    """Names do not count, except what they say of the rows."""
    lines = [
        " ".join([entry["sha256"], *(f"{key}={value}" for key, value in sorted(source.partition.items()))])
        for source, entry in entries
    ]
    return digest_of("files", sorted(lines))


def _whole_numbers(partitions: list[dict[str, str]]) -> set[str]:
    """The keys of which every value is a whole number."""
    told = [pair for partition in partitions for pair in partition.items() if pair[1] != _NO_VALUE]
    texts = {key for key, value in told if not re.fullmatch(r"-?\d{1,18}", value)}
    return {key for key, _ in told} - texts


def _values(source: _Source, whole: set[str]) -> dict[str, Any]:
    return {
        key: None if value == _NO_VALUE else int(value) if key in whole else value
        for key, value in source.partition.items()
    }


def _add_partition(source: _Source, rows: int, whole: set[str], columns: Any, time: str | None) -> list[Any]:
    import pandas as pd

    ends: list[Any] = []
    for key, value in _values(source, whole).items():
        columns.add(key, "integer" if key in whole else "string", pd.Series([value] * rows, dtype=object))
        ends += [value] if key == time and rows and value is not None else []
    return ends


def _add_frame(frame: Any, columns: Any, time: str | None) -> list[Any]:
    columns.rows += len(frame)
    for name in frame.columns:
        kind = column_type(frame[name])
        columns.add(str(name), kind, frame[name] if kind in ("number", "integer", "string", "boolean") else None)
    if time is None or time not in frame:
        return []
    return [frame[time].min(), frame[time].max()] if frame[time].notna().any() else []


def read_table(file: str | Path, shown: str | None = None) -> Any:
    """A CSV, Parquet or JSON file as a DataFrame. Raises ModelberthError naming the file."""
    import pandas as pd

    path = Path(file)
    shown = shown or str(path)
    try:
        if path.name.endswith((".csv", ".csv.gz")):
            return pd.read_csv(path)
        if path.suffix == ".parquet":
            return pd.read_parquet(path, partitioning=None)
        if path.suffix in (".json", ".jsonl"):
            return pd.read_json(path, lines=path.suffix == ".jsonl")
    except (ValueError, OSError, EOFError) as error:
        raise ModelberthError(f"cannot read {shown}: {str(error).splitlines()[0]}") from error
    raise ModelberthError(f"cannot read {shown}: choose a file that ends in {', '.join(READERS)}")


def bring(address: str, folder: Path) -> Path:
    """The data as a folder of this machine: itself where it is one, else made at `folder`, of which a file is the
    only one. Raises ModelberthError or StorageError where it is not there."""
    from .tables import data_of

    place = data_of(address)
    if not isinstance(place, str):
        return _linked(place, folder)
    if not is_remote(place):
        path = Path(place)
        if path.is_dir():
            return path
        if not path.is_file():
            raise ModelberthError(f"no such data file: {path}")
        return _linked({path.name: path}, folder)
    sources = _sources(place)
    folder.mkdir(parents=True)
    for source in sources:
        local = folder / source.name
        local.parent.mkdir(parents=True, exist_ok=True)
        with explained(source.shown, "read"):
            source.fs.get_file(source.remote, str(local))
    return folder


def _linked(files: dict[str, Path], folder: Path) -> Path:
    """A new folder of links to files that lie elsewhere."""
    for name, path in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).symlink_to(path.resolve())
    return folder


def listing(folder: Path) -> list[dict[str, Any]]:
    """Name, sha256 and size of every file below a folder, in the order of names."""
    inside = sorted(path for path in folder.rglob("*") if path.is_file())
    return [_Source(path.relative_to(folder).as_posix(), "", path).entry(path) for path in inside]


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


def _frame_digest(frame: Any) -> str:
    columns = sorted(frame.columns, key=str)
    schema = ",".join(f"{column}:{column_type(frame[column])}" for column in columns)
    text = frame[columns].to_csv(index=False, header=False, lineterminator="\n")
    return digest_of("frame", [schema, *sorted(text.splitlines())])


def digest_of(kind: str, lines: Sequence[str]) -> str:
    """One digest over the lines of what is described."""
    content = "\n".join([kind, *lines]).encode()
    return f"sha256:{hashlib.sha256(content).hexdigest()}"
