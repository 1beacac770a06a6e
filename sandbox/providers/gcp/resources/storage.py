"""Cloud Storage."""

from __future__ import annotations

import base64
import binascii
import json
import mimetypes
import uuid
from typing import Any
from urllib.parse import quote, urlsplit

from modelberth_provider.wire import Asset

from sandbox.providers.check import AutoName
from sandbox.providers.gcp.cloud import Call
from sandbox.providers.gcp.policies import Membership
from sandbox.providers.gcp.rest import Rest, caseless
from sandbox.providers.gcp.services import STORAGE
from sandbox.providers.resource import Change, CloudError, Resource, Values

# A condition's `withState` is `isLive` in the API.
_STATES = {"LIVE": True, "ARCHIVED": False}


def _encode_bucket(values: Values, body: Values) -> None:
    rules = (body.get("lifecycle") or {}).get("rule") or []
    for given, rule in zip(values.get("lifecycleRules") or [], rules, strict=False):
        state = (given.get("condition") or {}).get("withState")
        if state in _STATES:
            rule.setdefault("condition", {})["isLive"] = _STATES[state]


def _decode_bucket(answer: Values, told: Values) -> None:
    told["url"] = f"gs://{answer['name']}"
    told["projectNumber"] = int(answer["projectNumber"])
    told["enableObjectRetention"] = (answer.get("objectRetention") or {}).get("mode") == "Enabled"
    rules = (answer.get("lifecycle") or {}).get("rule") or []
    for rule, found in zip(rules, told.get("lifecycleRules") or [], strict=True):
        live = (rule.get("condition") or {}).get("isLive")
        if live is not None:
            found.setdefault("condition", {})["withState"] = "LIVE" if live else "ARCHIVED"


def _empty(call: Call, path: str, state: Values) -> None:
    """Delete every version of every object, where the program says so."""
    token: str | None = ""
    while token is not None:
        query = {"versions": "true"} | ({"pageToken": token} if token else {})
        try:
            page = call.send("GET", f"{path}/o", query=query)
        except CloudError as error:
            if error.code in ("NOT_FOUND", "404"):
                return
            raise
        objects = page.get("items") or []
        if objects and not state.get("forceDestroy"):
            raise CloudError(
                f"{call.thing} is not deleted, because it holds objects, such as {objects[0]['name']}: set "
                "forceDestroy to true and update first, or delete them"
            )
        for one in objects:
            where = f"{path}/o/{quote(one['name'], safe='')}"
            call.send("DELETE", where, query={"generation": one["generation"]})
        token = page.get("nextPageToken")


_BUCKET = Rest(
    token="gcp:storage/bucket:Bucket",
    service=STORAGE,
    schema="Bucket",
    path="b/{name}",
    id="{name}",
    create="b?project={project}&enableObjectRetention={enableObjectRetention}",
    masked=False,
    names={
        "lifecycleRules": "lifecycle.rule",
        "publicAccessPrevention": "iamConfiguration.publicAccessPrevention",
        "requesterPays": "billing.requesterPays",
        "uniformBucketLevelAccess": "iamConfiguration.uniformBucketLevelAccess.enabled",
    },
    encode=_encode_bucket,
    decode=_decode_bucket,
    prepare_delete=_empty,
    auto_name=AutoName(length=222),
    force_new=frozenset(
        {"name", "location", "customPlacementConfig", "enableObjectRetention", "hierarchicalNamespace"}
    ),
    computed=frozenset({"publicAccessPrevention", "rpo", "softDeletePolicy", "uniformBucketLevelAccess", "versioning"}),
    alike={"location": caseless},
    defaults={"enableObjectRetention": False, "forceDestroy": False, "storageClass": "STANDARD"},
)


def _content(call: Call, values: Values) -> bytes:
    source = values.get("source")
    if isinstance(source, Asset):
        try:
            return source.content()
        except (OSError, ValueError) as error:
            raise CloudError(f"reading the content of {call.thing}: {error}") from error
    return str(values.get("content") or "").encode()


_METADATA = {
    "cacheControl",
    "contentDisposition",
    "contentEncoding",
    "contentLanguage",
    "contentType",
    "eventBasedHold",
    "metadata",
    "name",
    "retention",
    "storageClass",
    "temporaryHold",
}


def _upload(call: Call, values: Values) -> str:
    content = _content(call, values)
    metadata: dict[str, Any] = {key: values[key] for key in _METADATA if values.get(key) is not None}
    if "contentType" not in metadata and not values.get("forceEmptyContentType"):
        metadata["contentType"] = mimetypes.guess_type(values["name"])[0] or "text/plain; charset=utf-8"
    boundary = uuid.uuid4().hex
    head = f"--{boundary}\r\nContent-Type: application/json\r\n\r\n{json.dumps(metadata)}\r\n--{boundary}\r\n"
    kind = metadata.get("contentType") or "application/octet-stream"
    body = f"{head}Content-Type: {kind}\r\n\r\n".encode() + content + f"\r\n--{boundary}--\r\n".encode()
    query = {"uploadType": "multipart"}
    if values.get("kmsKeyName"):
        query["kmsKeyName"] = values["kmsKeyName"]
    base = urlsplit(call.base)
    call.send(
        "POST",
        f"{base.scheme}://{base.netloc}/upload/storage/v1/b/{quote(values['bucket'], safe='')}/o",
        query=query,
        data=body,
        headers={"Content-Type": f"multipart/related; boundary={boundary}"},
    )
    return f"{values['bucket']}-{values['name']}"


def _object(identifier: str, state: Values) -> tuple[str, str]:
    """Bucket and name; an id to import has a slash between them."""
    if state.get("bucket") and state.get("name"):
        return state["bucket"], state["name"]
    bucket, slash, name = identifier.partition("/")
    if not slash:
        raise CloudError(f"the id {identifier} is none of the form <bucket>/<name>")
    return bucket, name


def _at(identifier: str, state: Values) -> str:
    bucket, name = _object(identifier, state)
    return f"b/{quote(bucket, safe='')}/o/{quote(name, safe='')}"


def _read_object(call: Call, identifier: str, state: Values) -> Values | None:
    answer = call.find(_at(identifier, state))
    if answer is None:
        return None
    bucket, name = _object(identifier, state)
    told = {key: answer.get(key) for key in _METADATA - {"name"}} | {"bucket": bucket, "name": name}
    told |= {key: answer.get(key) for key in ("crc32c", "mediaLink", "selfLink")}
    digest = answer.get("md5Hash")
    told |= {
        "generation": int(answer["generation"]),
        "kmsKeyName": str(answer.get("kmsKeyName") or "").partition("/cryptoKeyVersions/")[0] or None,
        "md5hash": digest,
        "md5hexhash": binascii.hexlify(base64.b64decode(digest)).decode() if digest else None,
        "outputName": name,
        "id": f"{bucket}-{name}",
    }
    if digest and state.get("md5hash") and digest != state["md5hash"] and "detectMd5hash" in state:
        # Other content than was uploaded: what the program says is not there any more.
        told |= {"content": None, "detectMd5hash": digest}
    return told


def _update_object(call: Call, identifier: str, change: Change) -> None:
    if change.touches("content", "detectMd5hash", "sourceMd5hash"):
        _upload(call, change.new)
        return
    settable = ("eventBasedHold", "metadata", "retention", "temporaryHold")
    body = {name: change.new.get(name) for name in settable if change.touches(name)}
    if body:
        call.send("PATCH", _at(identifier, change.new), body)


def _delete_object(call: Call, identifier: str, state: Values) -> None:
    if state.get("deletionPolicy") == "ABANDON":
        return
    try:
        call.send("DELETE", _at(identifier, state))
    except CloudError as error:
        if error.code not in ("NOT_FOUND", "404"):
            raise


_OBJECT = Resource(
    token="gcp:storage/bucketObject:BucketObject",
    service=STORAGE.title,
    create=_upload,
    read=_read_object,
    update=_update_object,
    delete=_delete_object,
    auto_name=AutoName(),
    force_new=frozenset(
        {
            "bucket",
            "cacheControl",
            "contentDisposition",
            "contentEncoding",
            "contentLanguage",
            "contentType",
            "customerEncryption",
            "forceEmptyContentType",
            "kmsKeyName",
            "metadata",
            "name",
            "source",
            "storageClass",
        }
    ),
    computed=frozenset({"contentType", "kmsKeyName", "storageClass"}),
    defaults={"detectMd5hash": "different hash"},
    unsupported=frozenset({"contexts", "customerEncryption"}),
)

RESOURCES = [
    _BUCKET.resource(),
    _OBJECT,
    Membership(
        "gcp:storage/bucketIAMMember:BucketIAMMember",
        STORAGE,
        "b/{bucket}",
        get_verb="GET",
        get="/iam",
        set_verb="PUT",
        set="/iam",
        complete=lambda values: values | {"bucket": values["bucket"].removeprefix("b/")},
    ).resource(),
]
