# pyright: basic
# (a parsed document has no types)
"""Folders that MLflow wrote: which file of one holds the model, and in which format.

The layout is that of https://mlflow.org/docs/latest/ml/model/#storage-format. What the folder says it trusts
(`skops_trusted_types`) is not believed: only the person who packs can name more types.
"""

from pathlib import Path, PurePosixPath
from typing import Any

from ..errors import ModelberthError, PackageError, choices
from .store import MLMODEL

MAX_BYTES = 1024 * 1024

_FLAVOURS = {
    "catboost": "data",
    "lightgbm": "data",
    "onnx": "data",
    "sklearn": "pickled_model",
    "xgboost": "data",
}
"""The flavours that are read, and the key under which each names its file."""

_PICKLES = ("pickle", "cloudpickle")


def model_file(folder: Path) -> tuple[str, Path]:
    """The format and the file of the folder's own flavour. Raises ModelberthError or PackageError."""
    flavours = _flavours(folder)
    name = next((known for known in _FLAVOURS if isinstance(flavours.get(known), dict)), None)
    if name is None:
        found = ", ".join(sorted(map(str, flavours))) or "none"
        raise ModelberthError(
            f"{folder / MLMODEL}: the flavours are {found}: choose a model with {choices(_FLAVOURS)}; log a PyTorch "
            "model with mlflow.onnx"
        )
    flavour: dict[str, Any] = flavours[name]
    file = _inside(folder, flavour.get(_FLAVOURS[name]), f"flavors.{name}.{_FLAVOURS[name]}")
    return _format(name, flavour, file, folder), file


def _flavours(folder: Path) -> dict[str, Any]:
    try:
        import yaml
    except ModuleNotFoundError as error:
        raise ModelberthError('reading a folder of MLflow needs yaml: pip install "modelberth[mlflow]"') from error
    path = folder / MLMODEL
    if path.stat().st_size > MAX_BYTES:
        raise PackageError(f"{path}: more than {MAX_BYTES:,} bytes", file=MLMODEL)
    try:
        document = yaml.safe_load(path.read_bytes())
    except yaml.YAMLError as error:
        raise PackageError(f"{path}: not YAML: {str(error).splitlines()[0]}", file=MLMODEL) from None
    found = document.get("flavors") if isinstance(document, dict) else None
    if not isinstance(found, dict):
        raise PackageError(f"{path}: has no flavors", file=MLMODEL)
    return found


def _format(name: str, flavour: dict[str, Any], file: Path, folder: Path) -> str:
    # The wrappers of scikit-learn are kept by skops or as pickles, boosters in their own format.
    if name in ("sklearn", "lightgbm"):
        kind = flavour.get("serialization_format", "pickle")
        if file.suffix == ".skops" and kind == "skops":
            return "sklearn-skops"
        if name == "sklearn" or str(flavour.get("model_class", "")) != "lightgbm.basic.Booster":
            if kind not in _PICKLES:
                text = f"serialization_format is {kind!r}: choose {choices((*_PICKLES, 'skops'))}"
                raise PackageError(f"{folder / MLMODEL}: {text}", file=MLMODEL)
            return "sklearn-pickle"
    if name == "catboost" and flavour.get("save_format", "cbm") != "cbm":
        text = f"save_format is {flavour['save_format']!r}: choose cbm"
        raise PackageError(f"{folder / MLMODEL}: {text}", file=MLMODEL)
    return name


def _inside(folder: Path, name: Any, key: str) -> Path:
    """The named file, which must be a real file of the folder."""
    where = f"{folder / MLMODEL}: {key}"
    if not isinstance(name, str) or not name:
        raise PackageError(f"{where}: names no file", file=MLMODEL)
    if name.startswith("/") or ".." in PurePosixPath(name).parts or "\\" in name:
        raise PackageError(f"{where}: {name!r} leads out of the folder", file=MLMODEL)
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise PackageError(f"{where}: {name!r} leads out of the folder", file=MLMODEL)
    if path.is_dir():
        raise PackageError(f"{where}: {name!r} is a folder, must be a file", file=MLMODEL)
    return path
