"""Buckets and objects as the emulator keeps them: metadata in memory, content in files.

Sources: "Object Versioning" (generations; a noncurrent version has timeDeleted), "Soft delete" (seven days by default;
what a deletion removes can be restored until hardDeleteTime), "Request preconditions".
"""

from __future__ import annotations

import base64
import hashlib
import threading
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote
from weakref import WeakKeyDictionary

import google_crc32c

from sandbox.google.operations import timestamp
from sandbox.google.storage.api import condition_not_met, not_found, not_modified

if TYPE_CHECKING:
    from sandbox.google.emulator import Emulator


@dataclass
class Stored:
    """One generation of an object. `soft_deleted` is one that only a restore brings back."""

    resource: dict[str, Any]
    content: Path
    soft_deleted: bool = False

    @property
    def generation(self) -> int:
        return int(self.resource["generation"])


@dataclass
class Bucket:
    """A bucket: its resource, and by name the generations of its objects, the newest last."""

    resource: dict[str, Any]
    objects: dict[str, list[Stored]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return str(self.resource["name"])

    @property
    def versioned(self) -> bool:
        return bool(self.resource.get("versioning", {}).get("enabled"))

    @property
    def soft_delete_seconds(self) -> int:
        return int(self.resource.get("softDeletePolicy", {}).get("retentionDurationSeconds", 0))

    def live(self, name: str) -> Stored | None:
        """The current generation of an object."""
        return next((one for one in self.objects.get(name, []) if is_live(one)), None)

    def version(self, name: str, generation: str | int | None, *, soft_deleted: bool = False) -> Stored:
        """A generation of an object, the live one by default; raises NOT_FOUND."""
        if generation is None:
            found = self.live(name)
        else:
            found = next(
                (
                    one
                    for one in self.objects.get(name, [])
                    if one.generation == int(generation) and one.soft_deleted is soft_deleted
                ),
                None,
            )
        if found is None:
            suffix = f"#{generation}" if generation is not None else ""
            raise not_found(f"No such object: {self.name}/{name}{suffix}")
        return found


def is_live(one: Stored) -> bool:
    return not one.soft_deleted and "timeDeleted" not in one.resource


class Storage:
    """All buckets; whoever reads and then writes holds the lock."""

    def __init__(self, emulator: Emulator) -> None:
        self.emulator = emulator
        self.buckets: dict[str, Bucket] = {}
        self.uploads: dict[str, Any] = {}
        self.lock = threading.RLock()
        self._folder = emulator.folder / "objects"
        self._folder.mkdir(parents=True)
        self._last_generation = 0

    @property
    def now(self) -> str:
        return timestamp(self.emulator.clock.now())

    def bucket(self, name: str) -> Bucket:
        """A bucket; raises NOT_FOUND."""
        found = self.buckets.get(name)
        if found is None:
            raise not_found("The specified bucket does not exist.")
        return found

    def next_generation(self) -> str:
        """Microseconds, and never twice the same."""
        self._last_generation = max(self._last_generation + 1, int(self.emulator.clock.time() * 1e6))
        return str(self._last_generation)

    def new_file(self) -> Path:
        return self._folder / uuid.uuid4().hex

    def put(self, bucket: Bucket, name: str, content: Path, given: Mapping[str, Any], components: int = 0) -> Stored:
        """Make a file the content of an object's new generation."""
        data = content.read_bytes()
        generation, now = self.next_generation(), self.now
        address = f"{self.emulator.url}/storage/v1/b/{bucket.name}/o/{quote(name, safe='')}"
        media = f"{self.emulator.url}/download/storage/v1/b/{bucket.name}/o/{quote(name, safe='')}"
        resource: dict[str, Any] = {
            "kind": "storage#object",
            "storageClass": bucket.resource.get("storageClass", "STANDARD"),
            **({"contentType": "application/octet-stream"} if not components else {}),
            **given,
            "id": f"{bucket.name}/{name}/{generation}",
            "selfLink": address,
            "mediaLink": f"{media}?generation={generation}&alt=media",
            "name": name,
            "bucket": bucket.name,
            "generation": generation,
            "metageneration": "1",
            "size": str(len(data)),
            "crc32c": base64.b64encode(google_crc32c.Checksum(data).digest()).decode(),
            "etag": base64.b64encode(generation.encode()).decode(),
            "timeCreated": now,
            "updated": now,
            "timeStorageClassUpdated": now,
            "timeFinalized": now,
        }
        if components:
            # A composite object has no MD5. Source: "Composite objects".
            resource["componentCount"] = components
            resource.pop("md5Hash", None)
        else:
            resource["md5Hash"] = base64.b64encode(hashlib.md5(data).digest()).decode()
        key = given.get("kmsKeyName") or bucket.resource.get("encryption", {}).get("defaultKmsKeyName")
        if key:
            resource["kmsKeyName"] = f"{key}/cryptoKeyVersions/1" if "/cryptoKeyVersions/" not in key else key
        stored = Stored(resource, content)
        with self.lock:
            self.remove_live(bucket, name)
            bucket.objects.setdefault(name, []).append(stored)
        return stored

    def remove_live(self, bucket: Bucket, name: str) -> None:
        """What a deletion or an overwrite does to the live generation."""
        live = bucket.live(name)
        if live is None:
            return
        if bucket.versioned:
            live.resource["timeDeleted"] = self.now
        else:
            self.remove(bucket, name, live)

    def remove(self, bucket: Bucket, name: str, stored: Stored) -> None:
        """Delete one generation: softly where the bucket says so, else for good."""
        if bucket.soft_delete_seconds:
            now = self.emulator.clock.now()
            stored.soft_deleted = True
            stored.resource["softDeleteTime"] = timestamp(now)
            stored.resource["hardDeleteTime"] = timestamp(now + timedelta(seconds=bucket.soft_delete_seconds))
        else:
            self.erase(bucket, name, stored)

    def erase(self, bucket: Bucket, name: str, stored: Stored) -> None:
        """Delete one generation for good."""
        stored.content.unlink(missing_ok=True)
        bucket.objects[name].remove(stored)
        if not bucket.objects[name]:
            del bucket.objects[name]


_storages: WeakKeyDictionary[Emulator, Storage] = WeakKeyDictionary()


def storage_of(emulator: Emulator) -> Storage:
    """The storage of an emulator."""
    if emulator not in _storages:
        _storages[emulator] = Storage(emulator)
    return _storages[emulator]


def check_preconditions(
    query: Mapping[str, Any], current: Mapping[str, Any] | None, *, prefix: str = "if", reading: bool = False
) -> None:
    """Refuse a request whose ifGenerationMatch and the like do not hold; 0 stands for no object."""
    generation = int(current["generation"]) if current and "generation" in current else 0
    metageneration = int(current["metageneration"]) if current else 0
    for name, actual in (("Generation", generation), ("Metageneration", metageneration)):
        wanted = query.get(f"{prefix}{name}Match")
        if wanted is not None and int(wanted) != actual:
            raise condition_not_met()
        unwanted = query.get(f"{prefix}{name}NotMatch")
        if unwanted is not None and int(unwanted) == actual:
            raise not_modified() if reading else condition_not_met()


# What the emulator's other services do with objects, by gs:// addresses.


def _split(uri: str) -> tuple[str, str]:
    bucket, _, name = uri.removeprefix("gs://").partition("/")
    return bucket, name


def read(emulator: Emulator, uri: str) -> bytes:
    """An object's content; raises FileNotFoundError."""
    bucket_name, name = _split(uri)
    storage = storage_of(emulator)
    with storage.lock:
        bucket = storage.buckets.get(bucket_name)
        live = bucket.live(name) if bucket else None
        if live is None:
            raise FileNotFoundError(uri)
        return live.content.read_bytes()


def write(emulator: Emulator, uri: str, data: bytes) -> None:
    """Store an object; raises FileNotFoundError where the bucket does not exist."""
    bucket_name, name = _split(uri)
    storage = storage_of(emulator)
    with storage.lock:
        if bucket_name not in storage.buckets:
            raise FileNotFoundError(uri)
        path = storage.new_file()
        path.write_bytes(data)
        storage.put(storage.buckets[bucket_name], name, path, {})


def download(emulator: Emulator, uri: str, folder: Path) -> int:
    """Copy the live objects below an address into a folder; gives their number."""
    bucket_name, name = _split(uri.rstrip("/"))
    storage = storage_of(emulator)
    base = f"{name}/" if name else ""
    count = 0
    with storage.lock:
        bucket = storage.buckets.get(bucket_name)
        found = [(key, bucket.live(key)) for key in bucket.objects if key.startswith(base)] if bucket else []
    for key, live in found:
        if live is None or key.endswith("/"):
            continue
        path = (folder / key.removeprefix(base)).resolve()
        if not path.is_relative_to(folder.resolve()):
            raise FileNotFoundError(f"gs://{bucket_name}/{key} leads out of {folder}")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(live.content.read_bytes())
        count += 1
    return count


def upload(emulator: Emulator, folder: Path, uri: str) -> None:
    """Store every file under a folder below an address."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            write(emulator, f"{uri.rstrip('/')}/{path.relative_to(folder).as_posix()}", path.read_bytes())
