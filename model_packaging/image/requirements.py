"""The distributions that the image installs, every version pinned.

From a checkout: the part of requirements.lock that serving and jobs need, with its hashes. Otherwise: what is
installed here, because that is what the user's models were packed and tried with.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from model_packaging.errors import ModelberthError, choices, did_you_mean
from model_packaging.package import Package

PROJECT = "modelberth"
EXTRAS = ("serve", "jobs")
"""What every image has."""

MORE = ("catboost", "gcp", "grpc", "huggingface", "lightgbm", "sign", "xgboost")
"""What an image may have besides."""


@dataclass(frozen=True)
class Requirements:
    """The content of requirements.txt, and whether every line of it has hashes for pip to check."""

    text: str
    hashed: bool


def extras(more: Iterable[str] = (), packages: Iterable[Package] = ()) -> tuple[str, ...]:
    """The extras of an image: those of every image, `more`, and what serving these packages needs.
    ModelberthError where one of `more` is not among MORE."""
    from model_packaging.formats import FORMATS

    wanted = set(more)
    if unknown := sorted(wanted - {*MORE}):
        raise ModelberthError(
            *(f'the image has no part "{name}": choose {choices(MORE)}{did_you_mean(name, MORE)}' for name in unknown)
        )
    libraries = {entry.extra for entry in FORMATS.values()}
    for package in packages:
        # Also a scikit-learn pipeline or a pickle may hold another library's model; the extra bears its name.
        locked = package.read("environment.lock").decode(errors="replace").splitlines()
        wanted |= libraries & {line.partition("==")[0] for line in locked}
        if package.format in FORMATS:
            wanted.add(FORMATS[package.format].extra)
    return (*EXTRAS, *sorted(wanted - {*EXTRAS}))


def from_lock(lock: Path, extras: Sequence[str] = EXTRAS) -> Requirements:
    """The lines of a lock file (as `uv pip compile --generate-hashes` writes it) that the extras need.
    ModelberthError where a direct requirement is not in it."""
    try:
        blocks = dict(_blocks(lock.read_text(encoding="utf-8")))
    except OSError as error:
        raise ModelberthError(f"cannot read {lock}: {error.strerror}") from None
    wanted = set(_direct(PROJECT, extras))
    if missing := sorted(wanted - blocks.keys()):
        raise ModelberthError(f"{lock}: {', '.join(missing)} is not locked: compile the lock file again")
    # The lock file says of each distribution who asked for it, so what a wanted one asks for is wanted too.
    found = 0
    while found != len(wanted):
        found = len(wanted)
        wanted |= {name for name, block in blocks.items() if block.asked_by & wanted}
    return Requirements("".join(block.text for name, block in sorted(blocks.items()) if name in wanted), hashed=True)


def from_installation(extras: Sequence[str] = EXTRAS) -> Requirements:
    """`name==version` of everything installed here that the extras need.
    ModelberthError where something of it is not installed."""
    pins: dict[str, str] = {}
    pending: list[tuple[str, frozenset[str]]] = [(name, frozenset(e)) for name, e in _direct(PROJECT, extras).items()]
    seen: set[tuple[str, frozenset[str]]] = set()
    missing: list[str] = []
    while pending:
        if (item := pending.pop()) in seen:
            continue
        seen.add(item)
        name, asked = item
        try:
            pins[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            missing.append(name)
            continue
        pending += [(child, frozenset(more)) for child, more in _direct(name, asked).items()]
    if missing:
        raise ModelberthError(
            f"the image takes the versions that are installed here, and {', '.join(sorted(missing))} is not: "
            f'pip install "{PROJECT}[{",".join(extras)}]"'
        )
    return Requirements("".join(f"{name}=={version}\n" for name, version in sorted(pins.items())), hashed=False)


@dataclass(frozen=True)
class _Block:
    text: str
    asked_by: frozenset[str]


def _blocks(text: str) -> Iterator[tuple[str, _Block]]:
    """Each distribution's lines without their comments, and the names that the `# via` comments give.
    One that is locked in two versions, for two versions of Python, is joined."""
    joined: dict[str, list[_Block]] = {}
    for part in re.split(r"^(?=[A-Za-z0-9])", text, flags=re.MULTILINE):
        match = re.match(r"[A-Za-z0-9._-]+", part)
        if match is None:
            continue  # comments before the first line
        lines = part.splitlines()
        comments = [line.strip("# ").removeprefix("via").strip() for line in lines if line.lstrip().startswith("#")]
        asked_by = frozenset(canonicalize_name(comment.split()[0]) for comment in comments if comment)
        kept = "".join(f"{line}\n" for line in lines if line.strip() and not line.lstrip().startswith("#"))
        joined.setdefault(canonicalize_name(match[0]), []).append(_Block(kept, asked_by))
    for name, blocks in joined.items():
        asked_by = frozenset(asker for block in blocks for asker in block.asked_by)
        yield name, _Block("".join(block.text for block in blocks), asked_by)


def _direct(name: str, extras: Iterable[str]) -> Mapping[str, set[str]]:
    """What a distribution requires directly with these extras: name to the extras that it asks of it."""
    found: dict[str, set[str]] = {}
    chosen = ("", *extras)
    for text in metadata.requires(name) or []:
        requirement = Requirement(text)
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in chosen):
            found.setdefault(canonicalize_name(requirement.name), set()).update(requirement.extras)
    if PROJECT in found:  # an extra that is made of others
        found |= _direct(PROJECT, found.pop(PROJECT))
    return found
