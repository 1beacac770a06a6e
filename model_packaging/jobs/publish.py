"""`modelberth job publish`: a candidate that passed goes into the bucket, and a record says so.

The package lands under its digest with its manifest last, and the record is written after it, so that
a job killed at any moment leaves either nothing that counts or the whole. Done again, it changes nothing.
"""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from typing import Any

from model_packaging.errors import ModelberthError
from model_packaging.jobs.candidate import open_candidate
from model_packaging.jobs.files import read_object
from model_packaging.jobs.layout import Layout
from model_packaging.package import Package
from model_packaging.publish import publish as publish_package
from model_packaging.storage import explained, filesystem


def publish(layout: Layout) -> None:
    """Publishes to MODELBERTH_BUCKET as MODELBERTH_MODEL."""
    bucket, model = required("MODELBERTH_BUCKET").rstrip("/"), required("MODELBERTH_MODEL")
    verdict = read_object(layout.verdict, "the gate's verdict")
    candidate = open_candidate(layout)
    _check(verdict, candidate, model)
    address = publish_package(candidate, bucket)
    record = f"{bucket}/candidates/{model}/{candidate.digest.removeprefix('sha256:')}.json"
    _write_record(
        record,
        {
            "schema_version": 1,
            "model": model,
            "digest": candidate.digest,
            "address": address,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "verdict": verdict,
            "lineage": {
                "parent": verdict.get("champion"),
                "data": candidate.data.get("digest"),
                "execution": os.environ.get("MODELBERTH_EXECUTION") or None,
            },
        },
    )
    print(f"published candidate {address}", flush=True)


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


def _write_record(address: str, record: dict[str, Any]) -> None:
    fs, path = filesystem(address)
    with explained(address, "write"):
        if "file" in fs.protocol:
            fs.makedirs(path.rpartition("/")[0], exist_ok=True)
        if not fs.exists(path):  # the first publication's time and execution stay on record
            fs.pipe_file(path, (json.dumps(record, indent=2, sort_keys=True) + "\n").encode())
