"""The examples, run as their README says."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from model_packaging import formats, open_package

FOLDER = Path(__file__).parents[3] / "examples" / "formats"
EXPECTED = {
    "catboost_model": "catboost",
    "lightgbm_model": "lightgbm",
    "mlflow_folder": "sklearn-skops",
    "onnx_model": "onnx",
    "xgboost_model": "xgboost",
}


@pytest.mark.parametrize("name", EXPECTED)
def test_an_example_makes_a_package_of_its_format(tmp_path: Path, name: str) -> None:
    output = tmp_path / "tumours"
    command = [sys.executable, FOLDER / f"{name}.py", output]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
    package = open_package(output)
    assert done.stdout.endswith(f"{output}@{package.digest}\n")
    assert package.format == EXPECTED[name]
    assert sorted(package.signature["outputs"]["classes"]) == ["benign", "malignant"]
    said = formats.load(package).predict(package.examples["inputs"])
    assert {item["label"] for item in said} == {"benign", "malignant"}


def test_the_readme_tells_every_example() -> None:
    told = re.findall(r"^\| `(\w+)\.py`", (FOLDER / "README.md").read_text(), re.MULTILINE)
    assert told == sorted(EXPECTED)
    assert {path.stem for path in FOLDER.glob("*.py")} == {*EXPECTED, "data"}
