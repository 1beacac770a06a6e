"""Run both on the same traffic, in turns, and write the tables."""

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from sandbox.settings import HOME, ROOT
from tests.bench.measuring import say, table
from tests.bench.monitor import data

EVIDENTLY = "0.7.23"
REQUIREMENTS = (f"evidently=={EVIDENTLY}", "pandas<3", "pyarrow")
"""Evidently does not import with pandas 3."""

REPORTS = {
    "PSI and a test (Kolmogorov–Smirnov, chi-square)": {"number": ["psi", "ks"], "category": ["psi", "chisquare"]},
    "with Jensen–Shannon and Wasserstein too": {
        "number": ["psi", "ks", "jensenshannon", "wasserstein"],
        "category": ["psi", "chisquare", "jensenshannon"],
    },
}
HERE = Path(__file__).parent


def run(rows: int, repeat: int, stream_rows: int) -> str:
    """Measure, and return the section of the report."""
    with tempfile.TemporaryDirectory(prefix="modelberth-monitor-") as temporary:
        folder = Path(temporary)
        package, reference = data.prepare(folder)
        sections = [_machine()]
        if rows:
            sections += _beside(folder, package, reference, rows, repeat)
        if stream_rows:
            sections.append(_stream(folder, package, stream_rows))
    return "\n\n".join(sections)


def _beside(folder: Path, package: Path, reference: Path, rows: int, repeat: int) -> list[str]:
    traffic = folder / "traffic.parquet"
    data.write_traffic(traffic, rows)
    interpreter = _evidently()
    edges = {
        name: one["edges"][1:-1]
        for name, one in json.loads((package / "baseline.json").read_text())["features"].items()
        if name in data.NUMERIC
    }
    lines: list[list[str]] = []
    ours: list[dict[str, Any]] = []
    theirs: dict[str, Any] = {}
    for title, methods in REPORTS.items():
        one, other = [], []
        for number in range(repeat):
            say(f"{title}: {number + 1} of {repeat}")
            extra = edges if not number and not ours else {}
            if number % 2:
                one.append(_ours(package, traffic, folder / "reports"))
            other.append(_theirs(interpreter, reference, traffic, folder, methods, extra))
            if not number % 2:
                one.append(_ours(package, traffic, folder / "reports"))
        ours = ours or one
        theirs = other[0] | theirs | {"values": theirs.get("values", {}) | other[0]["values"]}
        mine, its = (rows / statistics.median(run["seconds"] for run in runs) for runs in (one, other))
        worked = [statistics.median(run["processor"] for run in runs) for runs in (one, other)]
        peaks = [max(run["peak"] for run in runs) for runs in (one, other)]
        lines.append(
            [
                title,
                f"{its:,.0f}",
                f"{mine:,.0f}",
                f"**{mine / its:.1f}**",
                f"**{worked[1] / worked[0]:.1f}**",
                *(f"{x:,.0f}" for x in peaks[::-1]),
            ]
        )
    head = [
        "Report",
        f"Evidently {EVIDENTLY}, rows/s",
        "modelberth, rows/s",
        "ratio",
        "ratio by processor time",
        "Evidently, MiB",
        "modelberth, MiB",
    ]
    text = f"{rows:,} rows of {len(data.NUMERIC) + len(data.CATEGORICAL)} columns, medians of {repeat}."
    return [text, table(head, lines), _values(ours[0]["features"], theirs)]


def _values(ours: dict[str, Any], theirs: dict[str, Any]) -> str:
    """What both say of each column."""
    lines = []
    for name, one in ours.items():
        given = theirs["values"]
        distance = one["wasserstein_distance"]
        numeric = name in data.NUMERIC
        same = theirs["same_bins"][name] if numeric else given[f"{name} psi"]
        statistic = theirs["ks"].get(name)
        test = one["test"]
        lines.append(
            [
                name,
                f"{given[f'{name} psi']:.5f}",
                f"{same:.5f}",
                f"{one['psi']:.5f}",
                f"{abs(same - one['psi']):.1e}",
                f"{statistic:.5f}" if numeric else "–",
                f"{test['statistic']:.5f} to {test['statistic'] + test['error']:.5f}" if numeric else "–",
                f"{abs(statistic - test['statistic']):.1e}" if numeric else "–",
                f"{given[f'{name} ks' if numeric else f'{name} chisquare']:.3g}",
                f"{test['p_value']:.3g}",
                f"{given[f'{name} wasserstein']:.4f}" if numeric else "–",
                f"{distance:.4f}" if numeric else "–",
            ]
        )
    head = ["Column", "PSI, its bins", "PSI, our bins", "ours", "difference", "D by scipy", "D, ours", "difference"]
    return table([*head, "p, Evidently", "p, ours", "Wasserstein, Evidently", "ours"], lines)


def _stream(folder: Path, package: Path, rows: int) -> str:
    say(f"{rows:,} rows: writing")
    lines = []
    for count in (rows // 10, rows):
        traffic = folder / f"{count}.parquet"
        data.write_traffic(traffic, count)
        say(f"{count:,} rows: reading {traffic.stat().st_size / 1e9:.1f} GB")
        found = _ours(package, traffic, folder / f"reports-{count}")
        if found["rows"] != count:
            raise AssertionError(f"{found['rows']:,} of {count:,} rows counted")
        speed = count / found["seconds"]
        size = f"{traffic.stat().st_size / 1e9:.2f}"
        lines.append([f"{count:,}", size, f"{found['seconds']:.1f}", f"{speed:,.0f}", f"{found['peak']:,.0f}"])
        traffic.unlink()
    return table(["Rows, with an event each", "GB", "seconds", "rows/s", "peak memory, MiB"], lines)


def _ours(package: Path, traffic: Path, reports: Path) -> dict[str, Any]:
    return _json([sys.executable, "-m", "tests.bench.monitor.ours", str(package), str(traffic), str(reports)])


def _theirs(
    interpreter: Path, reference: Path, traffic: Path, folder: Path, methods: Any, edges: Any
) -> dict[str, Any]:
    script = [str(interpreter), str(HERE / "evidently_run.py"), str(reference), str(traffic), str(folder / "page.html")]
    lists = [",".join(data.NUMERIC), ",".join(data.CATEGORICAL)]
    return _json([*script, *lists, json.dumps(methods), json.dumps(edges)])


def _json(command: list[str]) -> dict[str, Any]:
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command[:3])} ended with {done.returncode}:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def _evidently() -> Path:
    """Evidently's interpreter, in an environment that is made once for each version."""
    folder = HOME / "rivals" / f"evidently-{EVIDENTLY}"
    interpreter = folder / "bin" / "python"
    if not (folder / "ready").exists():
        say(f"installing Evidently {EVIDENTLY} into {folder}")
        uv = str(Path(sys.executable).with_name("uv"))
        subprocess.run([uv, "venv", "-q", "--clear", "-p", sys.executable, str(folder)], check=True)
        subprocess.run([uv, "pip", "install", "-q", "-p", str(interpreter), *REQUIREMENTS], check=True)
        (folder / "ready").touch()
    return interpreter


def _machine() -> str:
    load = ", ".join(f"{one:.1f}" for one in os.getloadavg())
    return f"{os.cpu_count()} processors, Python {platform.python_version()}; load average {load} when it began."
