# pyright: basic
# (scikit-learn and the boosting libraries carry no types)
"""Turns what a user gives to `pack` into the file of a format."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import ModelberthError, choices
from . import ALLOW_PICKLE, FORMATS, allowed_pickle, missing, module_of
from .stored import Stored

MLMODEL = "MLmodel"

_BOOSTERS = ("catboost", "lightgbm", "xgboost")


@dataclass(frozen=True)
class Source:
    """A model in its format, and the estimator it was made of when there is one."""

    stored: Stored
    estimator: Any = None
    kind: str = ""
    """What the model is, for people."""


def store(model: Any, *, trusted: Sequence[str] = (), allow_pickle: bool = False) -> Source:
    """The model as the file of the safest format that takes it.

    A fitted XGBoost, LightGBM or CatBoost model, native or by its scikit-learn wrapper, goes into its library's
    own format; another scikit-learn estimator is described by skops, or, with `allow_pickle`, pickled where skops
    cannot. A path is a model file of any format here, a folder that MLflow wrote, or a Hugging Face folder.
    Raises ModelberthError for anything else, PackageError for a file that is not what its name says.
    """
    if isinstance(model, str | Path):
        path = Path(model)
        return _folder(path, trusted, allow_pickle) if path.is_dir() else file(path, trusted, allow_pickle)
    for name in _BOOSTERS:
        if any(kind.__module__.partition(".")[0] == name for kind in type(model).__mro__):
            try:
                return Source(module_of(name).store(model), model)
            except ModuleNotFoundError as error:
                raise missing(name, error) from error
    _check_estimator(model)
    return Source(_estimator(model, trusted, allow_pickle), model)


def file(path: Path, trusted: Sequence[str], allow_pickle: bool, name: str | None = None) -> Source:
    """A model file; its format is `name`, else told by the ending."""
    if name is None:
        name = next((known for known, entry in FORMATS.items() if path.suffix in entry.suffixes), None)
    if name is None:
        endings = choices(ending for entry in FORMATS.values() for ending in entry.suffixes)
        raise ModelberthError(
            f"cannot pack {path}: choose a file that ends in {endings}, a folder of MLflow or Hugging Face, or a "
            "fitted model"
        )
    if not path.is_file():
        raise ModelberthError(f"no such model file: {path}")
    module = module_of(name)
    if FORMATS[name].runs_code:
        _check_allowed(allow_pickle, str(path))
        return store(module.unpickle(path, str(path)), trusted=trusted, allow_pickle=allow_pickle)
    if name == "sklearn-skops":
        return store(module.read(path, str(path), trusted), trusted=trusted, allow_pickle=allow_pickle)
    try:
        return Source(module.store_file(path), kind=_KINDS[name])
    except ModuleNotFoundError as error:
        raise missing(name, error) from error


_KINDS = {"catboost": "CatBoost", "lightgbm": "LightGBM", "onnx": "ONNX", "xgboost": "XGBoost"}


def _folder(path: Path, trusted: Sequence[str], allow_pickle: bool) -> Source:
    if not (path / MLMODEL).is_file():
        if not (path / "config.json").is_file():
            raise ModelberthError(
                f"cannot pack the folder {path}: it has neither {MLMODEL}, which MLflow writes, nor the config.json of "
                "a Hugging Face folder"
            )
        from . import huggingface

        stored, kind = huggingface.store(path)
        return Source(stored, kind=kind)
    from . import mlflow

    name, found = mlflow.model_file(path)
    return file(found, trusted, allow_pickle, name)


def _check_estimator(model: Any) -> None:
    from sklearn.base import BaseEstimator
    from sklearn.exceptions import NotFittedError
    from sklearn.utils.validation import check_is_fitted

    if not isinstance(model, BaseEstimator):
        kind = type(model).__name__
        raise ModelberthError(
            f"cannot pack a {kind}: give a fitted model of scikit-learn, XGBoost, LightGBM or CatBoost, the path of "
            "a model file, or a folder of MLflow or Hugging Face; export a PyTorch model to ONNX first"
        )
    try:
        check_is_fitted(model)
    except NotFittedError as error:
        raise ModelberthError(f"cannot pack {type(model).__name__}: it is not fitted") from error


def _estimator(model: Any, trusted: Sequence[str], allow_pickle: bool) -> Stored:
    from . import sklearn_skops

    try:
        stored = sklearn_skops.store(model)
        if allow_pickle:  # a type that nobody named as trusted would make the package unloadable
            (path,) = (path for path in stored.files.values() if isinstance(path, Path))
            sklearn_skops.read(path, sklearn_skops.MODEL_FILE, trusted)
        return stored
    except Exception as error:  # skops raises many kinds on what it cannot describe
        if not allow_pickle:
            if isinstance(error, ModelberthError):
                raise
            detail = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise ModelberthError(
                f"cannot pack {type(model).__name__}: skops cannot describe it: {detail}. Convert it to ONNX, or allow "
                "a pickle (allow_pickle), which whoever loads the package must then allow too."
            ) from error
        return module_of("sklearn-pickle").store(model)


def _check_allowed(allow_pickle: bool, path: str) -> None:
    if not (allow_pickle or allowed_pickle()):
        raise ModelberthError(
            f"{path} is a pickle: reading it runs whatever code its maker put into it. If you trust its maker, give "
            f"allow_pickle (--allow-pickle), or set {ALLOW_PICKLE}=1."
        )
