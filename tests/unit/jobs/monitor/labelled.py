"""An endpoint whose predictions get labels: requests with identifiers, and label files."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd

from model_packaging import formats
from model_packaging.formats.predictor import class_key
from model_packaging.jobs.monitor.job import monitor
from model_packaging.serving import media

from .conftest import NOW, Case, record, rows_of, side


class Labelled(Case):
    """A case whose requests bear identifiers."""

    def ask(self, frame: pd.DataFrame, first: int = 0, when: datetime = NOW - timedelta(hours=1), rows: int = 1) -> Any:
        """Capture requests of `rows` rows each, named `r<number>` from `first`; returns the model's predictions."""
        model, classes = formats.load(self.package), self.package.signature["outputs"].get("classes") or []
        given = rows_of(frame)
        said = model.predict(given)
        lines = []
        for number, start in enumerate(range(0, len(given), rows), first):
            some, kind = slice(start, start + rows), "application/json"
            request = side("INPUT", kind, json.dumps({"instances": given[some]}).encode(), "JSON")
            line = json.loads(
                record(request, side("OUTPUT", kind, media.encode(said[some], kind, classes), "JSON"), when)
            )
            line["eventMetadata"] |= {"eventId": f"event-{number}", "inferenceId": f"r{number}"}
            lines.append(json.dumps(line))
        self.write(lines, when)
        return said

    @property
    def folder(self) -> Path:
        return self.bucket / "labels" / "churn"

    def label(self, name: str, labels: Mapping[str, Any] | Sequence[dict[str, Any]]) -> Path:
        """Write a file of labels, by id or as whole rows."""
        self.folder.mkdir(parents=True, exist_ok=True)
        rows = [{"id": key, "label": value} for key, value in labels.items()] if isinstance(labels, Mapping) else labels
        path = self.folder / name
        frame = pd.DataFrame(rows)
        if name.endswith(".csv"):
            frame.to_csv(path, index=False)
        elif name.endswith(".parquet"):
            frame.to_parquet(path)
        else:
            path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
        return path

    def watch(self, now: datetime = NOW, **settings: str) -> dict[str, Any]:
        """The report's part about labels, with `metrics` as they were sent and the `page`."""
        self.output.readouterr()
        settings = {"MODELBERTH_LABELS": str(self.folder), "MODELBERTH_LABEL_DELAY_HOURS": "72"} | settings
        monitor(self.environment(**settings), now)
        _, address, sent = self.output.readouterr().out.strip().splitlines()
        page = Path(address.removeprefix("report "))
        report = json.loads((page.parent / "report.json").read_text())
        metrics = {one["name"]: one["value"] for one in json.loads(sent)["metrics"] if "feature" not in one}
        return report["labels"] | {"metrics": metrics, "page": page, "report": report}


def truth(said: Sequence[Any], wrong: int = 0, first: int = 0) -> dict[str, str]:
    """What the model said as labels, the first `wrong` of them turned round."""
    turned = {"leaves": "stays", "stays": "leaves"}
    return {
        f"r{number}": turned[one["label"]] if number < first + wrong else class_key(one["label"])
        for number, one in enumerate(said, first)
    }
