"""What the documents of a package must look like (format version 1); docs/package-format.md tells it in words.

Readers get plain dictionaries; these models say whether a document is acceptable, and give the
published JSON schema.
"""

import re
from itertools import pairwise
from typing import Annotated, Any, Literal, cast

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from .errors import PackageError

SCHEMA_VERSION = 1
MAX_FILES = 10_000
MAX_PATH = 512
PATH_PATTERN = r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}(/[A-Za-z0-9_][A-Za-z0-9._-]{0,127})*$"
NAME_PATTERN = r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"

MANIFEST = "manifest.json"
SIGNATURE = "model.sig"
"""The one file that is not in the manifest: a signature over all the others, by OpenSSF Model Signing."""

REQUIRED = ("signature.json", "examples.json", "environment.lock")
"""Files every package has besides its manifest and at least one file under model/."""

FilePath = Annotated[str, StringConstraints(pattern=PATH_PATTERN, max_length=MAX_PATH)]
Name = Annotated[str, StringConstraints(pattern=NAME_PATTERN)]
Scalar = str | bool | int | float


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", defer_build=True)


class _Open(BaseModel):
    model_config = ConfigDict(strict=True, extra="allow", defer_build=True)


class File(_Strict):
    """What one file's bytes must be."""

    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    bytes: Annotated[int, Field(ge=0)]


class Model(_Strict):
    """What the model is, for people: never used to load it."""

    type: str
    steps: list[dict[str, Any]] = []
    parameters: dict[str, Any] = {}
    stored: str = ""
    """In which form the model is kept, and why."""


class Manifest(_Strict):
    """manifest.json: the sha256 of its bytes is the package's digest."""

    schema_version: Literal[1]
    name: Name
    format: Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]{1,40}$")]
    files: Annotated[
        dict[FilePath, File],
        # pydantic publishes the path's pattern as patternProperties, which by itself refuses no other path.
        Field(min_length=1, max_length=MAX_FILES, json_schema_extra={"additionalProperties": False}),
    ]
    created: Annotated[str, StringConstraints(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")] | None = None
    description: str = ""
    intended_use: str = ""
    python: str = ""
    model: Model | None = None


class Input(_Open):
    """One input column."""

    name: Annotated[str, Field(min_length=1, max_length=200)]
    type: Literal["number", "integer", "boolean", "string"]
    nullable: bool
    categories: list[Scalar] | None = None
    dtype: Literal["category", "float32"] | None = None


class Outputs(_Open):
    """What a prediction is."""

    task: Literal["classification", "regression"]
    classes: list[Scalar] | None = None


class Signature(_Open):
    """signature.json: the columns in CSV order, and what comes back."""

    inputs: Annotated[list[Input], Field(min_length=1, max_length=10_000)]
    outputs: Outputs


class Examples(_Open):
    """examples.json: inputs, and the predictions they must give."""

    inputs: Annotated[list[dict[str, Any]], Field(min_length=1, max_length=1000)]
    predictions: list[Any]
    tolerance: Annotated[float, Field(ge=0, allow_inf_nan=False)]


class DataVersion(_Open):
    """data.json: what the model was trained on."""

    name: str
    digest: Annotated[str, StringConstraints(pattern=r"^sha256:[0-9a-f]{64}$")]
    rows: Annotated[int, Field(ge=0)] | None
    columns: dict[str, str]
    time_range: list[str] | None
    origin: str
    parent: Annotated[str, StringConstraints(pattern=r"^sha256:[0-9a-f]{64}$")] | None = None
    summaries: dict[str, dict[str, Any]] = {}
    files: list[dict[str, Any]] = []
    snapshot: dict[str, Any] = {}


class Validation(_Open):
    """validation.json. The values of metrics are judged by the gate, not here."""

    metrics: dict[str, Any]
    cross_validation: dict[str, Any] = {}
    holdout: dict[str, Any] = {}
    segments: dict[str, dict[str, Any]] = {}


class OtherPrediction(_Open):
    """What the champion says of the rows of holdout.json, or why it says nothing."""

    digest: Annotated[str, StringConstraints(pattern=r"^sha256:[0-9a-f]{64}$")]
    predicted: list[float] | None = None
    probabilities: list[list[float]] | None = None
    scores: dict[str, list[float]] = {}
    ranking: dict[str, list[float | None]] = {}
    problem: str | None = None


class Queries(_Strict):
    """The queries of the hold-out; `names` are those that are kept."""

    count: Annotated[int, Field(ge=0)]
    names: Annotated[list[str], Field(max_length=10_000)]


class Holdout(_Open):
    """holdout.json: the predictions on the hold-out, which packages are compared by."""

    rows: Annotated[int, Field(ge=0)]
    names: Annotated[list[str], Field(max_length=10_000)]
    target: list[float]
    predicted: list[float]
    probabilities: list[list[float]] | None = None
    scores: dict[str, list[float]] = {}
    """Each row's score by the user's own metrics that give one."""

    queries: Queries | None = None
    ranking: dict[str, list[float | None]] = {}
    """Each query's value of the ranking metrics; null where it is not defined."""

    champion: OtherPrediction | None = None


Number = Annotated[float, Field(allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0, lt=2**63)]


class Sketch(_Open):
    """A cumulative distribution at some points: how many values are below the first, at it, between, … above."""

    points: Annotated[list[Number], Field(min_length=1)]
    counts: list[Count]

    @model_validator(mode="after")
    def _fits(self) -> "Sketch":
        if any(after <= before for before, after in pairwise(self.points)):
            raise ValueError("the points are not in ascending order")
        if len(self.counts) != 2 * len(self.points) + 1:
            raise ValueError(f"{len(self.counts)} counts do not lie below, at and above {len(self.points)} points")
        return self


class NumericSummary(_Open):
    """A column of numbers; without a value it has no edges."""

    kind: Literal["numeric"]
    missing: Share
    count: Count
    minimum: Number | None = None
    maximum: Number | None = None
    mean: Number | None = None
    std: Number | None = None
    quantiles: dict[str, Number] | None = None
    edges: Annotated[list[Number], Field(min_length=2)] | None = None
    counts: list[Count] | None = None
    sketch: Sketch | None = None

    @model_validator(mode="after")
    def _fits(self) -> "NumericSummary":
        if (self.edges is None) != (self.counts is None):
            raise ValueError("edges and counts go together")
        if self.edges and any(after < before for before, after in pairwise(self.edges)):
            raise ValueError("the edges are not in ascending order")
        if self.edges and len(self.edges) != len(self.counts or ()) + 1:
            raise ValueError(f"{len(self.edges)} edges do not bound {len(self.counts or ())} bins")
        return self


class CategoricalSummary(_Open):
    """A column of categories, or predicted labels."""

    kind: Literal["categorical"]
    missing: Share
    count: Count
    frequencies: dict[str, Share]
    other: Share


class TextSummary(_Open):
    """A column of texts, of which only the length is known."""

    kind: Literal["text"]
    missing: Share
    count: Count
    length: NumericSummary


Summary = Annotated[NumericSummary | CategoricalSummary | TextSummary, Field(discriminator="kind")]


class Baseline(_Open):
    """baseline.json: what the inputs and the predictions looked like in training."""

    rows: Annotated[int, Field(ge=0)]
    features: dict[str, Summary]
    predictions: dict[str, Summary]


DOCUMENTS: dict[str, type[BaseModel]] = {
    "signature.json": Signature,
    "examples.json": Examples,
    "data.json": DataVersion,
    "validation.json": Validation,
    "baseline.json": Baseline,
    "holdout.json": Holdout,
}


def check(document: dict[str, Any], model: type[BaseModel], file: str) -> None:
    """Raise PackageError with every problem of the document."""
    try:
        model.model_validate(document)
    except ValidationError as error:
        raise PackageError(*(_problem(file, item) for item in error.errors()), file=file) from None


def check_agreement(documents: dict[str, dict[str, Any]]) -> None:
    """What holds between documents: examples and baseline speak of the signature's columns."""
    names: list[str] = [item["name"] for item in documents["signature.json"]["inputs"]]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise PackageError(f'signature.json: the input "{twice[0]}" appears twice', file="signature.json")
    examples = documents["examples.json"]
    if len(examples["inputs"]) != len(examples["predictions"]):
        counts = f"{len(examples['inputs'])} inputs but {len(examples['predictions'])} predictions"
        raise PackageError(f"examples.json: {counts}", file="examples.json")
    for index, row in enumerate(examples["inputs"]):
        if set(row) != set(names):
            wrong = sorted(set(row) ^ set(names))[0]
            text = f'examples.json: inputs.{index}: "{wrong}" is not in both the row and signature.json'
            raise PackageError(text, file="examples.json")
    _check_holdout(documents.get("holdout.json"), documents["signature.json"]["outputs"])
    for name in documents.get("baseline.json", {}).get("features", {}):
        if name not in names:
            raise PackageError(f'baseline.json: "{name}" is not in signature.json', file="baseline.json")


def _check_holdout(holdout: dict[str, Any] | None, outputs: dict[str, Any]) -> None:
    if holdout is None:
        return
    classes = len(cast(list[Any], outputs.get("classes") or []))
    rows = len(holdout["names"])
    queries = len(cast(dict[str, list[str]], holdout.get("queries") or {}).get("names", ()))
    problems: list[str] = []
    if len(set(holdout["names"])) != rows:
        problems.append("a row's name appears twice")
    parts: list[tuple[str, dict[str, Any]]] = [("", holdout)] + (
        [("champion.", holdout["champion"])] if holdout.get("champion") else []
    )
    for where, part in parts:
        for key in ("target", "predicted", "probabilities"):
            values = cast(list[Any] | None, part.get(key))
            if values is None:
                continue
            if len(values) != rows:
                problems.append(f"{where}{key}: {len(values)} values for {rows} rows")
            elif key == "probabilities":
                if any(len(chances) != classes for chances in values):
                    problems.append(f"{where}{key}: a row has not one for each of {classes} classes")
            elif classes and any(value not in range(classes) for value in values):
                problems.append(f"{where}{key}: a value is no position of {classes} classes")
        for key, count in (("scores", rows), ("ranking", queries)):
            problems += [
                f"{where}{key}.{name}: {len(values)} values for {count} {'rows' if key == 'scores' else 'queries'}"
                for name, values in cast(dict[str, list[Any]], part.get(key) or {}).items()
                if len(values) != count
            ]
    if problems:
        raise PackageError(*(f"holdout.json: {problem}" for problem in problems), file="holdout.json")


def check_path(path: str) -> str | None:
    """Why a path cannot stand in a package; None when it can.

    The narrow alphabet leaves no room for escapes (.., absolute paths, drives), for names that
    another system reads differently, or for terminal control characters.
    """
    if len(path) > MAX_PATH:
        return f"is longer than {MAX_PATH} characters"
    if path.startswith("/") or ".." in path.split("/"):
        return "leads out of the package"
    if not re.fullmatch(PATH_PATTERN, path):
        return "may hold only letters, digits, dot, dash and underscore between slashes"
    return None


def _problem(file: str, item: Any) -> str:
    where = ".".join(str(part) for part in cast(tuple[object, ...], item["loc"]))
    given = item.get("input")
    shown = f" (is {str(given)[:60]!r})" if isinstance(given, Scalar) else ""
    message = item["msg"].removeprefix("Value error, ")
    return f"{file}: {where or 'document'}: {message}{shown}"
