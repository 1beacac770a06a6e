"""Data that describes itself: DVC files (`dvc`), Delta and Iceberg tables, of which only metadata is read.

Sources: "Delta Transaction Log Protocol" of the Delta Lake project; "Iceberg Table Spec" of Apache Iceberg. Of an
Iceberg table the manifests, which are Avro, are not read: a snapshot's files never change, so its number is enough.
"""

from __future__ import annotations

import gzip
import io
import json
import re
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from .data import dvc, parquet
from .datasets import digest_of
from .documents import load_object
from .errors import ModelberthError
from .storage import explained, filesystem, is_remote

_MOST_BYTES = 64 * 1024 * 1024
"""A metadata file beyond this is refused before it is parsed."""

_ICEBERG = ".metadata.json"


@dataclass(frozen=True)
class Snapshot:
    """What describes itself."""

    version: dict[str, Any]
    """Digest, rows, columns and snapshot."""

    files: dvc.Files | None = None
    """The data, where it lies on this machine and its content is what the metadata says."""


def snapshot(data: Any) -> Snapshot | None:
    """What a DVC file, or a Delta or Iceberg table, says of itself; None for anything else.

    ModelberthError where it is such a thing and its metadata is not what its format says.
    """
    if not isinstance(data, str | Path):
        return None
    if str(data).endswith(".dvc"):
        file = None if is_remote(str(data)) else Path(data)
        return Snapshot(*dvc.read(_Place(str(data)).read(), str(data), file))
    table, version = _versioned(str(data))
    place = _Place(table)
    if place.names("_delta_log"):
        return Snapshot(_delta(place, version))
    if any(name.endswith(_ICEBERG) for name in place.names("metadata")):
        return Snapshot(_iceberg(place, version))
    if table != str(data):
        raise ModelberthError(
            f"{data}: {table} is neither a Delta nor an Iceberg table, so it has no version {version}"
        )
    return None


def data_of(address: str) -> str | dvc.Files:
    """Where the data is that an address names: a table's folder without its version, or the files that a DVC file
    tracks. ModelberthError where those are not on this machine."""
    found = snapshot(address) if address.endswith(".dvc") else None
    if found is None:
        return _versioned(address)[0]
    if found.files is None:
        raise ModelberthError(
            f"{address}: what it tracks is not on this machine as it was recorded, neither beside it nor in a cache or "
            "a remote that is a folder: run dvc pull"
        )
    return found.files


def _versioned(address: str) -> tuple[str, int | None]:
    """A table and the version asked for: `table@v12` as Delta writes it, `table@8012` for Iceberg's snapshots."""
    match = re.fullmatch(r"(.+)@v?(\d{1,19})", address)
    if match is None or (not is_remote(address) and Path(address).exists()):
        return address, None
    return match[1], int(match[2])


class _Place:
    """A folder or a file, here or behind a URL."""

    def __init__(self, address: str) -> None:
        self.address = address.rstrip("/")
        self._fs, self._root = filesystem(self.address if is_remote(address) else Path(address).absolute().as_uri())
        self._root = self._root.rstrip("/")

    def names(self, folder: str) -> list[str]:
        """The files of a folder within, none where there is no such folder."""
        with explained(f"{self.address}/{folder}", "list"):
            try:
                found = self._fs.ls(f"{self._root}/{folder}", detail=False)
            except (FileNotFoundError, NotADirectoryError):
                return []
        return sorted(str(one).rstrip("/").rpartition("/")[2] for one in found)

    def read(self, *parts: str) -> bytes:
        """A file's bytes."""
        path = "/".join((self._root, *parts))
        where = "/".join((self.address, *parts))
        with explained(where, "read"), self._fs.open(path, "rb") as source:
            content: bytes = source.read(_MOST_BYTES + 1)
        if len(content) > _MOST_BYTES:
            raise ModelberthError(f"{where}: above {_MOST_BYTES:,} bytes, which is no metadata")
        return content


def _delta(place: _Place, version: int | None) -> dict[str, Any]:
    names = place.names("_delta_log")
    where = f"{place.address}/_delta_log"
    commits = {int(name[:20]) for name in names if re.fullmatch(r"\d{20}\.json", name)}
    checkpoints = _checkpoints(names)
    newest = max(commits | checkpoints.keys(), default=-1)
    wanted = newest if version is None else version
    if wanted > newest or wanted < 0:
        raise ModelberthError(f"{place.address}: has no version {wanted}, the newest is {newest}")
    start = max((one for one in checkpoints if one <= wanted), default=-1)
    missing = next((number for number in range(start + 1, wanted + 1) if number not in commits), None)
    if missing is not None:
        newer = [name for name in names if re.fullmatch(r"\d{20}\.checkpoint\.[0-9a-f-]{36}\.(json|parquet)", name)]
        hint = ": checkpoints of version 2 are not read" if newer else " and no checkpoint replaces it"
        raise ModelberthError(f"{where}: version {wanted} cannot be read: the commit {missing} is missing{hint}")
    state = _State({}, {})
    for name in checkpoints.get(start, []):
        for number, action in enumerate(parquet.actions(place.read("_delta_log", name), f"{where}/{name}"), 1):
            state.apply(action, f"{where}/{name}:{number}")
    for number in range(start + 1, wanted + 1):
        name = f"{number:020}.json"
        for line, text in enumerate(place.read("_delta_log", name).splitlines(), 1):
            state.apply(load_object(text, f"{where}/{name}:{line}", _MOST_BYTES), f"{where}/{name}:{line}")
    table, files = state.table, state.files
    try:
        fields = cast("list[dict[str, Any]]", json.loads(table["schemaString"])["fields"])
        counted = [rows for one in files.values() if (rows := _rows(one)) is not None]
        columns = {str(field["name"]): _type(field["type"]) for field in fields}
        lines = [str(table["id"]), *sorted(f"{name} {one['size']}" for name, one in files.items())]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ModelberthError(f"{place.address}: not a Delta table: {error!r}") from error
    return {
        "digest": digest_of("delta", lines),
        "rows": sum(counted) if len(counted) == len(files) else None,
        "columns": columns,
        "snapshot": {"format": "delta", "table": table["id"], "version": wanted, "files": len(files)},
    }


@dataclass
class _State:
    """A table as the actions so far leave it."""

    table: dict[str, Any]
    files: dict[str, dict[str, Any]]

    def apply(self, action: dict[str, Any], where: str) -> None:
        try:
            if action.get("metaData"):
                self.table = action["metaData"]
            if action.get("remove"):
                self.files.pop(_file(action["remove"]), None)
            if action.get("add"):
                self.files[_file(action["add"])] = action["add"]
        except (AttributeError, TypeError):
            raise ModelberthError(f"{where}: not an action of a Delta table") from None


def _checkpoints(names: list[str]) -> dict[int, list[str]]:
    """The files of each classic checkpoint of which every part is there, by version."""
    found: dict[int, list[str]] = {}
    parts: dict[tuple[int, int], list[str]] = {}
    for name in names:
        if match := re.fullmatch(r"(\d{20})\.checkpoint(?:\.(\d{10})\.(\d{10}))?\.parquet", name):
            parts.setdefault((int(match[1]), int(match[3] or 1)), []).append(name)
    for (version, wanted), have in parts.items():
        if len(have) == wanted:
            found[version] = have
    return found


def _rows(file: dict[str, Any]) -> int | None:
    """How many rows a file has, if its writer said so."""
    if file.get("stats"):
        return json.loads(file["stats"]).get("numRecords")
    parsed = cast("dict[str, Any]", file.get("stats_parsed") or {})
    return parsed.get("numRecords")


def _file(action: dict[str, Any]) -> str:
    """A data file, with the deletion vector that says which of its rows count."""
    vector: dict[str, Any] = action.get("deletionVector") or {}
    return f"{action.get('path')} {vector.get('storageType') or ''}{vector.get('pathOrInlineDv') or ''}"


def _iceberg(place: _Place, version: int | None) -> dict[str, Any]:
    names = [name for name in place.names("metadata") if name.endswith(_ICEBERG)]
    newest = max(names, key=lambda name: (int(re.sub(r"\D.*", "", name.removeprefix("v")) or 0), name))
    where = f"{place.address}/metadata/{newest}"
    document = load_object(_unpacked(place.read("metadata", newest), where), where, _MOST_BYTES)
    try:
        current = document.get("current-snapshot-id") if version is None else version
        snapshots = cast("list[dict[str, Any]]", document.get("snapshots", []))
        found = next((one for one in snapshots if one["snapshot-id"] == current), None)
        if found is None and version is not None:
            raise ModelberthError(f"{where}: has no snapshot {version} (it may have expired)")
        if found is None:
            raise ModelberthError(f"{where}: the table has no snapshot yet")
        wanted = found.get("schema-id", document.get("current-schema-id"))
        schemas = cast("list[dict[str, Any]]", document.get("schemas") or [document["schema"]])
        schema = next((one for one in schemas if one.get("schema-id") == wanted), schemas[-1])
        summary: dict[str, Any] = found.get("summary") or {}
        rows = summary.get("total-records")
        return {
            "digest": digest_of("iceberg", [str(document["table-uuid"]), str(current)]),
            "rows": None if rows is None else int(rows),
            "columns": {str(field["name"]): _type(field["type"]) for field in schema["fields"]},
            "snapshot": {"format": "iceberg", "table": document["table-uuid"], "snapshot": current},
        }
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ModelberthError(f"{where}: not an Iceberg table's metadata: {error!r}") from error


def _unpacked(content: bytes, where: str) -> bytes:
    """Metadata may be compressed; what it holds is limited like any other."""
    if not content.startswith(b"\x1f\x8b"):
        return content
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(content)) as source:
            unpacked = source.read(_MOST_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise ModelberthError(f"{where}: not gzip: {error}") from error
    if len(unpacked) > _MOST_BYTES:
        raise ModelberthError(f"{where}: above {_MOST_BYTES:,} bytes, which is no metadata")
    return unpacked


_TYPES = {
    **dict.fromkeys(("byte", "short", "integer", "int", "long"), "integer"),
    **dict.fromkeys(("float", "double"), "number"),
    "boolean": "boolean",
    "string": "string",
}


def _type(given: Any) -> str:
    """A column's type in the words of a signature, or the table's own name for any other."""
    name = str(cast("dict[str, Any]", given).get("type")) if isinstance(given, dict) else str(given)
    return _TYPES.get(name, name)
