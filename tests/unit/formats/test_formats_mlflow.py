"""Folders that MLflow itself wrote, and what a hostile one may say."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from sklearn.linear_model import LogisticRegression

from model_packaging import ModelberthError, formats, pack
from model_packaging.package import Package
from tests.unit.formats.conftest import fitted
from tests.unit.formats.opaque import Opaque

Written = Callable[..., Path]


@pytest.fixture
def written(tmp_path: Path, frame: pd.DataFrame, labels: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> Written:
    """A folder with the flavour, written by MLflow, without the requirements that it would infer for minutes."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'none.db'}")

    def write(flavour: str, model: Any = None, **options: Any) -> Path:
        import importlib

        folder = tmp_path / "logged"
        module = importlib.import_module(f"mlflow.{flavour}")
        model = fitted(flavour, frame, labels) if model is None else model
        module.save_model(model, str(folder), pip_requirements=[], **options)
        return folder

    return write


def late(package: Package, frame: pd.DataFrame, which: str = "late") -> list[float]:
    rows = frame.astype(object).to_dict("records")
    return [item["probabilities"][which] for item in formats.load(package, allow_pickle=True).predict(rows)]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("flavour", ["catboost", "lightgbm", "sklearn", "xgboost"])
def test_a_folder_of_mlflow_is_taken_without_pickles(
    written: Written, frame: pd.DataFrame, labels: np.ndarray, tmp_path: Path, flavour: str
) -> None:
    folder = written(flavour, **({"serialization_format": "skops"} if flavour == "sklearn" else {}))
    package = pack(folder, name="late", inputs=frame, output=tmp_path / "package")
    assert package.format == ("sklearn-skops" if flavour == "sklearn" else flavour)
    expected = fitted(flavour, frame, labels).predict_proba(frame)
    which, column = ("1", 1) if flavour == "xgboost" else ("late", 0)
    assert late(package, frame, which) == pytest.approx(expected[:, column].tolist(), abs=1e-6)


@pytest.mark.filterwarnings("ignore")
def test_a_booster_and_onnx_of_mlflow(
    written: Written, frame: pd.DataFrame, labels: np.ndarray, tmp_path: Path
) -> None:
    booster = fitted("lightgbm", frame, labels).booster_
    package = pack(written("lightgbm", booster), name="m", inputs=frame, output=tmp_path / "m", classes=["late", "ok"])
    assert package.format == "lightgbm"
    import skl2onnx

    numbers = frame.astype("float32")
    model = LogisticRegression().fit(numbers.to_numpy(), labels)
    onnx = skl2onnx.to_onnx(model, numbers.to_numpy()[:1], options={"zipmap": False})
    (tmp_path / "logged").rename(tmp_path / "before")
    package = pack(
        written("onnx", onnx),
        name="m",
        inputs=numbers,
        output=tmp_path / "n",
        task="classification",
        classes=["late", "on time"],
    )
    assert package.format == "onnx"
    assert late(package, numbers) == pytest.approx(model.predict_proba(numbers.to_numpy())[:, 0].tolist(), abs=1e-5)


@pytest.mark.filterwarnings("ignore")
def test_a_pickle_of_mlflow_needs_the_switch(
    written: Written, frame: pd.DataFrame, labels: np.ndarray, tmp_path: Path
) -> None:
    folder = written("sklearn", Opaque().fit(frame, labels), serialization_format="cloudpickle")
    with pytest.raises(ModelberthError, match=r"model\.pkl is a pickle: reading it runs whatever code"):
        pack(folder, name="m", inputs=frame, output=tmp_path / "m")
    package = pack(folder, name="m", inputs=frame, output=tmp_path / "m", allow_pickle=True)
    assert package.format == "sklearn-pickle"
    assert late(package, frame)


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ({"flavors": {"xgboost": {"data": "../../secret.json"}}}, "'../../secret.json' leads out of the folder"),
        ({"flavors": {"xgboost": {"data": "/etc/passwd"}}}, "'/etc/passwd' leads out of the folder"),
        ({"flavors": {"xgboost": {"data": "linked.json"}}}, "'linked.json' leads out of the folder"),
        ({"flavors": {"xgboost": {"data": "nothing.ubj"}}}, "no such model file"),
        ({"flavors": {"xgboost": {}}}, "flavors.xgboost.data: names no file"),
        ({"flavors": {"xgboost": {"data": "folder"}}}, "'folder' is a folder, must be a file"),
        ({"flavors": {"pytorch": {"data": "x"}, "python_function": {}}}, "the flavours are python_function, pytorch: "),
        ({"flavors": {"catboost": {"data": "x.json", "save_format": "json"}}}, "save_format is 'json': choose cbm"),
        ({"flavors": {"sklearn": {"pickled_model": "x", "serialization_format": "dill"}}}, "serialization_format is"),
        ({"flavors": []}, "has no flavors"),
        ([], "has no flavors"),
    ],
)
def test_a_hostile_folder_is_refused(tmp_path: Path, frame: pd.DataFrame, document: Any, reason: str) -> None:
    folder = tmp_path / "logged"
    (folder / "folder").mkdir(parents=True)
    (tmp_path / "secret.json").write_text("{}")
    (folder / "linked.json").symlink_to(tmp_path / "secret.json")
    (folder / "MLmodel").write_text(yaml.safe_dump(document))
    with pytest.raises(ModelberthError, match=reason):
        pack(folder, name="m", inputs=frame, output=tmp_path / "m")


def test_a_folder_cannot_run_code_by_its_yaml(tmp_path: Path, frame: pd.DataFrame) -> None:
    (tmp_path / "MLmodel").write_text(f"flavors: !!python/object/apply:pathlib.Path.touch [{tmp_path / 'ran'}]")
    with pytest.raises(ModelberthError, match="MLmodel: not YAML"):
        pack(tmp_path, name="m", inputs=frame, output=tmp_path / "m")
    assert not (tmp_path / "ran").exists()


def test_the_types_that_a_folder_trusts_are_not_believed(
    tmp_path: Path, frame: pd.DataFrame, labels: np.ndarray
) -> None:
    import skops.io

    skops.io.dump(Opaque().fit(frame, labels), tmp_path / "model.skops")
    flavour = {
        "pickled_model": "model.skops",
        "serialization_format": "skops",
        "skops_trusted_types": ["tests.unit.formats.opaque.Opaque"],
    }
    (tmp_path / "MLmodel").write_text(yaml.safe_dump({"flavors": {"sklearn": flavour}}))
    with pytest.raises(ModelberthError, match=r"not known to be harmless: tests\.unit\.formats\.opaque\.Opaque"):
        pack(tmp_path, name="m", inputs=frame, output=tmp_path / "m")
    named = ["tests.unit.formats.opaque.Opaque"]
    assert pack(tmp_path, name="m", inputs=frame, output=tmp_path / "out", trusted=named).format == "sklearn-skops"
