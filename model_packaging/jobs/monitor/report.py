"""The monitor's report: report.json for programs, report.html for people, which stands alone, and metrics.prom."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any, cast

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from model_packaging.jobs.monitor.capture import Examples, Window
from model_packaging.jobs.monitor.charts import bars, curves
from model_packaging.jobs.monitor.descriptions import DESCRIPTIONS, FALSE_DISCOVERIES
from model_packaging.jobs.monitor.drift import MAJOR, MODERATE, SMOOTHING, level
from model_packaging.jobs.monitor.lines import over_time
from model_packaging.jobs.monitor.measures import Measure, significant
from model_packaging.jobs.monitor.names import unit
from model_packaging.jobs.monitor.prometheus import CONTENT_TYPE, open_metrics
from model_packaging.jobs.monitor.quality import Quality
from model_packaging.jobs.monitor.settings import Settings
from model_packaging.jobs.monitor.summaries import Column
from model_packaging.jobs.monitor.traffic import Traffic
from model_packaging.package import Package
from model_packaging.storage import explained, filesystem, place

MOST_SHOWN = 200
"""Inputs in report.html, those that drifted most; report.json has all."""

MOST_MULTIPLES = 12
"""Small charts above the table in report.html, of the inputs that drifted most."""

_HEADLINE_METRICS = ("accuracy", "mean_absolute_error")

_HEADLINES = {"stable": "Stable", "moderate": "Moderate shift", "major": "Major shift"}


def report(
    settings: Settings,
    package: Package,
    window: Window,
    traffic: Traffic,
    unreadable: Examples,
    found: Sequence[Measure],
    judged: Quality | None = None,
) -> dict[str, Any]:
    """The content of report.json."""
    minimum = settings.minimum_rows
    features = _columns(traffic.features, minimum)
    for name, one in features.items():
        one["type_violations"] = traffic.misfit_values[name]
    predictions = _columns(traffic.predictions, minimum)
    document: dict[str, Any] = {
        "schema_version": 1,
        "endpoint": settings.endpoint,
        "package": {"name": package.name, "digest": package.digest, "rows": package.baseline["rows"]},
        "capture": settings.capture,
        "window": {
            "from": _second(window.start),
            "to": _second(window.end),
            "hours": settings.window_hours,
        },
        "requests": traffic.requests,
        "rows": traffic.rows,
        "redacted_inputs": sorted(traffic.redacted),
        "repeated_events": traffic.repeats.count,
        "minimum_rows": minimum,
        "metrics": {one.name: one.value for one in found if one.feature is None},
        "features": features,
        "predictions": predictions,
        "type_violations": asdict(traffic.misfit_rows),
        "unreadable": {
            "lines": asdict(unreadable),
            "requests": asdict(traffic.unreadable_requests),
            "answers": asdict(traffic.unreadable_answers),
        },
        "labels": judged.document if judged else None,
    }
    return document | {"verdict": verdict(document)}


def verdict(document: Mapping[str, Any]) -> dict[str, str]:
    """What a person should take away: a level and one sentence."""
    window, rows = document["window"], document["rows"]
    metrics: Mapping[str, float] = document["metrics"]
    misfits = document["type_violations"]["count"]
    unreadable = sum(one["count"] for one in document["unreadable"].values())
    notes = [f"{misfits:,} of {_counted(rows, 'row')} do not fit the signature"] if misfits else []
    notes += [f"{_counted(unreadable, 'captured record')} could not be read"] if unreadable else []
    notes += _labelled(document["labels"]) if document.get("labels") else []
    if not rows and not document["requests"]:
        span = f"between {_shown(window['from'])} and {_shown(window['to'])} UTC"
        return _sentence("none", f"No traffic: nothing was captured {span}", notes)
    psi = metrics.get("drift.psi")
    if psi is None:
        text = f"Too few rows to judge drift: {rows:,} of at least {document['minimum_rows']:,}"
        return _sentence("few", text, notes)
    drifted = sorted(
        (-one["psi"], name) for name, one in document["features"].items() if one["level"] in ("moderate", "major")
    )
    if drifted:
        inputs = f"{len(drifted)} of {_counted(len(document['features']), 'input')} drifted"
        text = f"{inputs}, {drifted[0][1]} the most (PSI {psi:.3g})"
    else:
        text = f"no input drifted in {_counted(rows, 'row')} (highest PSI {psi:.3g})"
    predicted = metrics.get("drift.prediction_psi")
    if predicted is not None:
        moved = "moved" if predicted >= MODERATE else "did not move"
        notes.insert(0, f"the predictions {moved} (PSI {predicted:.3g})")
    found = level(max(psi, predicted or 0.0))
    return _sentence(found, f"{_HEADLINES[found]}: {text}", notes)


def _labelled(labels: Mapping[str, Any]) -> list[str]:
    """The headline metric by the newest labels, or why there is none."""
    point = labels["point"]
    if point is None:
        return [str(labels["reason"])] if labels["reason"] else []
    name = next((name for name in _HEADLINE_METRICS if name in point["metrics"]), None)
    if name is None:
        return [f"none of the metrics is defined on {_counted(point['rows'], 'new label')}"]
    one = point["metrics"][name]
    between = " ({:.3g} to {:.3g})".format(*one["interval"]) if one["interval"] else ""
    return [f"{name.replace('_', ' ')} {one['value']:.3g}{between} on {_counted(point['rows'], 'new label')}"]


def html(document: Mapping[str, Any]) -> str:
    """The page."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters = {
        "bars": bars,
        "chance": _chance,
        "curves": curves,
        "mover": mover,
        "number": _number,
        "over_time": over_time,
        "percent": _percent,
        "shown": _shown,
        "span": _span,
    }
    cast("Any", environment).filters.update(filters)  # jinja2 leaves their type open
    features = cast("dict[str, dict[str, Any]]", document["features"])
    ranked = sorted(features.items(), key=lambda item: (-(item[1]["psi"] or 0.0), item[0]))
    return environment.get_template("report.html.j2").render(
        document,
        ranked=ranked[:MOST_SHOWN],
        hidden=len(ranked[MOST_SHOWN:]),
        descriptions=DESCRIPTIONS,
        unit=unit,
        moderate=MODERATE,
        major=MAJOR,
        smoothing=SMOOTHING,
        false_discoveries=FALSE_DISCOVERIES,
        most_multiples=MOST_MULTIPLES,
    )


def write(document: Mapping[str, Any], found: Sequence[Measure], reports: str) -> str:
    """Writes the files below `<reports>/<yyyy>/<mm>/<dd>/<HHMMSS>-<digest12>/`, by the window's end in UTC, and
    returns the page's address. Each is there whole or not at all, the page last. StorageError where that fails."""
    end = datetime.fromisoformat(document["window"]["to"])
    digest = document["package"]["digest"].removeprefix("sha256:")[:12]
    folder = f"{reports.rstrip('/')}/{end:%Y/%m/%d/%H%M%S}-{digest}"
    fs, root = filesystem(folder)
    metrics = open_metrics(document["endpoint"], end, found).decode()
    content = json.dumps(document, indent=2, allow_nan=False, ensure_ascii=False) + "\n"
    with explained(folder, "write"):
        for name, text, kind in (
            ("report.json", content, "application/json"),
            ("metrics.prom", metrics, CONTENT_TYPE),
            ("report.html", html(document), "text/html; charset=utf-8"),
        ):
            place(fs, f"{root}/{name}", text.encode("utf-8", "replace"), content_type=kind)
    return f"{folder}/report.html"


def mover(bins: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """The bin whose share changed most."""
    return max(bins, key=lambda one: abs(one["traffic"] - one["training"]))


def _columns(columns: Mapping[str, Column], minimum_rows: int) -> dict[str, dict[str, Any]]:
    adjusted = significant(columns, minimum_rows)
    return {name: _column(one, minimum_rows, adjusted.get(name)) for name, one in columns.items()}


def _column(column: Column, minimum_rows: int, adjusted: float | None) -> dict[str, Any]:
    drift, test = column.drift(minimum_rows), column.significance(minimum_rows)
    return {
        "kind": column.kind,
        "rows": column.rows,
        "psi": drift[0] if drift else None,
        "jensen_shannon_distance": drift[1] if drift else None,
        "level": level(drift[0]) if drift else None,
        "test": asdict(test) | {"adjusted_p_value": adjusted} if test else None,
        "missing_ratio": column.missing_ratio,
        "missing_ratio_in_training": column.missing_in_training,
        "unseen_category_ratio" if column.kind == "categorical" else "out_of_range_ratio": column.strange_ratio,
        "bins": [asdict(one) for one in column.bins()],
        **column.details(),
    }


def _sentence(found: str, text: str, notes: Sequence[str]) -> dict[str, str]:
    return {"level": found, "sentence": "; ".join([text, *notes]) + "."}


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _second(time: datetime) -> str:
    return time.isoformat(timespec="seconds")


def _shown(time: str) -> str:
    return datetime.fromisoformat(time).strftime("%Y-%m-%d %H:%M")


def _percent(share: float | None) -> str:
    if share is None:
        return "–"
    return f"{100 * share:.3g} %" if share < 0.9995 else "100 %"


def _chance(test: Mapping[str, Any] | None) -> str:
    if test is None:
        return "–"
    value = test["adjusted_p_value"]
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _span(ends: Sequence[float] | None) -> str:
    return "–" if ends is None else f"{ends[0]:.4g} to {ends[1]:.4g}"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}" if value < 10 else f"{value:.1f}"
