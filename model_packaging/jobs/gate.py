"""`modelberth job gate`: may the candidate be published, by the rules in MODELBERTH_GATE.

Fails closed: rules, report or candidate that are missing or do not fit together refuse. Where MODELBERTH_BUCKET is
set, a refused candidate's verdict is kept there: a platform need not upload the outputs of a job that failed
(SageMaker's EndOfJob is "after the job completes").
"""

from __future__ import annotations

import json
import os
from typing import Any

from model_packaging.errors import ModelberthError
from model_packaging.gate import GateRules, parse_rules
from model_packaging.gate import evaluate as evaluate_rules
from model_packaging.jobs.candidate import open_candidate, open_champion
from model_packaging.jobs.files import read_object, write_json
from model_packaging.jobs.layout import Layout
from model_packaging.jobs.publish import execution, keep_refusal, required
from model_packaging.jobs.validate import failures
from model_packaging.jobs.verdict import describe, markdown
from model_packaging.package import Package
from model_packaging.storage import replace_file


def gate(layout: Layout) -> None:
    """Writes processing/verdict/verdict.json and verdict.md; ModelberthError lists every failed rule."""
    rules = parse_rules(_rules_document(), "MODELBERTH_GATE")
    candidate = open_candidate(layout)
    champion = open_champion(layout)
    verdict = judge(candidate, champion, read_object(layout.report, "the validation report"), rules)
    write_json(layout.verdict, verdict)
    replace_file(layout.verdict_for_people, markdown(verdict).encode())
    if problems := verdict["problems"]:
        raise ModelberthError(
            f"{candidate.name} {candidate.digest[:19]} is refused", *problems, *_keep_refusal(candidate, verdict)
        )
    print(f"passed {candidate.name} {candidate.digest}: {len(verdict['results'])} rules", flush=True)


def _keep_refusal(candidate: Package, verdict: dict[str, Any]) -> list[str]:
    """What went wrong with that, which must not hide why the candidate was refused."""
    bucket = os.environ.get("MODELBERTH_BUCKET", "").strip()
    if not bucket:
        return []
    try:
        keep_refusal(candidate, verdict, bucket, required("MODELBERTH_MODEL"), {"execution": execution()})
    except ModelberthError as error:
        return [f"the verdict is not kept: {error}"]
    return []


def judge(candidate: Package, champion: Package | None, report: dict[str, Any], rules: GateRules) -> dict[str, Any]:
    """The verdict on a candidate with its validation report: passed only without any problem."""
    validated = _validation_problem(report, candidate.digest)
    judged = evaluate_rules(candidate, rules, champion)
    problems = [*([validated] if validated else []), *(f"{one.rule}: {one.message}" for one in judged.failures)]
    return describe(candidate, champion, report, rules, judged, problems)


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
        return "; ".join(["validation: the candidate did not pass its checks", *failures(report)])
    return None
