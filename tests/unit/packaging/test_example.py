"""The flights example: real data, and the same package whatever the machine."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from model_packaging import open_package
from model_packaging.gate import evaluate, parse_rules

EXAMPLE = Path(__file__).parents[3] / "examples" / "flights"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example's own file, thinned so that training takes seconds."""
    folder = tmp_path_factory.mktemp("flights")
    full = folder / "full.csv.gz"
    subprocess.run([sys.executable, EXAMPLE / "data.py", "--output", full], check=True, capture_output=True)
    table = pd.read_csv(full)
    assert len(table) == 60_000
    assert 0.2 < table["late"].mean() < 0.3
    (folder / "thin").mkdir()
    table.iloc[::8].to_csv(folder / "thin" / "flights.csv.gz", index=False)
    return folder / "thin"


def test_two_machines_make_the_same_package(data: Path, tmp_path: Path) -> None:
    """With another number of threads and another hash seed, as on another machine."""
    runs = [
        subprocess.Popen(
            [sys.executable, EXAMPLE / "train.py", "--data", data, "--output", tmp_path / threads],
            env={**os.environ, "OMP_NUM_THREADS": threads, "PYTHONHASHSEED": threads},
            stdout=subprocess.PIPE,
        )
        for threads in ("1", "3")
    ]
    outputs = [run.communicate(timeout=300)[0] for run in runs]
    assert [run.returncode for run in runs] == [0, 0]
    first, second = (json.loads(output.splitlines()[-1]) for output in outputs)
    assert first == second
    package = open_package(tmp_path / "1")
    assert package.digest == first["digest"]
    assert package.validation["holdout"]["kind"] == "temporal"
    rules = parse_rules({"metrics": {"roc_auc": {"min": 0.6}}, "require": ["cross_validation", "baseline"]})
    assert evaluate(package, rules).passed
