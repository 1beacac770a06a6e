"""Make what skops writes reproducible.

skops names files and objects by memory addresses, writes sets in hash order, and stamps files with
the time. The same model packed twice must give the same bytes, so all three are replaced.
"""

import io
import itertools
import json
import zipfile
from functools import partial
from pathlib import Path
from typing import Any, cast

from ..archive import Entry, write_zip


def normalise(source: Path, target: Path) -> None:
    """Write the same skops file with addresses replaced by numbers in order of appearance."""
    with zipfile.ZipFile(source) as archive:
        schema: dict[str, Any] = json.loads(archive.read("schema.json"))
        names = _Names()
        _rewrite(schema, names)
        told = json.dumps(schema, separators=(",", ":")).encode()
        entries: dict[str, Entry] = {"schema.json": (len(told), lambda: io.BytesIO(told))}
        for item in archive.infolist():
            if item.filename in names.files:
                entries[names.files[item.filename]] = item.file_size, partial(archive.open, item)
        with target.open("wb") as sink:
            write_zip(sink, entries)


class _Names:
    def __init__(self) -> None:
        self.objects: dict[int, int] = {}
        self.files: dict[str, str] = {}
        self.numbers = itertools.count(1)

    def object(self, address: int) -> int:
        if address not in self.objects:
            self.objects[address] = next(self.numbers)
        return self.objects[address]

    def value(self) -> int:
        """Whether two equal texts or numbers lie in one place is chance, and nothing depends on it."""
        return next(self.numbers)

    def file(self, name: str) -> str:
        suffix = name.rpartition(".")[2]
        return self.files.setdefault(name, f"{len(self.files) + 1:05d}.{suffix}")


def _rewrite(node: Any, names: _Names) -> None:
    if isinstance(node, list):
        for item in cast("list[Any]", node):
            _rewrite(item, names)
    if not isinstance(node, dict):
        return
    record = cast("dict[str, Any]", node)
    if record.get("__loader__") == "SetNode" and isinstance(record.get("content"), list):
        record["content"].sort(key=_without_addresses)
    if "__id__" in record:
        record["__id__"] = names.value() if record.get("__loader__") == "JsonNode" else names.object(record["__id__"])
    if "__loader__" in record and isinstance(record.get("file"), str):
        record["file"] = names.file(record["file"])
    for value in record.values():
        _rewrite(value, names)


def _without_addresses(node: Any) -> str:
    """An order for a set's elements that does not depend on where they lie in memory."""
    if isinstance(node, dict):
        items = sorted(cast("dict[str, Any]", node).items())
        return json.dumps({key: _without_addresses(value) for key, value in items if key != "__id__"})
    if isinstance(node, list):
        return json.dumps([_without_addresses(item) for item in cast("list[Any]", node)])
    return json.dumps(node)
