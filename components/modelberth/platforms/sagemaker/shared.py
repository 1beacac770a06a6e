"""What the capabilities of one model share on SageMaker: nothing, each of them stands alone."""

from collections.abc import Mapping
from typing import Any

import pulumi
from pydantic import ValidationError

from ...args import ModelDeploymentArgs
from ...errors import problems_of
from ...spec import Spec


class Options(Spec):
    """`sagemaker` on a model: nothing beyond the neutral specification."""


def check(args: ModelDeploymentArgs, where: str) -> list[str]:
    """Return what is wrong with the model's own `sagemaker`."""
    try:
        Options.model_validate(args.options.get("sagemaker", {}))
    except ValidationError as error:
        return problems_of(error, Options, f"{where}.sagemaker")
    return []


def defaults(args: ModelDeploymentArgs) -> Mapping[str, Any]:
    """Return what each capability is told where its own key does not say it: nothing."""
    return {}


def provision(component: pulumi.ComponentResource, name: str, args: ModelDeploymentArgs) -> Mapping[str, Any]:
    """Return the options that each capability gets: none."""
    return {}
