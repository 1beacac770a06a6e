"""Choosing a machine from a platform's table of them."""

from collections.abc import Mapping

from .spec import ComputeSpec

_GIB = 1024**3


def smallest_of(machines: Mapping[str, tuple[int, int]], compute: ComputeSpec, kind: str) -> str:
    """Return the smallest machine that has what `compute` asks for; of equal ones the first.

    Args:
        machines: Processors and bytes of memory by the machine's name.
        compute: What is needed.
        kind: What these machines are called, such as "machine of Vertex AI".

    Raises:
        ValueError: none has; the text names the largest.
    """
    fitting = [name for name, (cpu, memory) in machines.items() if cpu >= compute.cpu and memory >= compute.memory]
    if fitting:
        return min(fitting, key=lambda name: machines[name])
    largest = max(machines, key=lambda name: machines[name])
    cpu, memory = machines[largest]
    raise ValueError(
        f"no {kind} has {compute.cpu:g} processors and {compute.memory / _GIB:.4g}Gi of memory: "
        f"the largest, {largest}, has {cpu} and {memory / _GIB:g}Gi"
    )
