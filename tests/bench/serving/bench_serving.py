"""Requests per second and latency of the model server beside MLServer, KServe, MLflow and BentoML."""

import json
import os
import socket
import statistics
import tempfile
import time
from dataclasses import dataclass
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
from tests.bench.serving.servers import EMPTY, OURS, OURS_ONNX, RIVALS, Rows, Server, process

COLUMNS = 10
WARM_UP = 50


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
    Case("1,000 rows, 1 client", 1000, 1, 60),
    Case("1,000 rows, 4 clients", 1000, 4, 120),
)


def run(rounds: int) -> str:
    """Measure every server in turn, in an order that changes with each round, and return the section."""
    program = generator()
    servers = (OURS, OURS_ONNX, *RIVALS, EMPTY)
    found: dict[tuple[str, str], list[Load]] = {}
    starts: dict[str, list[float]] = {}
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
    head = ["", "requests/s", "p50 ms", "p99 ms", "ratio requests/s", "ratio p50", "ratio p99"]
    sections = [
        f"Medians of {rounds} rounds on {os.cpu_count()} processors, {loads}. A ratio is modelberth's figure over the "
        "server's: above 1 is better for requests per second, below 1 for latencies."
    ]
    for case in CASES:
        lines = [_line(server, case, found) for server in (OURS, OURS_ONNX, *RIVALS)]
        sections.append(f"#### {case.title}\n\n{table(head, lines)}")
    sections.append(_bound(alone, found))
    cold = [[name, f"{statistics.median(seconds):.1f}"] for name, seconds in starts.items() if name != EMPTY.name]
    sections.append(f"#### From start to ready\n\n{table(['', 'seconds'], cold)}")
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


def _in_process(package: Path, rows: Rows) -> float:
    """The median seconds of a prediction of one row by the package's own predictor."""
    model = formats.load(open_package(package))
    row = dict(zip(model.columns, rows[0], strict=True))
    times: list[float] = []
    for _ in range(1000):
        began = time.perf_counter()
        model.predict([row])
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def _measure(
    server: Server, folder: Path, rows: Rows, program: Path, found: dict[tuple[str, str], list[Load]]
) -> float:
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
        ready = time.monotonic() - began
        for case in CASES:
            body = folder / "body.json"
            body.write_text(json.dumps(server.body(rows[: case.rows])))
            answer = session.post(
                address + server.path, data=body.read_bytes(), headers={"Content-Type": "application/json"}, timeout=60
            )
            assert answer.status_code == 200, f"{server.name}: {answer.text[:500]}"
            drive(program, address + server.path, body, WARM_UP // case.clients * case.clients, case.clients)
            load = drive(program, address + server.path, body, case.requests, case.clients)
            found.setdefault((server.name, case.title), []).append(load)
    return ready


def _line(server: Server, case: Case, found: dict[tuple[str, str], list[Load]]) -> list[str]:
    ours, theirs = _median(found[OURS.name, case.title]), _median(found[server.name, case.title])
    ratios = [""] * 3
    if server is not OURS:
        ratios = [
            f"**{ours.per_second / theirs.per_second:.2f}**",
            f"**{ours.p50 / theirs.p50:.2f}**",
            f"**{ours.p99 / theirs.p99:.2f}**",
        ]
    return [server.name, f"{theirs.per_second:.0f}", f"{theirs.p50 * 1e3:.2f}", f"{theirs.p99 * 1e3:.2f}", *ratios]


def _bound(alone: dict[str, float], found: dict[tuple[str, str], list[Load]]) -> str:
    title = CASES[0].title
    empty = _median(found[EMPTY.name, title]).p50
    lines: list[list[str]] = []
    for server, name in ((OURS, "skops"), (OURS_ONNX, "onnx")):
        served = _median(found[server.name, title]).p50
        cells = [served, alone[name], empty]
        lines.append(
            [server.name, *(f"{cell * 1e3:.2f}" for cell in cells), f"**{served / (alone[name] + empty):.2f}**"]
        )
    head = ["p50 of one row, ms", "served", "in-process predict", "an empty ASGI request", "served / (both)"]
    return f"#### What serving adds\n\nThe aim is a ratio of at most 2.\n\n{table(head, lines)}"


def _median(loads: list[Load]) -> Load:
    return Load(*(statistics.median(getattr(one, name) for one in loads) for name in ("per_second", "p50", "p99")))


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
