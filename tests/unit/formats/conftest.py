"""One model of each format, fitted once and packed once."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from model_packaging import pack
from model_packaging.package import Package
from tests.unit.formats.opaque import Opaque
from tests.unit.serving.conftest import Server


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELBERTH_CACHE", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.delenv("MODELBERTH_ALLOW_PICKLE", raising=False)


@pytest.fixture(scope="session")
def frame() -> pd.DataFrame:
    generator = np.random.default_rng(5)
    return pd.DataFrame(
        {
            "distance": generator.normal(900, 300, 300).round(1),
            "hour": generator.integers(0, 24, 300),
            "late before": generator.random(300) > 0.7,
        }
    )


@pytest.fixture(scope="session")
def labels(frame: pd.DataFrame) -> np.ndarray:
    late = frame["distance"] / 300 + frame["hour"] / 6 + 2 * frame["late before"] > 6
    return np.where(late, "late", "on time")


def fitted(name: str, frame: pd.DataFrame, labels: np.ndarray) -> Any:
    """A classifier of the format: the scikit-learn wrapper of its library."""
    late = (labels == "late").astype(int)
    if name == "xgboost":
        import xgboost

        return xgboost.XGBClassifier(n_estimators=8, max_depth=3, n_jobs=1).fit(frame, late)
    if name == "lightgbm":
        import lightgbm

        return lightgbm.LGBMClassifier(n_estimators=8, num_leaves=6, n_jobs=1, verbose=-1).fit(frame, labels)
    if name == "catboost":
        import catboost

        model = catboost.CatBoostClassifier(
            iterations=8, depth=3, verbose=0, thread_count=1, allow_writing_files=False, random_seed=1
        )
        return model.fit(frame, labels)
    columns = make_column_transformer((StandardScaler(), ["distance", "hour"]), ("passthrough", ["late before"]))
    return make_pipeline(columns, LogisticRegression()).fit(frame, labels)


BOOSTERS = ("catboost", "lightgbm", "xgboost")
KINDS = (*BOOSTERS, "onnx", "sklearn-pickle", "sklearn-skops")


@pytest.fixture(scope="session")
def packed(
    tmp_path_factory: pytest.TempPathFactory, frame: pd.DataFrame, labels: np.ndarray
) -> Callable[[str], tuple[Any, Package]]:
    kept: dict[str, tuple[Any, Package]] = {}

    def make(name: str) -> tuple[Any, Package]:
        if name not in kept:
            model = fitted(name, frame, labels)
            output = tmp_path_factory.mktemp(name) / "late"
            settings: dict[str, Any] = {"name": "late", "inputs": frame, "output": output}
            if name == "onnx":
                settings["prefer_onnx"] = True
            if name == "sklearn-pickle":
                model = Opaque().fit(frame, labels)
                settings["allow_pickle"] = True
            kept[name] = model, pack(model, **settings)
        return kept[name]

    return make


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    started: list[Server] = []

    def start(package: Package, **environment: str) -> Server:
        command = ["-m", "model_packaging", "serve", str(package.path), "--port", "0"]
        started.append(Server(command, environment))
        return started[-1]

    yield start
    for server in started:
        server.kill()
