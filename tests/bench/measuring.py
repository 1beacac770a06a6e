"""Taking times and writing tables."""

import importlib.metadata
import os
import platform
import resource
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sandbox.engine.run import ensure_tools


@dataclass
class Times:
    """What several runs of one thing took, in seconds.

    Attributes:
        wall: By the clock on the wall.
        processor: Of all processors, for the processes that the run started and ended; an emulator is not among them.
    """

    wall: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)

    def take(self, work: Callable[[], object]) -> None:
        """Do the work once and add what it took."""
        used, began = _used(), time.perf_counter()
        work()
        self.wall.append(time.perf_counter() - began)
        self.processor.append(_used() - used)

    @property
    def seconds(self) -> float:
        """The median by the clock."""
        return statistics.median(self.wall)

    @property
    def processor_seconds(self) -> float:
        """The median of the processors' time."""
        return statistics.median(self.processor)


def _used() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return children.ru_utime + children.ru_stime


def say(text: str) -> None:
    """Tell of the progress, beside the tables."""
    print(text, file=sys.stderr, flush=True)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table whose columns but the first are numbers."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def machine() -> str:
    """Return what the numbers depend on, as one sentence of Markdown."""
    cpu = Path("/proc/cpuinfo")
    lines = cpu.read_text().splitlines() if cpu.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1024**3
    engine = ensure_tools()
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("pulumi", "pulumi-aws"))
    provider = "Pulumi's own AWS provider" if engine.installed else "the sandbox's AWS provider"
    return (
        f"{os.cpu_count()} × {names[0] if names else platform.machine()}, {memory:.0f} GiB, {platform.system()} "
        f"{platform.release()}, Python {platform.python_version()}, {versions}, {provider}, AWS emulated on the same "
        f"machine; load average {os.getloadavg()[2]:.1f} over the last 15 minutes."
    )
