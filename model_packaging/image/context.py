"""The build context: a Dockerfile and everything that it copies, the same bytes for the same code."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from model_packaging.errors import ModelberthError
from model_packaging.image import requirements, wheel
from model_packaging.package import open_package


def write(folder: Path, more: Sequence[str] = (), packages: Sequence[str] = ()) -> None:
    """Fills a new or empty folder, or replaces an earlier context. `more` are further parts of the image by name;
    what serving `packages` (their addresses) needs is in it.
    ModelberthError where the folder holds anything else, or a part is unknown; PackageError for a bad package."""
    _check(folder)
    extras = requirements.extras(more, map(open_package, packages))
    checkout = _checkout()
    lock = checkout / "requirements.lock" if checkout else None
    pinned = requirements.from_lock(lock, extras) if lock else requirements.from_installation(extras)
    name, content = wheel.build()
    templates = Environment(
        loader=FileSystemLoader(Path(__file__).parent), undefined=StrictUndefined, keep_trailing_newline=True
    )
    dockerfile = templates.get_template("Dockerfile.j2").render(
        version=metadata.version(requirements.PROJECT), wheel=name, hashed=pinned.hashed
    )
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.whl"):
        old.unlink()
    files = {"Dockerfile": dockerfile.encode(), "requirements.txt": pinned.text.encode(), name: content}
    for file, data in files.items():
        (folder / file).write_bytes(data)
        (folder / file).chmod(0o644)  # builders take the mode into a layer's digest


def _checkout() -> Path | None:
    """The project's folder, where this code runs from one."""
    root = Path(__file__).parents[2]
    return root if (root / "pyproject.toml").is_file() and (root / "requirements.lock").is_file() else None


def _check(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise ModelberthError(f"cannot write {folder}: it is not a folder")
    if not folder.exists():
        return
    foreign = [
        path.name
        for path in sorted(folder.iterdir())
        if path.name not in ("Dockerfile", "requirements.txt") and not path.match("modelberth-*.whl")
    ]
    if foreign:
        raise ModelberthError(
            f"cannot write {folder}: it holds {foreign[0]}, which is no part of a build context; name a new folder"
        )
