# pyright: basic
# (pandas and xgboost carry no types)
"""XGBoost boosters in the library's JSON, checked here before the native parser sees them.

XGBoost trusts what it reads: a child beyond the end of a tree would be read from foreign memory. JSON, unlike
UBJSON and pickles, can be checked whole. https://xgboost.readthedocs.io/en/stable/tutorials/saving_model.html
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import ModelberthError, PackageError
from ..package import Package
from . import contents
from .boosters import Boosted, check_columns, check_outputs, threads
from .predictor import Predictor
from .stored import Stored, plain
from .xgboost_json import check_model

MODEL_FILE = "model/model.json"

_VALUES = ("reg:", "count:", "survival:", "rank:")


def load(package: Package, trusted: Sequence[str] = ()) -> Predictor:
    """Check the file and load the booster. Raises PackageError."""
    content = package.read(MODEL_FILE)
    check_model(content, MODEL_FILE)
    booster = _booster(content, MODEL_FILE)
    signature = package.signature
    names = booster.feature_names
    check_columns(MODEL_FILE, names or [""] * booster.num_features(), signature, named=names is not None)
    objective, task, count = _task(booster, MODEL_FILE)
    check_outputs(MODEL_FILE, objective, task, count, signature)
    booster.set_param({"nthread": threads()})
    if objective == "multi:softmax":  # gives labels alone; the trees are the same
        booster.set_param({"objective": "multi:softprob"})
    named = names is not None
    return Predictor(
        signature,
        Boosted(
            MODEL_FILE, signature["outputs"], lambda frame: booster.inplace_predict(frame, validate_features=named)
        ),
    )


def store(model: Any) -> Stored:
    """A booster, or one of the scikit-learn wrappers, as this format's file."""
    import xgboost

    booster: Any = model
    classes = None
    if not isinstance(model, xgboost.Booster):
        try:
            booster = model.get_booster()
        except Exception as error:  # scikit-learn's NotFittedError, or AttributeError
            raise ModelberthError(f"cannot pack {type(model).__name__}: it is not fitted") from error
        classes = getattr(model, "classes_", None)
        best = booster.attributes().get("best_iteration")
        if best is not None and model.get_xgb_params().get("booster") != "gblinear":
            booster = booster[: int(best) + 1]  # as the wrapper's own predict does after early stopping
    return _stored(booster, plain(classes), "XGBoost")


def store_file(path: Path) -> Stored:
    """A model that XGBoost saved as JSON or UBJSON. Raises PackageError for anything else."""
    content, file = path.read_bytes(), str(path)
    found = contents.kind(content)
    if found == "JSON":
        check_model(content, file)
    elif found != "UBJSON":
        raise PackageError(f"{file}: must be JSON or UBJSON that XGBoost saved, and its content is {found}", file=file)
    return _stored(_booster(content, file), None, "XGBoost")


def _stored(booster: Any, classes: list[Any] | None, kind: str) -> Stored:
    content = bytes(booster.save_raw("json"))
    _, task, count = _task(booster, kind)
    if classes is None and task == "classification":
        classes = list(range(count))
    return Stored("xgboost", {MODEL_FILE: content}, "in XGBoost's own format (JSON)", task, classes)


def _booster(content: bytes, file: str) -> Any:
    import xgboost

    try:
        booster = xgboost.Booster({"nthread": threads()})
        booster.load_model(bytearray(content))
        return booster
    except (xgboost.core.XGBoostError, ValueError, TypeError) as error:
        detail = str(error).splitlines()[0].rpartition("] ")[2]
        raise PackageError(f"{file}: XGBoost cannot load it: {detail}", file=file) from error


def _task(booster: Any, file: str) -> tuple[str, str, int]:
    """The objective, the task and the number of classes."""
    learner = json.loads(booster.save_config())["learner"]
    objective = learner["objective"]["name"]
    if objective == "binary:logistic":
        return objective, "classification", 2
    if objective in ("multi:softprob", "multi:softmax"):
        return objective, "classification", int(learner["learner_model_param"]["num_class"])
    if objective.startswith(_VALUES):
        return objective, "regression", 0
    known = "binary:logistic, multi:softprob, or one of reg:, count:, survival: and rank:"
    raise PackageError(f"{file}: the objective {objective} gives neither values nor probabilities: choose {known}")
