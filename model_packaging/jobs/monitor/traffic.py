"""Count captured rows and predictions, column by column, with serving's own decoding and checks."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from functools import partial
from typing import Any, cast

from model_packaging.errors import PackageError
from model_packaging.formats.predictor import class_key
from model_packaging.jobs.monitor import columns, parquet
from model_packaging.jobs.monitor.capture import Examples, Exchange, Payload
from model_packaging.jobs.monitor.columns import typed
from model_packaging.jobs.monitor.parquet import Batch
from model_packaging.jobs.monitor.repeats import Repeats
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
        self.redacted: set[str] = set()
        """Inputs that capture left out of some requests; there they count neither as missing nor as anything else."""
        self.misfit_rows = Examples()
        """Rows with a value of the wrong type, or with other columns than the signature's."""
        self.misfit_values: dict[str, int] = dict.fromkeys(self.features, 0)
        self.unreadable_requests = Examples()
        self.unreadable_answers = Examples()
        self.repeats = Repeats()
        """Events that were delivered more than once, and are counted once."""
        self._kinds: dict[str, str] = {one["name"]: one["type"] for one in inputs}
        self._checker = Checker({"inputs": inputs})
        self._single = {one["name"]: Checker({"inputs": [one]}) for one in inputs}
        outputs = cast("dict[str, Any]", package.signature["outputs"])
        self._regression = outputs["task"] == "regression"
        classes = cast("list[Any]", outputs.get("classes") or [])
        self._classes = [class_key(one) for one in classes]

    @property
    def columns(self) -> list[str]:
        """What is read of a table: inputs, and predictions with their prefix."""
        return [*self._kinds, *(f"{parquet.PREDICTION}{name}" for name in self.predictions)]

    def add(self, exchange: Exchange | Batch) -> None:
        """Count one request and its answer, or a batch of rows with theirs."""
        if isinstance(exchange, Batch):
            self._batch(exchange)
            return
        self.requests += 1
        if exchange.request is not None:
            self._request(exchange.where, exchange.request, exchange.redacted)
        if exchange.answer is not None:
            try:
                for prediction in self.answers(exchange.answer):
                    for name, value in prediction.items():
                        if name in self.predictions:
                            self.predictions[name].add(value)
            except (RequestProblem, ValueError) as error:
                self.unreadable_answers.add(f"{exchange.where}: {error}")

    def _request(self, where: str, payload: Payload, redacted: frozenset[str]) -> None:
        try:
            kind = media.content_type(payload.content_type)
            raw = media.decode(payload.body, kind, self._checker.columns, sys.maxsize)
        except RequestProblem as problem:
            self.unreadable_requests.add(f"{where}: {problem}")
            return
        self.rows += len(raw.rows)
        self.redacted |= redacted & self.features.keys()
        counted = {name: feature for name, feature in self.features.items() if name not in redacted}
        try:
            rows = self._checker.rows(raw)
        except RequestProblem:
            for number, row in enumerate(raw.rows):
                self._row(f"{where}, row {number}", row, raw.text, counted)
            return
        for row in rows:
            for name, feature in counted.items():
                feature.add(row[name])

    def _batch(self, batch: Batch) -> None:
        """Rows that fit are counted by columns, the others one by one."""
        table = batch.rows
        names: list[str] = table.schema.names
        at = parquet.inputs({name: position for position, name in enumerate(names)})
        given = {name: table.column(at[name]) for name in self._kinds if name in at}
        predicted = any(name.startswith(parquet.PREDICTION) for name in names)
        self.requests += parquet.requests(table)
        if given:
            self.rows += table.num_rows
            self._columns(batch.where, given, table.num_rows)
        elif not predicted:
            self.unreadable_requests.add(f"{batch.where}: it has none of the columns {', '.join(self._kinds)}")
        if predicted:
            self._predicted(batch.where, table)

    def _columns(self, where: str, given: dict[str, Any], rows: int) -> None:
        found = {name: typed(column, self._kinds[name]) for name, column in given.items()}
        misfits = columns.misfits(found.values(), rows, all_rows=len(given) < len(self._kinds))
        if misfits is not None:
            # One by one they take serving's own way, with its messages.
            for number in misfits.nonzero()[0].tolist():
                row = columns.plain({name: column[number].as_py() for name, column in given.items()})
                self._row(f"{where}, row {number}", row, False, self.features)
            found = {name: typed(columns.without(column, misfits), self._kinds[name]) for name, column in given.items()}
        for name, feature in self.features.items():
            if name in found:
                feature.extend(found[name].values, found[name].missing)

    def _predicted(self, where: str, table: Any) -> None:
        for name, prediction in self.predictions.items():
            if parquet.PREDICTION + name not in table.schema.names:
                continue
            # A row without a prediction was not answered.
            column = table.column(parquet.PREDICTION + name).drop_null()
            read = partial(typed, kind="number") if prediction.kind == "numeric" else columns.labels
            found = read(column)
            if found.misfits is not None:
                for number in found.misfits.nonzero()[0].tolist():
                    wrong = columns.plain({name: column[number].as_py()})[name]
                    self.unreadable_answers.add(f"{where}: {quoted(wrong)} is no prediction")
                found = read(columns.without(column, found.misfits))
            prediction.extend(found.values, 0)

    def _row(self, where: str, given: Any, text: bool, counted: Mapping[str, Column]) -> None:
        """One row of a request that does not fit as a whole: what can be read of it counts."""
        try:
            row = self._checker.rows(media.RawRows([given], text))[0]
        except RequestProblem as problem:
            self.misfit_rows.add(f"{where}{problem.problems[0].removeprefix('row 0')}")
            row = self._readable(given, text)
        for name in row.keys() & counted.keys():
            counted[name].add(row[name])

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
