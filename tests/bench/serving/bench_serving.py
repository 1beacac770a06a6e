"""Requests per second, latency and processor time of the model server beside MLServer, KServe, MLflow and BentoML."""

import json
import os
import socket
import statistics
import tempfile
import time
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import requests
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from model_packaging import formats, open_package, pack
from tests.bench.measuring import say, table
from tests.bench.serving.load import Load, drive, generator
from tests.bench.serving.servers import EMPTY, OURS, OURS_ONNX, RIVALS, Rows, Server, process, processor_seconds

COLUMNS = 10
WARM_UP = 50
IN_PROCESS_RUNS = 10
IN_PROCESS_PREDICTIONS = 500


@dataclass(frozen=True)
class Cost:
    """Seconds by the clock, and of the processors' time."""

    wall: float
    processor: float


@dataclass(frozen=True)
class Case:
    """One kind of load."""

    title: str
    rows: int
    clients: int
    requests: int


CASES = (
    Case("1 row, 1 client", 1, 1, 600),
    Case("1 row, 16 clients", 1, 16, 1600),
    Case("1,000 rows, 1 client", 1000, 1, 150),
    Case("1,000 rows, 4 clients", 1000, 4, 200),
)


def run(rounds: int) -> str:
    """Measure every server in turn, in an order that changes with each round, and return the section."""
    program = generator()
    servers = (OURS, OURS_ONNX, *RIVALS, EMPTY)
    found: dict[tuple[str, str], list[Load]] = {}
    starts: dict[str, list[Cost]] = {}
    before = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="modelberth-serving-") as temporary:
        folder = Path(temporary)
        rows = _models(folder)
        alone = {name: _in_process(folder / name, rows) for name in ("skops", "onnx")}
        for number in range(rounds):
            turn = number % len(servers)
            for server in servers[turn:] + servers[:turn]:
                say(f"serving: round {number + 1} of {rounds}, {server.name}")
                starts.setdefault(server.name, []).append(_measure(server, folder, rows, program, found))
    loads = f"load average {before:.1f} before and {os.getloadavg()[0]:.1f} after"
    figures = ["requests/s", "p50 ms", "p99 ms", "processor ms"]
    head = ["", *figures, *(f"ratio {name.removesuffix(' ms')}" for name in figures)]
    sections = [
        f"Medians of {rounds} rounds on {os.cpu_count()} processors, {loads}. A ratio is modelberth's figure over the "
        "server's: above 1 is better for requests per second, below 1 for the others. Processor time is what the "
        "server's processes used, user and system, for one request: other work on the machine changes it least."
    ]
    for case in CASES:
        lines = [_line(server, case, found) for server in (OURS, OURS_ONNX, *RIVALS)]
        sections.append(f"#### {case.title}\n\n{table(head, lines)}")
    sections.append(_bound(alone, found))
    cold: list[list[str]] = []
    for server in (OURS, OURS_ONNX, *RIVALS):
        costs = starts[server.name]
        wall, processor = (statistics.median(getattr(one, name) for one in costs) for name in ("wall", "processor"))
        cold.append([server.name, f"{wall:.1f}", f"{processor:.1f}"])
    sections.append(f"#### From start to ready\n\n{table(['', 'seconds', 'processor seconds'], cold)}")
    return "\n\n".join(sections)


def _models(folder: Path) -> Rows:
    """Pack the model for us, store it for the others, and return a thousand rows."""
    generator = np.random.default_rng(1)
    frame = pd.DataFrame(
        generator.normal(size=(2000, COLUMNS)).round(4), columns=[f"feature_{n}" for n in range(COLUMNS)]
    )
    left = (frame.sum(axis=1) + generator.normal(size=2000) > 0).astype(int)

    def pipeline() -> object:
        return make_pipeline(StandardScaler(), LogisticRegression())

    for name in ("skops", "onnx"):
        pack(pipeline().fit(frame, left), name=name, inputs=frame, output=folder / name, prefer_onnx=name == "onnx")
    # Fitted without names, so that a server that hands over arrays is not slowed down by warnings.
    joblib.dump(pipeline().fit(frame.to_numpy(), left), folder / "model.joblib")
    return frame[:1000].to_numpy().tolist()


def _in_process(package: Path, rows: Rows) -> Cost:
    """What a prediction of one row by the package's own predictor takes, the median of several thousands."""
    model = formats.load(open_package(package))
    row = dict(zip(model.columns, rows[0], strict=True))
    walls: list[float] = []
    processors: list[float] = []
    for _ in range(IN_PROCESS_RUNS):
        used = time.process_time()
        for _ in range(IN_PROCESS_PREDICTIONS):
            began = time.perf_counter()
            model.predict([row])
            walls.append(time.perf_counter() - began)
        processors.append((time.process_time() - used) / IN_PROCESS_PREDICTIONS)
    return Cost(statistics.median(walls), statistics.median(processors))


def _measure(server: Server, folder: Path, rows: Rows, program: Path, found: dict[tuple[str, str], list[Load]]) -> Cost:
    ports = _free_ports()
    address = f"http://127.0.0.1:{ports[0]}"
    began = time.monotonic()
    with process(server, folder, ports) as running, requests.Session() as session:
        session.trust_env = False
        # A server may close a connection that was idle while the load came over others.
        session.headers["Connection"] = "close"
        while True:
            try:
                if session.get(address + server.health, timeout=5).status_code == 200:
                    break
            except OSError:
                time.sleep(0.05)
            assert running.poll() is None, f"{server.name} ended: {_log(folder, server)}"
            assert time.monotonic() - began < 240, f"{server.name} is not ready: {_log(folder, server)}"
        ready = Cost(time.monotonic() - began, processor_seconds(running))
        used = partial(processor_seconds, running)
        for case in CASES:
            body = folder / "body.json"
            body.write_text(json.dumps(server.body(rows[: case.rows])))
            answer = session.post(
                address + server.path, data=body.read_bytes(), headers={"Content-Type": "application/json"}, timeout=60
            )
            assert answer.status_code == 200, f"{server.name}: {answer.text[:500]}"
            drive(program, address + server.path, body, WARM_UP // case.clients * case.clients, case.clients, used)
            load = drive(program, address + server.path, body, case.requests, case.clients, used)
            found.setdefault((server.name, case.title), []).append(load)
    return ready


def _line(server: Server, case: Case, found: dict[tuple[str, str], list[Load]]) -> list[str]:
    ours, theirs = _median(found[OURS.name, case.title]), _median(found[server.name, case.title])
    names = [field.name for field in fields(Load)]
    ratios = [f"**{getattr(ours, name) / getattr(theirs, name):.2f}**" for name in names]
    times = [f"{seconds * 1e3:.2f}" for seconds in (theirs.p50, theirs.p99, theirs.processor)]
    return [server.name, f"{theirs.per_second:.0f}", *times, *(ratios if server is not OURS else [""] * len(names))]


def _bound(alone: dict[str, Cost], found: dict[tuple[str, str], list[Load]]) -> str:
    title = CASES[0].title
    empty = _median(found[EMPTY.name, title])
    lines: list[list[str]] = []
    for server, name in ((OURS, "skops"), (OURS_ONNX, "onnx")):
        served = _median(found[server.name, title])
        for what, cells in (
            ("p50", (served.p50, alone[name].wall, empty.p50)),
            ("processor time", (served.processor, alone[name].processor, empty.processor)),
        ):
            ratio = cells[0] / (cells[1] + cells[2])
            lines.append([f"{server.name}, {what}", *(f"{cell * 1e3:.3f}" for cell in cells), f"**{ratio:.2f}**"])
    head = ["one row, ms", "served", "in-process predict", "an empty ASGI request", "served / (both)"]
    return f"#### What serving adds\n\nThe aim is a ratio of at most 2.\n\n{table(head, lines)}"


def _median(loads: list[Load]) -> Load:
    return Load(*(statistics.median(getattr(one, field.name) for one in loads) for field in fields(Load)))


def _free_ports() -> list[int]:
    sockets = [socket.socket() for _ in range(3)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def _log(folder: Path, server: Server) -> str:
    return (folder / f"{server.name.replace(' ', '-')}.log").read_text()[-2000:]
