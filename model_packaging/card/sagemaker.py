"""The card as the content of a SageMaker model card.

The form is that of the schema that AWS publishes for the content of `AWS::SageMaker::ModelCard`, in the snake case of
CreateModelCard: https://docs.aws.amazon.com/sagemaker/latest/dg/model-cards.html#model-cards-json-schema
"""

from __future__ import annotations

from typing import Any

from ..metrics import higher_is_better
from ..package import Package
from .content import checks, lineage, steps
from .summary import headline, part, ranked, strongest, summary, value_of, weakest

_TEXT, _LONG, _NAME, _VALUES = 1024, 2048, 63, 20


def content(package: Package, address: str, published: dict[str, Any]) -> dict[str, Any]:
    """What CreateModelCard takes as `Content`, once it is written as JSON. The risk is not rated: people do that."""
    manifest, validation, data = package.manifest, package.validation, package.data
    model: dict[str, Any] = manifest.get("model") or {}
    described = steps(model)
    overview = {
        "model_name": package.name,
        "model_id": package.digest,
        "model_description": _cut(manifest.get("description") or "", _TEXT),
        "problem_type": package.signature["outputs"]["task"],
        "algorithm_type": _cut(described[-1]["type"] or package.format, _TEXT),
    }
    if address:
        overview["model_artifact"] = [_cut(address, _TEXT)]
    job: dict[str, Any] = {"hyper_parameters": _parameters(described)}
    if data:
        job["training_datasets"] = [_cut(f"{data['name']} {data['digest']}", _TEXT)]
    details = {
        "package_format": package.format,
        "model_stored": _cut(model.get("stored") or "", _TEXT),
        "python": manifest.get("python", ""),
    } | {name.replace(" ", "_"): _cut(value, _TEXT) for name, value in lineage(package.documents, published).items()}
    return {
        "model_overview": overview,
        "intended_uses": {
            "purpose_of_model": _cut(manifest.get("description") or "", _LONG),
            "intended_uses": _cut(manifest.get("intended_use") or "", _LONG),
            "factors_affecting_model_efficiency": _cut(_factors(validation), _LONG),
            "risk_rating": "Unknown",
        },
        "training_details": {
            "training_observations": _cut(_trained_on(data), _TEXT),
            "training_job_details": job,
        },
        "evaluation_details": _evaluations(package) if validation.get("metrics") else [],
        "additional_information": {
            "caveats_and_recommendations": _cut(_caveats(package), _LONG),
            "custom_details": {name: value for name, value in details.items() if value},
        },
    }


def _evaluations(package: Package) -> list[dict[str, Any]]:
    validation, data = package.validation, package.data
    found = " ".join(f"{one.label}: {one.value} ({one.note})." for one in summary(validation))
    groups = [
        {"name": "metrics", "metric_data": _metrics(validation)},
        {"name": "behaviour", "metric_data": [*_curves(validation), *_importance(validation)]},
        *_segments(validation),
    ]
    evaluation: dict[str, Any] = {
        "name": "hold-out",
        "evaluation_observation": _cut(found, _LONG),
        "metric_groups": [group for group in groups if group["metric_data"]],
    }
    if data:
        evaluation["datasets"] = [_cut(f"{data['name']} {data['digest']}", _TEXT)]
    return [evaluation]


def _metrics(validation: dict[str, Any]) -> list[dict[str, Any]]:
    folds: dict[str, Any] = part(validation, "cross_validation", "metrics")
    intervals: dict[str, Any] = {name: part(validation, "metrics", name, "interval") for name in validation["metrics"]}
    listed: list[dict[str, Any]] = []
    for name, interval in sorted(intervals.items()):
        value = value_of(validation["metrics"], name)
        if value is None:
            continue
        known = higher_is_better(name)
        notes = [] if known is None else ["higher is better" if known else "lower is better"]
        if interval:
            notes.append(f"95 % interval {interval[0]:.6g} to {interval[1]:.6g}")
        if fold := folds.get(name):
            notes.append(f"cross-validation {fold['mean']:.6g} ± {fold['std']:.3g}")
        listed.append({"name": _cut(name, 255), "type": "number", "value": value, "notes": "; ".join(notes)})
    return listed


def _curves(validation: dict[str, Any]) -> list[dict[str, Any]]:
    curves: dict[str, Any] = validation.get("curves") or {}
    drawn: list[dict[str, Any]] = []
    for key, title, across, up in (
        ("roc", "ROC curve", "false_positive_rate", "true_positive_rate"),
        ("precision_recall", "precision and recall", "recall", "precision"),
        ("calibration", "calibration", "predicted", "observed"),
    ):
        if curve := curves.get(key):
            points = _thin(list(zip(curve[across], curve[up], strict=True)))
            axes = {"x_axis_name": across.replace("_", " "), "y_axis_name": up.replace("_", " ")}
            drawn.append({"name": title, "type": "linear_graph", "value": [list(point) for point in points]} | axes)
    confusion = curves.get("confusion")
    if confusion and len(confusion["classes"]) <= _VALUES:
        names = [_cut(name, _NAME) for name in confusion["classes"]]
        matrix = {"name": "confusion matrix", "type": "matrix", "value": confusion["matrix"]}
        drawn.append(matrix | {"x_axis_name": names, "y_axis_name": names, "notes": "rows: actual, columns: predicted"})
    return drawn


def _importance(validation: dict[str, Any]) -> list[dict[str, Any]]:
    first = strongest(validation)[:_VALUES]
    if not first:
        return []
    spread = ", ".join(f"{name} ± {value['std']:.2g}" for name, value in first)
    bars = {"name": "permutation importance", "type": "bar_chart", "value": [value["mean"] for _, value in first]}
    axes = {
        "x_axis_name": [_cut(name, _NAME) for name, _ in first],
        "y_axis_name": _cut(f"drop in {validation['importance']['metric']}", _NAME),
    }
    return [bars | axes | {"notes": _cut(spread, _TEXT)}]


def _segments(validation: dict[str, Any]) -> list[dict[str, Any]]:
    metric = headline(validation["metrics"])
    groups: list[dict[str, Any]] = []
    columns: dict[str, dict[str, Any]] = part(validation, "segments")
    for column, segments in sorted(columns.items()):
        names = [] if metric is None else ranked(segments, metric)[:_VALUES]  # the weakest first
        entries: list[dict[str, Any]] = [
            {
                "name": _cut(name, 255) or "(empty)",
                "type": "number",
                "value": segments[name]["metrics"][metric],
                "notes": f"{metric} on {segments[name]['rows']:,} rows",
            }
            for name in names
        ]
        groups.append({"name": _cut(f"segments by {column}", _NAME), "metric_data": entries})
    return groups


def _parameters(described: list[dict[str, Any]]) -> list[dict[str, str]]:
    return [
        {"name": _cut(f"{step['name']}.{key}".lstrip("."), 255), "value": _cut(str(value), 255)}
        for step in described
        for key, value in sorted(step["parameters"].items())
        if str(value)
    ][:100]


def _trained_on(data: dict[str, Any]) -> str:
    if not data:
        return "No data version was recorded."
    rows = "" if data["rows"] is None else f", {data['rows']:,} rows"
    period = f", {' to '.join(data['time_range'])}" if data.get("time_range") else ""
    return f"{data['name']}{rows}{period}"


def _factors(validation: dict[str, Any]) -> str:
    place = weakest(validation)
    if place is None:
        return ""
    column, name, metric = place
    entry = validation["segments"][column][name]
    value = entry["metrics"][metric]
    return f"Weakest where {column} is {name}: {metric} {value:.4g} on {entry['rows']:,} rows."


def _caveats(package: Package) -> str:
    told = [f"{one.name}: {one.note}." for one in checks(package.validation) if one.found is not False]
    if package.format == "sklearn-pickle":
        told.insert(0, "The model is kept as a pickle: loading it runs whatever code its maker put into it.")
    return " ".join(told)


def _thin(points: list[Any]) -> list[Any]:
    last = len(points) - 1
    count = min(_VALUES, len(points))
    return points if count < 2 else [points[round(index * last / (count - 1))] for index in range(count)]


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[: limit - 1]}…"
