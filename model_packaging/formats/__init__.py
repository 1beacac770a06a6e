"""The model formats, by the name that stands in the manifest.

A format is one module here with `load(package, trusted) -> Predictor`, and one line in FORMATS; its library
is imported when it is used. How a model becomes the file of a format is told by `store`.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from ..errors import ModelberthError, PackageError, choices, did_you_mean
from ..package import Package
from .predictor import Predictor


@dataclass(frozen=True)
class Format:
    """Where a format lives and what it needs."""

    module: str
    libraries: tuple[str, ...]
    """What `import` names; environment.lock records their distributions."""

    extra: str
    """The part of `pip install "modelberth[…]"` that brings the libraries."""

    suffixes: tuple[str, ...] = ()
    """How the names of model files of this format end."""

    runs_code: bool = False
    """Loading runs whatever code the file asks for."""

    reads_texts: bool = False
    """Its models read free text: a column of strings is never one of categories."""


FORMATS = {
    "catboost": Format("catboost", ("catboost", "pandas"), "catboost", (".cbm",)),
    "huggingface": Format("huggingface", ("onnxruntime", "pandas", "tokenizers"), "huggingface", reads_texts=True),
    "lightgbm": Format("lightgbm", ("lightgbm", "pandas"), "lightgbm", (".txt", ".lgb")),
    "onnx": Format("onnx", ("onnxruntime", "pandas"), "serve", (".onnx",)),
    "sklearn-pickle": Format("sklearn_pickle", ("sklearn", "pandas"), "serve", (".pkl", ".pickle"), runs_code=True),
    "sklearn-skops": Format("sklearn_skops", ("sklearn", "skops", "pandas"), "serve", (".skops",)),
    "xgboost": Format("xgboost", ("xgboost", "pandas"), "xgboost", (".json", ".ubj")),
}

ALLOW_PICKLE = "MODELBERTH_ALLOW_PICKLE"
"""Set to 1, this environment variable lets pickles load."""

__all__ = ["ALLOW_PICKLE", "FORMATS", "Format", "Predictor", "allowed_pickle", "load", "module_of"]


def load(package: Package, *, trusted: Sequence[str] = (), allow_pickle: bool = False) -> Predictor:
    """Load the model of a verified package.

    `trusted` names further Python types that the model may hold, besides those known to be harmless;
    a package cannot extend that list. A pickle is loaded only with `allow_pickle` or
    MODELBERTH_ALLOW_PICKLE=1: it runs whatever code its maker put into it. Raises PackageError for a
    format, a type or a file that is refused, ModelberthError when the format's library is not installed.
    """
    name = package.format
    if name not in FORMATS:
        text = f'unknown format "{name}": choose {choices(FORMATS)}'
        raise PackageError(f"manifest.json: {text}{did_you_mean(name, FORMATS)}")
    if FORMATS[name].runs_code and not (allow_pickle or allowed_pickle()):
        raise PackageError(
            f"manifest.json: the format is {name}, and loading a pickle runs whatever code its maker put into it. "
            f"If you trust the maker of this package, set {ALLOW_PICKLE}=1 or give allow_pickle."
        )
    try:
        return module_of(name).load(package, trusted)
    except ModuleNotFoundError as error:
        raise missing(name, error) from error


def allowed_pickle() -> bool:
    """Whether the environment allows pickles."""
    return os.environ.get(ALLOW_PICKLE, "").lower() in ("1", "true", "yes")


def module_of(name: str) -> Any:
    """The module of a format."""
    return import_module(f"{__name__}.{FORMATS[name].module}")


def missing(name: str, error: ModuleNotFoundError) -> Exception:
    """What to tell when a format's library is not installed; any other import error is given back."""
    top = (error.name or "").partition(".")[0]
    if top not in FORMATS[name].libraries:
        return error
    return ModelberthError(f'the format {name} needs {top}: pip install "modelberth[{FORMATS[name].extra}]"')
