"""Opening packages and judging them, before any resource is made."""

from pathlib import Path

from model_packaging.errors import ModelberthError
from model_packaging.gate import GateRules, evaluate
from model_packaging.package import Package, open_package

from .spec import ModelSpec

PackageAddress = str | Path | Package


def opened(address: PackageAddress | None) -> Package | None:
    """Open and verify a package; `none` is no package.

    Raises:
        ModelberthError: it can't be read, or is not whole; the text names the file.
    """
    if address is None or address == ModelSpec.NO_PACKAGE:
        return None
    return address if isinstance(address, Package) else open_package(address)


def judge(
    address: PackageAddress | None, rules: GateRules, champion: PackageAddress | None, where: str
) -> tuple[Package | None, list[str]]:
    """Open a package and let the gate judge it.

    Returns:
        The package, and one sentence for each reason why it must not be deployed, beginning with `where`.
    """
    try:
        package = opened(address)
        compared = opened(champion)
    except ModelberthError as error:
        return None, [f"{where}.package: {problem}" for problem in error.problems]
    if package is None:
        return None, []
    report = evaluate(package, rules, compared)
    return package, [f"{where}.gate.{result.rule}: {result.message}" for result in report.failures]
