# pyright: basic
# (numpy's interpolation carries few types)
"""What changed between two versions of data, from their descriptions alone."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..jobs.monitor.drift import level, population_stability_index


def changes(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """Schema, rows, time range and distributions of one version against another.

    `distribution` holds, for each column that both describe, the population stability index (PSI) of the new
    version against the old one with its level, and the shares of missing values. A number's PSI is over the old
    version's bins, into which the new one's histogram and quantiles are interpolated: exact where the bins agree, as
    for a column of few values.
    """
    before, after = old["columns"], new["columns"]
    shared = [name for name in before if name in after]
    return {
        "same": old["digest"] == new["digest"],
        "digest": [old["digest"], new["digest"]],
        "schema": {
            "added": {name: kind for name, kind in after.items() if name not in before},
            "removed": {name: kind for name, kind in before.items() if name not in after},
            "retyped": {name: [before[name], after[name]] for name in shared if before[name] != after[name]},
        },
        "rows": [old["rows"], new["rows"]],
        "time_range": [old["time_range"], new["time_range"]],
        "distribution": {
            name: found
            for name in shared
            if (found := _column(old.get("summaries", {}).get(name), new.get("summaries", {}).get(name)))
        },
    }


def _column(old: dict[str, Any] | None, new: dict[str, Any] | None) -> dict[str, Any] | None:
    if not old or not new or old["kind"] != new["kind"]:
        return None
    found: dict[str, Any] = {"missing": [old["missing"], new["missing"]]}
    if old["kind"] == "text":
        return found | {"distinct": [old["distinct"], new["distinct"]]}
    if not old["count"] or not new["count"]:
        return found
    shares = _numbers(old, new) if old["kind"] == "numeric" else _categories(old, new)
    # A bin for missing values, as the monitor has it.
    both = [
        [*(share * (1 - side["missing"]) for share in part), side["missing"]]
        for part, side in zip(shares, (old, new), strict=True)
    ]
    psi = population_stability_index(*both)
    found |= {"psi": round(psi, 6), "level": level(psi)}
    if old["kind"] == "numeric":
        found["mean"] = [old["mean"], new["mean"]]
    return found


def _numbers(old: dict[str, Any], new: dict[str, Any]) -> tuple[list[float], list[float]]:
    counts = np.array(old["counts"], dtype=float)
    # Up to each inner edge of the old bins; the outer ones also take what lies outside.
    reached = np.interp(old["edges"][1:-1], *_distribution(new))
    return (counts / counts.sum()).tolist(), np.diff([0.0, *reached, 1.0]).tolist()


def _distribution(summary: dict[str, Any]) -> tuple[Any, Any]:
    """Values, and the share of rows up to each of them: from the bins, and from the quantiles too where the bins are
    deciles, because between the ends and the first and the last decile much may lie near the decile."""
    values = list(summary["edges"])
    shares = (np.concatenate([[0.0], np.cumsum(summary["counts"])]) / sum(summary["counts"])).tolist()
    quantiles: dict[str, float] = summary.get("quantiles", {})
    if quantiles.get("0.5") in values[1:-1]:
        values += quantiles.values()
        shares += [float(share) for share in quantiles]
    order = np.argsort(values, kind="stable")
    return np.array(values)[order], np.maximum.accumulate(np.array(shares)[order])


def _categories(old: dict[str, Any], new: dict[str, Any]) -> tuple[list[float], list[float]]:
    names = sorted({*old["frequencies"], *new["frequencies"]})
    first, second = ([side["frequencies"].get(name, 0.0) for name in names] + [side["other"]] for side in (old, new))
    return first, second


def sentences(found: dict[str, Any]) -> list[str]:
    """The changes for people, the largest shifts first."""
    if found["same"]:
        return ["the same content"]
    schema = found["schema"]
    lines = [f"new column {name} ({kind})" for name, kind in schema["added"].items()]
    lines += [f"column {name} ({kind}) is gone" for name, kind in schema["removed"].items()]
    lines += [f"column {name} was {kinds[0]}, is {kinds[1]}" for name, kinds in schema["retyped"].items()]
    lines.append("rows: " + " → ".join("not counted" if rows is None else f"{rows:,}" for rows in found["rows"]))
    if any(found["time_range"]):
        lines.append("time: " + " → ".join(" to ".join(one) if one else "unknown" for one in found["time_range"]))
    columns = sorted(found["distribution"].items(), key=lambda item: (-item[1].get("psi", 0.0), item[0]))
    for name, column in columns:
        parts = [f"PSI {column['psi']:.3g}, {column['level']}"] if "psi" in column else []
        for key in ("mean", "missing", "distinct"):
            if key in column and column[key][0] != column[key][1]:
                parts.append(f"{key} {column[key][0]:.4g} → {column[key][1]:.4g}")
        if parts:
            lines.append(f"{name}: {'; '.join(parts)}")
    return lines
