# pyright: basic
# (pandas, scikit-learn and onnxruntime carry no types)
"""Fitted scikit-learn estimators, stored by skops, which describes objects and never runs code to load.

skops names every type in a file before building anything. Types that only hold numbers are trusted
here by their full name; anything else is refused unless the person who loads the model names it.
"""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import PackageError
from ..package import Package
from .predictor import Columns, Predictor, matrix
from .skops_bytes import normalise
from .stored import Stored

if TYPE_CHECKING:
    import pandas as pd

MODEL_FILE = "model/model.skops"

TRUSTED = frozenset(
    {
        # Compiled or private data holders of scikit-learn: no methods that act on the outside world.
        "numpy.dtype",
        "sklearn._loss.link.Interval",
        "sklearn._loss.link.LogitLink",
        "sklearn._loss.loss.HalfBinomialLoss",
        "sklearn.calibration._CalibratedClassifier",
        "sklearn.calibration._SigmoidCalibration",
        "sklearn.compose._column_transformer._RemainderColsList",
        "sklearn.ensemble._hist_gradient_boosting.binning._BinMapper",
        "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
        "sklearn.metrics._dist_metrics.EuclideanDistance64",
        "sklearn.neighbors._ball_tree.BallTree",
        "sklearn.neighbors._kd_tree.KDTree",
        "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
        "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
        "sklearn.tree._tree.Tree",
        # What gradient boosting on pandas categories keeps: a check of arrays with fixed arguments.
        "sklearn.utils.validation.check_array",
        "functools.partial",
        # Wrappers of boosters: LightGBM's hold the text of the model, which LightGBM parses.
        "collections.OrderedDict",
        "lightgbm.basic.Booster",
        "lightgbm.sklearn.LGBMClassifier",
        "lightgbm.sklearn.LGBMRegressor",
    }
)


class Estimator:
    """A scikit-learn estimator behind the signature, however it was stored."""

    def __init__(self, estimator: Any, inputs: Sequence[Mapping[str, Any]] = ()) -> None:
        """With the signature's inputs, DataFrames are avoided where that changes nothing. The estimator must then be
        the caller's own copy, because it may be made to forget its columns' names."""
        self.estimator = estimator
        numbers = bool(inputs) and all(item["type"] in ("number", "integer") for item in inputs)
        self._named = not (numbers and _takes_matrices(estimator))

    def run(self, frame: "pd.DataFrame") -> tuple[np.ndarray, np.ndarray | None]:
        return self._run(frame)

    def run_columns(self, columns: Columns) -> tuple[np.ndarray, np.ndarray | None] | None:
        found = None if self._named else matrix(columns)
        return None if found is None else self._run(found)

    def _run(self, inputs: Any) -> tuple[np.ndarray, np.ndarray | None]:
        if not hasattr(self.estimator, "predict_proba"):
            return np.asarray(self.estimator.predict(inputs)), None
        # The label is the most probable class, as scikit-learn's own predict has it; one pass, not two.
        probabilities = np.asarray(self.estimator.predict_proba(inputs))
        return np.asarray(self.estimator.classes_)[probabilities.argmax(axis=1)], probabilities


_MATRICES = ("decomposition", "ensemble", "linear_model", "naive_bayes", "neighbors", "neural_network", "preprocessing")
_MATRICES += ("svm", "tree")
"""The modules of scikit-learn whose estimators make a matrix of a DataFrame of numbers first of all."""


def _takes_matrices(estimator: Any) -> bool:
    """Whether the estimator gives for a matrix what it gives for a DataFrame of numbers. It is then made to forget
    the columns' names, because for a matrix it would warn that it was fitted with some."""
    first = estimator
    while type(first).__module__ == "sklearn.pipeline" and hasattr(first, "steps"):
        if any(getattr(step, "_sklearn_output_config", None) for _, step in first.steps):
            return False  # a step hands a DataFrame to the next, with names made of those of the columns
        first = first.steps[0][1]
    root, _, module = type(first).__module__.partition(".")
    if root != "sklearn" or module.partition(".")[0] not in _MATRICES:
        return False
    if type(first).__name__ == "FunctionTransformer":  # hands on whatever it is given
        return False
    if hasattr(first, "estimators") or getattr(first, "is_categorical_", None) is not None:
        return False  # estimators within, or categories that are told by a DataFrame's types
    first.__dict__.pop("feature_names_in_", None)
    return True


def load(package: Package, trusted: Sequence[str] = ()) -> Predictor:
    """Load the estimator, or raise PackageError naming the types that are not trusted."""
    return Predictor(package.signature, Estimator(load_estimator(package, trusted), package.signature["inputs"]))


def load_estimator(package: Package, trusted: Sequence[str] = ()) -> Any:
    """The estimator itself."""
    return read(package.checked(MODEL_FILE), MODEL_FILE, trusted)


def store(model: Any) -> Stored:
    """A fitted estimator as this format's file."""
    import skops.io

    folder = tempfile.TemporaryDirectory(prefix="modelberth-")
    raw, file = Path(folder.name) / "raw.skops", Path(folder.name) / "model.skops"
    skops.io.dump(model, raw)
    normalise(raw, file)
    raw.unlink()
    return Stored("sklearn-skops", {MODEL_FILE: file}, "by skops, without pickles", made=folder)


def read(path: Path, file: str, trusted: Sequence[str] = ()) -> Any:
    """The estimator in a skops file, which errors call `file`. Raises PackageError naming the types that are not
    trusted."""
    import skops.io

    try:
        unknown = sorted(set(skops.io.get_untrusted_types(file=path)))
        refused = [name for name in unknown if name not in TRUSTED and name not in trusted]
        if refused:
            names = ", ".join(refused)
            raise PackageError(
                f"{file}: holds types that are not known to be harmless: {names}. "
                "If you know where this package comes from, name them as trusted.",
                file=file,
            )
        return skops.io.load(path, trusted=unknown)
    except PackageError:
        raise
    except Exception as error:  # skops and zipfile raise many kinds on a damaged file
        detail = str(error).splitlines()[0] if str(error) else ""
        text = f"{file}: cannot be loaded: {type(error).__name__}: {detail}"
        raise PackageError(text, file=file) from error
