"""Packages, training code and data as they are kept in a bucket: by their content, so that a run can be repeated."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from model_packaging.package import Package

from .args import RetrainingScheduleArgs

_MOST_FILES = 1000


def packages_prefix(package: Package) -> str:
    """Return the key below which all packages of the same model are kept, ending in a slash."""
    return f"packages/{package.name}/"


def package_prefix(package: Package) -> str:
    """Return the key below which a package's files are kept, ending in a slash."""
    return f"{packages_prefix(package)}{package.digest.removeprefix('sha256:')}/"


@dataclass(frozen=True)
class Upload:
    """A folder as it lies in the bucket, under a prefix made of its content."""

    prefix: str
    files: dict[str, Path]


def check_files(args: RetrainingScheduleArgs, where: str) -> list[str]:
    """Return what is wrong with the files of a retraining."""
    problems: list[str] = []
    for key, path, without in (("source", args.source, args.data), ("data", args.data, None)):
        if path is None:
            continue
        count = len(list(_files(path, without)))
        if not count:
            problems.append(f"{where}.{key}: {str(path)!r} holds no file (hidden ones and caches are left out)")
        elif count > _MOST_FILES:
            problems.append(
                f"{where}.{key}: {str(path)!r} holds {count} files, more than the {_MOST_FILES} that are kept one by "
                "one: pack them into fewer"
            )
    if args.entrypoint not in dict(_files(args.source)):
        problems.append(
            f"{where}.entrypoint: {args.entrypoint!r} would not be uploaded: hidden files and caches are left out"
        )
    return problems


def uploaded(prefix: str, path: Path | None, without: Path | None = None) -> Upload:
    """Return which files of a folder, or which single file, go where, under a prefix made of their content.

    Hidden files, caches and what lies below `without` are left out. Without a path the folder holds nothing.
    """
    files = dict(_files(path, without)) if path is not None else {}
    digest = hashlib.sha256()
    for key in sorted(files):
        digest.update(hashlib.sha256(key.encode()).digest())
        with files[key].open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return Upload(f"{prefix}/{digest.hexdigest()}/", files)


def _files(path: Path, without: Path | None = None) -> Iterator[tuple[str, Path]]:
    if path.is_file():
        yield path.name, path
        return
    for file in sorted(path.rglob("*")):
        relative = file.relative_to(path)
        if without is not None and without != path and (file == without or without in file.parents):
            continue
        if file.is_file() and not any(part.startswith(".") or part == "__pycache__" for part in relative.parts):
            yield relative.as_posix(), file
