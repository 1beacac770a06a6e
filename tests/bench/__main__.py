"""Run the benchmarks and print their report as Markdown."""

import argparse
import tempfile
from pathlib import Path

from tests.bench import bench_import, bench_models, bench_packing, bench_stack
from tests.bench.measuring import machine
from tests.bench.programs import both
from tests.bench.serving import bench_serving

PARTS = ("stack", "models", "import", "packing", "serving")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--part", choices=PARTS, action="append", help="measure only this; may be given again")
    parser.add_argument("--repeat", type=int, default=3, help="how often one model's stack goes up (default: 3)")
    parser.add_argument("--megabytes", type=int, default=2048, help="the model of the packing part (default: 2048)")
    parser.add_argument("parts", nargs="*", metavar="part", help="as --part")
    options = parser.parse_args()
    if unknown := [part for part in options.parts if part not in PARTS]:
        parser.error(f"unknown part {unknown[0]}: choose {', '.join(PARTS)}")
    parts = [*(options.part or []), *options.parts] or PARTS
    sections: list[str] = []
    with tempfile.TemporaryDirectory(prefix="modelberth-bench-") as folder:
        # Each part has emulators of its own: what an earlier one left behind does not slow a later one down.
        if "stack" in parts:
            with both(Path(folder) / "stack") as programs:
                sections.append(f"### One model\n\n{bench_stack.run(*programs, options.repeat)}")
        if "models" in parts:
            fast = {"PULUMI_EXPERIMENTAL": "true", "PULUMI_SKIP_CHECKPOINTS": "true"}
            with (
                both(Path(folder) / "models") as programs,
                both(Path(folder) / "without-checkpoints", **fast) as (_, without_checkpoints),
            ):
                sections.append(f"### Many models\n\n{bench_models.run(*programs, without_checkpoints)}")
    if "import" in parts:
        sections.append(f"### Imports\n\n{bench_import.run(4)}")
    if "packing" in parts:
        with tempfile.TemporaryDirectory(prefix="modelberth-bench-") as folder:
            sections.append(f"### Packing\n\n{bench_packing.run(Path(folder), options.megabytes, options.repeat)}")
    if "serving" in parts:
        sections.append(f"### Serving\n\n{bench_serving.run(options.repeat)}")
    print("\n\n".join([machine(), *sections]))


if __name__ == "__main__":
    main()
