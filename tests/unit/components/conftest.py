"""A small real package, packed once, and an endpoint that is never asked whether it is live."""

import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from model_packaging import data_version, pack, validate
from model_packaging.package import Package


def packed(output: Path, **changes: Any) -> Package:
    inputs = pd.DataFrame({"tenure": [float(n % 17) for n in range(240)], "charge": [float(n % 5) for n in range(240)]})
    target = inputs["tenure"] > 8
    model = LogisticRegression().fit(inputs, target)
    validation = validate(model, (inputs[:160], target[:160]), (inputs[160:], target[160:]), folds=2, bootstrap=5)
    data = data_version(inputs.assign(left=target), name="customers")
    return pack(model, name="churn", inputs=inputs, output=output, data=data, validation=validation, **changes)


@pytest.fixture(scope="session")
def original(tmp_path_factory: pytest.TempPathFactory) -> Package:
    return packed(tmp_path_factory.mktemp("packages") / "churn", description="Whether a customer leaves.")


@pytest.fixture(scope="session")
def candidate(tmp_path_factory: pytest.TempPathFactory) -> Package:
    return packed(tmp_path_factory.mktemp("packages") / "churn", description="The next one.")


@pytest.fixture
def folder(original: Package, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(original.path, tmp_path / "churn"))


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training script's folder, with what must not be uploaded."""
    root = tmp_path_factory.mktemp("training")
    for name in ("train.py", "lib/features.py", "data/rows.csv", ".git/config", "__pycache__/train.pyc"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    return root


@pytest.fixture(autouse=True)
def verified(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[tuple[Any, ...]]:
    """The calls that would have looked at the live endpoint."""
    calls: list[tuple[Any, ...]] = []
    monkeypatch.setattr("modelberth.platforms.sagemaker.live.verify", lambda *arguments: calls.append(arguments))
    monkeypatch.setenv("MODELBERTH_CACHE", str(tmp_path / "cache"))
    return calls
