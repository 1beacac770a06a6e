"""What the card tells beside its summary and its plots, in a form that both templates can show."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

from .summary import headline, part

_SHOWN_WINDOWS = 20


@dataclass(frozen=True)
class Check:
    """One check for leakage: what was looked for, whether it was found (None: not checked), and a sentence."""

    name: str
    found: bool | None
    note: str


@dataclass(frozen=True)
class Window:
    """One fold of cross-validation or window of a backtest."""

    fitted: int | None
    tested: int | None
    period: str
    value: float | None
    """The headline metric."""


@dataclass(frozen=True)
class Windows:
    """The folds, their metric, and whether they went by time."""

    metric: str | None
    backtest: bool
    windows: list[Window]
    left_out: int


def windows(validation: dict[str, Any]) -> Windows | None:
    """The folds of cross-validation or of a backtest; None where there are none."""
    found: dict[str, Any] = validation.get("cross_validation") or {}
    metrics: dict[str, Any] = found.get("metrics") or {}
    metric = headline(metrics)
    values: list[float] = [] if metric is None else metrics[metric].get("folds") or []
    told: list[dict[str, Any]] = found.get("windows") or []
    count = max(len(told), len(values))
    if not count:
        return None
    rows: list[Window] = []
    for index in range(min(count, _SHOWN_WINDOWS)):
        one = told[index] if index < len(told) else {}
        period = f"{one['from']} to {one['to']}" if one.get("from") is not None else ""
        value = values[index] if index < len(values) else None
        rows.append(Window(one.get("fitted"), one.get("tested"), period, value))
    backtest = found.get("splitter") in ("time", "sliding")
    return Windows(metric, backtest, rows, count - len(rows))


def checks(validation: dict[str, Any]) -> list[Check]:
    """What the three checks for leakage found; empty where the model was not validated with them."""
    found: dict[str, Any] = validation.get("leakage") or {}
    if not found:
        return []
    twice: dict[str, Any] = found.get("duplicates") or {}
    telling: dict[str, float] = found.get("target") or {}
    time: dict[str, Any] | None = found.get("time")
    columns = ", ".join(f"{name} ({value:.4g})" for name, value in sorted(telling.items()))
    listed = [
        Check(
            "duplicates across the split",
            bool(twice.get("rows")),
            f"{twice.get('rows', 0):,} hold-out rows, {100 * (twice.get('ratio') or 0):.3g} %, have the inputs of a "
            "training row",
        ),
        Check(
            "target in the features",
            bool(telling),
            f"may tell the target by itself: {columns}" if telling else "no column tells the target by itself",
        ),
    ]
    if time is None:
        return [*listed, Check("time order", None, "validate() was not given times")]
    note = f"training ends {time.get('last_training')}, the hold-out begins {time.get('first_holdout')}"
    if time.get("rows"):
        note = f"{time['rows']:,} hold-out rows do not come after the training rows; {note}"
    return [*listed, Check("time order", bool(time.get("rows")), note)]


def steps(model: dict[str, Any]) -> list[dict[str, Any]]:
    """The pipeline's steps with their parameters, each with its branches: what runs side by side, and on which
    columns. A model that is no pipeline is one step."""
    found: list[dict[str, Any]] = model.get("steps") or [
        {"name": "", "type": model.get("type", ""), "parameters": model.get("parameters") or {}}
    ]
    return [step | {"branches": _branches(step.get("parameters") or {})} for step in found]


def _branches(parameters: dict[str, Any]) -> list[tuple[str, str]]:
    given: Any = parameters.get("transformers") or parameters.get("transformer_list")
    if not isinstance(given, list):
        return []
    branches: list[tuple[str, str]] = []
    for entry in cast("list[Any]", given):
        if not isinstance(entry, list) or len(cast("list[Any]", entry)) < 2:
            return []
        _, kind, *columns = cast("list[Any]", entry)
        names: Any = columns[0] if columns else []
        listed = cast("list[Any]", names) if isinstance(names, list) else [names]
        branches.append((str(kind), ", ".join(map(str, listed))))
    return branches


def lineage(documents: dict[str, Any], published: dict[str, Any] | None) -> dict[str, str]:
    """What the package followed and which run made it, as far as the package or its publication tells."""
    told = published or {}
    data: dict[str, Any] = part(documents, "data.json")
    found: dict[str, Any] = {
        "parent package": told.get("parent") or part(documents, "holdout.json", "champion", "digest"),
        "run": told.get("execution"),
        "data version": data.get("digest"),
        "parent data version": data.get("parent"),
    }
    return {name: str(value) for name, value in found.items() if value}
