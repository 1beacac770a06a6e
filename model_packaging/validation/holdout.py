# pyright: basic
# (pandas carries no types)
"""holdout.json: the predictions on the hold-out, so that two packages can be compared row by row.

A row is named by a digest of its inputs and its target, which is the same in every package that was validated
on it; a query by those of its rows. Of a large hold-out those rows and queries are kept whose names come first:
which ones does not depend on the rest, so two packages with overlapping hold-outs keep the same ones.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from ..datasets import column_type
from .scored import Scored

MOST_ROWS = 10_000
_MOST_NUMBERS = 500_000
_NAME_DIGITS = 16


def record(rows: Scored, inputs: Any) -> dict[str, Any]:
    """The document; `inputs` is the DataFrame that was predicted."""
    names = row_names(rows, inputs)
    most = min(MOST_ROWS, _MOST_NUMBERS // max(len(rows.classes), 1))
    kept = np.array(sorted(range(len(names)), key=names.__getitem__)[:most], dtype=int)
    document: dict[str, Any] = {
        "rows": len(rows),
        "names": [names[row] for row in kept],
        "target": _numbers(rows.target[kept]),
    } | predictions(rows, kept)
    if rows.queries is not None:
        queries = queries_kept(rows, inputs)
        document["queries"] = {"count": rows.units, "names": list(queries)}
        document["ranking"] = ranking(rows, queries)
    return document


def queries_kept(rows: Scored, inputs: Any) -> dict[str, int]:
    """The queries that are kept, by name: a digest of the names of their rows; to each its position."""
    own: list[list[str]] = [[] for _ in range(rows.units)]
    for name, query in zip(row_names(rows, inputs), rows.queries.tolist(), strict=True):
        own[query].append(name)
    named = {_digest("".join(sorted(names))): query for query, names in enumerate(own)}
    return {name: named[name] for name in sorted(named)[:MOST_ROWS]}


def ranking(rows: Scored, queries: dict[str, int]) -> dict[str, list[float | None]]:
    """Each kept query's value of each ranking metric; None where it is not defined."""
    places = list(queries.values())
    return {
        name: [None if np.isnan(value) else float(f"{value:.9g}") for value in values[places].tolist()]
        for name, values in rows.ranking.items()
    }


def predictions(rows: Scored, kept: Any) -> dict[str, Any]:
    """What a model says about the kept rows; a class as its position in the signature."""
    found: dict[str, Any] = {"predicted": _numbers(rows.predicted[kept])}
    if rows.probability is not None:
        found["probabilities"] = [_numbers(row) for row in rows.probability[kept]]
    if rows.scores:
        found["scores"] = {name: _numbers(values[kept]) for name, values in rows.scores.items()}
    return found


def read(document: dict[str, Any], outputs: dict[str, Any], by: dict[str, Any] | None = None) -> Scored:
    """The rows of the document with its own predictions, or with those that `by` holds."""
    source = by or document
    kind = float if outputs["task"] == "regression" else int
    probabilities = source.get("probabilities")
    return Scored(
        outputs["task"],
        outputs.get("classes") or (),
        np.array(document["target"], dtype=kind),
        np.array(source["predicted"], dtype=kind),
        None if probabilities is None else np.array(probabilities, dtype=float),
        ranking={name: np.array(values, dtype=float) for name, values in source.get("ranking", {}).items()},
        scores={name: np.array(values, dtype=float) for name, values in source.get("scores", {}).items()},
    )


def row_names(rows: Scored, inputs: Any) -> list[str]:
    """A digest for each row; equal rows are told apart by their number."""
    columns = sorted(inputs.columns, key=str)
    texts = [_texts(inputs[column]) for column in columns]
    head = "\x1f".join(map(str, columns))
    target = _numbers(rows.target) if rows.task == "regression" else map(str, rows.labels(rows.target))
    seen: dict[str, int] = {}
    names: list[str] = []
    for *values, label in zip(*texts, target, strict=True):
        content = "\x1f".join([head, *values, str(label)])
        seen[content] = number = seen.get(content, 0) + 1
        names.append(_digest(f"{content}\x1f{number}"))
    return names


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:_NAME_DIGITS]


def _texts(column: Any) -> list[str]:
    # A missing value makes an integer column a float one: 3 and 3.0 are the same value.
    numeric = column_type(column) in ("number", "integer", "boolean")
    return [repr(value) for value in (column.astype(float) if numeric else column.astype(object)).tolist()]


def _numbers(values: Any) -> list[Any]:
    return [value if isinstance(value, int) else float(f"{value:.9g}") for value in np.asarray(values).tolist()]
