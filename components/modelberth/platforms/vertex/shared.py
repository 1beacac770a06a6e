"""What the capabilities of one model share on Vertex AI: the project and the region."""

from collections.abc import Mapping
from typing import Any

import pulumi
from pydantic import ValidationError

from ...args import ModelDeploymentArgs
from ...errors import problems_of
from . import values
from .place import PlaceOptions

PLATFORM = "vertex"


class Options(PlaceOptions):
    """`vertex` on a model: where all its resources are."""


def check(args: ModelDeploymentArgs, where: str) -> list[str]:
    """Return what is wrong with the model's own `vertex`."""
    problems = values.check_tags(args.tags, where)
    try:
        Options.model_validate(args.options.get(PLATFORM, {}))
    except ValidationError as error:
        problems += problems_of(error, Options, f"{where}.{PLATFORM}")
    return problems


def defaults(args: ModelDeploymentArgs) -> Mapping[str, Any]:
    """Return what each capability is told where its own key does not say it."""
    written = args.options.get(PLATFORM, {})
    return {key: written[key] for key in ("project", "location") if key in written}


def provision(component: pulumi.ComponentResource, name: str, args: ModelDeploymentArgs) -> Mapping[str, Any]:
    """Return the options that each capability gets: those that are written."""
    return {}
