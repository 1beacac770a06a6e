"""Addresses of packages, and reading and writing them through fsspec.

An address is a local path or a URL that fsspec knows (`s3://…`, `gs://…`, `file://…`), and may end
in `@sha256:<64 hexadecimal digits>`, the digest that must be found there.
"""

import re
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from .errors import ModelberthError, StorageError

_DIGEST = re.compile(r"@(sha256:[0-9a-f]{64})$")


def split_address(address: str) -> tuple[str, str | None]:
    """The location and the digest that an address asks for."""
    match = _DIGEST.search(address)
    if match:
        return address[: match.start()], match.group(1)
    if "@sha256:" in address:
        raise StorageError(f"{address}: a digest is sha256: and 64 hexadecimal digits in lower case")
    return address, None


def is_remote(location: str) -> bool:
    """Whether the location is a URL, not a path of this machine."""
    return re.match(r"^[A-Za-z][A-Za-z0-9+.-]+://", location) is not None


def filesystem(location: str, options: dict[str, Any] | None = None) -> tuple[Any, str]:
    """The fsspec filesystem of a URL, and the path within it."""
    from importlib import import_module

    url_to_fs: Any = import_module("fsspec.core").url_to_fs  # fsspec carries no types
    with explained(location, "open"):
        # A listing kept from before would hide what another process wrote.
        settings = {"skip_instance_cache": True, "use_listings_cache": False, **(options or {})}
        scheme = location.split("://", 1)[0]
        if scheme in ("file", "local", "memory"):
            settings = dict(options or {})
        return url_to_fs(location, **settings)


@contextmanager
def explained(location: str, action: str) -> Generator[None]:
    """Turn whatever a storage library raises into one sentence with the address."""
    try:
        yield
    except ModelberthError:
        raise
    except FileNotFoundError as error:
        detail = "does not exist" if str(error) in ("", location) else f"does not exist ({_first_line(error)})"
        raise StorageError(f"cannot {action} {location}: {detail}") from error
    except PermissionError as error:
        raise StorageError(f"cannot {action} {location}: access denied ({_first_line(error)})") from error
    except ImportError as error:
        hint = 'install "modelberth[aws]"' if location.startswith("s3://") else "install the library it names"
        raise StorageError(f"cannot {action} {location}: {_first_line(error)}; {hint}") from error
    except Exception as error:
        raise StorageError(f"cannot {action} {location}: {_first_line(error)}") from error


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
