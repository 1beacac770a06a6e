"""Compare the monitor job with Evidently and print the tables as Markdown."""

import argparse

from tests.bench.monitor.compare import run


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.monitor", description=__doc__)
    parser.add_argument("--rows", type=int, default=2_000_000, help="rows for both (default: 2,000,000; 0 for none)")
    parser.add_argument("--repeat", type=int, default=3, help="how often both are run (default: 3)")
    parser.add_argument("--stream-rows", type=int, default=50_000_000, help="rows of the long stream (0 for none)")
    options = parser.parse_args()
    print(run(options.rows, options.repeat, options.stream_rows))


if __name__ == "__main__":
    main()
