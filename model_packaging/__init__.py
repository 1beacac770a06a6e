"""Package, judge, publish, serve and watch a model.

Importing this is cheap: what needs scikit-learn, pandas or a cloud SDK is imported when called.
"""

from typing import TYPE_CHECKING, Any

from .errors import InputError, ModelberthError, PackageError, StorageError

if TYPE_CHECKING:
    from .datasets import data_version
    from .gate import GateRules, evaluate
    from .package import Package, open_package
    from .packing import pack
    from .validation import validate

__all__ = [
    "GateRules",
    "InputError",
    "ModelberthError",
    "Package",
    "PackageError",
    "StorageError",
    "data_version",
    "evaluate",
    "open_package",
    "pack",
    "validate",
]

_HOMES = {
    "GateRules": "gate",
    "Package": "package",
    "data_version": "datasets",
    "evaluate": "gate",
    "open_package": "package",
    "pack": "packing",
    "validate": "validation",
}


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
