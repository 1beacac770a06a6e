"""Addresses in a registry: `oci://registry/repository[:tag][@sha256:…]`.

The digest is the registry's own, of the manifest, as every tool of the field means it; the package's digest is
checked beside it. The grammar is that of github.com/distribution/reference.
"""

import re
from dataclasses import dataclass

from ..errors import StorageError

SCHEME = "oci://"
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")

_REGISTRY = r"(?P<registry>[A-Za-z0-9.-]+(?::\d{1,5})?|\[[0-9a-fA-F:]+\](?::\d{1,5})?)"
_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REFERENCE = re.compile(
    rf"oci://{_REGISTRY}/(?P<repository>{_PART}(?:/{_PART})*)"
    r"(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9._-]{0,127}))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?"
)
_LOOPBACK = re.compile(r"(localhost|127\.\d+\.\d+\.\d+|\[::1\])(:\d+)?")


@dataclass(frozen=True)
class Reference:
    """A parsed address."""

    registry: str
    repository: str
    tag: str | None = None
    digest: str | None = None

    @classmethod
    def parse(cls, address: str) -> "Reference":
        """Raises StorageError for what is no address in a registry."""
        match = _REFERENCE.fullmatch(address)
        if match is None or len(match["repository"]) > 255:
            raise StorageError(
                f"{address}: must be oci://registry/repository, the repository in lower case, and may end in :tag "
                "or @sha256: and 64 hexadecimal digits"
            )
        return cls(match["registry"], match["repository"], match["tag"], match["digest"])

    @property
    def base(self) -> str:
        """The URL of the registry. Only one on this machine is spoken to without encryption."""
        scheme = "http" if is_loopback(self.registry) else "https"
        host = "registry-1.docker.io" if self.registry in ("docker.io", "index.docker.io") else self.registry
        return f"{scheme}://{host}"

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{SCHEME}{self.registry}/{self.repository}{tag}{digest}"


def is_loopback(host: str) -> bool:
    """Whether a `host[:port]` is this machine."""
    return _LOOPBACK.fullmatch(host) is not None
