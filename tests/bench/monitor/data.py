"""A model, its training data, and traffic that has drifted from it."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as parquet
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from model_packaging import pack

TRAINING_ROWS = 100_000
PART_ROWS = 1_000_000
NUMERIC = ("amount", "age", "speed", "score")
CATEGORICAL = ("plan",)


def frame(rows: int, seed: int, drift: float = 0.0) -> pd.DataFrame:
    generator = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "amount": generator.normal(drift, 1 + drift, rows),
            "age": generator.integers(18, 90, rows),
            "speed": generator.gamma(2, 2 + drift / 4, rows),
            "score": generator.random(rows),
            "plan": generator.choice(["basic", "family", "pro"], rows, p=[0.5 - drift / 4, 0.3, 0.2 + drift / 4]),
        }
    )


def prepare(folder: Path) -> tuple[Path, Path]:
    """The package and the training data that both begin with."""
    training = frame(TRAINING_ROWS, 1)
    reference = folder / "training.parquet"
    training.to_parquet(reference)
    columns = make_column_transformer((OneHotEncoder(), list(CATEGORICAL)), remainder="passthrough")
    model = make_pipeline(columns, LinearRegression()).fit(training, training["amount"] + training["speed"])
    return pack(model, name="bench", inputs=training, output=folder / "package").path, reference


def write_traffic(path: Path, rows: int) -> None:
    """Rows with an event each, written in parts, so that this needs little memory too."""
    part = pa.Table.from_pandas(frame(min(rows, PART_ROWS), 2, 0.2), preserve_index=False)
    writer: Any = None
    for start in range(0, rows, PART_ROWS):
        some = part.slice(0, min(PART_ROWS, rows - start))
        numbers = np.arange(start, start + len(some)) + 10**15
        some = some.append_column("eventId", pa.array(numbers).cast(pa.string()))
        writer = writer or parquet.ParquetWriter(path, some.schema, use_dictionary=["plan", "age"])
        writer.write_table(some)
    writer.close()
