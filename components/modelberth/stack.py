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
from .model_deployment import ModelDeployment, check_deployment
from .spec import ModelSpec, StackSpec

NAMESPACE = "modelberth"


def read_spec() -> StackSpec:
    """Return the stack's configuration.

    Raises:
        SpecificationError: with all that is wrong in it, each by file and full key.
    """
    file = _file()
    values: dict[str, Any] = {}
    prefix = f"{NAMESPACE}:"
    for key, text in CONFIG.get().items():
        if key.startswith(prefix):
            values[key.removeprefix(prefix)] = _value(text)
    try:
        return StackSpec.model_validate(values)
    except ValidationError as error:
        raise SpecificationError(*problems_of(error, StackSpec, f"{file}: {prefix}")) from error


def deploy_stack() -> dict[str, ModelDeployment]:
    """Deploy every model of the stack's configuration and export what came of it.

    Raises:
        SpecificationError: anything is wrong with any model; nothing is made then.
    """
    spec = read_spec()
    arguments: dict[str, ModelDeploymentArgs] = {}
    problems: list[str] = []
    for name, model in spec.models.items():
        where = f"{_file()}: {NAMESPACE}:models.{name}"
        fields = {field: getattr(model, field) for field in ModelSpec.model_fields}
        arguments[name] = ModelDeploymentArgs.model_construct(
            **fields, platform=spec.platform, image=spec.image, development=spec.development, tags=_tags(spec)
        )
        try:
            problems += check_deployment(name, arguments[name], where)
        except ModelberthError as error:
            problems += [f"{where}: {problem}" for problem in error.problems]
    if problems:
        raise SpecificationError(*problems)
    if spec.image is None:
        image = registry.load(spec.platform, "images").provision(f"{pulumi.get_stack()}-image", spec)
        pulumi.export("image_repository", image)
    deployments = {name: ModelDeployment(name, args) for name, args in arguments.items()}
    for name, deployment in deployments.items():
        pulumi.export(name, _summary(deployment, spec))
    return deployments


def _summary(deployment: ModelDeployment, spec: StackSpec) -> dict[str, Any]:
    endpoint, alarms, retraining = deployment.endpoint, deployment.alarms, deployment.retraining
    summary: dict[str, Any] = {"bucket": {"url": deployment.bucket.url}}
    if endpoint is not None:
        summary["endpoint"] = {
            "name": endpoint.name,
            "platform": endpoint.platform,
            "url": endpoint.url,
            "package_digest": endpoint.package_digest,
            "invoke_command": endpoint.invoke_command,
        }
    if alarms is not None:
        summary["alarms"] = {"names": alarms.names, "dashboard_url": alarms.dashboard_url}
    if retraining is not None:
        summary["retraining"] = {"schedule_name": retraining.schedule_name, "job_name": retraining.job_name}
    return summary


def _tags(spec: StackSpec) -> dict[str, str]:
    return {"modelberth:project": pulumi.get_project(), "modelberth:stack": pulumi.get_stack()} | spec.tags


def _file() -> str:
    return f"Pulumi.{pulumi.get_stack()}.yaml"


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text
