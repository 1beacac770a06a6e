"""Preview of 1, 10 and 50 models, by hand and by `ModelDeployment`, and up of as many that have no package yet.

Fifty endpoints would be a hundred containers, more than a desk has room for. Without a package a model has its
bucket, its retraining pipeline and its schedule, which is what `up` is measured with.
"""

from collections.abc import Sequence

import numpy as np

from tests.bench.measuring import Times, say, table
from tests.bench.programs import DESTROY, PREVIEW, UP, ByHand, Components, Program, resources

SIZES = {1: 3, 10: 2, 50: 1}
"""How many models, and how often each number of them is measured."""


def run(by_hand: ByHand, components: Components) -> str:
    """Measure, and return the section of the report."""
    previews = [(_preview(by_hand, size), _preview(components, size)) for size in SIZES]
    ups, counts = _ups(components)
    rows = [
        [
            str(size),
            f"{written.seconds:.1f}",
            f"{made.seconds:.1f}",
            f"**{made.seconds / written.seconds:.2f}**",
            f"{made.processor_seconds / written.processor_seconds:.2f}",
            str(count),
            f"{up.seconds:.1f}",
        ]
        for size, (written, made), up, count in zip(SIZES, previews, ups, counts, strict=True)
    ]
    head = ["Models", f"preview, {by_hand.title}", f"preview, {components.title}", "ratio", "ratio of processor time"]
    head += ["resources without a package", f"up, {components.title}"]
    lines = [
        _growth(f"preview, {by_hand.title}", [written for written, _ in previews]),
        _growth(f"preview, {components.title}", [made for _, made in previews]),
        _growth(f"up without a package, {components.title}", ups),
    ]
    growth = ["What one more model adds", "from 1 to 10", "from 10 to 50", "ratio", "least squares", "with none"]
    measured = ", ".join(f"{repeat} of {size}" for size, repeat in SIZES.items())
    return f"Seconds, medians of {measured}; one up of each.\n\n{table(head, rows)}\n\n{table(growth, lines)}"


def _preview(program: Program, size: int) -> Times:
    taken = Times()
    program.deploys(_names(size))
    for number in range(1, SIZES[size] + 1):
        say(f"{size} models, preview {program.title}: {number} of {SIZES[size]}")
        taken.take(lambda: program.run(*PREVIEW))
    return taken


def _ups(program: Components) -> tuple[list[Times], list[int]]:
    ups: list[Times] = []
    counts: list[int] = []
    for size in SIZES:
        say(f"{size} models without a package: up")
        program.deploys(_names(size), with_package=False)
        taken = Times()
        taken.take(lambda: program.run(*UP))
        ups.append(taken)
        counts.append(resources(program).total())
        if size != max(SIZES):  # the last goes with its emulator
            program.run(*DESTROY)
    return ups, counts


def _names(size: int) -> list[str]:
    return [f"model-{number}" for number in range(1, size + 1)]


def _growth(title: str, taken: Sequence[Times]) -> list[str]:
    """One line of a table: it is linear if the second step costs as much for each model as the first."""
    seconds = [times.seconds for times in taken]
    few, many = np.diff(seconds) / np.diff(list(SIZES))
    each, none = np.polyfit(list(SIZES), seconds, 1)
    return [title, f"{few:.2f}", f"{many:.2f}", f"**{many / few:.2f}**", f"{each:.2f}", f"{none:.1f}"]
