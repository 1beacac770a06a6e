"""The packages of one endpoint, each with workloads of its own behind a Service of its own.

The model's own package is what the endpoint's Service leads to. The others bear the endpoint's name and theirs as
their instance, by which their pods, Services and measurements are told apart.
"""

from dataclasses import dataclass
from pathlib import Path

from model_packaging.package import Package, open_package

from ...args import ModelEndpointArgs
from ...names import shortened
from ...spec import PRIMARY, EndpointSpec

SHADOW = "shadow"
_LONGEST = 63
"""That of a Service's name and of a label's value."""


@dataclass(frozen=True)
class Variant:
    """One package behind an endpoint.

    Attributes:
        name: `primary`, the variant's own or `shadow`.
        resource: What its resources' names begin with.
        instance: By which its objects and its pods are known.
        package: What it serves.
        weight: Its share of the requests, in percent; 0 for a shadow.
    """

    name: str
    resource: str
    instance: str
    package: Package
    weight: int


def of(name: str, endpoint: str, args: ModelEndpointArgs) -> list[Variant]:
    """Return the variants, the model's own package first and a shadow last.

    Args:
        name: The endpoint's resource name.
        endpoint: The endpoint's name.
        args: Its arguments.
    """
    packages: dict[str, str | Path | Package] = {PRIMARY: args.package}
    packages |= {key: one.package for key, one in args.variants.items() if one.package is not None}
    if args.shadow is not None:
        packages[SHADOW] = args.shadow
    weights = {key: one.weight for key, one in args.variants.items()} or {PRIMARY: 100}
    return [
        Variant(
            key,
            name if key == PRIMARY else f"{name}-variant-{key}",
            instance(endpoint, key),
            package if isinstance(package, Package) else open_package(package),
            weights.get(key, 0),
        )
        for key, package in packages.items()
    ]


def instance(endpoint: str, variant: str) -> str:
    """Return by which a variant's objects and pods are known."""
    return endpoint if variant == PRIMARY else shortened(f"{endpoint}-{variant}", _LONGEST)


def answering(endpoint: str, spec: EndpointSpec) -> list[str]:
    """Return the instances whose answers somebody gets: all but a shadow's."""
    return [instance(endpoint, key) for key in spec.variants or [PRIMARY]]


def measured(endpoint: str, spec: EndpointSpec) -> list[str]:
    """Return the instances that Prometheus looks at, a shadow's too."""
    return answering(endpoint, spec) + ([instance(endpoint, SHADOW)] if spec.shadow is not None else [])
