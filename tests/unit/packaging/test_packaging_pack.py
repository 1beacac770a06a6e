"""Packing: reproducible bytes, recorded predictions, the documents' content, and what is refused."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestRegressor
from sklearn.linear_model import LogisticRegression

from model_packaging import InputError, ModelberthError, data_version, formats, open_package, pack, validate
from model_packaging.archive import write_tar
from model_packaging.package import Package

PACK_TWICE = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from conftest import packed
from model_packaging.archive import write_tar
package = packed(Path(sys.argv[2]) / "churn")
write_tar(package.path, list(package.files), Path(sys.argv[2]) / "churn.tar")
"""


def test_the_same_input_gives_the_same_bytes_in_another_process(tmp_path: Path) -> None:
    for seed in ("1", "2"):
        (tmp_path / seed).mkdir()
        command = [sys.executable, "-c", PACK_TWICE, str(Path(__file__).parent), str(tmp_path / seed)]
        subprocess.run(command, check=True, env=os.environ | {"PYTHONHASHSEED": seed, "TZ": f"UTC{seed}"})
    first, second = tmp_path / "1", tmp_path / "2"
    names = sorted(path.relative_to(first) for path in first.rglob("*") if path.is_file())
    assert names == sorted(path.relative_to(second) for path in second.rglob("*") if path.is_file())
    different = [str(name) for name in names if (first / name).read_bytes() != (second / name).read_bytes()]
    assert different == []


def test_a_tar_opens_as_the_same_package(original: Package, tmp_path: Path) -> None:
    path = write_tar(original.path, list(original.files), tmp_path / "churn.tar")
    assert open_package(path, expected_digest=original.digest).files == original.files
    assert open_package(path).digest == original.digest


def test_the_examples_reproduce(original: Package) -> None:
    predictor = formats.load(original)
    examples = original.examples
    assert predictor.predict(examples["inputs"]) == examples["predictions"]
    first = examples["predictions"][0]
    assert set(first) == {"label", "probabilities"}
    assert isinstance(first["label"], bool)
    assert sum(first["probabilities"].values()) == pytest.approx(1)
    assert list(first["probabilities"]) == ["false", "true"]


def test_rows_that_do_not_fit_are_named(original: Package) -> None:
    predictor = formats.load(original)
    good = original.examples["inputs"][0]
    for row, text in [
        (good | {"tenur": 1}, 'row 0: unknown field "tenur" (did you mean tenure?)'),
        ({key: value for key, value in good.items() if key != "plan"}, 'row 0: "plan" is missing'),
        (good | {"charge": "12"}, "row 0: \"charge\" must be a number, is '12' (str)"),
        (good | {"charge": None}, 'row 0: "charge" may not be missing'),
        (good | {"tenure": 1.5}, 'row 0: "tenure" must be a integer, is 1.5'),
        (good | {"tenure": True}, 'row 0: "tenure" must be a integer'),
        (good | {"charge": float("inf")}, 'row 0: "charge" must be a number, is inf'),
        (good | {"plan": 3}, 'row 0: "plan" must be a string'),
    ]:
        with pytest.raises(InputError) as error:
            predictor.predict([row])
        assert text in str(error.value)


def test_the_documents_tell_the_truth(original: Package) -> None:
    features = original.baseline["features"]
    assert features["charge"]["count"] == sum(features["charge"]["counts"]) == 300
    assert sum(features["plan"]["frequencies"].values()) == pytest.approx(1)
    assert set(original.baseline["predictions"]) == {"label", "probability:false", "probability:true"}
    assert original.signature["inputs"][2]["categories"] == ["basic", "family", "pro"]
    assert original.data["rows"] == 400
    auc = original.validation["metrics"]["roc_auc"]
    assert auc["interval"][0] < auc["value"] < auc["interval"][1]
    assert len(original.validation["cross_validation"]["metrics"]["f1"]["folds"]) == 3
    lock = (original.path / "environment.lock").read_text().splitlines()
    assert lock == sorted(lock)
    assert any(line.startswith("scikit-learn==") for line in lock)


def test_the_card_shows_numbers_plots_and_no_script(original: Package) -> None:
    page = (original.path / "card.html").read_text()
    assert page.count("<svg") >= 7
    assert f"{original.validation['metrics']['roc_auc']['value']:.4g}" in page
    assert "<script" not in page
    assert "drift.psi" in page
    text = (original.path / "card.md").read_text()
    assert original.data["digest"] in text


def test_text_from_the_user_cannot_become_markup(tmp_path: Path) -> None:
    frame = pd.DataFrame({"a<script>": [0.0, 1.0, 2.0, 3.0]})
    model = LogisticRegression().fit(frame, [0, 0, 1, 1])
    pack(model, name="x", inputs=frame, output=tmp_path / "x", description="<img src=x onerror=y>")
    page = (tmp_path / "x" / "card.html").read_text()
    assert "<img" not in page
    assert "<script" not in page


def test_missing_values_categories_and_regression(tmp_path: Path) -> None:
    frame = pd.DataFrame({"x": [1.0, np.nan, 3.0, 4.0] * 25, "c": pd.Categorical(["u", "v", "u", None] * 25)})
    target = np.array([0, 1, 0, 1] * 25)
    model = HistGradientBoostingClassifier(categorical_features="from_dtype", max_iter=3).fit(frame, target)
    package = pack(model, name="gaps", inputs=frame, output=tmp_path / "gaps")
    direct = model.predict_proba(frame)
    rows = [{"x": None, "c": "v"}, {"x": 4.0, "c": None}]
    found = [item["probabilities"]["1"] for item in formats.load(package).predict(rows)]
    assert found == pytest.approx([direct[1, 1], direct[3, 1]])
    forest = RandomForestRegressor(3, random_state=0).fit(frame[["x"]], target)
    number = pack(forest, name="number", inputs=frame[["x"]], output=tmp_path / "number")
    assert all(isinstance(value, float) for value in number.examples["predictions"])
    assert set(number.baseline["predictions"]) == {"value"}


def test_onnx_gives_what_the_estimator_gives(tmp_path: Path) -> None:
    skl2onnx = pytest.importorskip("skl2onnx")
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(50, 2)).astype("float32"), columns=["a", "b"])
    target = (frame["a"] + frame["b"] > 0).astype(int)
    model = LogisticRegression().fit(frame.to_numpy(), target)
    (tmp_path / "m.onnx").write_bytes(skl2onnx.to_onnx(model, frame.to_numpy()[:1]).SerializeToString())
    package = pack(
        tmp_path / "m.onnx", name="m", inputs=frame, output=tmp_path / "m", task="classification", classes=[0, 1]
    )
    rows = frame.astype(float).to_dict("records")
    found = [item["probabilities"]["1"] for item in formats.load(package).predict(rows)]
    assert found == pytest.approx(model.predict_proba(frame.to_numpy())[:, 1].tolist(), abs=1e-5)
    (tmp_path / "broken.onnx").write_bytes(b"junk")
    with pytest.raises(ModelberthError, match="cannot be loaded"):
        pack(tmp_path / "broken.onnx", name="m", inputs=frame, output=tmp_path / "n", task="regression")


def test_what_cannot_be_packed(tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": [1.0, 2.0]})
    fitted = LogisticRegression().fit(frame, [0, 1])
    dated = pd.DataFrame({"when": pd.to_datetime(["2020-01-01", "2020-01-02"])})
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("keep")
    for model, inputs, output, text in [
        (LogisticRegression(), frame, "x", "LogisticRegression: it is not fitted"),
        (object(), frame, "x", "cannot pack a object"),
        (tmp_path / "m.pt", frame, "x", "choose a file that ends in"),
        (tmp_path / "m.onnx", frame, "x", "no such model file"),
        (fitted, dated, "x", 'column "when" is datetime64'),
        (fitted, frame[:0], "x", "at least one row"),
        (fitted, frame, "full", "holds files that are not a package"),
    ]:
        with pytest.raises(ModelberthError, match=text):
            pack(model, name="x", inputs=inputs, output=tmp_path / output)
    assert (tmp_path / "full" / "mine.txt").read_text() == "keep"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["full"]


def test_an_earlier_package_is_replaced(tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": [1.0, 2.0]})
    fitted = LogisticRegression().fit(frame, [0, 1])
    first = pack(fitted, name="x", inputs=frame, output=tmp_path / "x")
    second = pack(fitted, name="y", inputs=frame, output=tmp_path / "x")
    assert open_package(tmp_path / "x").digest == second.digest != first.digest


def test_a_data_version_depends_on_content_only(tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": [1, 2], "t": ["2020-01-01", "2020-02-01"]})
    version = data_version(frame, name="d", time="t")
    assert version["time_range"] == ["2020-01-01", "2020-02-01"]
    assert data_version(frame[::-1][["t", "a"]], name="d")["digest"] == version["digest"]
    assert data_version(frame.assign(a=[1, 3]), name="d")["digest"] != version["digest"]
    one, two = tmp_path / "1.csv", tmp_path / "2.csv"
    one.write_text("a\n1\n")
    two.write_text("a\n2\n")
    files = data_version([one, two], name="d")
    os.utime(one, (0, 0))
    assert data_version([two, one], name="d")["digest"] == files["digest"] == data_version(tmp_path, name="d")["digest"]
    two.write_text("a\n3\n")
    assert data_version(tmp_path, name="d")["digest"] != files["digest"]
    with pytest.raises(ModelberthError, match="no such data file"):
        data_version(tmp_path / "none.csv", name="d")


def test_an_undefined_metric_is_left_out() -> None:
    frame = pd.DataFrame({"a": np.arange(40.0)})
    target = np.array([0, 1] * 20)
    model = LogisticRegression().fit(frame, target)
    found = validate(model, (frame, target), (frame[:4], np.zeros(4)), folds=2, importance=False, bootstrap=0)
    assert "roc_auc" not in found["metrics"]
    assert "roc" not in found["curves"]
