"""Keys of service accounts.

Source: IAM API v1, projects.serviceAccounts.keys (what a key holds when it is made, and later). The private key is one
of RSA; it can sign, but nothing in the emulator asks for its signatures.
"""

from __future__ import annotations

import base64
import copy
import json
import secrets
from datetime import timedelta
from typing import Any

from sandbox.google.api import Call, Resource
from sandbox.google.errors import GoogleError, precondition
from sandbox.google.iam.accounts import find
from sandbox.google.iam.api import KEYS, api
from sandbox.google.operations import timestamp

MOST_KEYS = 10


def _pair() -> tuple[str, str]:
    """A new private key and its public key, in PEM."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return (
        private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode(),
        private.public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        .decode(),
    )


@api.method(f"{KEYS}.create")
def create(call: Call) -> Resource:
    with call.emulator.store.lock:
        account = copy.deepcopy(find(call))
        if sum(name.startswith(f"{account['name']}/") for name in call.table()) >= MOST_KEYS:
            raise precondition(f"A service account has at most {MOST_KEYS} keys.")
    private, public = _pair()
    number = secrets.token_hex(20)
    now = call.emulator.clock.now()
    key: dict[str, Any] = {
        "name": f"{account['name']}/keys/{number}",
        "validAfterTime": timestamp(now),
        "validBeforeTime": timestamp(now + timedelta(days=3650)),
        "keyAlgorithm": "KEY_ALG_RSA_2048",
        "keyOrigin": "GOOGLE_PROVIDED",
        "keyType": "USER_MANAGED",
    }
    with call.emulator.store.lock:
        call.table()[key["name"]] = {**key, "publicKeyData": base64.b64encode(public.encode()).decode()}
    credentials = {
        "type": "service_account",
        "project_id": account["projectId"],
        "private_key_id": number,
        "private_key": private,
        "client_email": account["email"],
        "client_id": account["uniqueId"],
        "auth_uri": "https://accounts.google.com/o/oauth2/auth",
        "token_uri": "https://oauth2.googleapis.com/token",
        "universe_domain": "googleapis.com",
    }
    return {
        **key,
        "privateKeyType": "TYPE_GOOGLE_CREDENTIALS_FILE",
        "privateKeyData": base64.b64encode(json.dumps(credentials, indent=2).encode()).decode(),
    }


def _find_key(call: Call) -> Resource:
    name = f"{find(call)['name']}/keys/{call.name.rpartition('/')[2]}"
    found = call.table(KEYS).get(name)
    if found is None:
        raise GoogleError("NOT_FOUND", api.not_found("service account key", name))
    return found


@api.method(f"{KEYS}.get")
def get(call: Call) -> Resource:
    with call.emulator.store.lock:
        key = copy.deepcopy(_find_key(call))
    if call.query.get("publicKeyType", "TYPE_NONE") == "TYPE_NONE":
        key.pop("publicKeyData", None)
    return key


@api.method(f"{KEYS}.list")
def list_keys(call: Call) -> Resource:
    with call.emulator.store.lock:
        prefix = f"{find(call)['name']}/"
        found = [copy.deepcopy(one) for name, one in call.table(KEYS).items() if name.startswith(prefix)]
    for one in found:
        one.pop("publicKeyData", None)
    return {"keys": found} if found else {}


@api.method(f"{KEYS}.delete")
def delete(call: Call) -> Resource:
    with call.emulator.store.lock:
        del call.table(KEYS)[_find_key(call)["name"]]
    return {}
