"""Objects in the emulated S3, as the services read and write them for their containers."""

from __future__ import annotations

import tarfile
from pathlib import Path

from moto.s3.models import FakeBucket, S3Backend, s3_backends

from sandbox.aws.api import ACCOUNT


def split(uri: str) -> tuple[str, str]:
    """Bucket and key of an s3:// address."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bucket, key


def _backend() -> S3Backend:
    return s3_backends[ACCOUNT]["aws"]


def _bucket(name: str) -> FakeBucket | None:
    return _backend().buckets.get(name)


def keys(uri: str) -> list[str]:
    """The keys under a prefix, in order; none where the bucket does not exist."""
    name, prefix = split(uri)
    bucket = _bucket(name)
    return sorted(key for key in list(bucket.keys) if key.startswith(prefix)) if bucket else []


def exists(uri: str) -> bool:
    """Whether an object, or at least one object under a prefix that ends in /, exists."""
    name, key = split(uri)
    if key.endswith("/") or not key:
        return bool(keys(uri))
    bucket = _bucket(name)
    return bucket is not None and key in bucket.keys


def read(uri: str) -> bytes:
    """An object's bytes; raises FileNotFoundError."""
    name, key = split(uri)
    found = _backend().get_object(name, key) if _bucket(name) else None
    if found is None:
        raise FileNotFoundError(uri)
    return bytes(found.value)


def write(uri: str, data: bytes) -> None:
    """Store an object; raises FileNotFoundError where the bucket does not exist."""
    name, key = split(uri)
    if _bucket(name) is None:
        raise FileNotFoundError(uri)
    _backend().put_object(name, key, data)


def download(uri: str, folder: Path, *, exact: bool = False) -> int:
    """Copy the objects under a prefix into a folder, or with `exact` one object; gives their number."""
    name, prefix = split(uri)
    found = [prefix] if exact else keys(uri)
    base = prefix if prefix.endswith("/") or not prefix else prefix + "/"
    for key in found:
        if key.endswith("/"):
            continue
        # A prefix may end within a name: then what is kept starts after its last slash.
        relative = key.removeprefix(base if key.startswith(base) else prefix.rpartition("/")[0] + "/")
        path = (folder / relative).resolve()
        if not path.is_relative_to(folder.resolve()):
            raise FileNotFoundError(f"s3://{name}/{key} leads out of {folder}")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(read(f"s3://{name}/{key}"))
    return len(found)


def upload(folder: Path, uri: str) -> None:
    """Store every file under a folder below a prefix."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            write(f"{uri.rstrip('/')}/{path.relative_to(folder).as_posix()}", path.read_bytes())


def unpack(archive: Path, folder: Path) -> None:
    """Extract a model.tar.gz; members that lead out of the folder are refused."""
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
