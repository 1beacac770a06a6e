"""The metadata server, from which a program in Google Cloud takes its project and its service account's tokens.

Source: Compute Engine, "About VM metadata" (the header Metadata-Flavor, the project's and service accounts' keys).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sandbox.google.emulator import Emulator

_PREFIX = "/computeMetadata/v1/"
_SCOPE = "https://www.googleapis.com/auth/cloud-platform"


def answer(emulator: Emulator, path: str, headers: Mapping[str, str]) -> tuple[int, dict[str, str], bytes] | None:
    """The answer to a metadata request; None for any other."""
    flavor = {"Metadata-Flavor": "Google"}
    if path == "/" and "metadata-flavor" in headers:
        return 200, flavor, b"computeMetadata/\n"
    if not path.startswith(_PREFIX):
        return None
    if headers.get("metadata-flavor") != "Google":
        return 403, {"Content-Type": "text/plain"}, b"Missing Metadata-Flavor:Google header."
    from sandbox.google.emulator import PROJECT

    number = emulator.projects.number(PROJECT)
    email = f"{number}-compute@developer.gserviceaccount.com"
    key = path.removeprefix(_PREFIX).strip("/")
    account, _, field = key.removeprefix("instance/service-accounts/").partition("/")
    if key == "project/project-id":
        found: object = PROJECT
    elif key == "project/numeric-project-id":
        found = number
    elif key == "universe/universe-domain":
        found = "googleapis.com"
    elif not key.startswith("instance/service-accounts/") or account not in ("default", email):
        return 404, flavor, b"Not Found"
    elif field == "":
        found = {"aliases": ["default"], "email": email, "scopes": [_SCOPE]}
    elif field == "email":
        found = email
    elif field == "token":
        found = {"access_token": f"ya29.sandbox.{email}", "expires_in": 3599, "token_type": "Bearer"}
    else:
        return 404, flavor, b"Not Found"
    if isinstance(found, str):
        return 200, {**flavor, "Content-Type": "application/text"}, found.encode()
    return 200, {**flavor, "Content-Type": "application/json"}, json.dumps(found).encode()
