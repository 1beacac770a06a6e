"""Requests by hey (https://github.com/rakyll/hey), a load generator in Go, in a process of its own."""

import csv
import io
import statistics
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sandbox.go_tools import GoProgram, build, cache_folder

_PROGRAM = GoProgram(
    name="the load generator hey",
    version="0.1.5",
    source=Path(__file__).parent / "hey",
    package="github.com/rakyll/hey",
    executable="hey",
    space_bytes=1024**3,
    minutes="about a minute",
    without_go="There is no Go on this machine, and the load generator is built with it: "
    "install Go 1.24 or later (https://go.dev/doc/install).",
    instead="",
)


@dataclass(frozen=True)
class Load:
    """What one run of requests took."""

    per_second: float
    p50: float
    """Seconds, as `p99`."""

    p99: float

    processor: float
    """Seconds of processor time that the server spent on one request, whoever else the processors worked for."""


def generator() -> Path:
    """The program, built the first time."""
    folder = cache_folder() / f"hey-{_PROGRAM.version}"
    if not (folder / "hey").exists():
        build(_PROGRAM, folder)
    return folder / "hey"


def drive(program: Path, url: str, body: Path, requests: int, clients: int, used: Callable[[], float]) -> Load:
    """Send the body so often, by so many clients at once; `used` tells the server's seconds of processor time so far.
    AssertionError where an answer was not 200."""
    before = used()
    command = [program, "-n", str(requests), "-c", str(clients), "-m", "POST", "-o", "csv", "-t", "60"]
    done = subprocess.run(
        [*command, "-T", "application/json", "-D", body, url], check=True, capture_output=True, text=True
    )
    processor = used() - before
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert len(rows) == requests // clients * clients, done.stderr
    assert {row["status-code"] for row in rows} == {"200"}, {row["status-code"] for row in rows}
    times = [float(row["response-time"]) for row in rows]
    seconds = max(float(row["offset"]) + float(row["response-time"]) for row in rows)
    cuts = statistics.quantiles(times, n=100)
    return Load(len(rows) / seconds, cuts[49], cuts[98], processor / len(rows))
