# pyright: basic
# (scikit-learn carries no types)
"""Fitted scikit-learn estimators as pickles, for what skops cannot describe. Loading one runs code.

Whether a pickle may be loaded at all is asked before this module is: see `formats.load`.
"""

import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import PackageError
from ..package import Package
from .predictor import Predictor
from .sklearn_skops import Estimator
from .stored import Stored

MODEL_FILE = "model/model.pkl"


def load(package: Package, trusted: Sequence[str] = ()) -> Predictor:
    """Unpickle the estimator. Raises PackageError when that fails."""
    estimator = unpickle(package.checked(MODEL_FILE), MODEL_FILE)
    return Predictor(package.signature, Estimator(estimator, package.signature["inputs"]))


def store(model: Any) -> Stored:
    """Any fitted estimator as this format's file."""
    how = "as a pickle: loading it runs whatever code its maker put into it, and must be allowed explicitly"
    return Stored("sklearn-pickle", {MODEL_FILE: pickle.dumps(model, protocol=5)}, how)


def unpickle(path: Path, file: str) -> Any:
    """The object in a pickle, which errors call `file`. Only for what someone said they trust."""
    try:
        with path.open("rb") as source:
            return pickle.load(source)
    except Exception as error:  # a pickle may raise anything
        detail = str(error).splitlines()[0] if str(error) else ""
        text = f"{file}: cannot be unpickled: {type(error).__name__}: {detail}"
        raise PackageError(text, file=file) from error
