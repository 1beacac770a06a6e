"""`modelberth job gate`: may the candidate be published, by the rules in MODELBERTH_GATE.

Fails closed: rules, report or candidate that are missing or do not fit together refuse.
"""

from __future__ import annotations

import json
import os
from typing import Any

from model_packaging.errors import ModelberthError
from model_packaging.gate import GateReport, parse_rules
from model_packaging.gate import evaluate as evaluate_rules
from model_packaging.jobs.candidate import open_candidate, open_champion
from model_packaging.jobs.files import read_object, write_json
from model_packaging.jobs.layout import Layout


def gate(layout: Layout) -> None:
    """Writes processing/verdict/verdict.json; ModelberthError lists every failed rule."""
    rules = parse_rules(_rules_document(), "MODELBERTH_GATE")
    candidate = open_candidate(layout)
    champion = open_champion(layout)
    validated = _validation_problem(read_object(layout.report, "the validation report"), candidate.digest)
    report = evaluate_rules(candidate, rules, champion)
    refused = [*([validated] if validated else []), *(_sentence(report, index) for index in _failed(report))]
    write_json(
        layout.verdict,
        {
            **report.to_dict(),
            "schema_version": 1,
            "passed": not refused,
            "champion": champion.digest if champion else None,
            "problems": refused,
        },
    )
    if refused:
        raise ModelberthError(f"{candidate.name} {candidate.digest[:19]} is refused", *refused)
    print(f"passed {candidate.name} {candidate.digest}: {len(report.results)} rules", flush=True)


def _rules_document() -> Any:
    text = os.environ.get("MODELBERTH_GATE", "").strip()
    if not text:
        raise ModelberthError("MODELBERTH_GATE is not set: it must hold the gate's rules as JSON ({} for the built-in)")
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ModelberthError(f"MODELBERTH_GATE is not JSON: {error}") from None


def _validation_problem(report: dict[str, Any], digest: str) -> str | None:
    if report.get("digest") != digest:
        return f"validation: the report is about {report.get('digest')}, the candidate is {digest}"
    if report.get("passed") is not True:
        return "validation: the candidate did not pass its checks"
    return None


def _failed(report: GateReport) -> list[int]:
    return [index for index, result in enumerate(report.results) if not result.passed]


def _sentence(report: GateReport, index: int) -> str:
    result = report.results[index]
    return f"{result.rule}: {result.message}"
