"""A small real package, packed once per session."""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from model_packaging import data_version, pack, validate
from model_packaging.documents import dumps
from model_packaging.package import Package


def table(rows: int = 400) -> pd.DataFrame:
    generator = np.random.default_rng(7)
    frame = pd.DataFrame(
        {
            "tenure": generator.integers(1, 72, rows),
            "charge": generator.normal(60, 20, rows).round(2),
            "plan": generator.choice(["basic", "family", "pro"], rows),
        }
    )
    odds = 1.5 - frame["tenure"] / 18 + frame["charge"] / 90 - (frame["plan"] == "pro")
    frame["left"] = generator.random(rows) < 1 / (1 + np.exp(-odds))
    return frame


def packed(output: Path, **changes: object) -> Package:
    frame = table()
    inputs, target = frame.drop(columns="left"), frame["left"]
    columns = make_column_transformer((OneHotEncoder(), ["plan"]), (StandardScaler(), ["tenure", "charge"]))
    model = make_pipeline(columns, LogisticRegression()).fit(inputs[:300], target[:300])
    validation = validate(
        model,
        (inputs[:300], target[:300]),
        (inputs[300:], target[300:]),
        folds=3,
        segments=["plan"],
        bootstrap=20,
    )
    settings = {
        "name": "churn",
        "inputs": inputs[:300],
        "output": output,
        "data": data_version(frame, name="customers"),
        "validation": validation,
        "description": "Whether a customer leaves.",
        **changes,
    }
    return pack(model, **settings)


def altered(package: Package, target: Path, file: str, change: Callable[[Any], None]) -> Path:
    """A copy of which one document says something else, with the right sha256 in its manifest."""
    shutil.copytree(package.path, target)
    document = json.loads((target / file).read_bytes())
    change(document)
    (target / file).write_bytes(dumps(document))
    content = (target / file).read_bytes()
    manifest = json.loads((target / "manifest.json").read_bytes())
    manifest["files"][file] = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    (target / "manifest.json").write_bytes(dumps(manifest))
    return target


@pytest.fixture(scope="session")
def original(tmp_path_factory: pytest.TempPathFactory) -> Package:
    return packed(tmp_path_factory.mktemp("packages") / "churn")


@pytest.fixture
def folder(original: Package, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(original.path, tmp_path / "churn"))


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELBERTH_CACHE", str(tmp_path_factory.mktemp("cache")))
