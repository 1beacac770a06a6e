"""Preview and up of one model's stack, by `ModelDeployment` and by hand, in alternation."""

from collections.abc import Callable

from tests.bench.measuring import Times, say, table
from tests.bench.programs import DESTROY, PREVIEW, UP, ByHand, Components, Program, refuse_difference
from tests.conformance.world import MODEL


def run(by_hand: ByHand, components: Components, repeat: int) -> str:
    """Measure, and return the section of the report.

    Raises:
        AssertionError: the two programs do not make the same resources.
    """
    programs: tuple[Program, Program] = (by_hand, components)
    for program in programs:
        program.deploys([MODEL])
        program.run(*PREVIEW)  # what is compiled or cached once is no part of what is measured
    times: dict[str, dict[Program, Times]] = {}

    def alternate(operation: str, work: Callable[[Program], object]) -> None:
        taken = times.setdefault(operation, {program: Times() for program in programs})
        first = len(taken[by_hand].wall) % 2
        for program in (programs[first], programs[1 - first]):
            taken[program].take(lambda program=program: work(program))

    count = 0
    for number in range(1, repeat + 1):
        say(f"one model: round {number} of {repeat}")
        alternate("preview, nothing there yet", lambda program: program.run(*PREVIEW))
        alternate("up, nothing there yet", lambda program: program.run(*UP))
        count = refuse_difference(by_hand, components)
        alternate("preview, nothing to change", lambda program: program.run(*PREVIEW, "--expect-no-changes"))
        alternate("up, nothing to change", lambda program: program.run(*UP, "--expect-no-changes"))
        for program in programs:
            program.run(*DESTROY)
    rows = [
        [
            operation,
            *_compared(taken[by_hand].seconds, taken[components].seconds),
            *_compared(taken[by_hand].processor_seconds, taken[components].processor_seconds),
        ]
        for operation, taken in times.items()
    ]
    titles = [program.title for program in programs]
    head = [f"One model, {count} resources", *titles, "ratio", *(f"processor, {title}" for title in titles), "ratio"]
    return f"Seconds, medians of {repeat}.\n\n{table(head, rows)}"


def _compared(alternative: float, ours: float) -> list[str]:
    return [f"{alternative:.2f}", f"{ours:.2f}", f"**{ours / alternative:.2f}**"]
