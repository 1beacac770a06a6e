"""Objects. Sources: Cloud Storage JSON API, Objects; "Composite objects" (at most 32 sources); "Soft delete"."""

from __future__ import annotations

import copy
import shutil
from typing import Any

from sandbox.google.api import Call, Raw
from sandbox.google.errors import invalid
from sandbox.google.storage.api import api, not_found
from sandbox.google.storage.buckets import merge_patch
from sandbox.google.storage.media import send
from sandbox.google.storage.state import Bucket, Stored, check_preconditions, is_live, storage_of
from sandbox.google.store import page

MOST_SOURCES = 32
_USER_SET = {
    "cacheControl",
    "contentDisposition",
    "contentEncoding",
    "contentLanguage",
    "contentType",
    "contexts",
    "customTime",
    "eventBasedHold",
    "metadata",
    "retention",
    "storageClass",
    "temporaryHold",
}


def user_set(given: dict[str, Any]) -> dict[str, Any]:
    """What of an object's metadata is the user's."""
    return {key: copy.deepcopy(value) for key, value in given.items() if key in _USER_SET}


def check_name(name: str) -> None:
    """Refuse a name that no object may have. Source: "Object naming guidelines"."""
    if not name:
        raise invalid("Required")
    if len(name.encode()) > 1024 or name in (".", "..") or name.startswith(".well-known/acme-challenge/"):
        raise invalid(f"Invalid object name: '{name}'")
    if "\r" in name or "\n" in name:
        raise invalid("Disallowed unicode characters present in object name.")


def _bucket(call: Call) -> Bucket:
    return storage_of(call.emulator).bucket(call.path["bucket"])


@api.method("objects.get")
def get(call: Call) -> Any:
    stored = _bucket(call).version(
        call.path["object"], call.query.get("generation"), soft_deleted=bool(call.query.get("softDeleted"))
    )
    check_preconditions(call.query, stored.resource, reading=True)
    if call.query.get("alt") == "media":
        return send(stored, call.headers)
    return copy.deepcopy(stored.resource)


@api.method("objects.list")
def list_objects(call: Call) -> dict[str, Any]:
    bucket, query = _bucket(call), call.query
    prefix, delimiter = str(query.get("prefix", "")), str(query.get("delimiter", ""))
    soft_deleted, versions = bool(query.get("softDeleted")), bool(query.get("versions"))
    entries: list[dict[str, Any]] = []
    prefixes: set[str] = set()
    with storage_of(call.emulator).lock:
        names = sorted(bucket.objects, key=str.encode)
        for name in names:
            if not name.startswith(prefix) or not _between(name, query):
                continue
            shown = [one for one in bucket.objects[name] if _shown(one, versions, soft_deleted)]
            rest = name[len(prefix) :]
            at = rest.find(delimiter) if delimiter else -1
            if shown and at >= 0:
                cut = prefix + rest[: at + len(delimiter)]
                trailing = cut == name and query.get("includeTrailingDelimiter")
                if cut not in prefixes:
                    prefixes.add(cut)
                    entries.append({"_prefix": cut})
                if not trailing:
                    continue
            entries += [copy.deepcopy(one.resource) for one in shown]
    items, token = page(entries, query, size=1000)
    answer: dict[str, Any] = {"kind": "storage#objects"}
    objects = [one for one in items if "_prefix" not in one]
    found = [str(one["_prefix"]) for one in items if "_prefix" in one]
    answer |= {"items": objects} if objects else {}
    answer |= {"prefixes": found} if found else {}
    return answer | ({"nextPageToken": token} if token else {})


def _between(name: str, query: dict[str, Any]) -> bool:
    start, end = query.get("startOffset"), query.get("endOffset")
    return (not start or name >= start) and (not end or name < end)


def _shown(one: Stored, versions: bool, soft_deleted: bool) -> bool:
    if soft_deleted:
        return one.soft_deleted
    return not one.soft_deleted if versions else is_live(one)


@api.method("objects.patch", "objects.update")
def update(call: Call) -> dict[str, Any]:
    with storage_of(call.emulator).lock:
        stored = _bucket(call).version(call.path["object"], call.query.get("generation"))
        check_preconditions(call.query, stored.resource)
        if call.method.verb == "update":
            for key in _USER_SET - {"storageClass"}:
                stored.resource.pop(key, None)
        merge_patch(stored.resource, {key: value for key, value in call.body.items() if key in _USER_SET})
        stored.resource["metageneration"] = str(int(stored.resource["metageneration"]) + 1)
        stored.resource["updated"] = call.now
        return copy.deepcopy(stored.resource)


@api.method("objects.delete")
def delete(call: Call) -> None:
    storage, name = storage_of(call.emulator), call.path["object"]
    with storage.lock:
        bucket = _bucket(call)
        generation = call.query.get("generation")
        stored = bucket.version(name, generation)
        check_preconditions(call.query, stored.resource)
        if stored.resource.get("temporaryHold") or stored.resource.get("eventBasedHold"):
            raise invalid(
                f"Object '{bucket.name}/{name}' is under active hold and cannot be deleted, overwritten or "
                "archived until hold is removed."
            )
        if generation is None:
            storage.remove_live(bucket, name)
        else:
            storage.remove(bucket, name, stored)


@api.method("objects.restore")
def restore(call: Call) -> dict[str, Any]:
    storage, name = storage_of(call.emulator), call.path["object"]
    with storage.lock:
        bucket = _bucket(call)
        stored = bucket.version(name, call.query.get("generation"), soft_deleted=True)
        check_preconditions(call.query, live.resource if (live := bucket.live(name)) else None)
        content = storage.new_file()
        shutil.copyfile(stored.content, content)
        return copy.deepcopy(storage.put(bucket, name, content, user_set(stored.resource)).resource)


@api.method("objects.compose")
def compose(call: Call) -> dict[str, Any]:
    storage, name = storage_of(call.emulator), call.path["destinationObject"]
    with storage.lock:
        bucket = storage.bucket(call.path["destinationBucket"])
        sources = call.body.get("sourceObjects", [])
        if not 1 <= len(sources) <= MOST_SOURCES:
            raise invalid(
                f"The number of source components provided ({len(sources)}) exceeds the maximum ({MOST_SOURCES})"
                if sources
                else "You must provide at least one source component."
            )
        check_preconditions(call.query, live.resource if (live := bucket.live(name)) else None)
        found = [bucket.version(one["name"], one.get("generation")) for one in sources]
        for one, stored in zip(sources, found, strict=True):
            check_preconditions(one.get("objectPreconditions", {}), stored.resource)
        content = storage.new_file()
        with content.open("wb") as target:
            for one in found:
                target.write(one.content.read_bytes())
        components = sum(int(one.resource.get("componentCount", 1)) for one in found)
        given = user_set(call.body.get("destination", {}))
        result = copy.deepcopy(storage.put(bucket, name, content, given, components).resource)
        if call.body.get("deleteSourceObjects"):
            for one in sources:
                storage.remove_live(bucket, one["name"])
        return result


def _copy(call: Call) -> dict[str, Any]:
    storage = storage_of(call.emulator)
    with storage.lock:
        source = storage.bucket(call.path["sourceBucket"]).version(
            call.path["sourceObject"], call.query.get("sourceGeneration")
        )
        check_preconditions(call.query, source.resource, prefix="ifSource")
        bucket, name = storage.bucket(call.path["destinationBucket"]), call.path["destinationObject"]
        check_name(name)
        check_preconditions(call.query, live.resource if (live := bucket.live(name)) else None)
        content = storage.new_file()
        shutil.copyfile(source.content, content)
        # A body replaces the metadata; without one it is the source's.
        given = user_set(call.body or source.resource)
        if key := call.query.get("destinationKmsKeyName"):
            given["kmsKeyName"] = key
        return copy.deepcopy(storage.put(bucket, name, content, given).resource)


@api.method("objects.copy")
def copy_object(call: Call) -> dict[str, Any]:
    return _copy(call)


@api.method("objects.rewrite")
def rewrite(call: Call) -> dict[str, Any]:
    resource = _copy(call)
    return {
        "kind": "storage#rewriteResponse",
        "totalBytesRewritten": resource["size"],
        "objectSize": resource["size"],
        "done": True,
        "resource": resource,
    }


@api.method("objects.move")
def move(call: Call) -> dict[str, Any]:
    call.path |= {"sourceBucket": call.path["bucket"], "destinationBucket": call.path["bucket"]}
    storage = storage_of(call.emulator)
    with storage.lock:
        resource = _copy(call)
        storage.remove_live(storage.bucket(call.path["bucket"]), call.path["sourceObject"])
    return resource


@api.method(
    "objectAccessControls.list",
    "objectAccessControls.insert",
    "objectAccessControls.get",
    "bucketAccessControls.list",
    "bucketAccessControls.insert",
    "defaultObjectAccessControls.list",
)
def access_control(call: Call) -> Raw:
    bucket = storage_of(call.emulator).bucket(call.path["bucket"])
    if not bucket.resource["iamConfiguration"]["uniformBucketLevelAccess"]["enabled"]:
        raise not_found("The sandbox keeps no access control lists: use uniform bucket-level access.")
    kind = "an object" if call.method.collection == "objectAccessControls" else "a bucket"
    verb = "get" if call.method.http == "GET" else "update"
    raise invalid(
        f"Cannot {verb} legacy ACL for {kind} when uniform bucket-level access is enabled. Read more at "
        "https://cloud.google.com/storage/docs/uniform-bucket-level-access"
    )
