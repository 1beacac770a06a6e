# pyright: basic
# (pandas carries no types)
"""What the formats of the boosting libraries share."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import PackageError

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Boosted:
    """A booster: `predict` gives one number a row (a value, or the second class's probability), or one per class."""

    file: str
    outputs: dict[str, Any]
    predict: Callable[["pd.DataFrame"], Any] = field(repr=False)

    def run(self, frame: "pd.DataFrame") -> tuple[np.ndarray, np.ndarray | None]:
        found = np.asarray(self.predict(frame))
        if self.outputs["task"] == "regression":
            if found.size != len(frame):
                each = found.size // max(len(frame), 1)
                raise PackageError(f"{self.file}: gives {each} numbers for each row, a regression gives one")
            return found.reshape(len(frame)), None
        probabilities = np.column_stack([1 - found, found]) if found.ndim == 1 else found
        classes = np.asarray(self.outputs["classes"], dtype=object)
        return classes[probabilities.argmax(axis=1)], probabilities


def check_columns(file: str, found: Sequence[str], signature: dict[str, Any], *, named: bool = True) -> None:
    """The model's features must be the signature's columns, in their order; only their number where it knows no
    names. Raises PackageError with the first that differs."""
    columns = [item["name"] for item in signature["inputs"]]
    if len(found) != len(columns):
        text = f"the model takes {len(found)} features, signature.json has {len(columns)} inputs"
        raise PackageError(f"{file}: {text}", file=file)
    if not named:
        return
    for index, (name, column) in enumerate(zip(found, columns, strict=True)):
        if name != column:
            text = f'feature {index} of the model is "{name}", input {index} of signature.json is "{column}"'
            raise PackageError(f"{file}: {text}", file=file)


def check_outputs(file: str, objective: str, task: str, count: int, signature: dict[str, Any]) -> None:
    """What the model gives must be what the signature says. Raises PackageError."""
    outputs = signature["outputs"]
    if outputs["task"] != task:
        text = f"the model's objective is {objective}, which is {task}; signature.json says {outputs['task']}"
        raise PackageError(f"{file}: {text}", file=file)
    classes = outputs.get("classes") or []
    if task == "classification" and len(classes) != count:
        text = f"the model tells {count} classes apart, signature.json has {len(classes)}"
        raise PackageError(f"{file}: {text}", file=file)


def threads() -> int:
    """One replica shares its machine with the server's own threads; more is asked for by OMP_NUM_THREADS."""
    import os

    return int(os.environ.get("OMP_NUM_THREADS") or 1)
