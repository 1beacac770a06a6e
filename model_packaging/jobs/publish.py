"""`modelberth job publish`: a candidate that passed goes into the bucket, and a record says so.

The package lands under its digest with its manifest last, and the record is written after it, so that
a job killed at any moment leaves either nothing that counts or the whole. Done again, it changes nothing.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from model_packaging.errors import ModelberthError
from model_packaging.jobs.candidate import open_candidate
from model_packaging.jobs.files import json_text, read_object
from model_packaging.jobs.layout import Layout
from model_packaging.jobs.verdict import markdown
from model_packaging.package import Package
from model_packaging.publish import publish as publish_package
from model_packaging.storage import explained, filesystem, is_remote, place, write_file


def publish(layout: Layout) -> None:
    """Publishes to MODELBERTH_BUCKET as MODELBERTH_MODEL."""
    bucket, model = required("MODELBERTH_BUCKET"), required("MODELBERTH_MODEL")
    verdict = read_object(layout.verdict, "the gate's verdict")
    address = publish_candidate(open_candidate(layout), verdict, bucket, model, {"execution": execution()})
    print(f"published candidate {address}", flush=True)


def publish_candidate(
    candidate: Package, verdict: dict[str, Any], bucket: str, model: str, lineage: dict[str, Any]
) -> str:
    """Publishes a candidate that passed, then the verdict for people, then the record by which it is found; returns
    the package's address. `lineage` adds to the parent and the data. ModelberthError where the verdict is about
    another package, or does not let this one pass; StorageError where the bucket cannot be written."""
    _check(verdict, candidate, model)
    address = publish_package(candidate, bucket)
    record = f"{candidates(bucket, model)}/{candidate.digest.removeprefix('sha256:')}"
    published = verdict | {"address": address, "lineage": whole_lineage(candidate, verdict, lineage)}
    _write_once(f"{record}.md", markdown(published))
    _write_once(
        f"{record}.json",
        json_text(
            {
                "schema_version": 1,
                "model": model,
                "digest": candidate.digest,
                "address": address,
                "created": datetime.now(UTC).isoformat(timespec="seconds"),
                "verdict": verdict,
                "lineage": published["lineage"],
            }
        ),
    )
    return address


def keep_refusal(
    candidate: Package, verdict: dict[str, Any], bucket: str, model: str, lineage: dict[str, Any]
) -> dict[str, Any]:
    """Writes why a candidate was refused beside the candidates, and not among them: who lists those finds only what
    was published. Returns the verdict as it is kept. StorageError where the bucket cannot be written."""
    refused = {"outcome": "refused", "model": model, "lineage": whole_lineage(candidate, verdict, lineage)}
    kept = verdict | refused
    address = f"{candidates(bucket, model)}/refused/{candidate.digest.removeprefix('sha256:')}"
    write_verdict(kept, f"{address}.json", f"{address}.md")
    return kept


def write_verdict(verdict: dict[str, Any], machine: str, people: str) -> None:
    """Writes a verdict to two addresses: as Markdown for people, then as JSON."""
    write_file(people, markdown(verdict).encode())
    write_file(machine, json_text(verdict).encode())


def whole_lineage(candidate: Package, verdict: dict[str, Any], lineage: dict[str, Any]) -> dict[str, Any]:
    """Where a candidate comes from: the champion it was compared with, its data, and what else is known."""
    return {"parent": verdict.get("champion"), "data": candidate.data.get("digest"), **lineage}


def candidates(bucket: str, model: str) -> str:
    """The folder of a model's candidates: `<hex>.json` is a published one."""
    return f"{bucket.rstrip('/')}/candidates/{model}"


def execution() -> str | None:
    """The platform's name of this run, where it gives one (MODELBERTH_EXECUTION)."""
    return os.environ.get("MODELBERTH_EXECUTION") or None


def required(variable: str) -> str:
    """The variable's value; ModelberthError where it is missing."""
    value = os.environ.get(variable, "").strip()
    if not value:
        raise ModelberthError(f"{variable} is not set")
    return value


def _check(verdict: dict[str, Any], candidate: Package, model: str) -> None:
    problems: list[str] = []
    if verdict.get("digest") != candidate.digest:
        problems.append(f"the verdict is about {verdict.get('digest')}, the candidate is {candidate.digest}")
    if verdict.get("passed") is not True:
        problems.append("the gate did not pass this candidate")
    if candidate.name != model:
        problems.append(f'the candidate is named "{candidate.name}", MODELBERTH_MODEL is "{model}"')
    if problems:
        raise ModelberthError(*problems)


def _write_once(address: str, text: str) -> None:
    """The first publication's time and execution stay on record."""
    fs, path = filesystem(address if is_remote(address) else Path(address).absolute().as_uri())
    with explained(address, "write"):
        if not fs.exists(path):
            place(fs, path, text.encode())
