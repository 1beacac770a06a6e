# pyright: basic
# (pandas and lightgbm carry no types)
"""LightGBM boosters in the library's text format, checked here before the native parser sees them.
https://lightgbm.readthedocs.io/en/stable/pythonapi/lightgbm.Booster.html
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import ModelberthError, PackageError
from ..package import Package
from .boosters import Boosted, check_columns, check_outputs, threads
from .lightgbm_text import Header, check_model
from .predictor import Predictor
from .stored import Stored, plain

MODEL_FILE = "model/model.txt"

_CLASSES = ("binary", "multiclass", "multiclassova", "softmax", "multiclass_ova", "ova", "ovr")


def load(package: Package, trusted: Sequence[str] = ()) -> Predictor:
    """Check the file and load the booster. Raises PackageError."""
    content = package.read(MODEL_FILE)
    header = check_model(content, MODEL_FILE)
    signature = package.signature
    unnamed = [f"Column_{index}" for index in range(len(header.features))]
    # LightGBM writes a blank within a feature's name as an underscore.
    inputs = [item | {"name": re.sub(r"\s", "_", item["name"])} for item in signature["inputs"]]
    check_columns(MODEL_FILE, header.features, {"inputs": inputs}, named=header.features != unnamed)
    task, count = _task(header)
    check_outputs(MODEL_FILE, header.objective or "not named", task, count, signature)
    booster = _booster(header.text, MODEL_FILE)
    number = threads()
    return Predictor(
        signature,
        Boosted(MODEL_FILE, signature["outputs"], lambda frame: booster.predict(frame, num_threads=number)),
    )


def store(model: Any) -> Stored:
    """A booster, or one of the scikit-learn wrappers, as this format's file; after early stopping, its best
    iterations."""
    import lightgbm

    booster: Any = model
    classes = None
    if not isinstance(model, lightgbm.Booster):
        try:
            booster = model.booster_
        except Exception as error:  # LightGBM's own NotFittedError
            raise ModelberthError(f"cannot pack {type(model).__name__}: it is not fitted") from error
        classes = getattr(model, "classes_", None)
    return _stored(booster.model_to_string().encode(), plain(classes), "LightGBM")


def store_file(path: Path) -> Stored:
    """A model that LightGBM saved as text. Raises PackageError for anything else."""
    return _stored(path.read_bytes(), None, str(path))


def _stored(content: bytes, classes: list[Any] | None, file: str) -> Stored:
    header = check_model(content, file)
    _booster(header.text, file)
    task, count = _task(header)
    if classes is None and task == "classification":
        classes = list(range(count))
    return Stored("lightgbm", {MODEL_FILE: content}, "in LightGBM's own format (text)", task, classes)


def _task(header: Header) -> tuple[str, int]:
    if header.objective in _CLASSES:
        return "classification", max(header.classes, 2)
    return "regression", 0


def _booster(text: str, file: str) -> Any:
    import lightgbm

    try:
        return lightgbm.Booster(model_str=text)
    except (lightgbm.basic.LightGBMError, ValueError, TypeError) as error:
        raise PackageError(f"{file}: LightGBM cannot load it: {str(error).splitlines()[0]}", file=file) from error
