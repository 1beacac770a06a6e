"""Preview of 1, 10 and 50 models, by hand and by `ModelDeployment`, and up of as many that have no package yet.

Fifty endpoints would be a hundred containers, more than a desk has room for. Without a package a model has its
bucket, its retraining pipeline and its schedule, which is what `up` is measured with.

After each step the engine writes a checkpoint of the whole state, so that an up grows with the square of what is in a
stack, whoever wrote its program. What the components add is seen without checkpoints; with them, an up of fifty models
is left out.
"""

from collections.abc import Sequence

import numpy as np

from tests.bench.measuring import Times, say, table
from tests.bench.programs import DESTROY, PREVIEW, UP, ByHand, Components, Program, resources

SIZES = {1: 3, 10: 1, 50: 1}
"""How many models, and how often each number of them is measured."""


def run(by_hand: ByHand, components: Components, without_checkpoints: Components) -> str:
    """Measure, and return the section of the report."""
    previews = [(_preview(by_hand, size), _preview(components, size)) for size in SIZES]
    ups, counts = _ups(without_checkpoints, list(SIZES))
    slower, _ = _ups(components, list(SIZES)[:-1])
    rows = [
        [
            str(size),
            f"{written.seconds:.1f}",
            f"{made.seconds:.1f}",
            f"**{made.seconds / written.seconds:.2f}**",
            f"**{made.processor_seconds / written.processor_seconds:.2f}**",
            str(count),
            f"{up.seconds:.1f}",
            f"{checked.seconds:.1f}" if checked else "not measured",
        ]
        for size, (written, made), up, count, checked in zip(SIZES, previews, ups, counts, [*slower, None], strict=True)
    ]
    titles = [f"preview, {program.title}" for program in (by_hand, components)]
    head = ["Models", *titles, "ratio", "ratio of processor time", "resources without a package"]
    lines = [
        _growth(titles[0], [written for written, _ in previews]),
        _growth(titles[1], [made for _, made in previews]),
        _growth(f"up without checkpoints, {components.title}", ups),
    ]
    growth = ["What one more model adds", "from 1 to 10", "from 10 to 50", "ratio", "least squares", "with none"]
    measured = ", ".join(f"{repeat} of {size}" for size, repeat in SIZES.items())
    summary = table([*head, "up without checkpoints", "up"], rows)
    return f"Seconds; previews are medians of {measured}.\n\n{summary}\n\n{table(growth, lines)}"


def _preview(program: Program, size: int) -> Times:
    taken = Times()
    program.deploys(_names(size))
    for number in range(1, SIZES[size] + 1):
        say(f"{size} models, preview {program.title}: {number} of {SIZES[size]}")
        taken.take(lambda: program.run(*PREVIEW))
    return taken


def _ups(program: Components, sizes: Sequence[int]) -> tuple[list[Times], list[int]]:
    ups: list[Times] = []
    counts: list[int] = []
    for size in sizes:
        say(f"{size} models without a package: up")
        program.deploys(_names(size), with_package=False)
        taken = Times()
        taken.take(lambda: program.run(*UP))
        ups.append(taken)
        counts.append(resources(program).total())
        if size != sizes[-1]:  # the last goes with its emulator
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
