# pyright: basic
# (pandas and numpy's functions carry few types)
"""How good the model is, by the labels that arrived: metrics over time, target drift, and labels to look at.

The labels of a run are counted together as one point, once there are enough of them; until then they wait. So a label
is in one point only, points do not overlap, and each has its own interval.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from model_packaging import baseline
from model_packaging.alarms import QUALITY, alarm_texts
from model_packaging.errors import ModelberthError
from model_packaging.formats.predictor import class_key
from model_packaging.jobs.monitor import labels as files
from model_packaging.jobs.monitor.capture import Examples, read
from model_packaging.jobs.monitor.descriptions import OF_LABELS
from model_packaging.jobs.monitor.drift import level
from model_packaging.jobs.monitor.joining import Joined, State, predicted
from model_packaging.jobs.monitor.measures import Measure
from model_packaging.jobs.monitor.summaries import Column, column
from model_packaging.jobs.monitor.suspicious import suspicions
from model_packaging.package import Package
from model_packaging.validation.holdout import read as read_holdout
from model_packaging.validation.run import intervals, judged, own_metrics
from model_packaging.validation.scored import Metric, Scored

MOST_SUSPICIOUS = 50
"""Suspicious labels that are listed, the surest first."""

BOOTSTRAP_ROUNDS = 200
BOOTSTRAP_ROWS = 20_000
"""Of a larger point so many rows are drawn for its intervals, which are then narrowed by the root of the share that
these are (P. Bickel, F. Götze, W. van Zwet, "Resampling fewer than n observations", Statistica Sinica 7, 1997)."""

_SEED = 0


@dataclass(frozen=True)
class LabelSettings:
    """Where labels come from and how long they may take."""

    address: str
    delay: timedelta
    """How long after its prediction a label may come."""
    own: tuple[str, ...] = ()
    """The user's metrics, as `module:function`."""


@dataclass(frozen=True)
class Quality:
    """What the labels say in this run."""

    document: dict[str, Any]
    """The part `labels` of report.json."""
    measures: list[Measure]
    keep: Callable[[], None]
    """Writes what the next run goes on from. To be called last: a run that fails before is as if it had not been."""


def quality(
    settings: LabelSettings,
    package: Package,
    capture: str,
    reports: str,
    minimum_rows: int,
    end: datetime,
) -> Quality:
    """Join the labels that arrived to captured predictions and judge the model by those that are new.

    Raises:
        StorageError: the labels, the capture or what the last run kept cannot be read.
        ModelberthError: a metric of the user's own cannot be imported.
    """
    outputs = package.signature["outputs"]
    classes: list[Any] = outputs.get("classes") or []
    segments = list(package.documents.get("validation.json", {}).get("segments") or {})
    own = {name: _explained(name, metric) for name, metric in own_metrics(settings.own).items()}
    address = f"{reports.rstrip('/')}/labels/state.parquet"
    now = end.timestamp()
    state = State.load(address, classes, segments)
    window = state.window(end, settings.delay, package.digest)
    state.adopt(package.digest)
    before = int(state.joined.sum())
    skipped, unreadable = Examples(), Examples()
    exchanges = read(capture, window, unreadable)
    for block in predicted(exchanges, package, segments, end, skipped):
        state.add_predictions(block, now)
    state.read_to = end
    arrived, joined = files.Arrived(), Joined()
    for block in files.read(settings.address, state.stamps, classes, arrived):
        state.add_labels(block, now, joined)
    state.stamps = arrived.stamps
    joined.new = int(state.joined.sum()) - before
    arrived_now = state.table["labelled"] == now
    unmatched = state.table[arrived_now & state.table["predicted"].isna()]
    late, recounted = _recount(state, joined.touched, outputs, own)
    point, reason = _count(state, minimum_rows, outputs, own, end)
    if point is None and state.points:
        # The newest verdict stands until the next one, unless it was passed on labels that have been corrected.
        point = recounted.get(state.points[-1]["number"])
    rows = state.table[state.table["point"] == point["number"]] if point else None
    target = _target(rows, package, minimum_rows)
    found = _suspicious(rows, outputs, minimum_rows)
    waiting = int((state.joined & (state.table["point"] == 0)).sum())
    document: dict[str, Any] = {
        "address": settings.address,
        "delay_hours": settings.delay / timedelta(hours=1),
        "files": arrived.files,
        "rows": arrived.rows,
        "joined": joined.new,
        "corrected": joined.corrected,
        "corrected_too_late": late,
        "repeated": joined.repeated,
        "contradicting": joined.contradicting,
        "missing": arrived.missing,
        "unknown": asdict(arrived.unknown),
        "ill_formed": asdict(arrived.ill_formed),
        "unmatched": {"count": len(unmatched), "examples": [_name(key) for key in unmatched.index[:5]]},
        "skipped_predictions": asdict(skipped),
        "waiting": {
            "predictions": int(state.table["label"].isna().sum()),
            "labels": int(state.table["predicted"].isna().sum()),
            "to_be_counted": waiting,
        },
        "share_kept": state.share,
        "reason": reason if point is None else None,
        "point": point,
        "target": target,
        "suspicious": found,
        "over_time": state.points,
    }
    state.forget((end - settings.delay).timestamp())
    return Quality(document, _measures(document), lambda: state.save(address))


def _count(
    state: State, minimum: int, outputs: Mapping[str, Any], own: Mapping[str, Metric], end: datetime
) -> tuple[dict[str, Any] | None, str | None]:
    """Count the labels that wait as a new point, or say why not."""
    waits = state.joined & (state.table["point"] == 0)
    count = int(waits.sum())
    if count < minimum:
        return None, f"{count:,} of at least {minimum:,} labels to be counted have come"
    number = state.points[-1]["number"] + 1 if state.points else 1
    state.table.loc[waits, "point"] = number
    point = {
        "number": number,
        "at": end.astimezone(UTC).isoformat(timespec="seconds"),
        "digest": state.digest,
        "recounted": False,
    } | _judge(state.table[waits], state, outputs, own)
    state.points.append(_brief(point))
    return point, None


def _recount(
    state: State, touched: set[int], outputs: Mapping[str, Any], own: Mapping[str, Metric]
) -> tuple[int, dict[int, dict[str, Any]]]:
    """Judge points anew whose labels were corrected: those that still have all of their rows. Returns how many have
    not, and the others by their number."""
    late, found = 0, {}
    for index, point in enumerate(state.points):
        number = point["number"]
        if number not in touched:
            continue
        rows = state.table[state.table["point"] == number]
        if len(rows) != point["rows"]:
            late += 1
            continue
        found[number] = point | _judge(rows, state, outputs, own) | {"recounted": True}
        state.points[index] = _brief(found[number])
    return late, found


def _judge(rows: Any, state: State, outputs: Mapping[str, Any], own: Mapping[str, Metric]) -> dict[str, Any]:
    """Metrics with intervals, by validation's own functions."""
    scored = _scored(rows, outputs)
    inputs = rows[state.segments].fillna("missing")
    inputs = inputs.rename(columns={name: name.removeprefix("segment:") for name in state.segments})
    problems: list[str] = []
    for metrics in (own, {}):
        scored = replace(scored, custom=metrics)
        try:
            found = judged(scored, inputs, list(inputs.columns), 0, _SEED)
            bounds = _intervals(scored)
            break
        except ModelberthError as error:
            problems += error.problems
    else:
        return {"rows": len(rows), "metrics": {}, "problems": problems}
    metrics = {name: one | {"interval": bounds.get(name)} for name, one in found["metrics"].items()}
    return {
        "rows": len(rows),
        "from": _second(rows["at"].min()),
        "to": _second(rows["at"].max()),
        "metrics": metrics,
        "not_defined": [name for name in alarm_texts(outputs) if name in QUALITY and name not in metrics],
        "problems": problems,
        "segments": found["segments"],
        "worst_segments": found["worst_segments"],
        "curves": found["curves"],
    }


def _scored(rows: Any, outputs: Mapping[str, Any]) -> Scored:
    target, guess = rows["label"].to_numpy(), rows["predicted"].to_numpy()
    if outputs["task"] == "regression":
        return Scored("regression", (), target, guess)
    classes: list[Any] = outputs.get("classes") or []
    chances = _chances(rows, classes)
    return Scored("classification", classes, target.astype(int), guess.astype(int), chances)


def _chances(rows: Any, classes: Sequence[Any]) -> Any:
    """Rows × classes, or None where an answer did not tell them."""
    found = rows[[f"probability:{class_key(one)}" for one in classes]].to_numpy(dtype=float)
    return None if np.isnan(found).any() else found


def _intervals(scored: Scored) -> dict[str, list[float]]:
    rows = len(scored)
    if rows <= BOOTSTRAP_ROWS:
        return intervals(scored, BOOTSTRAP_ROUNDS, _SEED)
    some = scored.take(np.random.default_rng(_SEED).choice(rows, BOOTSTRAP_ROWS, replace=False))
    whole, center, scale = scored.metrics(), some.metrics(), (BOOTSTRAP_ROWS / rows) ** 0.5
    return {
        name: [whole[name] + (bound - center[name]) * scale for bound in bounds]
        for name, bounds in intervals(some, BOOTSTRAP_ROUNDS, _SEED).items()
        if name in whole and name in center
    }


def _target(rows: Any, package: Package, minimum: int) -> dict[str, Any]:
    """How far the labels are from the target on the hold-out, which the package holds."""
    import pandas as pd

    holdout, outputs = package.documents.get("holdout.json"), package.signature["outputs"]
    if rows is None:
        return {"psi": None, "reason": "no new labels were counted"}
    if not holdout:
        return {"psi": None, "reason": "the package has no holdout.json: pack it with a validation"}
    known = read_holdout(holdout, outputs)
    if outputs["task"] == "regression":
        found = column("target", baseline.numeric(pd.Series(known.target)))
        values = rows["label"].tolist()
    else:
        found = column("target", baseline.categorical(pd.Series(known.labels(known.target), dtype=object)))
        values = [known.classes[int(code)] for code in rows["label"]]
    for value in values:
        found.add(value)
    return _drift(found, minimum)


def _drift(found: Column, minimum: int) -> dict[str, Any]:
    drift = found.drift(minimum)
    if drift is None:
        return {"psi": None, "reason": f"{found.rows:,} of at least {minimum:,} labels"}
    return {
        "psi": drift[0],
        "jensen_shannon_distance": drift[1],
        "level": level(drift[0]),
        "bins": [asdict(one) for one in found.bins()],
        "reason": None,
    }


def _suspicious(rows: Any, outputs: Mapping[str, Any], minimum: int) -> dict[str, Any]:
    none: dict[str, Any] = {"ratio": None, "count": None, "top": []}
    if outputs["task"] == "regression":
        return none | {"reason": "a regression has no classes to confuse"}
    if rows is None:
        return none | {"reason": "no new labels were counted"}
    classes: list[Any] = outputs.get("classes") or []
    chances = _chances(rows, classes)
    if chances is None:
        return none | {"reason": "the captured answers hold no probabilities"}
    if len(rows) < minimum:
        return none | {"reason": f"{len(rows):,} of at least {minimum:,} labels"}
    given = rows["label"].to_numpy().astype(int)
    found = suspicions(given, chances)
    keys = [class_key(one) for one in classes]
    top = [
        {
            **_name(rows.index[row]),
            "label": keys[given[row]],
            "suggested": keys[other],
            "probability_of_label": round(float(chances[row, given[row]]), 6),
            "probability_of_suggested": round(float(chances[row, other]), 6),
        }
        for row, other in zip(
            found.rows[:MOST_SUSPICIOUS].tolist(), found.suggested[:MOST_SUSPICIOUS].tolist(), strict=True
        )
    ]
    joint = {"classes": keys, "matrix": [[round(float(one), 6) for one in line] for line in found.joint]}
    return {"ratio": found.ratio, "count": len(found.rows), "top": top, "joint": joint, "reason": None}


def _measures(document: Mapping[str, Any]) -> list[Measure]:
    rows, point = document["rows"], document["point"]
    found: list[Measure] = []
    if rows:
        counts = {
            "labels.contradicting_ratio": document["contradicting"],
            "labels.missing_ratio": document["missing"],
            "labels.unknown_class_ratio": document["unknown"]["count"],
            "labels.unmatched_ratio": document["unmatched"]["count"],
        }
        found += [Measure(name, min(count / rows, 1.0)) for name, count in counts.items()]
    if point is not None:
        found.append(Measure("labels.rows", float(point["rows"])))
        found += [
            Measure(name if name in OF_LABELS else f"custom.{name}", one["value"])
            for name, one in point["metrics"].items()
        ]
    extra = {"drift.target_psi": document["target"]["psi"], "labels.suspicious_ratio": document["suspicious"]["ratio"]}
    return found + [Measure(name, value) for name, value in extra.items() if value is not None]


def _brief(point: Mapping[str, Any]) -> dict[str, Any]:
    metrics = {name: {"value": one["value"], "interval": one["interval"]} for name, one in point["metrics"].items()}
    return {key: point[key] for key in ("number", "at", "digest", "rows", "recounted")} | {"metrics": metrics}


def _explained(name: str, metric: Metric) -> Metric:
    """The user's metric, whose failure is told in one line."""

    def guarded(*given: Any) -> float:
        try:
            return float(metric(*given))
        except Exception as error:
            raise ModelberthError(f'the metric "{name}" failed: {type(error).__name__}: {error}') from error

    return guarded


def _name(key: str) -> dict[str, Any]:
    identifier, _, row = key.rpartition("/")
    return {"id": identifier, "row": int(row)}


def _second(seconds: float) -> str:
    return datetime.fromtimestamp(float(seconds), UTC).isoformat(timespec="seconds")
