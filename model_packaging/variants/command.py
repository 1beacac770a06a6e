"""`modelberth compare-variants`."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer


def compare_variants(
    capture: Annotated[str, typer.Argument(help="The endpoint's folder of captured traffic.")],
    package: Annotated[str, typer.Option(help="What one of the variants serves.")],
    labels: Annotated[
        list[str], typer.Option(help="Files or folders with the columns id, label and perhaps row and time.")
    ],
    control: Annotated[str, typer.Option(help="The variant that is compared with.")],
    treatment: Annotated[str, typer.Option(help="The variant in question.")],
    effect: Annotated[float, typer.Option(help="The smallest difference that matters.", min=1e-9)],
    split: Annotated[
        float | None, typer.Option(help="The treatment's share of their traffic.", min=0.001, max=0.999)
    ] = None,
    confidence: Annotated[float, typer.Option(help="Of the interval.", min=0.5, max=0.9999)] = 0.95,
    hours: Annotated[float, typer.Option(help="How far back is looked.", min=0.01, max=100_000)] = 168,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """Say which of two live variants is better. You may look as often as you like: the interval allows for it.

    Example: modelberth compare-variants s3://bucket/capture/churn --package ./packages/churn --labels labels.csv
    --control blue --treatment green --effect 0.02
    """
    from ..jobs.monitor.capture import Examples, Window, read
    from ..package import open_package
    from ..storage import is_remote
    from .compare import compare, labels_of, outcomes

    found = open_package(package)
    known, strange = labels_of(labels, list(found.signature["outputs"].get("classes") or []))
    now = datetime.now(UTC)
    unreadable = Examples()
    folder = capture if is_remote(capture) else f"file://{_absolute(capture)}"
    exchanges = read(folder, Window(now - timedelta(hours=hours), now), unreadable)
    verdict = compare(
        outcomes(exchanges, known, found, unreadable),
        control,
        treatment,
        found,
        size=effect,
        confidence=confidence,
        split=split,
    )
    if as_json:
        typer.echo(
            json.dumps(asdict(verdict) | {"unreadable": asdict(unreadable), "left_out": asdict(strange)}, indent=2)
        )
        return
    typer.echo(verdict.sentence)
    for name, one in ((control, verdict.control), (treatment, verdict.treatment)):
        typer.echo(f"{name:<12} {one.rows:,} labelled rows")
    if strange.count:
        typer.echo(f"left out     {strange.count:,} labels, such as {strange.examples[0]}")
    if unreadable.count:
        typer.echo(f"unreadable   {unreadable.count:,} records, such as {unreadable.examples[0]}")


def _absolute(path: str) -> str:
    from pathlib import Path

    return str(Path(path).absolute())
