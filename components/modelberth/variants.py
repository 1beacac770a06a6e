"""What an endpoint serves: the packages by the names of their variants, and the variants' shares of the traffic."""

from pathlib import Path

from model_packaging.package import Package, open_package

from .args import ModelEndpointArgs
from .spec import PRIMARY

SHADOW = "shadow"
"""The variant that gets copies of all requests."""


def packages_of(args: ModelEndpointArgs) -> dict[str, Package]:
    """Return what each variant serves, the shadow's too."""
    addresses: dict[str, str | Path | Package] = {PRIMARY: args.package}
    addresses |= {name: variant.package for name, variant in args.variants.items() if variant.package is not None}
    if args.shadow is not None:
        addresses[SHADOW] = args.shadow
    return {
        name: address if isinstance(address, Package) else open_package(address) for name, address in addresses.items()
    }


def weights_of(args: ModelEndpointArgs) -> dict[str, int]:
    """Return each variant's share of the traffic, in percent."""
    return {name: variant.weight for name, variant in args.variants.items()} or {PRIMARY: 100}
