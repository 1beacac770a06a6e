# pyright: basic
# (pandas carries no types)
"""A package's predictions on rows of a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import formats
from ..datasets import records
from ..errors import ModelberthError
from ..formats.predictor import class_key
from ..package import Package
from .scored import Scored, codes

_BLOCK_ROWS = 10_000


def predict(
    package: Package,
    table: Any,
    classes: Sequence[Any] | None = None,
    task: str | None = None,
    trusted: Sequence[str] = (),
) -> Scored:
    """Loads the model and predicts the table's rows. `classes` and `task`, where given, are what it must agree
    with. The target is not set: it repeats the prediction.

    Raises:
        ModelberthError: the table lacks inputs, or the package is about something else.
        InputError: a value is not what the signature asks for.
    """
    outputs = package.signature["outputs"]
    own = outputs.get("classes") or []
    if task is not None and task != outputs["task"]:
        raise ModelberthError(f"{package.name} {package.digest[:19]} does {outputs['task']}, not {task}")
    if classes is not None and sorted(map(class_key, own)) != sorted(map(class_key, classes)):
        raise ModelberthError(
            f"{package.name} {package.digest[:19]} knows the classes {', '.join(map(class_key, own))}, "
            f"not {', '.join(map(class_key, classes))}"
        )
    predictor = formats.load(package, trusted=trusted)
    missing = [name for name in predictor.columns if name not in table]
    if missing:
        raise ModelberthError(f"the data has no column {', '.join(missing)}, which {package.name} needs")
    said: list[Any] = []
    for start in range(0, len(table), _BLOCK_ROWS):
        said += predictor.predict(records(table[predictor.columns].iloc[start : start + _BLOCK_ROWS]))
    if outputs["task"] == "regression":
        values = np.array(said, dtype=float)
        return Scored("regression", (), values, values)
    order = list(classes) if classes is not None else own
    labels = codes([class_key(value) for value in order], [class_key(one["label"]) for one in said])
    keys = [class_key(value) for value in order]
    chances = np.array([[one["probabilities"][key] for key in keys] for one in said]) if _has_chances(said) else None
    return Scored("classification", order, labels, labels, chances)


def _has_chances(said: list[Any]) -> bool:
    return bool(said) and "probabilities" in said[0]
