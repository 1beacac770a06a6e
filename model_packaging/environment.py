"""Which installed distributions a model needs: environment.lock."""

import re
from collections.abc import Sequence
from importlib import metadata

from packaging.requirements import Requirement


def environment_lock(roots: Sequence[str]) -> str:
    """`name==version` of the roots and of all they need here, sorted, one a line."""
    found: dict[str, str] = {}
    pending = list(roots)
    while pending:
        name = _normal(pending.pop())
        if name in found:
            continue
        try:
            distribution = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue  # an optional requirement that is not installed
        found[name] = distribution.version
        for text in distribution.requires or []:
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                pending.append(requirement.name)
    return "".join(f"{name}=={version}\n" for name, version in sorted(found.items()))


def distributions_of(modules: Sequence[str]) -> list[str]:
    """The distributions that bring these top-level modules."""
    known = metadata.packages_distributions()
    return sorted({name for module in modules for name in known.get(module, [])})


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
