"""Packages of two models that were validated on the same rows."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from model_packaging import data_version, pack, validate
from model_packaging.package import Package

ROWS = 800


def customers(rows: int = ROWS, seed: int = 11) -> pd.DataFrame:
    generator = np.random.default_rng(seed)
    frame = pd.DataFrame({"x": generator.normal(size=rows), "z": generator.normal(size=rows)})
    frame["site"] = generator.choice(["north", "south"], rows)
    frame["left"] = generator.random(rows) < 1 / (1 + np.exp(-2 * frame["x"] - frame["z"]))
    return frame


def made(
    output: Path,
    columns: list[str],
    frame: pd.DataFrame | None = None,
    held: Any = slice(400, ROWS),
    model: pd.DataFrame | None = None,
    **options: Any,
) -> Package:
    """A package of a model that sees some of the columns, learnt from other rows where `model` gives them."""
    frame = customers() if frame is None else frame
    train, holdout = (frame if model is None else model)[:400], frame[held]
    fitted = LogisticRegression().fit(train[columns], train["left"])
    both = ((one[columns], one["left"]) for one in (train, holdout))
    settings: dict[str, Any] = {"folds": 2, "bootstrap": 20, "importance": False, **options}
    return pack(
        fitted,
        name="churn",
        inputs=train[columns],
        output=output,
        data=data_version(frame, name="customers"),
        validation=validate(fitted, *both, **settings),
    )


Make = Callable[..., Package]


@pytest.fixture(scope="session")
def strong(tmp_path_factory: pytest.TempPathFactory) -> Package:
    return made(tmp_path_factory.mktemp("packages") / "strong", ["x", "z"])


@pytest.fixture(scope="session")
def weak(tmp_path_factory: pytest.TempPathFactory) -> Package:
    """Learnt from a column that was shuffled; judged on the same rows."""
    frame = customers()
    inputs = frame[["x", "z"]]
    noisy = inputs.assign(z=np.random.default_rng(0).permutation(inputs["z"]))
    model = LogisticRegression().fit(noisy[:400], frame["left"][:400])
    held = (inputs[400:], frame["left"][400:])
    validation = validate(model, (noisy[:400], frame["left"][:400]), held, folds=2, bootstrap=20, importance=False)
    return pack(
        model,
        name="churn",
        inputs=noisy[:400],
        output=tmp_path_factory.mktemp("packages") / "weak",
        data=data_version(frame, name="customers"),
        validation=validation,
    )


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELBERTH_CACHE", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.delenv("SM_CHANNEL_CHAMPION", raising=False)
