"""The verdict on a candidate: JSON for programs, and Markdown that a pull request can show."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, cast

from model_packaging.gate import GateReport, GateRules
from model_packaging.package import Package

_MOST_SHOWN = 30
"""Lines of one table or list; the JSON has all."""

_OUTCOMES = {
    "published": "candidate published",
    "passed": "candidate passed",
    "refused": "candidate refused",
    "failed": "retraining failed",
}


def describe(
    candidate: Package,
    champion: Package | None,
    report: dict[str, Any],
    rules: GateRules,
    judged: GateReport,
    problems: Sequence[str],
) -> dict[str, Any]:
    """All that is known of a candidate beside the champion."""
    return {
        **judged.to_dict(),
        "schema_version": 1,
        "passed": not problems,
        "champion": champion.digest if champion else None,
        "problems": list(problems),
        "rules": written(rules),
        "checks": report.get("checks", []),
        "metrics": _metrics(candidate, champion),
        "data": _data(candidate, champion),
    }


def written(rules: GateRules) -> dict[str, Any]:
    """The rules as their configuration gives them."""
    return rules.model_dump(mode="json", exclude_unset=True, exclude_none=True)


def _metrics(candidate: Package, champion: Package | None) -> dict[str, Any]:
    """Value and interval of each metric that either states, before and after."""
    after, before = _stated(candidate), _stated(champion) if champion else {}
    found: dict[str, Any] = {}
    for name in sorted({*after, *before}):
        both = [side.get(name) for side in (before, after)]
        numbers = [one["value"] for one in both if one]
        difference = numbers[1] - numbers[0] if len(numbers) == 2 else None
        found[name] = {"champion": both[0], "candidate": both[1], "difference": difference}
    return found


def _stated(package: Package) -> dict[str, dict[str, Any]]:
    metrics = cast("dict[str, Any]", package.validation.get("metrics") or {})
    found: dict[str, dict[str, Any]] = {}
    for name, entry in metrics.items():
        given = cast("dict[str, Any]", entry) if isinstance(entry, dict) else {"value": entry}
        value = given.get("value")
        if isinstance(value, int | float) and not isinstance(value, bool):
            interval: Any = given.get("interval")
            found[name] = {"value": value, "interval": interval if isinstance(interval, list) else None}
    return found


def _data(candidate: Package, champion: Package | None) -> dict[str, Any]:
    """Both data versions, and what changed between them where both are described."""
    from model_packaging.data.changes import changes, sentences

    new, old = candidate.data, champion.data if champion else {}
    found = changes(old, new) if old and new else None
    return {
        "candidate": new.get("digest"),
        "champion": old.get("digest"),
        "changes": found,
        "sentences": sentences(found) if found else [],
    }


def markdown(verdict: dict[str, Any]) -> str:
    """The page: the outcome first, then why, the metrics before and after, the data, and where all stands."""
    outcome = verdict.get("outcome") or ("published" if verdict.get("address") else None)
    outcome = outcome or ("passed" if verdict["passed"] else "refused")
    name = verdict.get("package") or verdict.get("model") or "model"
    lines = [f"# {_text(name)}: {_OUTCOMES[outcome]}", ""]
    problems = cast("list[str]", verdict.get("problems") or [])
    lines += [*(f"- {_text(problem)}" for problem in problems), *([""] if problems else [])]
    lines += _facts(verdict)
    if verdict.get("metrics"):
        lines += ["## Metrics", "", "| metric | champion | candidate | difference |", "| --- | --- | --- | --- |"]
        lines += _rows(
            [_text(metric), _metric(one["champion"]), _metric(one["candidate"]), _signed(one["difference"])]
            for metric, one in verdict["metrics"].items()
        )
    if verdict.get("results"):
        failed_first = sorted(verdict["results"], key=lambda one: bool(one["passed"]))
        lines += ["## Gate", "", "| verdict | rule | value | limit |", "| --- | --- | --- | --- |"]
        lines += _rows(
            ["passed" if one["passed"] else "**refused**", _text(one["rule"]), _cell(one["value"]), _cell(one["limit"])]
            for one in failed_first
        )
    if verdict.get("checks"):
        lines += ["## Checks", ""]
        lines += [f"- {_text(one['check'])}: {_text(one['message'])}" for one in verdict["checks"]] + [""]
    data = cast("dict[str, Any]", verdict.get("data") or {})
    sentences = cast("list[str]", data.get("sentences") or [])
    if sentences:
        lines += ["## Data, against the champion's", "", *(f"- {_text(one)}" for one in sentences[:_MOST_SHOWN])]
        lines += [f"- and {len(sentences) - _MOST_SHOWN} more"] if len(sentences) > _MOST_SHOWN else []
        lines += [""]
    return "\n".join(lines).rstrip() + "\n"


def _facts(verdict: dict[str, Any]) -> list[str]:
    lineage = cast("dict[str, Any]", verdict.get("lineage") or {})
    data = cast("dict[str, Any]", verdict.get("data") or {})
    facts = {
        "candidate": verdict.get("digest"),
        "address": verdict.get("address"),
        "champion": verdict.get("champion"),
        "data": lineage.get("data") or data.get("candidate"),
        "data given": lineage.get("given_data"),
        "code": lineage.get("code_version") or lineage.get("code"),
        "entrypoint": lineage.get("entrypoint"),
        "execution": lineage.get("execution"),
    }
    told = [f"- {name}: `{_code(value)}`" for name, value in facts.items() if value]
    return [*told, ""] if told else []


def _rows(cells: Iterable[Sequence[str]]) -> list[str]:
    rows = [f"| {' | '.join(row)} |" for row in cells]
    more = [f"\nand {len(rows) - _MOST_SHOWN} more"] if len(rows) > _MOST_SHOWN else []
    return [*rows[:_MOST_SHOWN], *more, ""]


def _metric(entry: dict[str, Any] | None) -> str:
    if entry is None:
        return ""
    interval: list[Any] = entry["interval"] or []
    ends = " to ".join(_cell(end) for end in interval)
    return f"{_cell(entry['value'])} ({ends})" if ends else _cell(entry["value"])


def _signed(value: float | None) -> str:
    return "" if value is None else f"{value:+.4g}"


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float) else "" if value is None else _text(value)


def _text(value: Any) -> str:
    """Any text as Markdown shows it literally: names of columns are the user's, and may hold anything."""
    flat = re.sub(r"\s+", " ", str(value)).strip()
    return re.sub(r"([\\`*|\[\]#]|(?<!\w)_|_(?!\w))", r"\\\1", flat).replace("<", "&lt;").replace(">", "&gt;")


def _code(value: Any) -> str:
    return re.sub(r"[`\s]+", " ", str(value)).strip()
