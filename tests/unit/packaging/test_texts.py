"""Columns of texts: none of the training data's words stand in a package, and traffic is compared by their length."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from typer.testing import CliRunner

from model_packaging import ModelberthError, data_version, open_package, pack
from model_packaging.baseline import baseline
from model_packaging.cli import app
from model_packaging.jobs.monitor.measures import measures
from model_packaging.jobs.monitor.summaries import column
from model_packaging.jobs.monitor.traffic import Traffic
from model_packaging.package import Package
from model_packaging.signatures import free_text, infer_inputs
from tests.unit.formats import folders
from tests.unit.jobs.monitor.conftest import Case

REVIEWS = [f"secret{number} " + "plot " * (number % 7) + ("good" if number % 2 else "bad") for number in range(80)]
OWN = pd.DataFrame({"text": ["a good plot", "a bad one"]})


def packed(folder: Path, output: Path, **options: Any) -> Package:
    reviews = pd.DataFrame({"text": REVIEWS})
    settings = {"inputs": reviews, "data": data_version(reviews, name="reviews"), "examples": OWN, **options}
    return pack(folder, name="mood", output=output, **settings)


@pytest.fixture(scope="module")
def mood(tmp_path_factory: pytest.TempPathFactory) -> Package:
    folder = tmp_path_factory.mktemp("texts")
    return packed(folders.write(folder / "mood"), folder / "package")


@pytest.mark.parametrize(
    ("distinct", "values", "texts"),
    [(20, 20, False), (21, 21, True), (21, 41, True), (21, 42, False), (5000, 100_000, False), (0, 0, False)],
)
def test_the_rule(distinct: int, values: int, texts: bool) -> None:
    assert free_text(distinct, values) is texts
    frame = pd.DataFrame({"x": pd.Series([f"v{number % max(distinct, 1)}" for number in range(values)], dtype=object)})
    signature = {"inputs": infer_inputs(frame) if values else [{"name": "x", "type": "string"}]}
    assert baseline(frame, signature, {})["features"]["x"]["kind"] == ("text" if texts else "categorical")
    if values:
        assert ("categories" in signature["inputs"][0]) == (not texts and distinct <= 100)


def test_pandas_categories_are_never_texts() -> None:
    frame = pd.DataFrame({"x": pd.Categorical([f"v{number}" for number in range(30)])})
    inputs = infer_inputs(frame)
    assert len(inputs[0]["categories"]) == 30
    assert baseline(frame, {"inputs": inputs}, {})["features"]["x"]["kind"] == "categorical"


def test_no_word_of_the_training_data_stands_in_the_package(mood: Package) -> None:
    for file in mood.files:
        assert b"secret" not in mood.read(file), file
    found = mood.baseline["features"]["text"]
    assert (found["kind"], found["count"], found["missing"]) == ("text", 80, 0)
    assert found["length"]["maximum"] == max(map(len, REVIEWS))
    assert f"texts of {min(map(len, REVIEWS))} to {max(map(len, REVIEWS))} characters" in mood.read("card.md").decode()


def test_few_texts_of_a_model_that_reads_texts_are_not_kept_either(tmp_path: Path) -> None:
    package = packed(folders.write(tmp_path / "mood"), tmp_path / "p", inputs=OWN, data=None)
    assert "categories" not in package.signature["inputs"][0]
    assert package.baseline["features"]["text"]["kind"] == "text"


def test_texts_may_be_missing() -> None:
    frame = pd.DataFrame({"text": [*REVIEWS[:-1], None]})
    assert baseline(frame, {"inputs": infer_inputs(frame)}, {})["features"]["text"]["missing"] == 1 / 80


def rows(package: Package, texts: list[str | None]) -> Traffic:
    traffic = Traffic(package)
    for text in texts:
        traffic.features["text"].add(text)
    traffic.rows = len(texts)
    return traffic


def test_traffic_drifts_by_length_and_by_missing_texts_alone(mood: Package) -> None:
    shuffled = [text[::-1] for text in REVIEWS]
    found = {one.name: one.value for one in measures(rows(mood, [*shuffled]), 50)}
    assert found["drift.psi"] == pytest.approx(0, abs=1e-9)
    assert found["data.out_of_range_ratio"] == 0
    assert "data.unseen_category_ratio" not in found
    longer = rows(mood, [text * 3 for text in REVIEWS])
    found = {one.name: one.value for one in measures(longer, 50)}
    assert found["drift.psi"] > 1
    assert found["data.out_of_range_ratio"] > 0.2
    assert longer.features["text"].significance(50).p_value < 1e-6  # type: ignore[union-attr]
    missing = {one.name: one.value for one in measures(rows(mood, [*REVIEWS, *[None] * 80]), 50)}
    assert missing["drift.psi"] > 1 and missing["data.missing_ratio"] == 0.5


def test_counts_of_a_table_are_those_of_single_values(mood: Package) -> None:
    summary = mood.baseline["features"]["text"]
    one, other = column("features.text", summary), column("features.text", summary)
    for text in [*REVIEWS, *REVIEWS[:9], "x" * 500]:
        one.add(text)
    other.extend({text: 1 + (text in REVIEWS[:9]) for text in REVIEWS} | {"x" * 500: 1}, 0)
    assert one.bins() == other.bins()
    assert one.details() == other.details()
    assert one.rows == other.rows == 90
    labels = [found.label for found in one.bins()]
    assert labels[0].startswith("length below ") and labels[-1] == "missing"


def test_the_report_says_so_and_quotes_nothing(
    mood: Package, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    case = Case(mood, tmp_path, capsys)
    case.serve([{"text": text} for text in [*REVIEWS, *REVIEWS]])
    report = case.run()
    assert report["features"]["text"]["psi"] == pytest.approx(0, abs=1e-9)
    page = report["page"].read_text()
    assert "text, by its length" in page and "neither kept nor compared" in page
    assert "secret" not in page + (report["page"].parent / "report.json").read_text()


def test_a_baseline_that_kept_texts_as_categories_still_counts() -> None:
    old = {"kind": "categorical", "missing": 0.0, "count": 2, "frequencies": {"one text": 0.5, "another": 0.5}}
    found = column("features.text", {**old, "other": 0.0})
    found.add("one text")
    assert found.kind == "categorical" and found.rows == 1


def test_own_examples_are_quoted_with_what_the_model_says(mood: Package) -> None:
    assert mood.examples["inputs"] == OWN.to_dict("records")
    for row, said in zip(mood.examples["inputs"], mood.examples["predictions"], strict=True):
        assert [said["probabilities"][label] for label in folders.LABELS] == pytest.approx(
            folders.expected(row["text"]), abs=1e-6
        )


@pytest.mark.parametrize(
    ("examples", "reason"),
    [
        (pd.DataFrame({"txt": ["a"]}), r'examples: row 0: unknown field "txt" \(did you mean text\?\)'),
        (pd.DataFrame({"text": ["a", None]}), 'examples: row 1: "text" may not be missing'),
        (OWN[:0], "examples has no rows"),
        ("few", "examples is str: give a number of rows, or a DataFrame"),
    ],
)
def test_own_examples_that_do_not_fit_are_refused(tmp_path: Path, examples: Any, reason: str) -> None:
    with pytest.raises(ModelberthError, match=reason):
        packed(folders.write(tmp_path / "mood"), tmp_path / "p", examples=examples)
    assert not (tmp_path / "p").exists()


def test_the_command_takes_own_examples(tmp_path: Path) -> None:
    folder = folders.write(tmp_path / "mood")
    pd.DataFrame({"text": REVIEWS, "mood": "good"}).to_csv(tmp_path / "train.csv", index=False)
    OWN.to_csv(tmp_path / "own.csv", index=False)
    arguments = ["pack", str(folder), "--name", "mood", "--sample", str(tmp_path / "train.csv"), "--target", "mood"]
    arguments += ["--examples", str(tmp_path / "own.csv"), "--output", str(tmp_path / "p")]
    done = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert open_package(tmp_path / "p").examples["inputs"] == OWN.to_dict("records")
