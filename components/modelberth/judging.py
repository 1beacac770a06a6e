"""Opening packages and judging them, before any resource is made."""

from dataclasses import dataclass
from typing import Generic, TypeVar

from model_packaging.errors import ModelberthError
from model_packaging.gate import GateRules, evaluate
from model_packaging.package import Package, open_package

from .spec import EndpointSpec, ModelSpec, PackageInput

Endpoint = TypeVar("Endpoint", bound=EndpointSpec)


def opened(address: PackageInput | None, key: str) -> tuple[Package | None, list[str]]:
    """Open and verify a package; `none` is no package.

    Returns:
        The package, and why it can't be read or is not whole, each sentence beginning with `key` and naming the file.
    """
    if address is None or isinstance(address, Package):
        return address, []
    if address == ModelSpec.NO_PACKAGE:
        return None, []
    try:
        return open_package(address), []
    except ModelberthError as error:
        name = str(address)
        return None, [
            f"{key}: {problem}" if name in problem else f"{key}: {name}: {problem}" for problem in error.problems
        ]


@dataclass(frozen=True)
class Judged(Generic[Endpoint]):
    """What an endpoint would serve, opened and judged.

    Attributes:
        package: Its own package, unless there is none yet.
        champion: What it is compared with.
        endpoint: The specification, with the packages of variants and shadow opened.
        problems: Why any of them must not be deployed.
    """

    package: Package | None
    champion: Package | None
    endpoint: Endpoint
    problems: list[str]


def judge(
    package: PackageInput | None,
    champion: PackageInput | None,
    endpoint: Endpoint,
    rules: GateRules,
    where: str,
    endpoint_where: str,
) -> Judged[Endpoint]:
    """Open every package that an endpoint would serve and let the gate judge it.

    Args:
        package: The endpoint's own package.
        champion: The package that `no_worse_than` compares with.
        endpoint: What the endpoint is asked to be.
        rules: The gate's rules.
        where: The key below which `package`, `champion` and `gate` are written.
        endpoint_where: The key of `endpoint`.
    """
    problems: list[str] = []

    def take(address: PackageInput | None, key: str) -> Package | None:
        found, wrong = opened(address, key)
        problems.extend(wrong)
        return found

    def pass_gate(candidate: Package | None, compared: Package | None, rules: GateRules, which: str = "") -> None:
        if candidate is not None:
            failures = evaluate(candidate, rules, compared).failures
            problems.extend(f"{where}.gate.{result.rule}: {which}{result.message}" for result in failures)

    own, best = take(package, f"{where}.package"), take(champion, f"{where}.champion")
    pass_gate(own, best, rules)
    variants = dict(endpoint.variants)
    for name, variant in endpoint.variants.items():
        served = take(variant.package, f"{endpoint_where}.variants.{name}.package")
        pass_gate(served, best, rules, f"the variant {name}: ")
        variants[name] = variant.model_copy(update={"package": served})
    shadow = take(endpoint.shadow, f"{endpoint_where}.shadow")
    # Nobody sees a shadow's answers: it is there to be compared with the champion.
    pass_gate(shadow, None, rules.model_copy(update={"no_worse_than": None}), "the shadow: ")
    return Judged(own, best, endpoint.model_copy(update={"variants": variants, "shadow": shadow}), problems)
