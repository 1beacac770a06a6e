"""The card as the places where models are registered want it.

Each format is a pure function of the package: nothing is sent anywhere. docs/model-card.md says how each is handed
over.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from jinja2 import TemplateError

from ..errors import ModelberthError
from ..package import Package
from . import huggingface, sagemaker, vertex
from .render import HTML, MARKDOWN, render


@dataclass(frozen=True)
class Told:
    """What an export tells: a package, where it lies, and what its publication recorded of its lineage."""

    package: Package
    address: str
    published: dict[str, Any]

    def card(self, file: str) -> str:
        """card.md or card.html, made anew from the documents: the file in a package may come from a stranger."""
        package = self.package
        lock = package.read("environment.lock").decode("utf-8", "replace")
        return render(package.manifest, package.documents, lock, self.published, files=[file])[file]


def _json(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


FORMATS: dict[str, Callable[[Told], str]] = {
    "html": lambda told: told.card(HTML),
    "huggingface": lambda told: huggingface.readme(told.package, told.card(MARKDOWN)),
    "markdown": lambda told: told.card(MARKDOWN),
    "sagemaker": lambda told: _json(sagemaker.content(told.package, told.address, told.published)),
    "vertex": lambda told: _json(vertex.documents(told.package, told.address, told.published)),
}
"""By the name that `--format` takes."""


def export(package: Package, format: str, address: str = "", published: dict[str, Any] | None = None) -> str:
    """The card of a package in one of `FORMATS`. `address` is where the package is published, `published` the
    lineage that was recorded there. ModelberthError for a document that cannot be shown."""
    try:
        return FORMATS[format](Told(package, address, published or {}))
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, TemplateError) as error:
        # The schema leaves room in validation.json and baseline.json, and a stranger may have filled it.
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        raise ModelberthError(f"{package.name}: no card can be made of its documents: {reason}") from error
