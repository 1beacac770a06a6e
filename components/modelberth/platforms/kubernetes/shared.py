"""What the capabilities of one model share in a cluster: a namespace that lets nothing in or out by itself."""

from collections.abc import Mapping
from typing import Any

import pulumi
import pulumi_kubernetes as kubernetes
from pydantic import Field, ValidationError

from ...args import ModelDeploymentArgs
from ...errors import problems_of
from ...names import physical_name
from ...spec import Spec
from . import objects, policies, values
from .objects import NamespaceOptions

PLATFORM = "kubernetes"


class Options(Spec):
    """`kubernetes` on a model: where its objects go, how much they may take together, and who watches them."""

    namespace: values.Namespace | None = None
    """An existing namespace. One is made for the model if left out, with Pod Security "restricted" and policies that
    deny all traffic but what each capability needs; in one of yours both are yours to set."""
    quota: dict[str, values.Quantity] = Field(default_factory=dict[str, values.Quantity])
    """A ResourceQuota's `hard` for the namespace, such as {requests.cpu: "16", requests.memory: 64Gi, pods: "40"}."""
    prometheus_url: values.Url | None = None
    """The Prometheus that scrapes the model's pods, as pods reach it: http://prometheus.monitoring.svc:9090."""
    pushgateway_url: values.Url | None = None
    """The Prometheus Pushgateway for what jobs measure: http://pushgateway.monitoring.svc:9091."""


def check(args: ModelDeploymentArgs, where: str) -> list[str]:
    """Return what is wrong with the model's own `kubernetes`."""
    problems = objects.check_tags(args, where)
    try:
        options = Options.model_validate(args.options.get(PLATFORM, {}))
    except ValidationError as error:
        return problems + problems_of(error, Options, f"{where}.{PLATFORM}")
    if options.quota and options.namespace is not None:
        problems.append(
            f"{where}.{PLATFORM}.quota: is for the namespace that is made for the model; {options.namespace!r} is "
            "there already, so set its quota where it is made, or leave namespace out"
        )
    return problems


def defaults(args: ModelDeploymentArgs) -> Mapping[str, Any]:
    """Return what each capability is told on this platform where its own key does not say it."""
    written = args.options.get(PLATFORM, {})
    return {key: written[key] for key in ("namespace", "prometheus_url", "pushgateway_url") if key in written}


def provision(component: pulumi.ComponentResource, name: str, args: ModelDeploymentArgs) -> Mapping[str, Any]:
    """Make the namespace, unless there is one, and return what the capabilities are told of it."""
    options = Options.model_validate(args.options.get(PLATFORM, {}))
    if options.namespace is not None:
        return {}
    child = pulumi.ResourceOptions(parent=component, protect=not args.development)
    instance = physical_name(name)
    described = objects.metadata(args, NamespaceOptions(), instance, "model", instance)
    # Source: Kubernetes documentation, "Enforce Pod Security Standards with Namespace Labels".
    security = {
        f"pod-security.kubernetes.io/{mode}{suffix}": level
        for mode in ("enforce", "audit", "warn")
        for suffix, level in (("", "restricted"), ("-version", "latest"))
    }
    namespace = kubernetes.core.v1.Namespace(
        f"{name}-namespace",
        metadata=objects.labelled(described, security),
        opts=child,
    )
    inside = NamespaceOptions(namespace=objects.settled(namespace.metadata, "name"))
    policies.deny_all(f"{name}-deny-all", args, inside, child)
    if options.quota:
        kubernetes.core.v1.ResourceQuota(
            f"{name}-quota",
            metadata=objects.metadata(args, inside, "model", "model", instance),
            spec={"hard": options.quota},
            opts=child,
        )
    return {"namespace": inside.namespace}
