"""Archives: deterministic when written; the tar form of a package is distrusted when read."""

import io
import shutil
import tarfile
import zipfile
from pathlib import Path, PurePosixPath

from .errors import PackageError
from .schema import MANIFEST, MAX_FILES, SIGNATURE, check_path

MAX_PACKAGE_BYTES = 20 * 1024**3
"""Unpacked; a compressed archive cannot claim the whole disk."""


_EPOCH = (1980, 1, 1, 0, 0, 0)
"""The earliest time that a zip file can hold."""


def zip_bytes(files: dict[str, bytes]) -> bytes:
    """A zip whose bytes depend only on the files' names and contents."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for name, content in sorted(files.items()):
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, content, compresslevel=6)
    return target.getvalue()


def write_tar(folder: Path, files: list[str], output: Path) -> Path:
    """Write the files of a package folder, and its signature if it has one, as a tar whose bytes depend only on
    theirs."""
    temporary = output.with_name(output.name + ".part")
    signature = [SIGNATURE] if (folder / SIGNATURE).is_file() else []
    with tarfile.open(temporary, "w", format=tarfile.USTAR_FORMAT) as archive:
        for name in [MANIFEST, *sorted(set(files) - {MANIFEST}), *signature]:
            entry = tarfile.TarInfo(name)
            entry.size = (folder / name).stat().st_size
            entry.mode = 0o644
            with (folder / name).open("rb") as source:
                archive.addfile(entry, source)
    temporary.replace(output)
    return output


def extract(archive: Path, folder: Path) -> None:
    """Unpack a tar (plain or gzip) into an empty folder.

    Refuses links, devices, paths that leave the folder, a file given twice, and too much of
    anything; the caller then verifies every byte against the manifest.
    """
    try:
        with tarfile.open(archive, "r:*") as source:
            _extract(source, folder)
    except (tarfile.TarError, EOFError, OSError) as error:
        raise PackageError(f"{archive}: not a readable tar: {error}", file=str(archive)) from error


def _extract(source: tarfile.TarFile, folder: Path) -> None:
    seen: set[str] = set()
    total = 0
    for entry in source:
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
        total += max(entry.size, 0)
        if problem is None and (len(seen) >= MAX_FILES or total > MAX_PACKAGE_BYTES):
            problem = f"goes over the limit of {MAX_FILES:,} files or {MAX_PACKAGE_BYTES:,} bytes"
        if problem:
            raise PackageError(f"{entry.name!r}: {problem}", file=entry.name)
        seen.add(name)
        target = folder / PurePosixPath(name)
        target.parent.mkdir(parents=True, exist_ok=True)
        content = source.extractfile(entry)
        if content is None:
            raise PackageError(f"{entry.name!r}: cannot be read", file=entry.name)
        with content, target.open("xb") as sink:
            shutil.copyfileobj(content, sink)
