"""`modelberth:package:Replica`: a package in another store, by its digest.

Copied file by file in blocks, read again where it arrived, the manifest last: what was broken off is never taken for a
package, and done again it copies only what is not there yet.
"""

from __future__ import annotations

import hashlib
import re
from typing import Any, ClassVar

from model_packaging.errors import StorageError
from model_packaging.package import MAX_MANIFEST_BYTES, MAX_SIGNATURE_BYTES, read_manifest
from model_packaging.publish import location
from model_packaging.schema import MANIFEST, SIGNATURE
from model_packaging.storage import explained, filesystem, is_remote, place, split_address
from modelberth_provider.google import Interrupted, Json
from modelberth_provider.resource import Call, Part, Refused, Resource, State, Unfinished

_BLOCK = 1 << 20
_Place = tuple[Any, str, str]
"""A file system, the path in it, and the address for people."""


class ReplicaInputs(Part):
    """A published package, copied into another store by its digest and verified there.

    A changed source or destination makes another copy and deletes the old one after it.
    """

    source: str
    """The package's address with its digest: `s3://…`, `gs://…` or another that fsspec knows, and `@sha256:…`."""
    destination: str
    """Where to, without the package's name: `gs://bucket/prefix`. It lies in `packages/<name>/<hex>` below that."""


class ReplicaState(State):
    """What was copied."""

    address: str
    """The copy's address with its digest."""
    digest: str
    """The package's digest."""
    name: str
    """The package's name."""
    kept: bool
    """Whether the package was there before, or was imported, so that it is left there when this resource is deleted."""


class Replica(Resource):
    """Copies, verifies and deletes packages."""

    token: ClassVar[str] = "modelberth:package:Replica"
    Inputs = ReplicaInputs
    State = ReplicaState
    updated = frozenset[str]()
    seconds: ClassVar[dict[str, float]] = {"create": 7200.0, "update": 7200.0, "delete": 1800.0}

    def problems(self, inputs: Json) -> dict[str, str]:
        problems: dict[str, str] = {}
        source, destination = inputs.get("source"), inputs.get("destination")
        if isinstance(source, str):
            if not re.search(r"@sha256:[0-9a-f]{64}$", source):
                problems["source"] = f"{source!r} has no digest: end it in @sha256: and 64 hexadecimal digits"
            elif not is_remote(source):
                problems["source"] = f"{source!r} is no URL: publish the package first, by modelberth publish"
        if isinstance(destination, str) and not is_remote(destination):
            problems["destination"] = f"{destination!r} is no URL: write s3://…, gs://… or file:///…"
        return problems

    def create(self, call: Call, inputs: Json) -> tuple[str, Json]:
        source, digest = split_address(str(inputs["source"]))
        source = source.rstrip("/")
        there, root = filesystem(source)
        with explained(source, "read"), there.open(f"{root}/{MANIFEST}", "rb") as reader:
            content: bytes = reader.read(MAX_MANIFEST_BYTES + 1)
        found, manifest = read_manifest(content, digest)
        target = location(str(inputs["destination"]), str(manifest["name"]), found)
        if target == source:
            raise Refused(f"{source} is where the package lies already: choose another destination")
        here, folder = filesystem(target)
        address = f"{target}@{found}"
        state: Json = {"address": address, "digest": found, "name": str(manifest["name"])}
        with explained(target, "read"):
            state["kept"] = here.exists(f"{folder}/{MANIFEST}")
        try:
            self._copy(call, (there, root, source), (here, folder, target), manifest["files"])
        except Interrupted as error:
            text = f"{error}; what has arrived stays, and the next update copies the rest"
            raise Unfinished(address, state, text) from error
        with explained(target, "copy to"):
            if there.exists(f"{root}/{SIGNATURE}"):
                _copy_file(there, f"{root}/{SIGNATURE}", here, f"{folder}/{SIGNATURE}", MAX_SIGNATURE_BYTES, call)
            place(here, f"{folder}/{MANIFEST}", content)
        return address, state

    def _copy(self, call: Call, source: _Place, target: _Place, files: dict[str, Json]) -> None:
        (there, root, origin), (here, folder, address) = source, target
        done, total = 0, sum(int(entry["bytes"]) for entry in files.values())
        for file, entry in sorted(files.items()):
            with explained(f"{address}/{file}", "copy to"):
                if _hash(here, f"{folder}/{file}", call) != entry["sha256"]:
                    _copy_file(there, f"{root}/{file}", here, f"{folder}/{file}", int(entry["bytes"]), call)
                    arrived = _hash(here, f"{folder}/{file}", call)
                    if arrived != entry["sha256"]:
                        raise StorageError(
                            f"{address}/{file} is not what the package says: its sha256 is {arrived}, not "
                            f"{entry['sha256']}; it is damaged at {origin}, or on the way"
                        )
            done += int(entry["bytes"])
            call.waiting.progress(f"{done / 1e6:,.1f} of {total / 1e6:,.1f} MB copied and verified")

    def read(self, call: Call, identifier: str, state: Json, inputs: Json) -> tuple[str, Json, Json] | None:
        target, digest = split_address(identifier)
        here, folder = filesystem(target)
        with explained(target, "read"):
            if not here.exists(f"{folder}/{MANIFEST}"):
                return None
            found, manifest = read_manifest(here.cat_file(f"{folder}/{MANIFEST}"), digest)
        known = {
            "address": identifier,
            "digest": found,
            "name": str(manifest["name"]),
            "kept": bool(state.get("kept", True)),
        }
        beginning = target.rpartition("/packages/")[0]
        return identifier, known, inputs or {"source": identifier, "destination": beginning}

    def update(self, call: Call, identifier: str, state: Json, inputs: Json) -> Json:
        # Nothing changes in place, so this goes on with a copy that was broken off.
        address, now = self.create(call, inputs)
        return now | {"address": address, "kept": bool(state.get("kept"))}

    def delete(self, call: Call, identifier: str, state: Json) -> None:
        if state.get("kept"):
            return
        target, _ = split_address(identifier)
        here, folder = filesystem(target)
        with explained(target, "delete"):
            if not here.exists(folder):
                return
            if here.exists(f"{folder}/{MANIFEST}"):
                # First, so that a deletion that is broken off leaves no package that is not whole.
                here.rm_file(f"{folder}/{MANIFEST}")
            here.rm(folder, recursive=True)


def _copy_file(there: Any, source: str, here: Any, target: str, size: int, call: Call) -> None:
    if "file" in here.protocol:
        here.makedirs(target.rpartition("/")[0], exist_ok=True)
    with there.open(source, "rb") as reader, here.open(target, "wb") as writer:
        left = size + 1  # one byte too many is enough to be refused
        while left and (block := reader.read(min(left, _BLOCK))):
            call.waiting.pause(0, f"the copy of {source}")
            writer.write(block)
            left -= len(block)


def _hash(store: Any, path: str, call: Call) -> str:
    """The sha256 of a file, or an empty text if there is none."""
    if not store.exists(path):
        return ""
    digest = hashlib.sha256()
    with store.open(path, "rb") as reader:
        while block := reader.read(_BLOCK):
            call.waiting.pause(0, f"the check of {path}")
            digest.update(block)
    return digest.hexdigest()
