# pyright: basic
# (pandas carries no types)
"""Infer a signature from the rows a model was trained on."""

from typing import Any

from .datasets import column_type
from .errors import ModelberthError

MAX_CATEGORIES = 100
"""Of a column with more values than this none are listed."""

FEWEST_TEXTS = 20
"""A column of fewer different values is one of categories, however few rows there are."""

_TYPES = ("number", "integer", "boolean", "string")


def free_text(distinct: int, values: int) -> bool:
    """Whether a column of strings holds texts and no categories: more than `FEWEST_TEXTS` different values, and
    more than half of the values different. Nothing that a package keeps may then quote them."""
    return distinct > FEWEST_TEXTS and 2 * distinct > values


def holds_texts(series: Any) -> bool:
    """Whether a column is of free text; one of pandas' categories never is."""
    import pandas as pd

    if isinstance(series.dtype, pd.CategoricalDtype) or column_type(series) != "string":
        return False
    return free_text(series.nunique(), int(series.count()))


def infer_inputs(frame: Any, *, texts: bool = False) -> list[dict[str, Any]]:
    """One entry per column; with `texts` every column of strings is free text, whose values are not listed. Raises
    ModelberthError naming every column of a type that cannot be served."""
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
            inputs.append(_input(column, kind, frame[column], texts))
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


def _input(name: str, kind: str, series: Any, texts: bool) -> dict[str, Any]:
    import pandas as pd

    entry: dict[str, Any] = {"name": name, "type": kind, "nullable": bool(series.isna().any())}
    if isinstance(series.dtype, pd.CategoricalDtype):
        return entry | {"dtype": "category", "categories": [str(value) for value in series.cat.categories]}
    if kind == "string" and not texts and not holds_texts(series):
        values = sorted(str(value) for value in series.dropna().unique())
        if len(values) <= MAX_CATEGORIES:
            entry["categories"] = values
    if str(series.dtype).lower() == "float32":
        entry["dtype"] = "float32"
    return entry


def _plain(value: Any) -> Any:
    """A numpy scalar as the Python value that JSON can hold."""
    return value.item() if hasattr(value, "item") else value
