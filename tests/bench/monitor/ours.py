"""One run of the monitor job in a process of its own: what it took, its memory, and its numbers, as JSON."""

import contextlib
import io
import json
import resource
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

# Imports are left out on both sides, those that the job makes late too.
import jinja2  # noqa: F401
import pyarrow.compute
import pyarrow.parquet  # noqa: F401
import scipy.special  # noqa: F401

from model_packaging.jobs.monitor.job import monitor


def main(package: str, traffic: str, reports: str) -> None:
    settings = {
        "MODELBERTH_CAPTURE": traffic,
        "MODELBERTH_PACKAGE": package,
        "MODELBERTH_REPORTS": reports,
        "MODELBERTH_METRICS": "stdout:",
        "MODELBERTH_ENDPOINT": "bench",
    }
    began, used = time.perf_counter(), time.process_time()
    with contextlib.redirect_stdout(io.StringIO()):
        monitor(settings, datetime.now(UTC))
    seconds, processor = time.perf_counter() - began, time.process_time() - used
    report = json.loads(max(Path(reports).rglob("report.json")).read_text())
    features = {
        name: {key: one.get(key) for key in ("psi", "jensen_shannon_distance", "wasserstein_distance", "test", "bins")}
        for name, one in report["features"].items()
    }
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        json.dumps(
            {"seconds": seconds, "processor": processor, "peak": peak, "rows": report["rows"], "features": features}
        )
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
