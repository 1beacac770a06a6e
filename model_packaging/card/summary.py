"""What the card says first: the numbers by which a reader judges the model, from its validation alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

from ..metrics import higher_is_better

_HEADLINES = ("roc_auc", "f1", "f1_macro", "accuracy", "r2", "root_mean_squared_error")


@dataclass(frozen=True)
class Finding:
    """One of the summary's boxes."""

    label: str
    value: str
    note: str


def summary(validation: dict[str, Any]) -> list[Finding]:
    """The headline metric, accuracy against the plainest answer, the weakest segment, the strongest inputs;
    each where the validation tells it."""
    found = [_headline(validation), _against_the_plainest(validation), _weakest(validation), _strongest(validation)]
    return [finding for finding in found if finding is not None]


def headline(metrics: dict[str, Any]) -> str | None:
    """The metric that speaks for the model: the first of a fixed order that it has."""
    return next((name for name in _HEADLINES if name in metrics), None)


def ranked(segments: dict[str, Any], metric: str) -> list[str]:
    """The segments that have the metric, the weakest first."""
    sign = 1 if higher_is_better(metric) else -1
    judged = [name for name, entry in segments.items() if metric in entry["metrics"]]
    return sorted(judged, key=lambda name: (sign * segments[name]["metrics"][metric], name))


def weakest(validation: dict[str, Any]) -> tuple[str, str, str] | None:
    """Column, segment and metric of the weakest segment of all."""
    columns: dict[str, dict[str, Any]] = part(validation, "segments")
    metric = headline(part(validation, "metrics"))
    if metric is None:
        return None
    firsts = {(column, ranked(segments, metric)[0]) for column, segments in columns.items() if ranked(segments, metric)}
    if not firsts:
        return None
    sign = 1 if higher_is_better(metric) else -1
    column, name = min(firsts, key=lambda it: (sign * columns[it[0]][it[1]]["metrics"][metric], it))
    return column, name, metric


def value_of(metrics: dict[str, Any], name: str) -> float | None:
    """A metric's number, given as such or with its interval; None where there is none."""
    entry = metrics.get(name)
    value = cast("dict[str, Any]", entry).get("value") if isinstance(entry, dict) else entry
    return float(value) if isinstance(value, int | float) else None


def _headline(validation: dict[str, Any]) -> Finding | None:
    metrics: dict[str, Any] = part(validation, "metrics")
    name = headline(metrics)
    value = None if name is None else value_of(metrics, name)
    if name is None or value is None:
        return None
    notes: list[str] = []
    if interval := part(metrics, name, "interval"):
        notes.append(f"95 % interval {interval[0]:.4g} to {interval[1]:.4g}")
    if folds := part(validation, "cross_validation", "metrics", name):
        difference = value - folds["mean"]
        better = (difference > 0) == bool(higher_is_better(name))
        verdict = "as" if abs(difference) <= folds["std"] else "better than" if better else "worse than"
        notes.append(f"{verdict} in cross-validation, {folds['mean']:.4g} ± {folds['std']:.2g}")
    return Finding(name, f"{value:.4g}", "; ".join(notes))


def _against_the_plainest(validation: dict[str, Any]) -> Finding | None:
    confusion = part(validation, "curves", "confusion")
    accuracy = value_of(part(validation, "metrics"), "accuracy")
    if not confusion or accuracy is None:
        return None
    rows: list[int] = [sum(row) for row in confusion["matrix"]]
    share = max(rows) / sum(rows)
    plainest = confusion["classes"][rows.index(max(rows))]
    verdict = "better than" if accuracy > share else "no better than"
    return Finding("accuracy", f"{accuracy:.4g}", f"{verdict} always answering {plainest}, {share:.4g}")


def _weakest(validation: dict[str, Any]) -> Finding | None:
    place = weakest(validation)
    if place is None:
        return None
    column, name, metric = place
    entry = validation["segments"][column][name]
    everywhere = value_of(validation["metrics"], metric)
    note = f"{metric} {entry['metrics'][metric]:.4g} on {entry['rows']:,} rows"
    return Finding("weakest segment", f"{column} {name}", f"{note}; on all {everywhere:.4g}" if everywhere else note)


def strongest(validation: dict[str, Any]) -> list[tuple[str, dict[str, float]]]:
    """The inputs by how much the metric drops when they are shuffled, the largest drop first."""
    features: dict[str, dict[str, float]] = part(validation, "importance", "features")
    return sorted(features.items(), key=lambda item: (-item[1]["mean"], item[0]))


def _strongest(validation: dict[str, Any]) -> Finding | None:
    importance = part(validation, "importance")
    ranked_inputs = strongest(validation)
    if not ranked_inputs:
        return None
    features, names = dict(ranked_inputs), [name for name, _ in ranked_inputs]
    means = features[names[0]]
    note = f"shuffled, {importance['metric']} drops by {means['mean']:.2g} ± {means['std']:.2g}"
    return Finding("leans most on", names[0], f"{note}; then {', '.join(names[1:3])}" if names[1:] else note)


def part(document: dict[str, Any], *path: str) -> Any:
    """What stands under the keys, an empty dictionary where nothing does."""
    found: Any = document
    for key in path:
        found = cast("dict[str, Any]", found).get(key) if isinstance(found, dict) else None
    return {} if found is None else found
