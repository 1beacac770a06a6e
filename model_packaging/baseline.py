# pyright: basic
# (pandas carries no types)
"""What inputs and predictions looked like in training: the monitor compares traffic with it."""

from typing import Any

import numpy as np

from .formats.predictor import class_key

QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
BINS = 10
MAX_CATEGORIES = 100


def baseline(frame: Any, signature: dict[str, Any], predictions: dict[str, Any]) -> dict[str, Any]:
    """Summaries of each input column, beside those of the predictions; the shape is in docs/package-format.md."""
    features = {}
    for item in signature["inputs"]:
        column = frame[item["name"]]
        numeric_column = item["type"] in ("number", "integer")
        features[item["name"]] = numeric(column) if numeric_column else categorical(column)
    return {
        "rows": len(frame),
        "features": features,
        "predictions": predictions,
    }


def prediction_summaries(outputs: dict[str, Any], predictions: list[Any]) -> dict[str, Any]:
    """`value`, or `label` and one `probability:<class>` per class."""
    import pandas as pd

    if outputs["task"] == "regression":
        return {"value": numeric(pd.Series(predictions, dtype=float))}
    summaries = {"label": categorical(pd.Series([item["label"] for item in predictions], dtype=object))}
    if predictions and "probabilities" in predictions[0]:
        for name in map(class_key, outputs["classes"]):
            values = pd.Series([item["probabilities"][name] for item in predictions], dtype=float)
            summaries[f"probability:{name}"] = numeric(values)
    return summaries


def numeric(column: Any) -> dict[str, Any]:
    """Moments, quantiles and a histogram: a bin for each value where there are few of them, else deciles."""
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
    return summary | {
        "minimum": float(present.min()),
        "maximum": float(present.max()),
        "mean": float(present.mean()),
        "std": float(present.std()),
        "quantiles": {str(q): float(value) for q, value in zip(QUANTILES, quantiles, strict=True)},
        "edges": [float(edge) for edge in edges],
        "counts": [int(count) for count in counts],
    }


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


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def rounded(value: Any) -> Any:
    """Every number to twelve digits: beyond, sums depend on the processor's vector width."""
    if isinstance(value, float):
        return float(f"{value:.12g}")
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    return [rounded(item) for item in value] if isinstance(value, list) else value
