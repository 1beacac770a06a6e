"""Archives: deterministic when written; the tar form of a package is distrusted when read."""

import io
import shutil
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO

from .errors import PackageError
from .schema import MANIFEST, MAX_FILES, SIGNATURE, check_path

MAX_PACKAGE_BYTES = 20 * 1024**3
"""Unpacked; a compressed archive cannot claim the whole disk."""

BLOCK_BYTES = 1 << 20
"""Files are read and written in blocks of this size."""

_USTAR_BYTES = 8 * 1024**3
"""A file of this size or above does not fit into a header of the plain format."""

_MAX_EXTENDED_BYTES = 64 * 1024
_EXTENDED = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)

_EPOCH = (1980, 1, 1, 0, 0, 0)
"""The earliest time that a zip file can hold."""


Entry = tuple[int, Callable[[], IO[bytes]]]
"""The size of one file of an archive, and what opens it."""


def zip_bytes(files: dict[str, bytes]) -> bytes:
    """A zip whose bytes depend only on the files' names and contents."""
    target = io.BytesIO()
    write_zip(target, {name: (len(content), partial(io.BytesIO, content)) for name, content in files.items()})
    return target.getvalue()


def write_zip(target: IO[bytes], files: Mapping[str, Entry]) -> None:
    """Write a zip whose bytes depend only on the files' names and contents, block by block."""
    with zipfile.ZipFile(target, "w") as archive:
        for name, (size, opened) in sorted(files.items()):
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            entry.file_size = size  # tells zipfile whether the file needs 64-bit fields
            with opened() as source, archive.open(entry, "w") as sink:
                shutil.copyfileobj(source, sink, BLOCK_BYTES)


def write_tar(folder: Path, files: list[str], output: Path) -> Path:
    """Write the files of a package folder, and its signature if it has one, as a tar whose bytes depend only on
    theirs."""
    temporary = output.with_name(output.name + ".part")
    signature = [SIGNATURE] if (folder / SIGNATURE).is_file() else []
    sizes = {name: (folder / name).stat().st_size for name in [MANIFEST, *sorted(set(files) - {MANIFEST}), *signature]}
    kind = tarfile.USTAR_FORMAT if max(sizes.values()) < _USTAR_BYTES else tarfile.GNU_FORMAT
    with tarfile.open(temporary, "w", format=kind) as archive:
        for name, size in sizes.items():
            entry = tarfile.TarInfo(name)
            entry.size = size
            entry.mode = 0o644
            with (folder / name).open("rb") as source:
                archive.addfile(entry, source)
    temporary.replace(output)
    return output


def extract(archive: Path, folder: Path, allowed: Callable[[IO[bytes]], Mapping[str, int]], inside: str = "") -> None:
    """Unpack a package's tar (plain or gzip) into an empty folder.

    `allowed` reads the manifest, wherever in the archive it is, and says which files may come and of how many bytes
    at most: before that nothing is written. Refuses links, devices, paths that leave the folder, a file given twice,
    and too much of anything; the caller then verifies every byte against the manifest. With `inside` all files must
    lie in that folder of the archive, which is left out of their paths.
    """
    try:
        with tarfile.open(archive, "r:*", tarinfo=_Header) as source:
            sizes = next(
                (allowed(_opened(source, one)) for name, one in _files(source, inside) if name == MANIFEST), None
            )
        if sizes is None:
            raise PackageError(f"{MANIFEST}: missing from {archive.name}", file=MANIFEST)
        with tarfile.open(archive, "r:*", tarinfo=_Header) as source:
            for name, entry in _files(source, inside):
                _write(source, entry, name, folder, sizes)
    except (tarfile.TarError, EOFError, OSError) as error:
        raise PackageError(f"{archive}: not a readable tar: {error}", file=str(archive)) from error


class _Header(tarfile.TarInfo):
    """Refuses long extended headers, which tarfile would read into memory whole."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> "_Header":
        found = super().frombuf(buf, encoding, errors)
        if found.type in _EXTENDED and found.size > _MAX_EXTENDED_BYTES:
            raise tarfile.ReadError(f"an extended header of {found.size:,} bytes, the limit is {_MAX_EXTENDED_BYTES:,}")
        return found


def _files(source: tarfile.TarFile, inside: str) -> Iterator[tuple[str, tarfile.TarInfo]]:
    """The files in the archive by their path in the package; whatever else it holds is refused."""
    seen: set[str] = set()
    total = 0
    for number, entry in enumerate(source):
        if number > 2 * MAX_FILES:
            raise PackageError(f"{entry.name!r}: comes after {number:,} others, too many", file=entry.name)
        name = entry.name.removeprefix("./")
        if entry.isdir() and (name in ("", ".") or check_path(name.rstrip("/")) is None):
            continue
        problem = check_path(name)
        if problem is None and not entry.isreg():
            problem = "is a link or a device, not a file"
        elif problem is None and entry.issparse():
            problem = "is a sparse file"
        elif problem is None and name in seen:
            problem = "appears twice in the archive"
        elif problem is None and inside and not name.startswith(f"{inside}/"):
            problem = f"lies elsewhere: the archive must hold {inside}/ alone"
        total += max(entry.size, 0)
        if problem is None and (len(seen) >= MAX_FILES or total > MAX_PACKAGE_BYTES):
            problem = f"goes over the limit of {MAX_FILES:,} files or {MAX_PACKAGE_BYTES:,} bytes"
        if problem:
            raise PackageError(f"{entry.name!r}: {problem}", file=entry.name)
        seen.add(name)
        yield name.removeprefix(f"{inside}/") if inside else name, entry


def _opened(source: tarfile.TarFile, entry: tarfile.TarInfo) -> IO[bytes]:
    content = source.extractfile(entry)
    if content is None:
        raise PackageError(f"{entry.name!r}: cannot be read", file=entry.name)
    return content


def _write(source: tarfile.TarFile, entry: tarfile.TarInfo, name: str, folder: Path, sizes: Mapping[str, int]) -> None:
    if name not in sizes:
        raise PackageError(f"{name}: not in {MANIFEST}", file=name)
    if entry.size > sizes[name]:
        raise PackageError(f"{name}: {entry.size:,} bytes, {MANIFEST} allows {sizes[name]:,}", file=name)
    target = folder / PurePosixPath(name)
    target.parent.mkdir(parents=True, exist_ok=True)
    with _opened(source, entry) as content, target.open("xb") as sink:
        shutil.copyfileobj(content, sink, BLOCK_BYTES)
