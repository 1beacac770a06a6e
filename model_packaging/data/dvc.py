"""What a DVC file tracks: the checksums that it records, and the files themselves where they are on this machine.

Source: "`.dvc` Files", "Internal Directories and Files" and "Remote Storage" in DVC's user guide: the cache, and a
remote that is a folder, hold an object of md5 `ab…` at `files/md5/ab/…`, those of DVC 2 at `ab/…`; a tracked folder
is an object `….dir`, JSON with a path and an md5 for each file.
"""

from __future__ import annotations

import configparser
import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from ..datasets import digest_of
from ..errors import ModelberthError

_MOST_BYTES = 64 * 1024 * 1024
"""The list of a tracked folder beyond this is not read."""

Files = dict[str, Path]
"""Each file's name within what is tracked, and where it lies."""


def read(content: bytes, address: str, file: Path | None) -> tuple[dict[str, Any], Files | None]:
    """Digest and snapshot, and the files if all of them are found beside `file`, in a cache or in a local remote,
    with the content that is recorded. ModelberthError where it is no DVC file."""
    import yaml

    try:
        document: Any = yaml.safe_load(content)
        outputs = cast("list[dict[str, Any]]", document["outs"])
        parts = [(str(one["hash"]) if "hash" in one else "md5", str(one["md5"])) for one in outputs]
        if not parts or any(not re.fullmatch(r"[0-9a-f]{32}(\.dir)?", checksum) for _, checksum in parts):
            raise ValueError("an output has no md5")
    except (yaml.YAMLError, KeyError, TypeError, ValueError) as error:
        raise ModelberthError(f"{address}: not a DVC file: {str(error).splitlines()[0]}") from error
    version = {
        "digest": digest_of("dvc", sorted(f"{kind}:{checksum}" for kind, checksum in parts)),
        "rows": None,
        "columns": {},
        "snapshot": {
            "format": "dvc",
            "outputs": [{key: one[key] for key in ("path", "md5", "size", "nfiles") if key in one} for one in outputs],
        },
    }
    if file is None:
        return version, None
    beside = file.absolute().parent / str(document.get("wdir") or ".")
    stores = list(_stores(file.absolute()))
    found: Files = {}
    for one in outputs:
        path = str(one.get("path") or "data")
        tracked = _tracked(one["md5"], beside / path, path if len(outputs) > 1 else "", stores)
        if tracked is None:
            return version, None
        found |= tracked
    return version, found


def _tracked(checksum: str, beside: Path, name: str, stores: list[Path]) -> Files | None:
    if not checksum.endswith(".dir"):
        where = _find(checksum, beside, stores)
        return None if where is None else {name or beside.name: where}
    listed = _find(checksum, None, stores)
    if listed is None or listed.stat().st_size > _MOST_BYTES:
        return None
    found: Files = {}
    try:
        for entry in cast("list[dict[str, str]]", json.loads(listed.read_bytes())):
            relative = Path(entry["relpath"])
            if relative.is_absolute() or ".." in relative.parts or not re.fullmatch(r"[0-9a-f]{32}", entry["md5"]):
                raise ValueError(f"{entry['relpath']!r} with md5 {entry['md5']!r} is no file within")
            where = _find(entry["md5"], beside / relative, stores)
            if where is None:
                return None
            found[(Path(name) / relative).as_posix()] = where
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise ModelberthError(f"{listed}: not the list of a folder that DVC tracks: {error}") from error
    return found


def _find(checksum: str, beside: Path | None, stores: list[Path]) -> Path | None:
    """A file of this content."""
    folders = [f"files/md5/{checksum[:2]}/{checksum[2:]}", f"{checksum[:2]}/{checksum[2:]}"]
    places = [*([beside] if beside is not None else []), *(store / folder for store in stores for folder in folders)]
    for place in places:
        if place.is_file():
            with place.open("rb") as source:
                if hashlib.file_digest(source, "md5").hexdigest() == checksum.removesuffix(".dir"):
                    return place
    return None


def _stores(file: Path) -> Iterator[Path]:
    """The cache of the repository that a file is in, and its remotes that are folders."""
    repository = next((folder for folder in file.parents if (folder / ".dvc").is_dir()), None)
    if repository is None:
        return
    home = repository / ".dvc"
    settings = configparser.ConfigParser(interpolation=None)
    try:
        settings.read([home / "config", home / "config.local"], encoding="utf-8")
    except (configparser.Error, UnicodeDecodeError) as error:
        raise ModelberthError(f"{home}/config: not DVC's settings: {str(error).splitlines()[0]}") from error
    yield home / settings.get("cache", "dir", fallback="cache")
    for section in settings.sections():
        address = settings.get(section, "url", fallback="")
        if section.strip("'").startswith("remote ") and address and "://" not in address:
            yield home / address  # an absolute one stays as it is
