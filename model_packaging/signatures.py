# pyright: basic
# (pandas carries no types)
"""Infer a signature from the rows a model was trained on."""

from typing import Any

from .datasets import column_type
from .errors import ModelberthError

MAX_CATEGORIES = 100
"""A text column with more values than this is free text or an identifier: its values are not listed."""

_TYPES = ("number", "integer", "boolean", "string")


def infer_inputs(frame: Any) -> list[dict[str, Any]]:
    """One entry per column. Raises ModelberthError naming every column of a type that cannot be served."""
    problems = []
    inputs = []
    for column in frame.columns:
        kind = column_type(frame[column])
        if not isinstance(column, str) or not column:
            problems.append(f"column {column!r}: the name must be a text")
        elif kind not in _TYPES:
            hint = "convert it to a number or a text"
            problems.append(f'column "{column}" is {kind}, which cannot be an input: {hint}')
        else:
            inputs.append(_input(column, kind, frame[column]))
    if problems or not inputs:
        raise ModelberthError(*(problems or ["the inputs have no columns"]))
    return inputs


def infer_outputs(model: Any, task: str | None, classes: list[Any] | None) -> dict[str, Any]:
    """The task and the classes, from the estimator unless they are given."""
    if task is None:
        from sklearn.base import is_classifier

        task = "classification" if classes is not None or is_classifier(model) else "regression"
    if task not in ("classification", "regression"):
        raise ModelberthError(f'unknown task "{task}": choose classification or regression')
    if task == "regression":
        return {"task": task}
    known = classes if classes is not None else getattr(model, "classes_", None)
    if known is None:
        raise ModelberthError("the classes of the model are not known: give classes")
    return {"task": task, "classes": [_plain(value) for value in known]}


def _input(name: str, kind: str, series: Any) -> dict[str, Any]:
    import pandas as pd

    entry: dict[str, Any] = {"name": name, "type": kind, "nullable": bool(series.isna().any())}
    if isinstance(series.dtype, pd.CategoricalDtype):
        return entry | {"dtype": "category", "categories": [str(value) for value in series.cat.categories]}
    if kind == "string":
        values = sorted(str(value) for value in series.dropna().unique())
        if len(values) <= MAX_CATEGORIES:
            entry["categories"] = values
    if str(series.dtype).lower() == "float32":
        entry["dtype"] = "float32"
    return entry


def _plain(value: Any) -> Any:
    """A numpy scalar as the Python value that JSON can hold."""
    return value.item() if hasattr(value, "item") else value
