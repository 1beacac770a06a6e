# pyright: basic
# (pandas carries no types)
"""`modelberth validate`: a package on data it has not seen."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import ModelberthError


def validate(
    package: Annotated[str, typer.Argument(help="A folder, a .tar, or a URL.", metavar="PACKAGE")],
    data: Annotated[Path, typer.Option(help="Rows the model has not seen: CSV, Parquet or JSON Lines.")],
    target: Annotated[str, typer.Option(help="The column with the truth.")],
    segment: Annotated[list[str] | None, typer.Option(help="A column whose values are judged apart.")] = None,
    query: Annotated[str | None, typer.Option(help="The column with each row's query, for ranking metrics.")] = None,
    k: Annotated[int, typer.Option(help="How many rows of a query count.", min=1)] = 10,
    metric: Annotated[list[str] | None, typer.Option(help="Your own metric: module:function.")] = None,
    champion: Annotated[str | None, typer.Option(help="The package to compare with on the same rows.")] = None,
    confidence: Annotated[float, typer.Option(help="Of the comparison, one-sided.", min=0.5, max=0.999)] = 0.95,
    bootstrap: Annotated[int, typer.Option(help="Rounds for the intervals.", min=0)] = 1000,
    trust: Annotated[list[str] | None, typer.Option(help="A Python type that the model may hold.")] = None,
    output: Annotated[Path | None, typer.Option(help="Write the document here.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the document.")] = False,
) -> None:
    """Judge a package on data, with intervals, segments, and the champion beside it.

    Example: modelberth validate ./packages/churn --data april.csv --target left --segment plan
    """
    from ..datasets import read_table
    from ..documents import dumps
    from ..package import open_package
    from .predicted import predict
    from .run import judged, own_metrics
    from .scored import with_own, with_queries

    table = read_table(data)
    wanted = [target, *(segment or []), *([query] if query else [])]
    missing = [name for name in wanted if name not in table]
    if missing or not len(table):
        raise ModelberthError(*([f'{data}: there is no column "{name}"' for name in missing] or [f"{data}: no rows"]))
    truth = table[target]
    if truth.isna().any():
        raise ModelberthError(f"{data}: {int(truth.isna().sum()):,} rows have no {target}: leave them out")
    own = own_metrics(metric or [])

    def scored_by(address: str) -> Any:
        found = open_package(address)
        rows = with_own(_against(predict(found, table, trusted=trust or ()), truth), own)
        return found, with_queries(rows, table[query], k) if query else rows

    found, rows = scored_by(package)
    document = {"package": found.digest} | judged(rows, table, segment or [], bootstrap, 0)
    if champion:
        other, theirs = scored_by(champion)
        document["comparison"] = {"champion": other.digest, "metrics": _compared(rows, theirs, confidence)}
    if output:
        output.write_bytes(dumps(document))
    if as_json:
        typer.echo(json.dumps(document, indent=2, sort_keys=True))
        return
    for line in _lines(document):
        typer.echo(line)


def _against(rows: Any, truth: Any) -> Any:
    from ..formats.predictor import class_key
    from .scored import codes, scored

    if rows.task == "regression":
        return scored(rows.task, (), truth, rows.predicted, None)
    # A table may write a class as a text, or True as 1.
    names = [class_key(value) for value in rows.classes]
    labels = [class_key(value) for value in truth.tolist()]
    if not set(labels) <= set(names):
        return replace(rows, target=codes(rows.classes, truth))
    return replace(rows, target=codes(names, labels))


def _compared(rows: Any, theirs: Any, confidence: float) -> dict[str, Any]:
    from ..metrics import higher_is_better
    from .comparison import difference, paired

    both = paired(rows, theirs)
    known = {name: better for name in rows.metrics() if (better := higher_is_better(name)) is not None}
    return {name: vars(difference(both, name, better, confidence)) for name, better in known.items()}


def _lines(document: dict[str, Any]) -> list[str]:
    lines = [f"{document['holdout']['rows']:,} rows"]
    for name, entry in document["metrics"].items():
        interval = entry["interval"]
        bounds = f" ({interval[0]:.4g} to {interval[1]:.4g})" if interval else ""
        lines.append(f"{name:<30} {entry['value']:.4g}{bounds}")
    for column, worst in document["worst_segments"].items():
        for name, entry in worst.items():
            lines.append(
                f"worst {name} by {column}: {entry['segment']}, {entry['value']:.4g} on {entry['rows']:,} rows"
            )
    for name, entry in document.get("comparison", {}).get("metrics", {}).items():
        worse = entry["at_most"]
        certain = f"at most {worse:.3g} worse" if worse >= 0 else f"at least {-worse:.3g} better"
        lines.append(
            f"{name} against the champion's {entry['champion']:.4g}: {certain} with {entry['confidence']:g} confidence"
        )
    return lines
