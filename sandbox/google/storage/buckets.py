"""Buckets.

Sources: Cloud Storage JSON API, Buckets; "Bucket naming guidelines"; "Uniform bucket-level access"; "Public access
prevention"; "Soft delete" (retention 0, or 7 to 90 days).
"""

from __future__ import annotations

import copy
import ipaddress
import re
from typing import Any

from sandbox.google.api import Call
from sandbox.google.errors import GoogleError, invalid
from sandbox.google.storage.api import api, condition_not_met, conflict
from sandbox.google.storage.state import Bucket, check_preconditions, is_live, storage_of
from sandbox.google.store import etag, page

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]")
_MULTI_REGIONS = {"US", "EU", "ASIA"}
_DUAL_REGIONS = {"NAM4", "EUR4", "EUR5", "EUR7", "EUR8", "ASIA1"}
_CLASSES = {"STANDARD", "NEARLINE", "COLDLINE", "ARCHIVE", "MULTI_REGIONAL", "REGIONAL", "DURABLE_REDUCED_AVAILABILITY"}
_WEEK, _LONGEST = 7 * 86400, 90 * 86400
_PUBLIC = {"allUsers", "allAuthenticatedUsers"}


def _check_name(name: str) -> None:
    parts = name.split(".")
    good = _NAME.fullmatch(name) and all(1 <= len(part) <= 63 for part in parts) and not name.startswith("goog")
    good = good and "google" not in name and (len(name) <= 63 or len(parts) > 1)
    try:
        ipaddress.ip_address(name)
        good = False
    except ValueError:
        pass
    if not good:
        raise invalid(f"Invalid bucket name: '{name}'")


def _check(resource: dict[str, Any]) -> None:
    """What a bucket may not be."""
    storage_class = resource.get("storageClass", "STANDARD")
    if storage_class not in _CLASSES:
        raise invalid(
            f"Invalid argument. The storage class {storage_class} is not one of {', '.join(sorted(_CLASSES))}."
        )
    prevention = resource.get("iamConfiguration", {}).get("publicAccessPrevention")
    if prevention not in (None, "inherited", "enforced", "unspecified"):
        raise invalid(f"Invalid argument. publicAccessPrevention is inherited or enforced, not {prevention}.")
    seconds = int(resource.get("softDeletePolicy", {}).get("retentionDurationSeconds", 0))
    if seconds and not _WEEK <= seconds <= _LONGEST:
        raise invalid(
            "Soft delete policy retention duration must be 0, or between 7 and 90 days "
            f"({_WEEK} to {_LONGEST} seconds), not {seconds} seconds."
        )
    for rule in resource.get("lifecycle", {}).get("rule", []):
        action = rule.get("action", {}).get("type")
        if action not in ("Delete", "SetStorageClass", "AbortIncompleteMultipartUpload"):
            raise invalid(f"Invalid argument. The lifecycle action {action} is unknown.")
        if not rule.get("condition"):
            raise invalid("Invalid argument. A lifecycle rule needs a condition.")
        if action == "SetStorageClass" and rule["action"].get("storageClass") not in _CLASSES:
            raise invalid("Invalid argument. The lifecycle action SetStorageClass needs a storageClass.")
    key = resource.get("encryption", {}).get("defaultKmsKeyName")
    if key and not re.fullmatch(r"projects/[^/]+/locations/[^/]+/keyRings/[^/]+/cryptoKeys/[^/]+", key):
        raise invalid(f"Malformed Cloud KMS crypto key: {key}")


def _complete(call: Call, resource: dict[str, Any]) -> None:
    configuration = resource.setdefault("iamConfiguration", {})
    # What the older name says counts as well, and both are shown.
    older = configuration.pop("bucketPolicyOnly", {}).get("enabled", False)
    uniform = configuration.setdefault("uniformBucketLevelAccess", {"enabled": older})
    configuration["bucketPolicyOnly"] = dict(uniform)
    configuration.setdefault("publicAccessPrevention", "inherited")
    policy = resource.setdefault("softDeletePolicy", {"retentionDurationSeconds": str(_WEEK)})
    if int(policy.get("retentionDurationSeconds", 0)):
        policy.setdefault("effectiveTime", call.now)
    resource["updated"] = call.now
    resource["etag"] = etag(resource)


@api.method("buckets.insert")
def insert(call: Call) -> dict[str, Any]:
    storage, resource = storage_of(call.emulator), copy.deepcopy(call.body)
    name, project = str(resource.get("name", "")), str(call.query.get("project", ""))
    if not project:
        raise GoogleError("INVALID_ARGUMENT", "Required parameter: project", reason="required")
    _check_name(name)
    _check(resource)
    location = str(resource.get("location", "US")).upper()
    if location not in _MULTI_REGIONS | _DUAL_REGIONS and not re.fullmatch(r"[A-Z]+-[A-Z]+\d+", location):
        raise invalid(f"The specified location constraint is not valid: {location}")
    kind = "multi-region" if location in _MULTI_REGIONS else "dual-region" if location in _DUAL_REGIONS else "region"
    with storage.lock:
        if name in storage.buckets:
            owner = storage.buckets[name].resource["projectNumber"]
            if owner == call.emulator.projects.number(project):
                raise conflict("Your previous request to create the named bucket succeeded and you already own it.")
            raise conflict(
                "The requested bucket name is not available. The bucket namespace is shared by all users of "
                "the system. Please select a different name and try again."
            )
        resource |= {
            "kind": "storage#bucket",
            "id": name,
            "selfLink": f"{call.emulator.url}/storage/v1/b/{name}",
            "projectNumber": call.emulator.projects.number(project),
            "generation": storage.next_generation(),
            "metageneration": "1",
            "location": location,
            "locationType": kind,
            "timeCreated": call.now,
        }
        resource.setdefault("storageClass", "STANDARD")
        _complete(call, resource)
        storage.buckets[name] = Bucket(resource)
        call.emulator.store.table("storage.buckets")[name] = resource
        return copy.deepcopy(resource)


@api.method("buckets.get")
def get(call: Call) -> dict[str, Any]:
    resource = storage_of(call.emulator).bucket(call.path["bucket"]).resource
    check_preconditions(call.query, resource, reading=True)
    return copy.deepcopy(resource)


@api.method("buckets.list")
def list_buckets(call: Call) -> dict[str, Any]:
    number = call.emulator.projects.number(str(call.query.get("project", "")))
    prefix = str(call.query.get("prefix", ""))
    found = [
        copy.deepcopy(one.resource)
        for name, one in sorted(storage_of(call.emulator).buckets.items())
        if one.resource["projectNumber"] == number and name.startswith(prefix)
    ]
    items, token = page(found, call.query, size=1000)
    answer: dict[str, Any] = {"kind": "storage#buckets"}
    return answer | ({"items": items} if items else {}) | ({"nextPageToken": token} if token else {})


def merge_patch(resource: dict[str, Any], given: dict[str, Any]) -> None:
    """What PATCH does to a resource: a null clears a field, an object is merged. Source: RFC 7396."""
    for key, value in given.items():
        if value is None:
            resource.pop(key, None)
        elif isinstance(value, dict) and isinstance(resource.get(key), dict):
            merge_patch(resource[key], value)
        else:
            resource[key] = copy.deepcopy(value)


_FIXED = {"kind", "id", "name", "selfLink", "projectNumber", "generation", "metageneration", "location", "timeCreated"}
_SERVICE_SET = {*_FIXED, "locationType", "updated", "etag"}


@api.method("buckets.patch", "buckets.update")
def update(call: Call) -> dict[str, Any]:
    storage = storage_of(call.emulator)
    with storage.lock:
        bucket = storage.bucket(call.path["bucket"])
        check_preconditions(call.query, bucket.resource)
        given = {key: value for key, value in call.body.items() if key not in _SERVICE_SET}
        changed = copy.deepcopy(bucket.resource)
        if call.method.verb == "update":
            changed = {key: value for key, value in changed.items() if key in {*_SERVICE_SET, "storageClass"}}
        merge_patch(changed, given)
        _check(changed)
        changed["metageneration"] = str(int(changed["metageneration"]) + 1)
        if "softDeletePolicy" in given:
            changed["softDeletePolicy"].pop("effectiveTime", None)
        if "uniformBucketLevelAccess" in given.get("iamConfiguration", {}):
            changed["iamConfiguration"].pop("bucketPolicyOnly", None)
        _complete(call, changed)
        bucket.resource = changed
        call.emulator.store.table("storage.buckets")[bucket.name] = changed
        return copy.deepcopy(changed)


@api.method("buckets.delete")
def delete(call: Call) -> None:
    storage = storage_of(call.emulator)
    with storage.lock:
        bucket = storage.bucket(call.path["bucket"])
        check_preconditions(call.query, bucket.resource)
        # Soft-deleted objects do not keep a bucket; live and noncurrent ones do.
        if any(not one.soft_deleted for versions in bucket.objects.values() for one in versions):
            live = any(is_live(one) for versions in bucket.objects.values() for one in versions)
            hint = "" if live else " It holds noncurrent versions."
            raise conflict(f"The bucket you tried to delete is not empty.{hint}")
        for name, versions in list(bucket.objects.items()):
            for one in list(versions):
                storage.erase(bucket, name, one)
        del storage.buckets[bucket.name]
        call.emulator.store.table("storage.buckets").pop(bucket.name, None)
        call.emulator.policies.forget(_resource(bucket.name))


def _resource(bucket: str) -> str:
    return f"//storage.googleapis.com/projects/_/buckets/{bucket}"


@api.method("buckets.getIamPolicy")
def get_iam_policy(call: Call) -> dict[str, Any]:
    bucket = storage_of(call.emulator).bucket(call.path["bucket"])
    policy = call.emulator.policies.get(_resource(bucket.name))
    if "bindings" not in policy:
        # A new bucket's policy. Source: "IAM for Cloud Storage, basic roles".
        project = call.emulator.projects.id(bucket.resource["projectNumber"])
        owners = [f"projectEditor:{project}", f"projectOwner:{project}"]
        policy["bindings"] = [
            {"role": "roles/storage.legacyBucketOwner", "members": owners},
            {"role": "roles/storage.legacyBucketReader", "members": [f"projectViewer:{project}"]},
        ]
    return {"kind": "storage#policy", "resourceId": f"projects/_/buckets/{bucket.name}", **policy}


@api.method("buckets.setIamPolicy")
def set_iam_policy(call: Call) -> dict[str, Any]:
    bucket = storage_of(call.emulator).bucket(call.path["bucket"])
    members = {member for one in call.body.get("bindings", []) for member in one.get("members", [])}
    enforced = bucket.resource["iamConfiguration"]["publicAccessPrevention"] == "enforced"
    if enforced and members & _PUBLIC:
        raise condition_not_met(
            "The member bindings allUsers and allAuthenticatedUsers are not allowed since public "
            "access prevention is enforced."
        )
    given = {key: value for key, value in call.body.items() if key not in ("kind", "resourceId")}
    policy = call.emulator.policies.set(_resource(bucket.name), given)
    return {"kind": "storage#policy", "resourceId": f"projects/_/buckets/{bucket.name}", **policy}


@api.method("buckets.testIamPermissions")
def test_iam_permissions(call: Call) -> dict[str, Any]:
    storage_of(call.emulator).bucket(call.path["bucket"])
    held = [one for one in call.query.get("permissions", []) if one not in call.emulator.faults.denied]
    return {"kind": "storage#testIamPermissionsResponse"} | ({"permissions": held} if held else {})


@api.method("buckets.getStorageLayout")
def get_storage_layout(call: Call) -> dict[str, Any]:
    resource = storage_of(call.emulator).bucket(call.path["bucket"]).resource
    return {
        "kind": "storage#storageLayout",
        "bucket": resource["name"],
        "location": resource["location"],
        "locationType": resource["locationType"],
        "hierarchicalNamespace": {"enabled": bool(resource.get("hierarchicalNamespace", {}).get("enabled"))},
    }


@api.method("projects.serviceAccount.get")
def service_account(call: Call) -> dict[str, Any]:
    number = call.emulator.projects.number(call.path["projectId"])
    return {
        "kind": "storage#serviceAccount",
        "email_address": f"service-{number}@gs-project-accounts.iam.gserviceaccount.com",
    }
