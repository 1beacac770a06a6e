"""Users and passwords of registries, from where `docker login` keeps them.

https://docs.docker.com/reference/cli/docker/login/#credential-stores and
https://github.com/docker/docker-credential-helpers
"""

import base64
import json
import os
import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from ..errors import StorageError

_DOCKER_HUB = "https://index.docker.io/v1/"
_HELPER_SECONDS = 30


@dataclass(frozen=True)
class Credentials:
    """A user with a password, or a token to get access by."""

    user: str
    password: str = field(repr=False)
    identity_token: str = field(default="", repr=False)


def find(registry: str) -> Credentials | None:
    """The credentials for a registry; None where there are none. Raises StorageError for a file or a helper that
    cannot be read."""
    path = Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker") / "config.json"
    try:
        document: Any = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise StorageError(f"cannot read {path}: {error}") from None
    if not isinstance(document, dict):
        raise StorageError(f"cannot read {path}: it must hold a JSON object")
    config = cast(dict[str, Any], document)
    keys = [registry, f"https://{registry}", f"https://{registry}/v1/", f"https://{registry}/v2/"]
    if registry in ("docker.io", "index.docker.io"):
        keys.insert(0, _DOCKER_HUB)
    helpers: dict[str, Any] = config.get("credHelpers") or {}
    for key in keys:
        if key in helpers:
            return _ask(str(helpers[key]), key, path)
    entries: dict[str, Any] = config.get("auths") or {}
    for key in keys:
        entry: Any = entries.get(key)
        if entry:
            found = _entry(cast(dict[str, Any], entry), key, path)
            if found:
                return found
    store = config.get("credsStore")
    if store:
        return next((found for key in keys[:2] if (found := _ask(str(store), key, path))), None)
    return None


def _entry(entry: dict[str, Any], key: str, path: Path) -> Credentials | None:
    token = str(entry.get("identitytoken") or "")
    if not entry.get("auth"):
        user = str(entry.get("username") or "")
        return Credentials(user, str(entry.get("password") or ""), token) if user or token else None
    try:
        user, found, password = base64.b64decode(str(entry["auth"]), validate=True).decode().partition(":")
    except ValueError:
        user, found, password = "", "", ""
    if not found:
        raise StorageError(f"cannot read {path}: auths.{key}.auth must be base64 of user:password; log in again")
    return Credentials(user, password.rstrip("\0"), token)


def _ask(helper: str, key: str, path: Path) -> Credentials | None:
    if not re.fullmatch(r"[A-Za-z0-9_.-]+", helper):
        raise StorageError(f"cannot read {path}: {helper!r} is no name of a credential helper")
    program = f"docker-credential-{helper}"
    try:
        done = subprocess.run(
            [program, "get"], input=key, capture_output=True, text=True, timeout=_HELPER_SECONDS, check=False
        )
    except FileNotFoundError:
        raise StorageError(f"{path} names the credential helper {program}, which is not on the path") from None
    except subprocess.TimeoutExpired:
        raise StorageError(f"{program} gave no credentials for {key} within {_HELPER_SECONDS} s") from None
    if done.returncode:
        if "credentials not found" in done.stdout + done.stderr:
            return None
        said = (done.stdout + done.stderr).strip().splitlines()
        raise StorageError(f"{program} gave no credentials for {key}: {said[-1] if said else done.returncode}")
    try:
        answer: dict[str, str] = json.loads(done.stdout)
        user, secret = answer["Username"], answer["Secret"]
    except (ValueError, KeyError, TypeError):
        raise StorageError(f"{program} gave something else than credentials for {key}") from None
    return Credentials("", "", secret) if user == "<token>" else Credentials(user, secret)
