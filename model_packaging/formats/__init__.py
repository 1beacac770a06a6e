"""The model formats, by the name that stands in the manifest.

A format is one module here with `load(package, trusted) -> Predictor`, and one line in FORMATS.
"""

from collections.abc import Sequence
from importlib import import_module

from ..errors import PackageError, choices, did_you_mean
from ..package import Package
from .predictor import Predictor

FORMATS = {
    "onnx": "onnx",
    "sklearn-skops": "sklearn_skops",
}

__all__ = ["FORMATS", "Predictor", "load"]


def load(package: Package, *, trusted: Sequence[str] = ()) -> Predictor:
    """Load the model of a verified package.

    `trusted` names further Python types that the model may hold, besides those known to be harmless;
    a package cannot extend that list. Raises PackageError for a format or a type that is refused.
    """
    if package.format not in FORMATS:
        text = f'unknown format "{package.format}": choose {choices(FORMATS)}'
        raise PackageError(f"manifest.json: {text}{did_you_mean(package.format, FORMATS)}")
    return import_module(f"{__name__}.{FORMATS[package.format]}").load(package, trusted)
