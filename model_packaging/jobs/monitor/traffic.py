"""Count captured rows and predictions, column by column, with serving's own decoding and checks."""

from __future__ import annotations

import math
import sys
from typing import Any, cast

from model_packaging.errors import PackageError
from model_packaging.formats.predictor import class_key
from model_packaging.jobs.monitor.capture import Examples, Exchange, Payload
from model_packaging.jobs.monitor.summaries import Column, column
from model_packaging.package import Package
from model_packaging.serving import media
from model_packaging.serving.problems import RequestProblem, quoted
from model_packaging.serving.rows import Checker


class Traffic:
    """Everything that the report tells. Memory depends on the signature, not on the rows."""

    def __init__(self, package: Package) -> None:
        baseline = package.baseline
        if not baseline:
            raise PackageError(
                f"package {package.name} has no baseline.json, which traffic is compared with: pack it again "
                "with `inputs`",
                file="baseline.json",
            )
        # To a column that may not be empty an empty value is missing, which has a number of its own.
        given = cast("list[dict[str, Any]]", package.signature["inputs"])
        inputs: list[dict[str, Any]] = [{**one, "nullable": True} for one in given]
        self.features: dict[str, Column] = {
            one["name"]: column(f"features.{one['name']}", baseline["features"][one["name"]], one.get("categories"))
            for one in inputs
            if one["name"] in baseline["features"]
        }
        self.predictions: dict[str, Column] = {
            name: column(f"predictions.{name}", summary) for name, summary in baseline["predictions"].items()
        }
        self.requests = 0
        self.rows = 0
        self.misfit_rows = Examples()
        """Rows with a value of the wrong type, or with other columns than the signature's."""
        self.misfit_values: dict[str, int] = dict.fromkeys(self.features, 0)
        self.unreadable_requests = Examples()
        self.unreadable_answers = Examples()
        self._checker = Checker({"inputs": inputs})
        self._single = {one["name"]: Checker({"inputs": [one]}) for one in inputs}
        outputs = cast("dict[str, Any]", package.signature["outputs"])
        self._regression = outputs["task"] == "regression"
        classes = cast("list[Any]", outputs.get("classes") or [])
        self._classes = [class_key(one) for one in classes]

    def add(self, exchange: Exchange) -> None:
        """Count one request and its answer."""
        self.requests += 1
        if exchange.request is not None:
            self._request(exchange.where, exchange.request)
        if exchange.answer is not None:
            try:
                for prediction in self.answers(exchange.answer):
                    for name, value in prediction.items():
                        if name in self.predictions:
                            self.predictions[name].add(value)
            except (RequestProblem, ValueError) as error:
                self.unreadable_answers.add(f"{exchange.where}: {error}")

    def _request(self, where: str, payload: Payload) -> None:
        try:
            kind = media.content_type(payload.content_type)
            raw = media.decode(payload.body, kind, self._checker.columns, sys.maxsize)
        except RequestProblem as problem:
            self.unreadable_requests.add(f"{where}: {problem}")
            return
        self.rows += len(raw.rows)
        try:
            rows = self._checker.rows(raw)
        except RequestProblem:
            for number, row in enumerate(raw.rows):
                self._row(f"{where}, row {number}", row, raw.text)
            return
        for row in rows:
            for name, feature in self.features.items():
                feature.add(row[name])

    def _row(self, where: str, given: Any, text: bool) -> None:
        """One row of a request that does not fit as a whole: what can be read of it counts."""
        try:
            row = self._checker.rows(media.RawRows([given], text))[0]
        except RequestProblem as problem:
            self.misfit_rows.add(f"{where}{problem.problems[0].removeprefix('row 0')}")
            row = self._readable(given, text)
        for name in row.keys() & self.features.keys():
            self.features[name].add(row[name])

    def _readable(self, given: Any, text: bool) -> dict[str, Any]:
        """The values of a row that fit; a column that was not sent is a missing value."""
        columns = self._checker.columns
        if isinstance(given, list):
            values = cast("list[Any]", given)
            if len(values) != len(columns):
                return {}  # which value belongs where is not known
            given = dict(zip(columns, values, strict=True))
        if not isinstance(given, dict):
            return {}
        row: dict[str, Any] = {}
        for name, checker in self._single.items():
            raw = media.RawRows([{name: cast("dict[str, Any]", given).get(name)}], text)
            if raw.rows[0][name] is None:
                row[name] = None
                continue
            try:
                row |= checker.rows(raw)[0]
            except RequestProblem:
                if name in self.misfit_values:
                    self.misfit_values[name] += 1
        return row

    def answers(self, payload: Payload) -> list[dict[str, Any]]:
        """The predictions, each by the names of baseline.json; ValueError if these are none."""
        raw = media.decode(payload.body, media.content_type(payload.content_type), [], sys.maxsize)
        rows = raw.rows
        first: Any = rows[0]
        if len(rows) == 1 and isinstance(first, dict) and "predictions" in first:
            rows = cast("dict[str, Any]", first)["predictions"]
            if not isinstance(rows, list):
                raise ValueError(f'"predictions" is {quoted(rows)}: it must be a list')
        read = self._from_cells if raw.text else self._from_json
        return [read(row) for row in cast("list[Any]", rows)]

    def _from_cells(self, cells: list[str]) -> dict[str, Any]:
        if self._regression:
            return {"value": _number(float(cells[0]))}
        chances = dict(zip(self._classes, map(float, cells[1:]), strict=True)) if cells[1:] else {}
        return self._classified(cells[0], chances)

    def _from_json(self, prediction: Any) -> dict[str, Any]:
        if self._regression:
            return {"value": _number(prediction)}
        record = cast("dict[str, Any]", prediction if isinstance(prediction, dict) else {})
        if "label" not in record:
            raise ValueError(
                f"{quoted(cast('object', prediction))} is no prediction: it must be an object with a label"
            )
        return self._classified(record["label"], record.get("probabilities") or {})

    def _classified(self, label: Any, chances: dict[str, Any]) -> dict[str, Any]:
        return {"label": label} | {f"probability:{name}": _number(value) for name, value in chances.items()}


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{quoted(value)} is no prediction: it must be a number")
    return float(value)
