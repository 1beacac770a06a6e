"""A whole stack from its configuration: what `stacks/` runs, and what a program of one's own may call."""

import json
from typing import Any

import pulumi
from pulumi.runtime.config import CONFIG
from pydantic import ValidationError

from model_packaging.errors import ModelberthError

from . import registry
from .args import ModelDeploymentArgs
from .errors import SpecificationError, problems_of
from .model_deployment import ModelDeployment, prepare
from .spec import ModelSpec, StackSpec

NAMESPACE = "modelberth"


def read_spec() -> StackSpec:
    """Return the stack's configuration.

    Raises:
        SpecificationError: with all that is wrong in it, each by file and full key.
    """
    spec, problems = _read()
    if spec is None or problems:
        raise SpecificationError(*problems)
    return spec


def deploy_stack() -> dict[str, ModelDeployment]:
    """Deploy every model of the stack's configuration and export what came of it.

    Raises:
        SpecificationError: anything is wrong with any model; nothing is made then.
    """
    spec, problems = _read()
    arguments: dict[str, ModelDeploymentArgs] = {}
    candidates = {name: _arguments(spec, model) for name, model in spec.models.items()} if spec else {}
    for name, args in candidates.items():
        where = f"{_file()}: {NAMESPACE}:models.{name}"
        try:
            parts = prepare(name, args, where)
        except ModelberthError as error:
            problems += [f"{where}: {problem}" for problem in error.problems]
        else:
            problems += parts.problems
            arguments[name] = parts.args
    if spec is None or problems:
        raise SpecificationError(*problems)
    images = registry.load(spec.platform, "images")
    if spec.image is None or images.is_own(spec.image):
        tagged = spec.model_copy(update={"tags": _tags(spec)})
        repository = images.provision(f"{pulumi.get_stack()}-image", tagged)
        if repository is not None:
            pulumi.export("image_repository", repository)
    deployments = {name: ModelDeployment(name, args) for name, args in arguments.items()}
    for name, deployment in deployments.items():
        pulumi.export(name, deployment.summary)
    return deployments


def _read() -> tuple[StackSpec | None, list[str]]:
    """Return the configuration and what is wrong in it; the models that are whole, if the rest can be judged."""
    prefix = f"{NAMESPACE}:"
    values = {key.removeprefix(prefix): _value(text) for key, text in CONFIG.get().items() if key.startswith(prefix)}
    try:
        return StackSpec.model_validate(values), []
    except ValidationError as error:
        problems = problems_of(error, StackSpec, f"{_file()}: {prefix}")
        places = [finding["loc"] for finding in error.errors()]
    if any(len(place) < 2 or place[0] != "models" for place in places):
        return None, problems
    broken = {place[1] for place in places}
    whole = {name: model for name, model in values["models"].items() if name not in broken}
    return StackSpec.model_validate(values | {"models": whole}), problems


def _arguments(spec: StackSpec, model: ModelSpec) -> ModelDeploymentArgs:
    fields = {field: getattr(model, field) for field in ModelSpec.model_fields}
    return ModelDeploymentArgs.model_construct(
        **fields, platform=spec.platform, image=spec.image, development=spec.development, tags=_tags(spec)
    )


def _tags(spec: StackSpec) -> dict[str, str]:
    return {"modelberth:project": pulumi.get_project(), "modelberth:stack": pulumi.get_stack()} | spec.tags


def _file() -> str:
    return f"Pulumi.{pulumi.get_stack()}.yaml"


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text
