"""The settings of `modelberth retrain`: the same ones as options, as environment variables and as one JSON document.

docs/retraining.md has the table. An option goes before a variable, a variable before the document.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, cast

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from model_packaging.errors import ModelberthError, did_you_mean
from model_packaging.gate import GateRules, parse_rules
from model_packaging.jobs.train import DEFAULT_TIMEOUT_SECONDS
from model_packaging.schema import NAME_PATTERN

DOCUMENT = "MODELBERTH_RETRAIN"
"""The variable that holds the document, or that names its file."""

_STRUCTURED = ("gate", "parameters", "timeout_seconds")
"""Settings that a variable or an option gives as JSON."""

Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


class Settings(BaseModel):
    """What is trained, from what, how it is judged, and where the result goes."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    model: Annotated[str, StringConstraints(pattern=NAME_PATTERN)]
    """The model's name: the package must bear it."""

    entrypoint: Text
    """The training script, a path below `source`, or `module:function`."""

    bucket: Text
    """Where the candidate is published: a folder or an address."""

    source: Text | None = None
    """The folder or address of the training code; a `module:function` that is installed needs none."""

    data: Text | None = None
    """What the script gets: a file, a folder or an address, which may end in `@sha256:…`, the data version that it
    must be; or a recorded data version (.json), whose data is at its origin."""

    champion: Text | None = None
    """The package that is served now; nothing is compared without one."""

    gate: dict[str, Any] = {}
    """The gate's rules, as a stack's configuration has them."""

    parameters: dict[str, Any] = {}
    """Handed to the script."""

    timeout_seconds: Annotated[float, Field(gt=0, allow_inf_nan=False)] = DEFAULT_TIMEOUT_SECONDS
    """When training is stopped."""

    execution: Text | None = None
    """The name of this run on the platform; it goes on record."""

    code_version: Text | None = None
    """The commit of `source`, if it has one; it goes on record beside the content's digest."""

    verdict: Text | None = None
    """A folder or address for verdict.json and verdict.md, besides the bucket."""

    work: Text | None = None
    """The folder, on this machine, for what an interrupted run continues with; below the cache if left out."""

    @property
    def rules(self) -> GateRules:
        return parse_rules(self.gate)


def read(options: Mapping[str, Any], environment: Mapping[str, str] = os.environ) -> Settings:
    """The settings from all three places; ModelberthError lists everything that is missing or wrong, and where."""
    problems: list[str] = []
    given = _document(options.get("settings") or environment.get(DOCUMENT, ""))
    places = dict.fromkeys(given, DOCUMENT)
    for name in Settings.model_fields:
        variable = f"MODELBERTH_{name.upper()}"
        option = f"--{name.replace('_', '-')}"
        for place, text in ((variable, environment.get(variable, "").strip()), (option, options.get(name))):
            if text is None or text == "":
                continue
            try:
                given[name] = json.loads(text) if name in _STRUCTURED and isinstance(text, str) else text
                places[name] = place
            except (ValueError, RecursionError) as error:
                problems.append(f"{place} is not JSON: {error}")
    try:
        settings = Settings.model_validate(given)
        settings.rules  # noqa: B018 (rules that are wrong shall be told before anything is trained)
    except ValidationError as error:
        problems += [_problem(cast("dict[str, Any]", item), places) for item in error.errors()]
    except ModelberthError as error:
        problems += [f"{places['gate']}: {problem}" for problem in error.problems]
    else:
        problems += _disagreements(settings, places)
        if not problems:
            return settings
    raise ModelberthError(*problems)


def _document(text: str) -> dict[str, Any]:
    text = text.strip()
    if not text:
        return {}
    where = DOCUMENT
    if not text.startswith("{"):
        where = f"{DOCUMENT} ({text})"
        try:
            text = Path(text).read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise ModelberthError(f"{where}: neither a JSON object nor a file that can be read: {reason}") from None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ModelberthError(f"{where} is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise ModelberthError(f"{where} must be a JSON object")
    # A platform that fills in a template leaves empty what it does not know.
    return {key: value for key, value in cast("dict[str, Any]", found).items() if value not in (None, "")}


def _problem(item: dict[str, Any], places: Mapping[str, str]) -> str:
    path = [str(part) for part in item["loc"]]
    name = path[0]
    if item["type"] == "extra_forbidden":
        return f'{DOCUMENT}: unknown key "{name}"{did_you_mean(name, Settings.model_fields)}'
    if item["type"] == "missing":
        option = f"--{name.replace('_', '-')}"
        return f"{name} is not set: give {option}, MODELBERTH_{name.upper()}, or {name} in {DOCUMENT}"
    place = places.get(name, DOCUMENT)
    where = f"{place}: {'.'.join(path)}" if place == DOCUMENT else place
    return f"{where} is {str(item['input'])[:80]!r}: {str(item['msg']).removeprefix('Value error, ')}"


def _disagreements(settings: Settings, places: Mapping[str, str]) -> list[str]:
    if settings.source is None and ":" not in settings.entrypoint:
        return [
            f"source is not set: {places['entrypoint']} names the script {settings.entrypoint!r}, so give the folder "
            "that holds it (--source or MODELBERTH_SOURCE), or a module:function that is installed"
        ]
    return []
