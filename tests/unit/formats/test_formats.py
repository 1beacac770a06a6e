"""Every format: packed, opened, served by a real process, called."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from model_packaging import ModelberthError, PackageError, formats, open_package, pack
from model_packaging.formats.store import store
from model_packaging.package import Package
from tests.unit.formats.conftest import BOOSTERS, KINDS, fitted
from tests.unit.serving.conftest import Server

Packed = Callable[[str], tuple[Any, Package]]


def test_the_table_of_formats_is_sorted_and_each_has_its_module() -> None:
    assert list(formats.FORMATS) == sorted(formats.FORMATS)
    folder = Path(formats.__file__).parent
    for entry in formats.FORMATS.values():
        assert (folder / f"{entry.module}.py").exists()


def test_importing_the_formats_imports_no_library_of_one() -> None:
    heavy = ["catboost", "lightgbm", "xgboost", "onnxruntime", "skops", "sklearn", "yaml", "skl2onnx", "tokenizers"]
    program = f"import sys, model_packaging.formats; print([n for n in {heavy} if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def probabilities(package: Package, frame: pd.DataFrame, which: str, **options: Any) -> list[float]:
    rows = frame.astype(object).to_dict("records")
    return [item["probabilities"][which] for item in formats.load(package, **options).predict(rows)]


@pytest.mark.parametrize("name", KINDS)
def test_a_package_gives_what_the_model_gives(packed: Packed, frame: pd.DataFrame, name: str) -> None:
    model, package = packed(name)
    assert package.format == name
    assert open_package(package.path).digest == package.digest
    found = probabilities(package, frame, "1" if name == "xgboost" else "late", allow_pickle=True)
    column = 1 if name == "xgboost" else 0
    assert found == pytest.approx(model.predict_proba(frame)[:, column].tolist(), abs=1e-6)
    said = [item["label"] for item in formats.load(package, allow_pickle=True).predict(package.examples["inputs"])]
    assert said == [item["label"] for item in package.examples["predictions"]]


@pytest.mark.parametrize("name", KINDS)
def test_the_same_model_gives_the_same_digest(
    packed: Packed, frame: pd.DataFrame, labels: np.ndarray, tmp_path: Path, name: str
) -> None:
    model, package = packed(name)
    again = model if name == "sklearn-pickle" else fitted(name, frame, labels)
    options = {"prefer_onnx": name == "onnx", "allow_pickle": name == "sklearn-pickle"}
    assert pack(again, name="late", inputs=frame, output=tmp_path / "again", **options).digest == package.digest


@pytest.mark.parametrize("name", KINDS)
def test_a_real_server_answers(packed: Packed, frame: pd.DataFrame, serve: Callable[..., Server], name: str) -> None:
    model, package = packed(name)
    server = serve(package, **({"MODELBERTH_ALLOW_PICKLE": "1"} if name == "sklearn-pickle" else {})).ready()
    rows = frame.iloc[:3].astype(object).to_dict("records")
    answer = server.ask(json.dumps({"instances": rows}), "application/json")
    assert answer.status_code == 200, answer.text
    key, column = ("1", 1) if name == "xgboost" else ("late", 0)
    found = [item["probabilities"][key] for item in answer.json()["predictions"]]
    assert found == pytest.approx(model.predict_proba(frame.iloc[:3])[:, column].tolist(), abs=1e-6)
    wrong = server.ask(json.dumps({"instances": [{"distance": 1.0}]}), "application/json")
    assert wrong.status_code == 400
    assert "hour" in wrong.text


@pytest.mark.parametrize("name", KINDS)
def test_the_card_and_the_manifest_say_how_the_model_is_kept(packed: Packed, name: str) -> None:
    _, package = packed(name)
    expected = {
        "catboost": "in CatBoost's own format (cbm)",
        "lightgbm": "in LightGBM's own format (text)",
        "onnx": "converted to ONNX, the same within 1e-06 on 300 rows, the largest difference is ",
        "sklearn-pickle": "as a pickle: loading it runs whatever code",
        "sklearn-skops": "by skops, without pickles",
        "xgboost": "in XGBoost's own format (JSON)",
    }[name]
    assert package.manifest["model"]["stored"].startswith(expected)
    if name == "onnx":
        largest = float(package.manifest["model"]["stored"].removeprefix(expected))
        assert 0 <= largest <= 1e-6
    assert f"{name} ({expected}" in (package.path / "card.md").read_text()


@pytest.mark.parametrize("name", BOOSTERS)
def test_a_native_booster_and_its_file_are_taken_as_well(
    frame: pd.DataFrame, labels: np.ndarray, tmp_path: Path, name: str
) -> None:
    model = fitted(name, frame, labels)
    expected = model.predict_proba(frame)
    native = {"xgboost": "get_booster", "lightgbm": "booster_"}.get(name)
    booster = model if native is None else getattr(model, native)
    booster = booster() if callable(booster) and native == "get_booster" else booster
    suffixes = {"xgboost": (".json", ".ubj"), "lightgbm": (".txt", ".lgb"), "catboost": (".cbm",)}[name]
    sources: list[Any] = [booster]
    for suffix in suffixes:
        booster.save_model(str(tmp_path / f"m{suffix}"))
        sources.append(tmp_path / f"m{suffix}")
    for number, source in enumerate(sources):
        given = None if name == "catboost" else ["on time", "late"] if name == "xgboost" else ["late", "on time"]
        package = pack(source, name="m", inputs=frame, output=tmp_path / f"p{number}", classes=given)
        column = list(package.signature["outputs"]["classes"]).index("late")
        assert probabilities(package, frame, "late") == pytest.approx(expected[:, column].tolist(), abs=1e-6)


@pytest.mark.parametrize("name", BOOSTERS)
def test_a_regression_and_three_classes(frame: pd.DataFrame, tmp_path: Path, name: str) -> None:
    target = frame["distance"] / 100 + frame["hour"]
    thirds = pd.qcut(target, 3, labels=False).to_numpy()
    if name == "xgboost":
        import xgboost

        models = [xgboost.XGBRegressor(n_estimators=5, n_jobs=1), xgboost.XGBClassifier(n_estimators=5, n_jobs=1)]
    elif name == "lightgbm":
        import lightgbm

        settings = {"n_estimators": 5, "n_jobs": 1, "verbose": -1}
        models = [lightgbm.LGBMRegressor(**settings), lightgbm.LGBMClassifier(**settings)]
    else:
        import catboost

        settings = {"iterations": 5, "verbose": 0, "allow_writing_files": False, "thread_count": 1}
        models = [catboost.CatBoostRegressor(**settings), catboost.CatBoostClassifier(**settings)]
    regressor, classifier = models[0].fit(frame, target), models[1].fit(frame, thirds)
    rows = frame.astype(object).to_dict("records")
    package = pack(regressor, name="m", inputs=frame, output=tmp_path / "r")
    assert formats.load(package).predict(rows) == pytest.approx(regressor.predict(frame).tolist(), rel=1e-6)
    package = pack(classifier, name="m", inputs=frame, output=tmp_path / "c")
    found = formats.load(package).predict(rows)
    assert [item["label"] for item in found] == classifier.predict(frame).ravel().tolist()
    given = np.array([list(item["probabilities"].values()) for item in found])
    assert given == pytest.approx(classifier.predict_proba(frame), abs=1e-6)


def test_missing_values_and_categories_of_pandas(tmp_path: Path) -> None:
    import lightgbm
    import xgboost

    frame = pd.DataFrame({"x": [1.0, np.nan, 3.0, 4.0] * 40, "c": pd.Categorical(["u", "v", "u", None] * 40)})
    target = np.array([0, 1, 0, 1] * 40)
    rows = [{"x": None, "c": "v"}, {"x": 4.0, "c": None}]
    for model in (
        xgboost.XGBClassifier(n_estimators=4, enable_categorical=True, n_jobs=1),
        lightgbm.LGBMClassifier(n_estimators=4, n_jobs=1, verbose=-1, min_child_samples=2, min_data_per_group=2),
    ):
        direct = model.fit(frame, target).predict_proba(frame)
        package = pack(model, name="gaps", inputs=frame, output=tmp_path / type(model).__name__)
        found = [item["probabilities"]["1"] for item in formats.load(package).predict(rows)]
        assert found == pytest.approx([direct[1, 1], direct[3, 1]], abs=1e-6)


def test_early_stopping_keeps_the_best_iterations(frame: pd.DataFrame, labels: np.ndarray, tmp_path: Path) -> None:
    import xgboost

    noise = np.random.default_rng(1).random(len(frame)) < 0.3
    target = (labels == "late").astype(int) ^ noise
    model = xgboost.XGBClassifier(n_estimators=60, early_stopping_rounds=3, n_jobs=1)
    model.fit(frame[:200], target[:200], eval_set=[(frame[200:], target[200:])], verbose=False)
    assert model.best_iteration + 1 < model.get_booster().num_boosted_rounds()
    package = pack(model, name="m", inputs=frame, output=tmp_path / "m")
    assert probabilities(package, frame, "1") == pytest.approx(model.predict_proba(frame)[:, 1].tolist(), abs=1e-6)


def test_what_is_no_model_is_one_sentence(frame: pd.DataFrame, tmp_path: Path) -> None:
    import lightgbm
    import xgboost

    for model, reason in (
        (object(), "cannot pack a object: give a fitted model of scikit-learn, XGBoost, LightGBM or CatBoost"),
        (xgboost.XGBClassifier(), "cannot pack XGBClassifier: it is not fitted"),
        (lightgbm.LGBMClassifier(), "cannot pack LGBMClassifier: it is not fitted"),
        (tmp_path / "m.pt", r"choose a file that ends in \.cbm, .* or \.ubj, a folder of MLflow or Hugging Face"),
        (tmp_path / "m.onnx", "no such model file"),
        (tmp_path, "it has neither MLmodel, which MLflow writes, nor the config.json"),
    ):
        with pytest.raises(ModelberthError, match=reason):
            store(model)
    booster = xgboost.train({"objective": "binary:hinge"}, xgboost.DMatrix(frame, frame["hour"] > 12), 2)
    with pytest.raises(PackageError, match="the objective binary:hinge gives neither values nor probabilities"):
        store(booster)


def test_a_network_exported_to_onnx_is_taken(tmp_path: Path) -> None:
    """One matrix in, one row of probabilities out, as torch.onnx.export writes a module that ends in softmax."""
    from onnx import helper, numpy_helper
    from onnx.onnx_ml_pb2 import TensorProto

    generator = np.random.default_rng(0)
    first, second = (generator.normal(size=size).astype("float32") for size in ((3, 8), (8, 2)))
    nodes = [
        helper.make_node("MatMul", ["rows", "first"], ["hidden"]),
        helper.make_node("Relu", ["hidden"], ["active"]),
        helper.make_node("MatMul", ["active", "second"], ["scores"]),
        helper.make_node("Softmax", ["scores"], ["probabilities"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("rows", TensorProto.FLOAT, ["batch", 3])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["batch", 2])],
        [numpy_helper.from_array(first, "first"), numpy_helper.from_array(second, "second")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    (tmp_path / "network.onnx").write_bytes(model.SerializeToString())
    rows = pd.DataFrame(generator.normal(size=(20, 3)).astype("float32"), columns=["a", "b", "c"])
    package = pack(
        tmp_path / "network.onnx",
        name="network",
        inputs=rows,
        output=tmp_path / "p",
        task="classification",
        classes=["no", "yes"],
    )
    scores = np.maximum(rows.to_numpy() @ first, 0) @ second
    expected = np.exp(scores[:, 1]) / np.exp(scores).sum(axis=1)
    assert probabilities(package, rows.astype(float), "yes") == pytest.approx(expected.tolist(), abs=1e-5)


def test_a_file_that_does_not_tell_its_task_is_asked_for_it(
    packed: Packed, frame: pd.DataFrame, tmp_path: Path
) -> None:
    (tmp_path / "m.onnx").write_bytes(packed("onnx")[1].read("model/model.onnx"))
    with pytest.raises(ModelberthError, match=r"m.onnx: the file does not tell what it predicts: give the task"):
        pack(tmp_path / "m.onnx", name="m", inputs=frame, output=tmp_path / "m")


def test_a_missing_library_is_told_with_how_to_get_it(packed: Packed, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in BOOSTERS:
        _, package = packed(name)
        monkeypatch.setitem(sys.modules, name, None)
        with pytest.raises(
            ModelberthError, match=rf'the format {name} needs {name}: pip install "modelberth\[{name}\]"'
        ):
            formats.load(package)


def test_what_onnx_would_change_stays_as_it_is(frame: pd.DataFrame, labels: np.ndarray, tmp_path: Path) -> None:
    """A value between a threshold in double precision and the same in single precision."""
    from sklearn.tree import DecisionTreeRegressor

    edge = 1.0 + 2.0**-30
    narrow = pd.DataFrame({"x": [1.0, edge] * 20})
    model = DecisionTreeRegressor().fit(narrow, [0.0, 1.0] * 20)
    package = pack(model, name="m", inputs=narrow, output=tmp_path / "m", prefer_onnx=True)
    # Whichever it became, it says so and predicts what the estimator predicts.
    stored = package.manifest["model"]["stored"]
    assert ("not in ONNX, because" in stored) == (package.format == "sklearn-skops")
    assert formats.load(package).predict([{"x": 1.0}, {"x": edge}]) == model.predict(narrow[:2]).tolist()
