"""Cloud KMS: key rings, keys and their versions, as resources; nothing is encrypted with them.

Sources: Cloud KMS API v1, projects.locations.keyRings, cryptoKeys and cryptoKeyVersions (ids, defaults, what is
immutable); "Key states". Key rings and keys cannot be deleted.
"""

from __future__ import annotations

import copy
import re
from datetime import datetime, timedelta
from typing import Any

from sandbox.google import api as standard
from sandbox.google.api import Api, Call, Collection, Resource, asked_id
from sandbox.google.errors import GoogleError, invalid, precondition
from sandbox.google.operations import timestamp

api = Api("cloudkms", "v1", "google.cloud.kms.v1")
RINGS = "projects.locations.keyRings"
KEYS = f"{RINGS}.cryptoKeys"
VERSIONS = f"{KEYS}.cryptoKeyVersions"
_ID = re.compile(r"[a-zA-Z0-9_-]{1,63}")
_DEFAULT_DESTRUCTION = "2592000s"
"""30 days, as the field destroyScheduledDuration says."""


def _check_id(call: Call, resource: Resource) -> None:
    wanted = asked_id(call, resource) if call.method.verb == "create" else "x"
    if not wanted or not _ID.fullmatch(wanted):
        raise invalid(f"The id {wanted or ''!r} must match [a-zA-Z0-9_-]{{1,63}}.")


def _check_key(call: Call, key: Resource) -> None:
    _check_id(call, key)
    if call.method.verb == "create":
        call.find(RINGS)
        if key.get("purpose", "CRYPTO_KEY_PURPOSE_UNSPECIFIED") == "CRYPTO_KEY_PURPOSE_UNSPECIFIED":
            raise invalid(
                "The purpose of a CryptoKey must be specified.", [("crypto_key.purpose", "must be specified")]
            )
        if key["purpose"] != "ENCRYPT_DECRYPT" and not key.get("versionTemplate", {}).get("algorithm"):
            raise invalid("A key of this purpose needs version_template.algorithm.")
    if key.get("rotationPeriod"):
        seconds = float(key["rotationPeriod"].removesuffix("s"))
        if not 86_400 <= seconds <= 876_000 * 3600:
            raise invalid("The rotation period must be from 24 hours to 876,000 hours.")
        if not key.get("nextRotationTime"):
            raise invalid("If rotation_period is set, next_rotation_time must also be set.")


def _complete_ring(call: Call, ring: Resource) -> None:
    ring["createTime"] = call.now


def _complete_key(call: Call, key: Resource) -> None:
    if call.method.verb != "create":
        return
    key["createTime"] = call.now
    key.setdefault("destroyScheduledDuration", _DEFAULT_DESTRUCTION)
    template = key.setdefault("versionTemplate", {})
    template.setdefault("protectionLevel", "SOFTWARE")
    if key["purpose"] == "ENCRYPT_DECRYPT":
        template.setdefault("algorithm", "GOOGLE_SYMMETRIC_ENCRYPTION")
    if not call.query.get("skipInitialVersionCreation"):
        first = _version(call, key, 1)
        if key["purpose"] == "ENCRYPT_DECRYPT":
            key["primary"] = first


def _version(call: Call, key: Resource, number: int) -> Resource:
    version = {
        "name": f"{key['name']}/cryptoKeyVersions/{number}",
        "state": "ENABLED",
        "protectionLevel": key["versionTemplate"]["protectionLevel"],
        "algorithm": key["versionTemplate"]["algorithm"],
        "createTime": call.now,
        "generateTime": call.now,
    }
    call.table(VERSIONS)[version["name"]] = version
    return copy.deepcopy(version)


api.add(Collection(RINGS, "KeyRing", check=_check_id, complete=_complete_ring, times=None))
api.add(Collection(KEYS, "CryptoKey", check=_check_key, complete=_complete_key, times=None))
api.add(Collection(VERSIONS, "CryptoKeyVersion", times=None))


@api.method(f"{RINGS}.create", f"{KEYS}.create")
def create(call: Call) -> Resource:
    call.body.pop("name", None)
    try:
        return standard.create(call)
    except GoogleError as error:
        if error.status != "ALREADY_EXISTS":
            raise
        kind = call.collection.kind
        name = f"{call.canonical(call.name)}/{call.method.collection.rpartition('.')[2]}/{asked_id(call, {})}"
        raise GoogleError("ALREADY_EXISTS", f"{kind} {name} already exists.") from error


def versions_of(call: Call, key: str) -> list[Resource]:
    """The versions of a key, the first one first."""
    return [one for name, one in call.table(VERSIONS).items() if name.startswith(f"{key}/")]


@api.method(f"{VERSIONS}.create")
def create_version(call: Call) -> Resource:
    with call.emulator.store.lock:
        key = call.find(KEYS)
        return _version(call, key, len(versions_of(call, key["name"])) + 1)


@api.method(f"{KEYS}.updatePrimaryVersion")
def update_primary(call: Call) -> Resource:
    with call.emulator.store.lock:
        key = call.find(KEYS)
        version = call.find(VERSIONS, f"{key['name']}/cryptoKeyVersions/{call.body.get('cryptoKeyVersionId', '')}")
        if version["state"] != "ENABLED":
            raise precondition(f"{version['name']} is not enabled, current state is: {version['state']}.")
        key["primary"] = copy.deepcopy(version)
        return copy.deepcopy(key)


@api.method(f"{VERSIONS}.destroy")
def destroy(call: Call) -> Resource:
    def change(version: Resource, key: Resource) -> None:
        if version["state"] not in ("ENABLED", "DISABLED"):
            raise precondition(f"{version['name']} cannot be destroyed in the state {version['state']}.")
        wait = timedelta(seconds=float(key["destroyScheduledDuration"].removesuffix("s")))
        version["destroyTime"] = timestamp(call.emulator.clock.now() + wait)
        version["state"] = "DESTROY_SCHEDULED"

    return _changed(call, change)


@api.method(f"{VERSIONS}.restore")
def restore(call: Call) -> Resource:
    def change(version: Resource, key: Resource) -> None:
        due = version.get("destroyTime")
        if due is None or datetime.fromisoformat(due.replace("Z", "+00:00")) <= call.emulator.clock.now():
            raise precondition(f"{version['name']} is not scheduled for destruction.")
        del version["destroyTime"]
        version["state"] = "DISABLED"

    return _changed(call, change)


@api.method(f"{VERSIONS}.patch")
def patch_version(call: Call) -> Resource:
    def change(version: Resource, key: Resource) -> None:
        wanted = call.body.get("state")
        if wanted not in ("ENABLED", "DISABLED") or version["state"] not in ("ENABLED", "DISABLED"):
            raise precondition(f"The state of {version['name']} cannot become {wanted} from {version['state']}.")
        version["state"] = wanted

    return _changed(call, change)


def _changed(call: Call, change: Any) -> Resource:
    with call.emulator.store.lock:
        version = call.find(VERSIONS)
        key = call.find(KEYS, version["name"].partition("/cryptoKeyVersions/")[0])
        change(version, key)
        if key.get("primary", {}).get("name") == version["name"]:
            key["primary"] = copy.deepcopy(version)
        return copy.deepcopy(version)
