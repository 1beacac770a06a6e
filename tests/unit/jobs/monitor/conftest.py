"""Real packages, traffic that their own models answered, and the job run over it."""

import base64
import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from model_packaging import formats, pack
from model_packaging.jobs.monitor.job import monitor
from model_packaging.package import Package
from model_packaging.serving import media

NOW = datetime(2026, 3, 4, 10, 30, tzinfo=UTC)


def customers(rows: int, seed: int = 7) -> pd.DataFrame:
    generator = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "tenure": generator.integers(1, 72, rows),
            "charge": generator.normal(60, 20, rows).round(2),
            "plan": generator.choice(["basic", "family", "pro"], rows, p=[0.5, 0.3, 0.2]),
            "paperless": generator.random(rows) < 0.5,
        }
    )
    frame.loc[generator.random(rows) < 0.1, "charge"] = np.nan
    return frame


def rows_of(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [
        {key: None if value != value else value for key, value in row.items()}
        for row in json.loads(frame.to_json(orient="records"))
    ]


def _model(estimator: Any) -> Any:
    columns = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), ["plan"]),
        (SimpleImputer(), ["tenure", "charge"]),
        ("passthrough", ["paperless"]),
    )
    return make_pipeline(columns, estimator)


def _left() -> tuple[pd.DataFrame, np.ndarray]:
    frame = customers(2000)
    odds = 1.5 - frame["tenure"] / 18 + frame["charge"].fillna(60) / 90 - (frame["plan"] == "pro")
    return frame, np.random.default_rng(1).random(2000) < 1 / (1 + np.exp(-odds))


@pytest.fixture(scope="session")
def churn(tmp_path_factory: pytest.TempPathFactory) -> Package:
    frame, left = _left()
    model = _model(LogisticRegression(max_iter=1000)).fit(frame, np.where(left, "leaves", "stays"))
    return pack(model, name="churn", inputs=frame, output=tmp_path_factory.mktemp("packages") / "churn")


@pytest.fixture(scope="session")
def left(tmp_path_factory: pytest.TempPathFactory) -> Package:
    """The same with true and false for labels."""
    frame, left = _left()
    model = _model(LogisticRegression(max_iter=1000)).fit(frame, left)
    return pack(model, name="left", inputs=frame, output=tmp_path_factory.mktemp("packages") / "left")


@pytest.fixture(scope="session")
def spend(tmp_path_factory: pytest.TempPathFactory) -> Package:
    frame = customers(2000)
    model = _model(LinearRegression()).fit(frame, 3.0 * frame["tenure"] + frame["paperless"] * 50)
    return pack(model, name="spend", inputs=frame, output=tmp_path_factory.mktemp("packages") / "spend")


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELBERTH_CACHE", str(tmp_path_factory.mktemp("cache")))


def side(mode: str, kind: str, body: bytes, encoding: str) -> dict[str, str]:
    text = base64.b64encode(body).decode() if encoding == "BASE64" else body.decode()
    return {"observedContentType": kind, "mode": mode, "data": text, "encoding": encoding}


def record(request: dict[str, str] | None, answer: dict[str, str] | None, when: datetime = NOW) -> str:
    """One line as SageMaker writes it."""
    data = ({"endpointInput": request} if request else {}) | ({"endpointOutput": answer} if answer else {})
    metadata = {"eventId": str(uuid.uuid4()), "inferenceTime": f"{when:%Y-%m-%dT%H:%M:%SZ}"}
    return json.dumps({"captureData": data, "eventMetadata": metadata, "eventVersion": "0"})


@dataclass
class Case:
    """One endpoint's bucket on disk."""

    package: Package
    bucket: Path
    output: Any
    settings: dict[str, str] = field(default_factory=dict)

    @property
    def capture(self) -> Path:
        return self.bucket / "capture" / "churn-eu"

    def write(self, lines: Sequence[str], when: datetime = NOW - timedelta(hours=1), variant: str = "blue") -> Path:
        folder = self.capture / variant / f"{when:%Y/%m/%d/%H}"
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{len(list(folder.iterdir())):02d}-00-000-5b7a.jsonl"
        path.write_text("".join(f"{line}\n" for line in lines))
        return path

    def serve(
        self,
        rows: Sequence[dict[str, Any]],
        kind: str = "application/json",
        encoding: str = "JSON",
        batch: int = 50,
        when: datetime = NOW - timedelta(hours=1),
        accept: str | None = None,
    ) -> None:
        """Capture requests of these rows with the answers that serving would give."""
        model, classes = formats.load(self.package), self.package.signature["outputs"].get("classes") or []
        lines = []
        for start in range(0, len(rows), batch):
            some = rows[start : start + batch]
            answer = media.encode(model.predict(some), accept or kind, classes)
            request = side("INPUT", kind, body(some, kind), encoding)
            lines.append(record(request, side("OUTPUT", accept or kind, answer, encoding), when))
        self.write(lines, when)

    def send(self, rows: Sequence[Any]) -> None:
        """Capture a request without an answer, whatever its rows are."""
        request = side("INPUT", "application/json", json.dumps(rows).encode(), "JSON")
        self.write([record(request, None, NOW - timedelta(hours=1))])

    def run(self, **settings: str) -> dict[str, Any]:
        """The report; `sent` in it is the line of the metrics."""
        self.output.readouterr()
        monitor(self.environment(**settings), NOW)
        verdict, address, sent = self.output.readouterr().out.strip().splitlines()
        page = Path(address.removeprefix("report "))
        document = json.loads((page.parent / "report.json").read_text())
        assert verdict == document["verdict"]["sentence"]
        return document | {"page": page, "sent": json.loads(sent)}

    def environment(self, **settings: str) -> dict[str, str]:
        return {
            "MODELBERTH_CAPTURE": str(self.capture),
            "MODELBERTH_PACKAGE": str(self.package.path),
            "MODELBERTH_REPORTS": str(self.bucket / "monitoring" / "churn"),
            "MODELBERTH_METRICS": "stdout:",
            "MODELBERTH_ENDPOINT": "churn-eu",
            "MODELBERTH_WINDOW_HOURS": "24",
            **settings,
        }


def body(rows: Sequence[dict[str, Any]], kind: str) -> bytes:
    if kind == "text/csv":
        text = pd.DataFrame(rows).to_csv(index=False, header=False)
        return text.encode()
    if kind == "application/jsonlines":
        return "".join(f"{json.dumps(row)}\n" for row in rows).encode()
    return json.dumps({"instances": list(rows)}).encode()


@pytest.fixture
def case(churn: Package, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Case:
    return Case(churn, tmp_path, capsys)
