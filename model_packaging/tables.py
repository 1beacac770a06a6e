"""Data that describes itself: DVC files, Delta and Iceberg tables. Only their metadata is read.

Sources: "`.dvc` Files" in DVC's user guide; "Delta Transaction Log Protocol" of the Delta Lake project;
"Iceberg Table Spec" of Apache Iceberg.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, cast

from .datasets import digest_of
from .documents import load_object
from .errors import ModelberthError
from .storage import explained, filesystem, is_remote

_MOST_BYTES = 64 * 1024 * 1024
"""A metadata file beyond this is refused before it is parsed."""


def snapshot(data: Any) -> dict[str, Any] | None:
    """Digest, rows, columns and snapshot of what describes itself; None for anything else.

    ModelberthError where it is such a thing and its metadata is not what its format says.
    """
    if not isinstance(data, str | Path):
        return None
    address = str(data)
    place = _Place(address)
    if address.endswith(".dvc"):
        return _dvc(place)
    if place.names("_delta_log"):
        return _delta(place)
    if any(name.endswith(".metadata.json") for name in place.names("metadata")):
        return _iceberg(place)
    return None


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


def _dvc(place: _Place) -> dict[str, Any]:
    import yaml

    try:
        document: Any = yaml.safe_load(place.read())
        outputs = cast("list[dict[str, Any]]", document["outs"])
        parts = [(str(one["hash"]) if "hash" in one else "md5", str(one["md5"])) for one in outputs]
        if not parts or any(not re.fullmatch(r"[0-9a-f]{32}(\.dir)?", checksum) for _, checksum in parts):
            raise ValueError("an output has no md5")
    except (yaml.YAMLError, KeyError, TypeError, ValueError) as error:
        raise ModelberthError(f"{place.address}: not a DVC file: {str(error).splitlines()[0]}") from error
    return {
        "digest": digest_of("dvc", sorted(f"{kind}:{checksum}" for kind, checksum in parts)),
        "rows": None,
        "columns": {},
        "snapshot": {
            "format": "dvc",
            "outputs": [{key: one[key] for key in ("path", "md5", "size", "nfiles") if key in one} for one in outputs],
        },
    }


def _delta(place: _Place) -> dict[str, Any]:
    logs = [name for name in place.names("_delta_log") if re.fullmatch(r"\d{20}\.json", name)]
    if not logs or int(logs[0][:20]) != 0 or int(logs[-1][:20]) != len(logs) - 1:
        # What an older checkpoint replaced is in Parquet only.
        raise ModelberthError(
            f"{place.address}/_delta_log: the JSON commits do not go from 0 to the newest without a gap: "
            "record the files as Parquet instead"
        )
    table: dict[str, Any] = {}
    files: dict[str, dict[str, Any]] = {}
    for log in logs:
        for number, line in enumerate(place.read("_delta_log", log).splitlines(), 1):
            action = load_object(line, f"{place.address}/_delta_log/{log}:{number}")
            table = action.get("metaData", table)
            if "remove" in action:
                files.pop(_file(action["remove"]), None)
            if "add" in action:
                files[_file(action["add"])] = action["add"]
    try:
        fields = cast("list[dict[str, Any]]", json.loads(table["schemaString"])["fields"])
        counted = [json.loads(one["stats"])["numRecords"] for one in files.values() if one.get("stats")]
        columns = {str(field["name"]): _type(field["type"]) for field in fields}
        lines = [str(table["id"]), *sorted(f"{name} {one['size']}" for name, one in files.items())]
    except (KeyError, TypeError, ValueError) as error:
        raise ModelberthError(f"{place.address}: not a Delta table: {error!r}") from error
    return {
        "digest": digest_of("delta", lines),
        "rows": sum(counted) if len(counted) == len(files) else None,
        "columns": columns,
        "snapshot": {"format": "delta", "table": table["id"], "version": len(logs) - 1, "files": len(files)},
    }


def _file(action: dict[str, Any]) -> str:
    """A data file, with the deletion vector that says which of its rows count."""
    vector: dict[str, Any] = action.get("deletionVector") or {}
    return f"{action.get('path')} {vector.get('storageType', '')}{vector.get('pathOrInlineDv', '')}"


def _iceberg(place: _Place) -> dict[str, Any]:
    names = [name for name in place.names("metadata") if name.endswith(".metadata.json")]
    newest = max(names, key=lambda name: (int(re.sub(r"\D.*", "", name.removeprefix("v")) or 0), name))
    where = f"{place.address}/metadata/{newest}"
    document = load_object(place.read("metadata", newest), where, _MOST_BYTES)
    try:
        current = document.get("current-snapshot-id")
        snapshots = cast("list[dict[str, Any]]", document.get("snapshots", []))
        found = next((one for one in snapshots if one["snapshot-id"] == current), None)
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
