"""`modelberth trace`."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from .trace import Origin


def trace(
    what: Annotated[str, typer.Argument(help="A SageMaker endpoint's name, or a package.", metavar="ENDPOINT|PACKAGE")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """Tell which data an endpoint's or a package's model was trained on, and which models came before it.

    Example: modelberth trace churn-endpoint
    """
    from ..storage import is_remote
    from .trace import Served, trace_endpoint, trace_package

    package = is_remote(what) or "@sha256:" in what or Path(what).exists()
    served = [Served("", trace_package(what))] if package else trace_endpoint(what)
    if as_json:
        typer.echo(json.dumps([asdict(one) for one in served], indent=2))
        return
    for one in served:
        if one.variant:
            typer.echo(f"variant      {one.variant}")
        for origin in one.line:
            for line in _lines(origin):
                typer.echo(line)


def _lines(origin: Origin) -> list[str]:
    data = origin.data
    rows = "" if not data or data["rows"] is None else f", {data['rows']:,} rows"
    period = f", {' to '.join(data['time_range'])}" if data.get("time_range") else ""
    lines = [f"package      {origin.name} {origin.digest}", f"  at         {origin.address}"]
    lines.append(f"  data       {data['name']} {data['digest']}{rows}{period}" if data else "  data       none named")
    if data.get("origin"):
        lines.append(f"  origin     {data['origin']}")
    if data.get("parent"):
        lines.append(f"  data from  {data['parent']}")
    given = origin.lineage.get("given_data")
    if given and given != data.get("digest"):
        lines.append(f"  trained on {given}")
    if code := origin.lineage.get("code"):
        version = origin.lineage.get("code_version")
        lines.append(f"  code       {code}" + (f", {version}" if version else ""))
    if origin.lineage.get("execution"):
        lines.append(f"  made by    {origin.lineage['execution']}")
    if origin.lineage.get("parent"):
        lines.append(f"  follows    {origin.lineage['parent']}")
    return lines
