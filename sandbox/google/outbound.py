"""Requests that services of the emulated cloud send: to Google's own APIs, which the emulator answers, and to loopback.

Sources: Pub/Sub, "Authenticate push subscriptions" and Cloud Scheduler, "Use authentication with HTTP targets" (which
token is sent, and its claims). An identity token of the emulator is formed like Google's, but nobody's key signs it.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from sandbox.google.emulator import Emulator

ISSUER = "https://accounts.google.com"


class Unreachable(Exception):
    """A request got no answer; the text says why."""


def send(
    emulator: Emulator,
    method: str,
    url: str,
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
    timeout: float = 60.0,
) -> tuple[int, dict[str, str], bytes]:
    """The status, headers and body of an answer.

    Raises:
        Unreachable: nothing answers in time, or the host is neither one of Google's APIs nor on loopback.
    """
    import requests

    parts = urlsplit(url)
    host = parts.hostname or ""
    if host.endswith(".googleapis.com"):
        url = f"{emulator.url}/{host}{parts.path}" + (f"?{parts.query}" if parts.query else "")
    elif host not in ("127.0.0.1", "localhost", "::1"):
        raise Unreachable(
            f"the sandbox sends nothing to {host}: only to Google's APIs, which it emulates, and loopback"
        )
    try:
        answer = requests.request(
            method, url, headers=dict(headers or {}), data=body, timeout=timeout, allow_redirects=False
        )
    except requests.RequestException as error:
        raise Unreachable(f"{url} does not answer: {type(error).__name__}") from error
    return answer.status_code, {key.lower(): value for key, value in answer.headers.items()}, answer.content


def access_token(account: str) -> str:
    """A service account's OAuth access token."""
    return f"ya29.sandbox.{account}"


def identity_token(emulator: Emulator, account: str, audience: str) -> str:
    """A service account's OpenID Connect token for an audience."""
    now = int(time.time())
    claims = {
        "iss": ISSUER,
        "aud": audience,
        "azp": account,
        "sub": account,
        "email": account,
        "email_verified": True,
        "iat": now,
        "exp": now + 3600,
    }
    parts = [_encoded({"alg": "RS256", "kid": emulator.instance_id, "typ": "JWT"}), _encoded(claims)]
    return ".".join([*parts, base64.urlsafe_b64encode(b"sandbox").decode().rstrip("=")])


def _encoded(content: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).decode().rstrip("=")


def claims_of(token: str) -> dict[str, Any]:
    """The claims of an identity token; none of any other token."""
    payload = token.split(".")[1] if token.count(".") == 2 else ""
    try:
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except ValueError:
        return {}
    return claims if isinstance(claims, dict) and claims.get("iss") == ISSUER else {}
