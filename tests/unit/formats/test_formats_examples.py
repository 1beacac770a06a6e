"""The examples, run as their README says: each packed, served by a real process, called, and monitored."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer

from model_packaging import formats, open_package, pack
from model_packaging.jobs.monitor.job import monitor
from tests.unit.serving.conftest import Server

FOLDER = Path(__file__).parents[3] / "examples" / "formats"
EXPECTED = {
    "catboost_model": "catboost",
    "huggingface_folder": "huggingface",
    "lightgbm_model": "lightgbm",
    "mlflow_folder": "sklearn-skops",
    "onnx_model": "onnx",
    "pickle_model": "sklearn-pickle",
    "pytorch_model": "onnx",
    "xgboost_model": "xgboost",
}
PYTORCH = os.environ.get("MODELBERTH_PYTORCH") or (sys.executable if find_spec("torch") else None)
needs_pytorch = pytest.mark.skipif(
    PYTORCH is None,
    reason="PyTorch is 5 GB on Linux: MODELBERTH_PYTORCH names an interpreter that has it, and modelberth",
)
NOW = datetime(2026, 3, 4, 10, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=needs_pytorch) if name == "pytorch_model" else name for name in EXPECTED]
)
def test_an_example_is_packed_served_called_and_monitored(
    tmp_path: Path,
    name: str,
    serve: Callable[..., Server],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    output = tmp_path / "tumours"
    command = [PYTORCH if name == "pytorch_model" else sys.executable, FOLDER / f"{name}.py", output]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
    package = open_package(output)
    assert done.stdout.endswith(f"{output}@{package.digest}\n")
    assert package.format == EXPECTED[name]
    assert sorted(package.signature["outputs"]["classes"]) == ["benign", "malignant"]

    if name == "pickle_model":
        monkeypatch.setenv("MODELBERTH_ALLOW_PICKLE", "1")
    request = json.dumps({"instances": package.examples["inputs"] * 30})
    answer = serve(package).ready().ask(request, "application/json")
    assert answer.status_code == 200, answer.text
    said = answer.json()["predictions"]
    assert [item["label"] for item in said[:5]] == [item["label"] for item in package.examples["predictions"]]
    assert {item["label"] for item in said} == {"benign", "malignant"}

    folder = tmp_path / "capture" / "AllTraffic" / "2026" / "03" / "04" / "09"
    folder.mkdir(parents=True)
    sides = {"endpointInput": ("INPUT", request), "endpointOutput": ("OUTPUT", answer.text)}
    data = {
        key: {"observedContentType": "application/json", "mode": mode, "data": text, "encoding": "JSON"}
        for key, (mode, text) in sides.items()
    }
    times = {"eventId": "5b7a", "inferenceTime": "2026-03-04T09:30:00Z"}
    line = {"captureData": data, "eventMetadata": times, "eventVersion": "0"}
    (folder / "30-00-000-5b7a.jsonl").write_text(json.dumps(line) + "\n")
    monitor(
        {
            "MODELBERTH_CAPTURE": str(tmp_path / "capture"),
            "MODELBERTH_PACKAGE": str(output),
            "MODELBERTH_REPORTS": str(tmp_path / "reports"),
            "MODELBERTH_METRICS": "stdout:",
            "MODELBERTH_ENDPOINT": "tumours",
        },
        NOW,
    )
    sent = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
    assert {"name": "data.rows", "value": 150.0} in sent["metrics"]
    (report,) = (tmp_path / "reports").rglob("report.json")
    assert set(json.loads(report.read_text())["features"]) == {item["name"] for item in package.signature["inputs"]}


def test_the_readme_tells_every_example() -> None:
    told = re.findall(r"^\| `(\w+)\.py`", (FOLDER / "README.md").read_text(), re.MULTILINE)
    assert told == sorted(EXPECTED)
    assert {path.stem for path in FOLDER.glob("*.py")} == {*EXPECTED, "data"}


def test_every_format_has_an_example() -> None:
    assert {*EXPECTED.values()} == {*formats.FORMATS}


def test_what_pytorch_exports_is_packed_without_its_paths(tmp_path: Path) -> None:
    exported = Path(__file__).parent / "exported" / "network.onnx"
    assert b"/opt/training" in exported.read_bytes()
    inputs = load_breast_cancer(as_frame=True).data.iloc[:, :10]

    package = pack(
        exported, name="n", inputs=inputs, output=tmp_path / "n", task="classification", classes=["benign", "malignant"]
    )

    assert package.manifest["model"]["stored"] == "in ONNX, with weights in safetensors"
    assert not any(b"/opt/training" in file.read_bytes() for file in package.path.rglob("*") if file.is_file())
    answers = formats.load(package).predict(inputs.to_dict("records"))
    right = [
        answer["label"] == ("malignant" if target == 0 else "benign")
        for answer, target in zip(answers, load_breast_cancer().target, strict=True)
    ]
    assert np.mean(right) > 0.95
