"""`modelberth data …`."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Annotated, Any

import typer

from ..documents import dumps, load_object
from ..errors import ModelberthError

app = typer.Typer(help="Versions of data: record, compare and show them.", no_args_is_help=True, add_completion=False)

_VERSION = "A recorded version (.json), a package, or the data itself."


@app.command()
def record(
    data: Annotated[list[str], typer.Argument(help="Files, a folder, an address, a DVC file, or a table.")],
    name: Annotated[str, typer.Option(help="What the data is called.")],
    output: Annotated[Path, typer.Option(help="The JSON file to write.")],
    time: Annotated[str | None, typer.Option(help="The column whose range is recorded.")] = None,
    origin: Annotated[str, typer.Option(help="Where it came from; its address by default.")] = "",
    parent: Annotated[Path | None, typer.Option(help="The recorded version that this one follows.")] = None,
) -> None:
    """Write down which data this is, and print its digest.

    Example: modelberth data record s3://bucket/churn/2026-03 --name churn --time day --output churn.json
    """
    from ..datasets import data_version

    given: Any = data[0] if len(data) == 1 else data
    before = None if parent is None else version(str(parent))["digest"]
    found = data_version(given, name=name, origin=origin or " ".join(data), time=time, parent=before)
    output.write_bytes(dumps(found))
    typer.echo(found["digest"])


@app.command()
def diff(
    old: Annotated[str, typer.Argument(help=_VERSION)],
    new: Annotated[str, typer.Argument(help=_VERSION)],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """Tell what changed in schema, rows and distribution.

    Example: modelberth data diff churn-02.json churn-03.json
    """
    from .changes import changes, sentences

    found = changes(version(old), version(new))
    if as_json:
        typer.echo(json.dumps(found, indent=2))
        return
    for line in sentences(found):
        typer.echo(line)


@app.command()
def show(
    data: Annotated[str, typer.Argument(help=_VERSION)],
    croissant: Annotated[bool, typer.Option("--croissant", help="Print MLCommons Croissant JSON-LD.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """Print a version.

    Example: modelberth data show ./packages/churn --croissant
    """
    from .croissant import croissant as exported

    found = version(data)
    if croissant or as_json:
        typer.echo(json.dumps(exported(found) if croissant else found, indent=2))
        return
    for line in described(found):
        typer.echo(line)


def version(given: str) -> dict[str, Any]:
    """The version that a recorded file holds, that a package names, or that the data itself is. ModelberthError
    where it is none of these."""
    from ..datasets import data_version
    from ..package import open_package
    from ..schema import MANIFEST, DataVersion, check

    path = Path(given)
    if path.suffix == ".json" and path.is_file():
        document: dict[str, Any] = {}
        with contextlib.suppress(ModelberthError):  # rows as JSON are data, not a version
            document = load_object(path.read_bytes(), given)
        if "digest" in document:
            check(document, DataVersion, given)
            return document
    if "@sha256:" in given or (path / MANIFEST).is_file() or path.suffix in (".tar", ".tgz"):
        package = open_package(given)
        if not package.data:
            raise ModelberthError(f"{given}: the package names no data version (pack it with data)")
        return package.data
    return data_version(given, name=path.stem, origin=given)


def described(found: dict[str, Any]) -> list[str]:
    """A version for people."""
    rows = "not counted" if found["rows"] is None else f"{found['rows']:,}"
    lines = [f"name         {found['name']}", f"digest       {found['digest']}", f"rows         {rows}"]
    if found["time_range"]:
        lines.append(f"time         {' to '.join(found['time_range'])}")
    lines.append(f"origin       {found['origin'] or 'not told'}")
    if found.get("parent"):
        lines.append(f"parent       {found['parent']}")
    snapshot: dict[str, Any] = found.get("snapshot", {})
    if snapshot:
        lines.append("snapshot     " + ", ".join(f"{key} {value}" for key, value in snapshot.items()))
    if found["columns"]:
        lines.append("columns      " + ", ".join(f"{name} ({kind})" for name, kind in found["columns"].items()))
    return lines
