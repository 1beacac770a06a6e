"""Addresses of packages, and reading and writing them through fsspec.

An address is a local path or a URL that fsspec knows (`s3://…`, `gs://…`, `file://…`), and may end
in `@sha256:<64 hexadecimal digits>`, the digest that must be found there.
"""

import os
import re
import shutil
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .errors import ModelberthError, StorageError

OBJECT_STORES = frozenset({"abfs", "adl", "az", "gcs", "gs", "http", "https", "oss", "s3", "s3a"})
"""Protocols of fsspec that know no folders: making one would try to create the bucket."""

_CONTENT_TYPE = {"gs": "content_type", "s3": "ContentType"}
"""What gcsfs and s3fs call the option."""

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


def write_file(location: str, content: bytes) -> None:
    """Write one file behind a URL, or here, as `place` does. StorageError where that fails."""
    fs, path = filesystem(location if is_remote(location) else Path(location).absolute().as_uri())
    with explained(location, "write"):
        place(fs, path, content)


def place(
    fs: Any, path: str, content: bytes | Path, scratch: Path | None = None, content_type: str | None = None
) -> None:
    """Write one file whole, from bytes or from a file, and make the folders above it.

    Whoever reads, and whenever this process is killed: the file is what it was before, or all of the new one. An
    object store promises that by itself; on a disk the file is renamed into place, out of `scratch`, a folder on the
    same disk (by default the file's own), where a killed process leaves a hidden file behind. Of S3 and Cloud Storage a
    browser gets `content_type` with the file, and so shows it instead of saving it.
    """
    if "file" in fs.protocol:
        replace_file(Path(path), content, scratch)
        return
    protocols = {fs.protocol} if isinstance(fs.protocol, str) else {*fs.protocol}
    if not OBJECT_STORES & protocols:
        fs.makedirs(path.rpartition("/")[0], exist_ok=True)
    named = next((name for protocol, name in _CONTENT_TYPE.items() if protocol in protocols), None)
    options = {named: content_type} if named and content_type else {}
    if isinstance(content, Path):
        fs.put_file(str(content), path, **options)
    else:
        fs.pipe_file(path, content, **options)


def replace_file(path: Path, content: bytes | Path, scratch: Path | None = None) -> None:
    """What `place` does on a disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=scratch or path.parent, prefix=".modelberth-")
    try:
        with os.fdopen(descriptor, "wb") as sink:
            if isinstance(content, Path):
                with content.open("rb") as source:
                    shutil.copyfileobj(source, sink)
            else:
                sink.write(content)
        os.chmod(temporary, 0o644)  # mkstemp makes it private, and another user may be the one who reads
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


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
        extra = {"s3": "aws", "gs": "gcp", "gcs": "gcp"}.get(location.partition("://")[0])
        hint = f'install "modelberth[{extra}]"' if extra else "install the library it names"
        raise StorageError(f"cannot {action} {location}: {_first_line(error)}; {hint}") from error
    except Exception as error:
        raise StorageError(f"cannot {action} {location}: {_first_line(error)}") from error


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
