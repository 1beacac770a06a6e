"""Files of data, and a cache and AWS settings of the test's own."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest


def sales(rows: int = 1000, shift: float = 0.0, seed: int = 1) -> pd.DataFrame:
    generator = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "day": pd.date_range("2026-01-01", periods=rows, freq="h").strftime("%Y-%m-%d"),
            "price": (generator.normal(50, 10, rows) + shift).round(2),
            "flag": generator.integers(0, 2, rows),
            "plan": generator.choice(["basic", "pro"], rows),
            "mail": [f"person{number}@example.org" for number in range(rows)],
        }
    )


@pytest.fixture
def csv(tmp_path: Path) -> Path:
    path = tmp_path / "sales.csv"
    sales().to_csv(path, index=False)
    return path


@pytest.fixture(autouse=True)
def _settings(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELBERTH_CACHE", str(tmp_path_factory.mktemp("cache")))
    for name, value in {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "eu-central-1",
    }.items():
        monkeypatch.setenv(name, value)
