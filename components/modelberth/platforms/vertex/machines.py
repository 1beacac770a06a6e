"""The machines of Vertex AI that a model may run on, and the smallest that has what is asked for.

Sources: "Configure compute resources for inference" and "Configure compute resources for training", Vertex AI
documentation. Only the general families are in the table; whoever wants another names it under `vertex`. Which region
has which machine changes, and is left to Vertex AI, whose refusal is shown.
"""

from typing import Literal

from ...machines import smallest_of
from ...spec import ComputeSpec

Purpose = Literal["endpoint", "job"]

_GIB = 1024**3
_FAMILIES: dict[str, tuple[float, tuple[int, ...]]] = {
    # GiB for each processor, and the sizes. Of equal machines the first is taken: the cheaper one.
    "e2-highcpu": (1, (2, 4, 8, 16, 32)),
    "e2-standard": (4, (2, 4, 8, 16, 32)),
    "e2-highmem": (8, (2, 4, 8, 16)),
    "n1-standard": (3.75, (2, 4, 8, 16, 32)),
    "n1-highmem": (6.5, (2, 4, 8, 16, 32)),
    "n2-standard": (4, (2, 4, 8, 16, 32, 48, 64, 80, 96)),
    "n2-highmem": (8, (2, 4, 8, 16, 32, 48, 64, 80, 96)),
}
_SMALLEST_OF_A_JOB = 4
"""Processors of the smallest machines that training takes."""

MACHINES: dict[str, tuple[int, int]] = {
    f"{family}-{size}": (size, int(size * gib * _GIB)) for family, (gib, sizes) in _FAMILIES.items() for size in sizes
}
"""Processors and bytes of memory by the machine's name."""


def machines_for(purpose: Purpose) -> dict[str, tuple[int, int]]:
    """Return the part of `MACHINES` that Vertex AI has for one purpose."""
    if purpose == "endpoint":
        return MACHINES
    return {
        name: has
        for name, has in MACHINES.items()
        if has[0] >= _SMALLEST_OF_A_JOB and not name.startswith("e2-highcpu")
    }


def smallest(compute: ComputeSpec, purpose: Purpose) -> str:
    """Return the smallest machine that has what `compute` asks for.

    Raises:
        ValueError: none has; the text names the largest.
    """
    return smallest_of(machines_for(purpose), compute, "machine of Vertex AI")


def has(machine_type: str) -> tuple[int, int] | None:
    """Return a machine's processors and bytes of memory; nothing for one that is not in the table."""
    return MACHINES.get(machine_type)
