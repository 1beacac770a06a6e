"""The card as the README.md of a model repository on the Hugging Face Hub: YAML metadata, then the Markdown card.

https://huggingface.co/docs/hub/model-cards#model-card-metadata
"""

from __future__ import annotations

from typing import Any

from ..package import Package
from .summary import value_of

_LIBRARIES = {
    "catboost": "catboost",
    "lightgbm": "lightgbm",
    "onnx": "onnx",
    "sklearn-pickle": "sklearn",
    "sklearn-skops": "sklearn",
    "xgboost": "xgboost",
}

_METRICS = {
    "brier": "brier_score",
    "mean_absolute_error": "mae",
    "mean_absolute_percentage_error": "mape",
    "r2": "r_squared",
    "root_mean_squared_error": "rmse",
}
"""Where the Hub's name differs from ours."""


def readme(package: Package, card: str) -> str:
    """The file's text. The licence is left out: the package does not know it, and the Hub asks its owner."""
    import yaml

    metadata: dict[str, Any] = {"tags": ["modelberth", f"tabular-{package.signature['outputs']['task']}"]}
    if library := _LIBRARIES.get(package.format):
        metadata["library_name"] = library
    metrics: dict[str, Any] = package.validation.get("metrics") or {}
    values = {name: value for name in sorted(metrics) if (value := value_of(metrics, name)) is not None}
    if values:
        metadata["metrics"] = [_METRICS.get(name, name) for name in values]
        metadata["model-index"] = [{"name": package.name, "results": [_result(package, values)]}]
    front = yaml.safe_dump(metadata, sort_keys=True, allow_unicode=True)
    return f"---\n{front}---\n\n{card}"


def _result(package: Package, values: dict[str, float]) -> dict[str, Any]:
    data = package.data
    task = f"tabular-{package.signature['outputs']['task']}"
    dataset: dict[str, Any] = {"type": data.get("name") or "unknown", "name": data.get("name") or "unknown"}
    if data:
        dataset["revision"] = data["digest"]
    return {
        "task": {"type": task},
        "dataset": dataset | {"split": "hold-out"},
        "metrics": [{"type": _METRICS.get(name, name), "name": name, "value": value} for name, value in values.items()],
    }
