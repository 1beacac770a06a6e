"""The command, as a person runs it: exit codes, one clear text, no traceback, quick help."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import model_packaging
from model_packaging import cli, errors
from model_packaging.package import Package

HEAVY = ("sklearn", "pandas", "matplotlib", "onnxruntime", "pulumi", "boto3", "scipy", "starlette", "uvicorn")


def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["modelberth", *arguments])
    try:
        cli.main()
        code = 0
    except SystemExit as end:
        code = int(end.code or 0)
    shown = capsys.readouterr()
    return code, shown.out, shown.err


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    return lambda *arguments: run(monkeypatch, capsys, *map(str, arguments))


@pytest.mark.parametrize(
    "module", ["model_packaging", *(f"model_packaging.{n}" for n in ("gate", "package", "publish"))]
)
def test_importing_is_light(module: str) -> None:
    code = f"import sys, {module}; print([name for name in {HEAVY} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert found.stdout.strip() == "[]"


def test_every_public_name_is_there() -> None:
    assert all(getattr(model_packaging, name) for name in model_packaging.__all__)
    assert model_packaging.__all__ == sorted(model_packaging.__all__)


def test_help_is_quick_to_load() -> None:
    code = (
        "import sys; from model_packaging import cli; sys.argv = ['modelberth', '--help']\n"
        f"try: cli.main()\nfinally: print([name for name in {HEAVY} if name in sys.modules], file=sys.stderr)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert found.stderr.strip() == "[]"
    assert all(name in found.stdout for name in cli.COMMANDS)


def test_show(command, original: Package) -> None:
    code, out, _ = command("show", original.path)
    assert code == 0
    assert original.digest in out
    assert "roc_auc" in out
    assert f"modelberth card {original.path} --format html" in out and "/card.html" not in out
    code, out, _ = command("show", original.path, "--json")
    assert json.loads(out)["digest"] == original.digest
    code, out, _ = command("show", "--schema")
    assert json.loads(out)["manifest.json"]["properties"]["schema_version"]


def test_check_passes_and_refuses(command, original: Package, tmp_path: Path) -> None:
    assert command("check", original.path)[0] == 0
    code, out, err = command("check", original.path, "--metric", "f1>=0.99", "--metric", "brier<=1")
    assert code == 1
    assert "FAIL  metrics.f1.min: f1 is" in out
    assert "pass  metrics.brier.max" in out
    assert err == "modelberth: churn: refused by the gate: 1 of 5 rules failed\n"
    rules = tmp_path / "rules.json"
    rules.write_text('{"metrics": {"f1": {"min": 0.99}}}')
    assert command("check", original.path, "--rules", rules)[0] == 1
    assert command("check", original.path, "--champion", original.path)[0] == 0
    rules.write_text('{"metrix": {}}')
    code, _, err = command("check", original.path, "--rules", rules)
    assert code == 1
    assert 'unknown key "metrix" (did you mean metrics?)' in err


def test_publish_and_pull(command, original: Package, tmp_path: Path) -> None:
    code, address, _ = command("publish", original.path, tmp_path / "bucket")
    assert code == 0
    code, out, _ = command("pull", address.strip(), tmp_path / "back")
    assert code == 0
    assert out.strip() == f"{tmp_path / 'back'}@{original.digest}"


def test_failure_is_one_text_and_exit_code_1(command, folder: Path) -> None:
    (folder / "card.md").write_text("x")
    code, out, err = command("show", folder)
    assert (code, out) == (1, "")
    assert err.startswith("modelberth: card.md: 1 bytes")
    assert "Traceback" not in err


@pytest.mark.parametrize("arguments", [("frob",), ("show",), ("check", ".", "--metric", "f1=3"), ("publish", "x")])
def test_misuse_is_exit_code_2(command, arguments: tuple[str, ...]) -> None:
    code, _, err = command(*arguments)
    assert code == 2
    assert "Traceback" not in err


def test_a_missing_extra_is_named(command, original: Package, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    code, _, err = command(
        "pack", "m.onnx", "--name", "m", "--sample", "s.csv", "--output", "o", "--task", "regression"
    )
    assert code == 1
    assert 'pip install "modelberth[serve]"' in err


def test_pack_of_a_file(command, tmp_path: Path) -> None:
    skl2onnx = pytest.importorskip("skl2onnx")
    import numpy as np
    from sklearn.linear_model import LinearRegression

    values = np.arange(20, dtype="float32").reshape(-1, 2)
    model = LinearRegression().fit(values, values.sum(axis=1))
    (tmp_path / "m.onnx").write_bytes(skl2onnx.to_onnx(model, values[:1]).SerializeToString())
    lines = ["a,b,y", *(f"{a},{b},{a + b}" for a, b in values)]
    (tmp_path / "s.csv").write_text("\n".join(lines))
    sample = ("--sample", tmp_path / "s.csv", "--target", "y", "--data", tmp_path / "s.csv")
    code, out, err = command(
        "pack", tmp_path / "m.onnx", "--name", "m", *sample, "--task", "regression", "--output", tmp_path / "m"
    )
    assert (code, err) == (0, "")
    found = model_packaging.open_package(out.strip())
    assert found.examples["predictions"][0] == pytest.approx(1.0, abs=1e-4)


def test_names_are_suggested() -> None:
    assert errors.did_you_mean("metrix", ["metrics"]) == " (did you mean metrics?)"
    assert errors.choices(["b", "a", "c"]) == "a, b or c"
