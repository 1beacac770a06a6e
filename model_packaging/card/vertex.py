"""The card as Vertex AI's Model Registry takes it: a model's description and labels, and a ModelEvaluation.

Vertex has no document of a model card. What it shows beside a model is an evaluation, which ModelService's
ImportModelEvaluation takes; its metrics are those of the schema that `metricsSchemaUri` names.
https://cloud.google.com/vertex-ai/docs/reference/rest/v1/projects.locations.models.evaluations
"""

from __future__ import annotations

import re
from typing import Any

from ..package import Package
from .content import checks, lineage
from .summary import part, strongest, value_of

_SCHEMAS = "gs://google-cloud-aiplatform/schema/modelevaluation"

_REGRESSION = {
    "mean_absolute_error": "meanAbsoluteError",
    "mean_absolute_percentage_error": "meanAbsolutePercentageError",
    "r2": "rSquared",
    "root_mean_squared_error": "rootMeanSquaredError",
}
_CLASSIFICATION = {"average_precision": "auPrc", "log_loss": "logLoss", "roc_auc": "auRoc"}


def documents(package: Package, address: str, published: dict[str, Any]) -> dict[str, Any]:
    """`model`: fields of a Model (to upload or patch); `model_evaluation`: what ImportModelEvaluation takes."""
    manifest = package.manifest
    model = {
        "displayName": package.name,
        "description": manifest.get("description") or "",
        "labels": {
            "modelberth-package": package.name,
            # A label's value has 63 characters at most, a digest 64.
            "modelberth-digest": package.digest.removeprefix("sha256:")[:63],
            "modelberth-format": _label(package.format),
        },
    }
    return {"model": model, "model_evaluation": _evaluation(package, address, published)}


def _evaluation(package: Package, address: str, published: dict[str, Any]) -> dict[str, Any]:
    task = package.signature["outputs"]["task"]
    validation = package.validation
    given: dict[str, Any] = validation.get("metrics") or {}
    names = _REGRESSION if task == "regression" else _CLASSIFICATION
    metrics: dict[str, Any] = {
        theirs: value for ours, theirs in names.items() if (value := value_of(given, ours)) is not None
    }
    confusion: dict[str, Any] = part(validation, "curves", "confusion")
    if confusion:
        classes: list[str] = confusion["classes"]
        specs = [{"id": str(index), "displayName": name} for index, name in enumerate(classes)]
        metrics["confusionMatrix"] = {"annotationSpecs": specs, "rows": confusion["matrix"]}
    evaluation: dict[str, Any] = {
        "displayName": f"{package.name} {package.digest[:19]}",
        "metricsSchemaUri": f"{_SCHEMAS}/{task}_metrics_1.0.0.yaml",
        "metrics": metrics,
        # What the schema has no name for, and whence it is.
        "metadata": {
            "package": package.digest,
            "address": address,
            "intended_use": package.manifest.get("intended_use") or "",
            "metrics": given,
            "segments": validation.get("segments") or {},
            "leakage": {one.name: one.note for one in checks(validation)},
        }
        | {name.replace(" ", "_"): value for name, value in lineage(package.documents, published).items()},
    }
    if features := strongest(validation):
        attributions = {name: value["mean"] for name, value in features}
        evaluation["modelExplanation"] = {"meanAttributions": [{"featureAttributions": attributions}]}
    return evaluation


def _label(text: str) -> str:
    return re.sub(r"[^a-z0-9_-]", "-", text.lower())[:63]
