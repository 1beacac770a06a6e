"""The machines of SageMaker that a model may run on, and the smallest that has what is asked for.

Only general families are in the table, in the sizes that SageMaker has for hosting, training and processing alike
unless a size says otherwise. Burstable ones (ml.t2, ml.t3) are left out: they can't scale by load, and a model that
has used up its processor credits misses its latency. Whoever wants another machine names it under `sagemaker`.

Sources: processors and memory from "Amazon EC2 instance types: general purpose, compute optimized, memory optimized
specifications" (docs.aws.amazon.com/ec2/latest/instancetypes), which the ml. machines share; which exist for what
from the API's own enumerations ProductionVariantInstanceType, TrainingInstanceType and ProcessingInstanceType.
"""

from typing import Literal

from ...machines import smallest_of
from ...spec import ComputeSpec

Purpose = Literal["endpoint", "training", "processing"]

_GIB = 1024**3
_OLDER = ("large", "xlarge", "2xlarge", "4xlarge", "12xlarge", "24xlarge")
_SIXTH = ("large", "xlarge", "2xlarge", "4xlarge", "8xlarge", "12xlarge", "16xlarge", "24xlarge", "32xlarge")
_SEVENTH = ("large", "xlarge", "2xlarge", "4xlarge", "8xlarge", "12xlarge", "16xlarge", "24xlarge", "48xlarge")
_FAMILIES: dict[str, tuple[int, tuple[str, ...]]] = {
    # GiB for each processor, and the sizes. Of equal machines the first is taken: the older one is in more Regions.
    "c5": (2, ("large", "xlarge", "2xlarge", "4xlarge", "9xlarge", "18xlarge")),
    "c6i": (2, _SIXTH),
    "c7i": (2, _SEVENTH),
    "m5": (4, _OLDER),
    "m6i": (4, _SIXTH),
    "m7i": (4, _SEVENTH),
    "r5": (8, _OLDER),
    "r6i": (8, _SIXTH),
    "r7i": (8, _SEVENTH),
}
_ENDPOINT_ONLY = frozenset({"ml.c5.large", "ml.c6i.large"})


def _processors(size: str) -> int:
    return 2 if size == "large" else 4 * int(size.removesuffix("xlarge") or "1")


MACHINES: dict[str, tuple[int, int]] = {
    f"ml.{family}.{size}": (_processors(size), _processors(size) * gib * _GIB)
    for family, (gib, sizes) in _FAMILIES.items()
    for size in sizes
}
"""Processors and bytes of memory by the machine's name."""


def machines_for(purpose: Purpose) -> dict[str, tuple[int, int]]:
    """Return the part of `MACHINES` that SageMaker has for one purpose."""
    return {name: has for name, has in MACHINES.items() if purpose == "endpoint" or name not in _ENDPOINT_ONLY}


def smallest(compute: ComputeSpec, purpose: Purpose) -> str:
    """Return the smallest machine that has what `compute` asks for.

    Raises:
        ValueError: none has; the text names the largest.
    """
    return smallest_of(machines_for(purpose), compute, "SageMaker machine")


def processors(instance_type: str) -> int | None:
    """Return how many processors a machine has; nothing for one that is not in the table."""
    return MACHINES[instance_type][0] if instance_type in MACHINES else None
