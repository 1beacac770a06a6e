# pyright: basic
# (pandas carries no types)
"""What inputs and predictions looked like in training: the monitor compares traffic with it."""

from typing import Any

import numpy as np

from .formats.predictor import class_key
from .signatures import holds_texts

QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
BINS = 10
MAX_CATEGORIES = 100
SKETCH_POINTS = 200
"""Quantiles of a numeric sketch: between two neighbouring ones lies at most 1/200 of the values."""

_FEWEST_POINTS = 20
_ALL_POINTS = 200_000
"""Points of all columns together, some 6 MB of JSON: a document of a package may have 16 MiB."""


def baseline(
    frame: Any, signature: dict[str, Any], predictions: dict[str, Any], *, texts: bool = False
) -> dict[str, Any]:
    """Summaries of each input column, beside those of the predictions; the shape is in docs/package-format.md.
    With `texts` every column of strings is free text."""
    features = {}
    points = _sketch_points(len(signature["inputs"]))
    for item in signature["inputs"]:
        column = frame[item["name"]]
        if item["type"] in ("number", "integer"):
            features[item["name"]] = numeric(column, points)
        elif item["type"] == "string" and (texts or holds_texts(column)):
            features[item["name"]] = text(column, points)
        else:
            features[item["name"]] = categorical(column)
    return {
        "rows": len(frame),
        "features": features,
        "predictions": predictions,
    }


def prediction_summaries(outputs: dict[str, Any], predictions: list[Any]) -> dict[str, Any]:
    """`value`, or `label` and one `probability:<class>` per class."""
    import pandas as pd

    if outputs["task"] == "regression":
        return {"value": numeric(pd.Series(predictions, dtype=float), SKETCH_POINTS)}
    summaries = {"label": categorical(pd.Series([item["label"] for item in predictions], dtype=object))}
    if predictions and "probabilities" in predictions[0]:
        points = _sketch_points(len(outputs["classes"]))
        for name in map(class_key, outputs["classes"]):
            values = pd.Series([item["probabilities"][name] for item in predictions], dtype=float)
            summaries[f"probability:{name}"] = numeric(values, points)
    return summaries


def numeric(column: Any, points: int = 0) -> dict[str, Any]:
    """Moments, quantiles and a histogram: a bin for each value where there are few of them, else deciles; with
    `points` also a sketch of the distribution by that many quantiles."""
    values = column.astype(float).to_numpy()
    present = values[np.isfinite(values)]
    summary: dict[str, Any] = {
        "kind": "numeric",
        "missing": _ratio(len(values) - len(present), len(values)),
        "count": len(present),
    }
    if not len(present):
        return summary
    edges = _edges(present)
    counts, _ = np.histogram(present, edges)
    quantiles = np.quantile(present, QUANTILES)
    summary |= {
        "minimum": float(present.min()),
        "maximum": float(present.max()),
        "mean": float(present.mean()),
        "std": float(present.std()),
        "quantiles": {str(q): float(value) for q, value in zip(QUANTILES, quantiles, strict=True)},
        "edges": [float(edge) for edge in edges],
        "counts": [int(count) for count in counts],
    }
    return summary | ({"sketch": _sketch(present, summary, points)} if points else {})


def _sketch_points(columns: int) -> int:
    return min(SKETCH_POINTS, max(_FEWEST_POINTS, _ALL_POINTS // max(columns, 1)))


def _sketch(present: Any, summary: dict[str, Any], points: int) -> dict[str, Any]:
    """Quantiles that are values of the data, the edges and the fences, each with what lies below, at and above
    it: the cumulative distribution is known exactly at every point, whatever values come up often."""
    quantiles = np.quantile(present, np.linspace(0, 1, points + 1), method="inverted_cdf")
    wanted = [*quantiles.tolist(), *summary["edges"], *(fences(rounded(summary["quantiles"])) or ())]
    found = np.unique(rounded(wanted))
    below, upto = ranks(np.sort(present), found)
    bounds = np.concatenate([[0], np.column_stack([below, upto]).ravel(), [len(present)]])
    return {"points": found.tolist(), "counts": np.diff(bounds).tolist()}


def fences(quantiles: dict[str, float]) -> tuple[float, float] | None:
    """Beyond these a value is an outlier: 1.5 interquartile ranges from the quartiles. None where half of the
    values are one. Source: J. Tukey, Exploratory Data Analysis, Addison-Wesley 1977, chapter 2."""
    low, high = quantiles["0.25"], quantiles["0.75"]
    reach = 1.5 * (high - low)
    return (low - reach, high + reach) if reach > 0 else None


def ranks(ordered: Any, points: Any) -> tuple[Any, Any]:
    """How many of the ordered values are below each point, and how many are at most the point. A value is at a
    point if it is the same in twelve digits, as a point of baseline.json is not written with more."""
    with np.errstate(divide="ignore"):
        half = np.where(points == 0, 0.0, 10.0 ** (np.floor(np.log10(np.abs(points))) - 11) / 2)
    return np.searchsorted(ordered, points - half, "left"), np.searchsorted(ordered, points + half, "right")


def _edges(present: Any) -> Any:
    distinct = np.unique(present)
    if len(distinct) == 1:
        return np.array([distinct[0] - 0.5, distinct[0] + 0.5])
    if len(distinct) <= BINS:
        # Deciles of a few values mostly fall together; joined, those of a 0/1 column leave a single bin.
        return np.array([distinct[0], *(distinct[:-1] + np.diff(distinct) / 2), distinct[-1]])
    return np.unique(np.quantile(present, np.linspace(0, 1, BINS + 1)))


def categorical(column: Any) -> dict[str, Any]:
    """Frequencies of the most frequent values."""
    present = column.dropna().map(class_key)
    counts = present.value_counts()
    # Ties in frequency are ordered by value, not by where they first appear.
    ranked = sorted(((str(value), int(count)) for value, count in counts.items()), key=lambda x: (-x[1], x[0]))
    kept = ranked[:MAX_CATEGORIES]
    total = len(present)
    return {
        "kind": "categorical",
        "missing": _ratio(len(column) - total, len(column)),
        "count": total,
        "frequencies": {value: _ratio(count, total) for value, count in kept},
        "other": _ratio(total - sum(count for _, count in kept), total),
    }


def text(column: Any, points: int = 0) -> dict[str, Any]:
    """How long the texts are, in characters; what they say is not kept."""
    present = column.dropna()
    return {
        "kind": "text",
        "missing": _ratio(len(column) - len(present), len(column)),
        "count": len(present),
        "length": numeric(present.astype(str).map(len), points),
    }


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def rounded(value: Any) -> Any:
    """Every number to twelve digits: beyond, sums depend on the processor's vector width."""
    if isinstance(value, float):
        return float(f"{value:.12g}")
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    return [rounded(item) for item in value] if isinstance(value, list) else value
