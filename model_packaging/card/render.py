"""Fill the templates of the card."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import ChainableUndefined, Environment, FileSystemLoader, Undefined
from markupsafe import Markup

from ..alarms import alarm_texts
from ..formats import ALLOW_PICKLE, FORMATS
from ..formats.predictor import class_key
from ..metrics import higher_is_better
from .content import checks, lineage, steps, windows
from .summary import strongest, summary, weakest

STACK = """\
config:
  modelberth:models:
    {name}:
      package: ./packages/{name}  # or the address that modelberth publish prints
      alarms:
        error_rate: {{above: 1%}}
        latency_p95: {{above: 200ms}}
        drift.psi: {{above: 0.2}}
        data.missing_ratio: {{above: 5%}}
"""
"""The part of a stack's file that serves and watches the package."""


MARKDOWN, HTML = "card.md", "card.html"


def render(
    header: dict[str, Any],
    documents: dict[str, Any],
    lock: str,
    published: dict[str, Any] | None = None,
    *,
    files: Sequence[str] = (MARKDOWN, HTML),
) -> dict[str, str]:
    """The cards of a package by their file's name, from its documents alone; `published` is what the record of its
    publication says of its lineage. Plots are drawn for the page alone."""
    validation: dict[str, Any] = documents.get("validation.json") or {}
    model: dict[str, Any] = header.get("model") or {"type": header["format"], "steps": [], "parameters": {}}
    classes: list[Any] = documents["signature.json"]["outputs"].get("classes") or []
    content: dict[str, Any] = {
        "header": header,
        "model": model,
        "steps": steps(model),
        "runs_code": FORMATS[header["format"]].runs_code if header["format"] in FORMATS else False,
        "allow_pickle": ALLOW_PICKLE,
        "signature": documents["signature.json"],
        "baseline": documents["baseline.json"],
        "data": documents.get("data.json") or {},
        "validation": validation,
        "environment": lock.split(),
        "stack": STACK.format(name=header["name"]),
        "alarms": alarm_texts(documents["signature.json"]["outputs"]),
        "classes": [class_key(value) for value in classes],
        "summary": summary(validation),
        "weakest": weakest(validation),
        "checks": checks(validation),
        "windows": windows(validation),
        "lineage": lineage(documents, published),
        "importance": strongest(validation),
        "example": documents["examples.json"]["inputs"][0],
        "prediction": documents["examples.json"]["predictions"][0],
    }
    if HTML in files:
        from .plots import plots

        content["plots"] = {title: Markup(text) for title, text in plots(validation).items()}
    return {file: _environment(html=file == HTML).get_template(f"{file}.j2").render(content) for file in files}


def _environment(*, html: bool) -> Environment:
    found: Any = Environment(  # its table of filters carries no types
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=html,
        undefined=ChainableUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    found.filters |= {"number": _number, "cell": _cell, "better": _better}
    return found


def _number(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "–" if value is None or isinstance(value, Undefined) else str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"


def _cell(value: Any) -> str:
    """Text that cannot break out of a Markdown table cell."""
    return str(value).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")


def _better(metric: str) -> str:
    known = higher_is_better(metric)
    return "" if known is None else "higher is better" if known else "lower is better"
