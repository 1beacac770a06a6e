# pyright: basic
# (pandas and catboost carry no types)
"""CatBoost models in the library's binary format (cbm): a size, and a FlatBuffer that CatBoost verifies.
https://catboost.ai/docs/en/concepts/python-reference_catboost_save_model
"""

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ModelberthError, PackageError
from ..package import Package
from . import contents
from .boosters import Boosted, check_columns, check_outputs, threads
from .predictor import Predictor
from .stored import Stored, plain

if TYPE_CHECKING:
    import pandas as pd

MODEL_FILE = "model/model.cbm"

_CLASSES = ("Logloss", "CrossEntropy", "MultiClass", "MultiClassOneVsAll")
_RANDOM = ("model_guid", "train_finish_time")


def load(package: Package, trusted: Sequence[str] = ()) -> Predictor:
    """Load the model. Raises PackageError."""
    model = _model(package.read(MODEL_FILE), MODEL_FILE)
    signature = package.signature
    names = model.feature_names_
    unnamed = [str(index) for index in range(len(names))]
    check_columns(MODEL_FILE, names, signature, named=names != unnamed)
    objective, task, classes = _task(model)
    check_outputs(MODEL_FILE, objective, task, len(classes), signature)
    number = threads()
    kind = "Probability" if task == "classification" else "RawFormulaVal"
    if objective in ("Poisson", "Tweedie"):
        kind = "Exponent"  # as CatBoostRegressor's own predict has it for what is fitted on a logarithm

    def predict(frame: "pd.DataFrame") -> Any:
        return model.predict(frame, prediction_type=kind, thread_count=number)

    return Predictor(signature, Boosted(MODEL_FILE, signature["outputs"], predict))


def store(model: Any) -> Stored:
    """A fitted CatBoost, CatBoostClassifier or CatBoostRegressor as this format's file."""
    if not model.is_fitted():
        raise ModelberthError(f"cannot pack {type(model).__name__}: it is not fitted")
    return _stored(model._serialize_model(), type(model).__name__)


def store_file(path: Path) -> Stored:
    """A model that CatBoost saved as cbm. Raises PackageError for anything else."""
    return _stored(path.read_bytes(), str(path))


def _stored(content: bytes, file: str) -> Stored:
    model = _model(content, file)
    metadata = model.get_metadata()
    for key in _RANDOM:  # fitted twice on the same rows, the model is the same and so is its file
        if key in metadata:
            metadata[key] = ""
    _, task, classes = _task(model)
    files: dict[str, bytes | Path] = {MODEL_FILE: model._serialize_model()}
    return Stored("catboost", files, "in CatBoost's own format (cbm)", task, classes or None)


def _task(model: Any) -> tuple[str, str, list[Any]]:
    objective = str((model.get_all_params() or {}).get("loss_function", "")).partition(":")[0]
    classes = plain(model.classes_) or []
    if objective in _CLASSES and classes:
        return objective, "classification", classes
    return objective, "regression", []


def _model(content: bytes, file: str) -> Any:
    import catboost

    contents.require(content, "a CatBoost model", file)
    if len(content) < 8 or struct.unpack("<I", content[4:8])[0] > len(content) - 8:
        raise PackageError(f"{file}: breaks off within the model", file=file)
    try:
        model = catboost.CatBoost()
        model.load_model(blob=content)
        return model
    except catboost.CatBoostError as error:
        detail = str(error).strip().splitlines()[0]
        raise PackageError(f"{file}: CatBoost cannot load it: {detail}", file=file) from error
