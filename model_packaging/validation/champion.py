# pyright: basic
# (pandas carries no types)
"""What the champion says about the candidate's hold-out, told while the rows are at hand: in training."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ModelberthError
from ..package import Package, open_package
from .holdout import predictions, queries_kept, ranking, row_names
from .predicted import predict
from .scored import Scored, with_own, with_queries

CHANNEL = "SM_CHANNEL_CHAMPION"
"""Where the SageMaker training toolkit's convention puts the folder of the channel `champion`."""


def on_the_same_rows(
    document: dict[str, Any], inputs: Any, rows: Scored, champion: Package | str | Path | None
) -> dict[str, Any]:
    """holdout.json with the champion's predictions, where there is a champion that did not predict these very
    rows when it was validated. What it cannot predict is told as `problem`, for the gate to refuse."""
    champion = champion or os.environ.get(CHANNEL) or None
    if champion is None:
        return document
    package = champion if isinstance(champion, Package) else open_package(champion)
    known = set((package.documents.get("holdout.json") or {}).get("names", ()))
    # Not repeating what the champion's own package tells keeps this package the same, whoever the champion is.
    if known.issuperset(document["names"]):
        return document
    place = {name: index for index, name in enumerate(row_names(rows, inputs))}
    kept = np.array([place[name] for name in document["names"]], dtype=int)
    # A query is judged by all of its rows.
    seen = kept if rows.queries is None else np.arange(len(rows))
    try:
        theirs = predict(package, inputs.iloc[seen], rows.classes, rows.task)
        theirs = with_own(replace(theirs, target=rows.target[seen]), rows.custom)
        if rows.queries is not None:
            theirs = with_queries(theirs, rows.queries, rows.k)
    except ModelberthError as error:
        return document | {"champion": {"digest": package.digest, "problem": str(error)}}
    told = predictions(theirs, np.arange(len(kept)) if rows.queries is None else kept)
    if rows.queries is not None:
        told["ranking"] = ranking(theirs, queries_kept(rows, inputs))
    return document | {"champion": {"digest": package.digest} | told}
