# pyright: basic
# (pandas and catboost carry no types)
"""CatBoost models in the library's binary format (cbm): a size, a FlatBuffer, and further parts.
https://catboost.ai/docs/en/concepts/python-reference_catboost_save_model

CatBoost refuses most damaged files, and reads foreign memory on some: of 300 that were damaged at random, 3 ended the
process. So a process of its own tries each file first.
"""

import signal
import struct
import subprocess
import sys
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

_TRIAL = """
import sys, catboost
model = catboost.CatBoost()
model.load_model(blob=sys.stdin.buffer.read())
model.feature_names_, model.classes_, model.get_all_params(), model._serialize_model()
"""
_TRIAL_SECONDS = 300


def load(package: Package, trusted: Sequence[str] = ()) -> Predictor:
    """Load the model. Raises PackageError."""
    content = package.read(MODEL_FILE)
    _try(content, MODEL_FILE)
    model = _model(content, MODEL_FILE)
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
    content = path.read_bytes()
    _try(content, str(path))
    return _stored(content, str(path))


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

    try:
        model = catboost.CatBoost()
        model.load_model(blob=content)
        return model
    except catboost.CatBoostError as error:
        raise _refused(file, str(error)) from error


def _try(content: bytes, file: str) -> None:
    """Load the file in a process of its own. Raises PackageError when that fails, however it ends."""
    import catboost  # noqa: F401 (only whether it is there)

    contents.require(content, "a CatBoost model", file)
    if len(content) < 8 or struct.unpack("<I", content[4:8])[0] > len(content) - 8:
        raise PackageError(f"{file}: breaks off within the model", file=file)
    try:
        done = subprocess.run(
            [sys.executable, "-c", _TRIAL], input=content, capture_output=True, timeout=_TRIAL_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        raise _refused(file, f"not loaded after {_TRIAL_SECONDS} s") from None
    if done.returncode < 0:
        raise _refused(file, f"it ends the process ({signal.Signals(-done.returncode).name})")
    if done.returncode:
        raise _refused(file, (done.stderr.decode(errors="replace").strip().splitlines() or [""])[-1])


def _refused(file: str, reason: str) -> PackageError:
    detail = (reason.strip().splitlines() or ["no reason given"])[0][:300]
    return PackageError(f"{file}: CatBoost cannot load it: {detail}", file=file)
