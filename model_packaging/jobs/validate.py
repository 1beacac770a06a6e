"""`modelberth job validate`: is the candidate whole, does it load elsewhere, does it do what it says.

Writes processing/report/validation.json, which the gate reads; a failed check ends the job with code 1.
"""

from __future__ import annotations

import json
import subprocess
import sys
from math import isfinite
from typing import Any, cast

from model_packaging.errors import ModelberthError
from model_packaging.jobs.candidate import open_candidate, open_champion
from model_packaging.jobs.files import write_json
from model_packaging.jobs.layout import Layout
from model_packaging.package import Package

_LOAD_SECONDS = 300
"""A model that takes longer to load would not pass SageMaker's container start-up check either."""


def validate(layout: Layout) -> None:
    """Checks the candidate and writes the report. ModelberthError names what failed."""
    report = check_candidate(open_candidate(layout), open_champion(layout))
    write_json(layout.report, report)
    if failed := failures(report):
        raise ModelberthError(*failed)
    print(f"validated {report['package']} {report['digest']}: {len(report['checks'])} checks passed", flush=True)


def check_candidate(candidate: Package, champion: Package | None) -> dict[str, Any]:
    """The report, about a package whose every byte was verified when it was opened."""
    checks = [_check("integrity", []), *_fresh_process(candidate)]
    return {
        "schema_version": 1,
        "package": candidate.name,
        "digest": candidate.digest,
        "champion": champion.digest if champion else None,
        "passed": all(check["passed"] for check in checks),
        "checks": checks,
        "metrics": _metrics(candidate),
        "comparison": compare(_metrics(candidate), _metrics(champion) if champion else {}),
    }


def failures(report: dict[str, Any]) -> list[str]:
    """What failed, a sentence each."""
    return [f"{check['check']}: {check['message']}" for check in report.get("checks", []) if not check["passed"]]


def compare(candidate: dict[str, float], champion: dict[str, float]) -> dict[str, Any]:
    """The metrics that both have, side by side."""
    return {
        name: {"candidate": value, "champion": champion[name], "difference": value - champion[name]}
        for name, value in candidate.items()
        if name in champion
    }


def _fresh_process(candidate: Package) -> list[dict[str, Any]]:
    command = [sys.executable, "-m", "model_packaging.jobs.reproduce", str(candidate.path)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_LOAD_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return [_check("load", [f"the model did not load within {_LOAD_SECONDS} s"])]
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        return [_check("load", [f"the model does not load in a fresh process: {lines[-1]}"])]
    result = cast("dict[str, Any]", json.loads(done.stdout.strip().splitlines()[-1]))
    differences = cast("list[str]", result["differences"])
    if not result["examples"]:
        differences = ["examples.json holds no example"]
    return [
        {**_check("load", []), "seconds": result["load_seconds"]},
        {
            **_check("examples", differences),
            "examples": result["examples"],
            "seconds": result["predict_seconds"],
        },
    ]


def _check(name: str, problems: list[str]) -> dict[str, Any]:
    return {"check": name, "passed": not problems, "message": "; ".join(problems) or "ok"}


def _metrics(package: Package) -> dict[str, float]:
    metrics = cast("dict[str, dict[str, Any]]", package.validation.get("metrics") or {})
    values = {name: metric.get("value") for name, metric in metrics.items()}
    return {name: float(value) for name, value in values.items() if isinstance(value, int | float) and isfinite(value)}
