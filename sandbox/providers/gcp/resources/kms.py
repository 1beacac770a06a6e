"""Cloud KMS. A ring and a key stay for ever; a deleted key loses its versions.

Source: Cloud KMS documentation, "Destroy and restore key versions".
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sandbox.providers.gcp.cloud import Call
from sandbox.providers.gcp.policies import Membership
from sandbox.providers.gcp.rest import NAME, Rest
from sandbox.providers.gcp.services import KMS
from sandbox.providers.resource import Values

_RING = "projects/{project}/locations/{location}/keyRings"


def _encode_key(values: Values, body: Values) -> None:
    if "rotationPeriod" in body:
        period = timedelta(seconds=float(body["rotationPeriod"].rstrip("s")))
        body["nextRotationTime"] = (datetime.now(UTC) + period).isoformat(timespec="microseconds")


def _decode_key(answer: Values, told: Values) -> None:
    told["primaries"] = [answer["primary"]] if answer.get("primary") else []


def _destroy_versions(call: Call, path: str, state: Values) -> None:
    token: str | None = ""
    while token is not None:
        page = call.send("GET", f"{path}/cryptoKeyVersions", query={"pageToken": token} if token else {})
        for version in page.get("cryptoKeyVersions") or []:
            if version["state"] not in ("DESTROYED", "DESTROY_SCHEDULED"):
                call.send("POST", f"{version['name']}:destroy", {})
        token = page.get("nextPageToken")
    if state.get("rotationPeriod"):
        call.send("PATCH", path, {}, query={"updateMask": "rotationPeriod,nextRotationTime"})


RESOURCES = [
    Rest(
        token="gcp:kms/keyRing:KeyRing",
        service=KMS,
        schema="KeyRing",
        path=f"{_RING}/{{name}}",
        create=f"{_RING}?keyRingId={{name}}",
        update_verb="",
        delete="",
        short=frozenset({"name"}),
        auto_name=NAME,
        force_new=frozenset({"name", "location"}),
    ).resource(),
    Rest(
        token="gcp:kms/cryptoKey:CryptoKey",
        service=KMS,
        schema="CryptoKey",
        path="{+keyRing}/cryptoKeys/{name}",
        create="{+keyRing}/cryptoKeys?cryptoKeyId={name}&skipInitialVersionCreation={skipInitialVersionCreation}",
        delete="",
        short=frozenset({"name"}),
        encode=_encode_key,
        decode=_decode_key,
        prepare_delete=_destroy_versions,
        auto_name=NAME,
        force_new=frozenset(
            {
                "name",
                "keyRing",
                "purpose",
                "destroyScheduledDuration",
                "importOnly",
                "cryptoKeyBackend",
                "skipInitialVersionCreation",
            }
        ),
        computed=frozenset({"cryptoKeyBackend", "destroyScheduledDuration", "importOnly", "versionTemplate"}),
        defaults={"purpose": "ENCRYPT_DECRYPT", "skipInitialVersionCreation": False},
    ).resource(),
    Membership("gcp:kms/cryptoKeyIAMMember:CryptoKeyIAMMember", KMS, "{+cryptoKeyId}", get_verb="GET").resource(),
]
