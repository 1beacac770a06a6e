"""The project as a wheel, made of the code that runs now: a checkout or an installation.

No build backend runs, so it works offline and the same code gives the same bytes. The rules are those of the
"Binary distribution format" of the Python Packaging User Guide.
"""

from __future__ import annotations

import base64
import hashlib
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from model_packaging.archive import zip_bytes
from model_packaging.errors import ModelberthError
from model_packaging.image.requirements import PROJECT

IMPORT_PACKAGES = ("model_packaging", "modelberth")
_WHEEL = "Wheel-Version: 1.0\nGenerator: modelberth\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


def build() -> tuple[str, bytes]:
    """The wheel's file name and its bytes. ModelberthError where the project's files cannot be found."""
    distribution = metadata.distribution(PROJECT)
    information = f"{PROJECT}-{distribution.version}.dist-info"
    files: dict[str, bytes] = {}
    for package in IMPORT_PACKAGES:
        files |= _package(package)
    for name in ("METADATA", "entry_points.txt"):
        files[f"{information}/{name}"] = _read(distribution, name)
    files[f"{information}/WHEEL"] = _WHEEL.encode()
    record = "".join(f"{name},{_hash(content)},{len(content)}\n" for name, content in sorted(files.items()))
    files[f"{information}/RECORD"] = f"{record}{information}/RECORD,,\n".encode()
    return f"{PROJECT}-{distribution.version}-py3-none-any.whl", zip_bytes(files)


def _package(name: str) -> dict[str, bytes]:
    spec = find_spec(name)
    if spec is None or spec.origin is None:
        raise ModelberthError(f"cannot find the code of {name}: install {PROJECT} again")
    folder = Path(spec.origin).parent
    return {
        f"{name}/{path.relative_to(folder).as_posix()}": path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not any(p.startswith(".") or p == "__pycache__" for p in path.relative_to(folder).parts)
    }


def _read(distribution: metadata.Distribution, name: str) -> bytes:
    text = distribution.read_text(name)
    if not text:
        raise ModelberthError(f"the installation of {PROJECT} has no {name}: install it again")
    return text.encode()


def _hash(content: bytes) -> str:
    return "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
