"""The part of the OCI distribution protocol that packages need, over requests.

https://github.com/opencontainers/distribution-spec/blob/main/spec.md, and for tokens
https://distribution.github.io/distribution/spec/auth/token/. Everything that comes is checked against its digest,
and nothing is held in memory whole but manifests.
"""

import base64
import hashlib
import json
import re
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast
from urllib.parse import urljoin, urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.util.retry import Retry

from ..errors import PackageError, StorageError
from . import credentials
from .reference import Reference, is_loopback

MAX_MANIFEST_BYTES = 4 * 1024 * 1024
"""What registries take (the specification asks them for at least this)."""

_BLOCK = 1 << 20
_TIMEOUT = (15, 300)
_MAX_ANSWER_BYTES = 1024 * 1024


class Registry:
    """One repository of a registry."""

    def __init__(self, reference: Reference) -> None:
        self._reference = reference
        self._authorization: str | None = None
        self._session = requests.Session()
        # Credentials come from Docker's configuration alone, not also from a .netrc.
        self._session.auth = lambda request: request
        # A proxy of this machine's has no business with loopback.
        self._session.trust_env = not is_loopback(reference.registry)
        passing = (429, 502, 503, 504)
        retry = Retry(total=4, connect=2, backoff_factor=0.3, status_forcelist=passing, raise_on_status=False)
        self._session.mount("https://", HTTPAdapter(max_retries=retry))
        self._session.mount("http://", HTTPAdapter(max_retries=retry))

    def close(self) -> None:
        self._session.close()

    def manifest(self, reference: str, media_types: Iterable[str]) -> tuple[str, bytes]:
        """The digest and the bytes of a manifest by its tag or digest. Raises StorageError, or PackageError when the
        bytes are not those of the digest that was asked for."""
        answer = self._call("GET", f"manifests/{reference}", headers={"Accept": ", ".join(media_types)}, stream=True)
        with answer:
            if answer.status_code == 404:
                raise StorageError(f"cannot read {self._reference}: there is no {reference} in this repository")
            self._check(answer, 200, "read")
            content = _at_most(answer, MAX_MANIFEST_BYTES, f"the manifest of {self._reference}")
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        if reference.startswith("sha256:") and digest != reference:
            raise PackageError(f"{self._reference}: the manifest that came has the digest {digest}")
        return digest, content

    def put_manifest(self, reference: str, content: bytes, media_type: str) -> None:
        """Store a manifest under a tag or its digest."""
        headers = {"Content-Type": media_type}
        with self._call("PUT", f"manifests/{reference}", data=content, headers=headers) as answer:
            self._check(answer, 201, "write")

    def has_blob(self, digest: str) -> bool:
        """Whether the repository holds the blob."""
        with self._call("HEAD", f"blobs/{digest}") as answer:
            if answer.status_code == 404:
                return False
            self._check(answer, 200, "read")
            return True

    def put_blob(self, digest: str, source: IO[bytes], size: int) -> None:
        """Upload a blob unless it is there already."""
        if self.has_blob(digest):
            return
        with self._call("POST", "blobs/uploads/") as answer:
            self._check(answer, 202, "write")
            target = urljoin(answer.url, answer.headers.get("Location", ""))
        separator = "&" if urlsplit(target).query else "?"
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(size)}
        # requests sends a file block by block, but asks for chunks where it finds no bytes.
        data: Any = source if size else b""
        with self._send("PUT", f"{target}{separator}digest={digest}", data=data, headers=headers) as answer:
            self._check(answer, 201, "write")

    def get_blob(self, digest: str, size: int, target: Path) -> None:
        """Download a blob of exactly this size into a new file. Raises PackageError when other bytes come."""
        found = hashlib.sha256()
        with self._call("GET", f"blobs/{digest}", stream=True, headers={"Accept-Encoding": "identity"}) as answer:
            self._check(answer, 200, "read")
            with self._explained("read"), target.open("xb") as sink:
                left = size
                for block in answer.iter_content(_BLOCK):
                    left -= len(block)
                    if left < 0:
                        break
                    found.update(block)
                    sink.write(block)
        if left or f"sha256:{found.hexdigest()}" != digest:
            raise PackageError(f"{self._reference}: the blob {digest} came with other bytes than its digest says")

    def _call(self, method: str, path: str, **options: Any) -> requests.Response:
        return self._send(method, f"{self._reference.base}/v2/{self._reference.repository}/{path}", **options)

    def _send(self, method: str, url: str, **options: Any) -> requests.Response:
        """A request with the credentials that the registry asks for."""
        headers: dict[str, str] = options.pop("headers", {})
        ours = urlsplit(url)[:2] == urlsplit(self._reference.base)[:2]
        body = options.get("data")
        for attempt in (1, 2):
            # What another host is sent to must carry its own permission in its address.
            authorization = {"Authorization": self._authorization} if self._authorization and ours else {}
            with self._explained("reach"):
                answer = self._session.request(
                    method, url, headers=headers | authorization, timeout=_TIMEOUT, **options
                )
            if answer.status_code != 401 or attempt == 2 or not ours:
                return answer
            answer.close()
            self._authorization = self._authorize(answer.headers.get("WWW-Authenticate", ""), method)
            if hasattr(body, "seek"):
                cast(IO[bytes], body).seek(0)
        raise AssertionError("unreachable")

    def _authorize(self, challenge: str, method: str) -> str:
        """The Authorization header that the registry's challenge asks for."""
        known = credentials.find(self._reference.registry)
        scheme, _, rest = challenge.partition(" ")
        if scheme.lower() == "basic":
            if known is None or not known.user:
                raise StorageError(self._denied("it asks for a user and a password"))
            return _basic(known)
        parameters: dict[str, str] = dict(re.findall(r'(\w+)="([^"]*)"', rest))
        realm = parameters.get("realm", "")
        parts = urlsplit(realm)
        if scheme.lower() != "bearer" or not (parts.scheme == "https" or is_loopback(parts.netloc)):
            raise StorageError(f"cannot reach {self._reference}: it asks for credentials as {challenge[:120]!r}")
        wanted = "pull" if method in ("GET", "HEAD") else "pull,push"
        scope = parameters.get("scope") or f"repository:{self._reference.repository}:{wanted}"
        fields = {"service": parameters.get("service", ""), "scope": scope}
        with self._explained("log in to"):
            if known and known.identity_token:
                form = {"grant_type": "refresh_token", "client_id": "modelberth", "refresh_token": known.identity_token}
                answer = self._session.post(realm, data=fields | form, timeout=_TIMEOUT, stream=True)
            else:
                headers = {"Authorization": _basic(known)} if known else {}
                answer = self._session.get(realm, params=fields, headers=headers, timeout=_TIMEOUT, stream=True)
        with answer:
            if answer.status_code != 200:
                raise StorageError(self._denied(f"its token service answers {answer.status_code}"))
            try:
                found: dict[str, Any] = json.loads(_at_most(answer, _MAX_ANSWER_BYTES, realm))
                return f"Bearer {found.get('token') or found['access_token']}"
            except (ValueError, KeyError, AttributeError):
                raise StorageError(self._denied("its token service gives no token")) from None

    def _denied(self, reason: str) -> str:
        registry = self._reference.registry
        return f"cannot log in to {registry}: {reason}; log in with: docker login {registry}"

    def _check(self, answer: requests.Response, expected: int, action: str) -> None:
        if answer.status_code == expected:
            return
        if answer.status_code in (401, 403):
            registry = self._reference.registry
            raise StorageError(
                f"cannot {action} {self._reference}: access denied ({answer.status_code}); log in with: "
                f"docker login {registry}"
            )
        said = ""
        if answer.request.method != "HEAD":
            try:
                said = str(answer.json()["errors"][0]["message"])[:200]
            except (ValueError, KeyError, IndexError, TypeError, requests.RequestException):
                said = ""
        hint = f": {said}" if said else ""
        raise StorageError(f"cannot {action} {self._reference}: the registry answers {answer.status_code}{hint}")

    @contextmanager
    def _explained(self, action: str) -> Generator[None]:
        try:
            yield
        except requests.RequestException as error:
            reason = str(error).splitlines()[0][:300]
            raise StorageError(f"cannot {action} {self._reference}: {type(error).__name__}: {reason}") from error


def _basic(known: credentials.Credentials) -> str:
    return "Basic " + base64.b64encode(f"{known.user}:{known.password}".encode()).decode()


def _at_most(answer: requests.Response, limit: int, what: str) -> bytes:
    content = b""
    for block in answer.iter_content(1 << 16):
        content += block
        if len(content) > limit:
            raise StorageError(f"{what} is larger than {limit:,} bytes")
    return content
