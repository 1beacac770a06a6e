"""`modelberth card`: the card of a package, in the form that its reader wants."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Annotated, Any

import typer


class _Format(enum.Enum):
    HTML = "html"
    HUGGINGFACE = "huggingface"
    MARKDOWN = "markdown"
    SAGEMAKER = "sagemaker"
    VERTEX = "vertex"


def card(
    package: Annotated[
        str, typer.Argument(help="A folder, a .tar, or a URL; may end in @sha256:<digest>.", metavar="PACKAGE")
    ],
    format: Annotated[_Format, typer.Option(help="Who reads it.")] = _Format.MARKDOWN,
    output: Annotated[Path | None, typer.Option(help="Write it here; else it is printed.")] = None,
) -> None:
    """Print a package's card, made anew from its documents, for people or for a registry of models.

    Example: modelberth card ./packages/churn --format sagemaker --output card.json
    """
    from ..package import open_package
    from .export import export

    found = open_package(package)
    address, published = _published(package, found.digest)
    text = export(found, format.value, address, published)
    if output is None:
        typer.echo(text, nl=False)
        return
    output.write_text(text, encoding="utf-8")
    typer.echo(str(output))


def _published(package: str, digest: str) -> tuple[str, dict[str, Any]]:
    """The address, and the lineage that was recorded there; both empty for what lies on this machine."""
    from ..data.trace import trace_package
    from ..storage import is_remote, split_address

    if not is_remote(package) or package.startswith("oci://") or split_address(package)[0].endswith((".tar", "gz")):
        return (package if is_remote(package) else ""), {}
    origin = trace_package(f"{split_address(package)[0]}@{digest}")[0]
    return origin.address, origin.lineage
