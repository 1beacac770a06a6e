"""From captured traffic and labels to a verdict in words."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression
from typer.testing import CliRunner

from model_packaging import ModelberthError, pack
from model_packaging.cli import app
from model_packaging.package import Package
from model_packaging.variants.compare import Outcomes, compare, labels_of


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Package:
    frame = pd.DataFrame({"x": np.linspace(-1, 1, 50)})
    model = LogisticRegression().fit(frame, np.where(frame["x"] > 0, "yes", "no"))
    return pack(model, name="answer", inputs=frame, output=tmp_path_factory.mktemp("packages") / "answer")


@pytest.fixture(scope="module")
def number(tmp_path_factory: pytest.TempPathFactory) -> Package:
    frame = pd.DataFrame({"x": np.linspace(-1, 1, 50)})
    model = LinearRegression().fit(frame, frame["x"])
    return pack(model, name="number", inputs=frame, output=tmp_path_factory.mktemp("packages") / "number")


def outcomes(rows: int, right: float, labelled: float = 1.0) -> Outcomes:
    count = round(rows * labelled)
    return Outcomes(rows, [1.0] * round(count * right) + [0.0] * (count - round(count * right)))


def judged(package: Package, control: Outcomes, treatment: Outcomes, **options: Any) -> Any:
    return compare({"blue": control, "green": treatment}, "blue", "green", package, size=0.02, **options)


def test_each_verdict(package: Package) -> None:
    better = judged(package, outcomes(5000, 0.8), outcomes(5000, 0.84))
    assert better.verdict == "better"
    assert better.sentence.startswith("green is better than blue: accuracy 0.84 against 0.8 (+0.04, between +0.0")
    assert judged(package, outcomes(5000, 0.84), outcomes(5000, 0.8)).verdict == "worse"
    assert judged(package, outcomes(40_000, 0.8), outcomes(40_000, 0.801)).verdict == "equal"
    open_ = judged(package, outcomes(1000, 0.8), outcomes(1000, 0.81))
    assert open_.verdict == "undecided"
    assert f"about {open_.rows_needed:,} labelled rows of each" in open_.sentence
    few = judged(package, outcomes(99, 0.0), outcomes(5000, 1.0))
    assert (few.verdict, few.effect) == ("undecided", None)
    assert few.sentence == "too few labelled rows: blue has 99, 100 are needed of each"


def test_of_errors_the_smaller_one_is_better(number: Package) -> None:
    generator = np.random.default_rng(1)
    control, treatment = (Outcomes(3000, list(np.abs(generator.normal(0, s, 3000)))) for s in (1.0, 0.7))
    assert judged(number, control, treatment).verdict == "better"
    assert judged(number, treatment, control).verdict == "worse"


def test_an_unfair_comparison_is_none(package: Package) -> None:
    split = judged(package, outcomes(5000, 0.8), outcomes(4000, 0.9), split=0.5)
    assert split.verdict == "unfair" and "green got 4,000 of 9,000 rows" in split.sentence
    assert judged(package, outcomes(5000, 0.8), outcomes(4900, 0.9), split=0.5).verdict == "better"
    assert judged(package, outcomes(9000, 0.8), outcomes(1000, 0.9), split=0.1).verdict == "better"
    labelled = judged(package, outcomes(5000, 0.8, 0.9), outcomes(5000, 0.9, 0.5))
    assert labelled.verdict == "unfair"
    assert "labels came for 0.9 of blue but 0.5 of green" in labelled.sentence


def test_a_variant_without_traffic_is_an_error(package: Package) -> None:
    with pytest.raises(ModelberthError, match="no traffic of the variant red: captured were blue"):
        compare({"blue": outcomes(10, 1)}, "blue", "red", package, size=0.1)
    with pytest.raises(ModelberthError, match="blue is both"):
        compare({"blue": outcomes(10, 1)}, "blue", "blue", package, size=0.1)


def labels(tmp_path: Path, classes: list[Any], *rows: dict[str, Any]) -> Any:
    path = tmp_path / "labels.jsonl"
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return labels_of([str(path)], classes)


def test_labels_are_by_identifier_and_row(tmp_path: Path) -> None:
    rows = [("a", 0, "yes"), ("a", 1, "no"), ("b", 0, "no"), ("c", 0, None), ("d", 0, "maybe")]
    found, strange = labels(tmp_path, ["no", "yes"], *({"id": i, "row": r, "label": v} for i, r, v in rows))
    assert found == {"a/0": 1, "a/1": 0, "b/0": 0}
    assert strange.count == 1 and "'maybe': the model knows no, yes" in strange.examples
    assert labels(tmp_path, [], {"id": 7, "label": 1.5})[0] == {"7/0": 1.5}
    assert labels(tmp_path, [False, True], {"id": "a", "label": "True"})[0] == {"a/0": 1}


def test_the_later_label_of_a_row_counts(tmp_path: Path) -> None:
    first, later = ({"id": "a", "label": v, "time": f"2026-01-0{day}"} for day, v in ((1, "yes"), (2, "no")))
    for rows in ((first, later), (later, first)):
        assert labels(tmp_path, ["no", "yes"], *rows)[0] == {"a/0": 0}
    with pytest.raises(ModelberthError, match="two for a, row 0: yes and no, and no time"):
        labels(tmp_path, ["no", "yes"], {"id": "a", "label": "yes"}, {"id": "a", "label": "no"})


def test_files_that_are_no_labels_are_refused(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("id,labels\na,yes\n")
    with pytest.raises(ModelberthError, match=r"labels: x.csv: has no column label \(did you mean labels\?\)"):
        labels_of([str(tmp_path)], ["no", "yes"])
    for address in (tmp_path / "none.csv", tmp_path / "y.txt"):
        (tmp_path / "y.txt").write_text("id,label\n")
        with pytest.raises(ModelberthError, match=r"no file of labels: it must end in \.csv, \.jsonl or \.parquet"):
            labels_of([str(address)], ["no", "yes"])


def line(identifier: str | None, answer: str, when: datetime, inference: str | None = None) -> str:
    metadata = {"eventId": identifier, "inferenceTime": when.isoformat()}
    if inference:
        metadata["inferenceId"] = inference
    output = {"observedContentType": "text/csv", "mode": "OUTPUT", "data": answer, "encoding": "CSV"}
    return json.dumps({"captureData": {"endpointOutput": output}, "eventMetadata": metadata, "eventVersion": "0"})


def write(folder: Path, variant: str, lines: list[str], when: datetime) -> None:
    path = folder / variant / f"{when:%Y/%m/%d/%H}" / "part.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines))


def test_the_command_on_captured_traffic(package: Package, tmp_path: Path) -> None:
    when = datetime.now(UTC) - timedelta(minutes=1)
    truth: dict[str, str] = {}
    generator = np.random.default_rng(3)
    for variant, right in (("blue", 0.6), ("green", 0.9)):
        lines = []
        for number in range(400):
            name, label = f"{variant}-{number}", "yes" if number % 2 else "no"
            truth[name] = label
            said = label if generator.random() < right else ("no" if label == "yes" else "yes")
            # The caller's own identifier goes before SageMaker's.
            lines.append(line(f"event-{name}", f"{said},0.5,0.5\n", when, name))
        lines += [lines[0], line("event-x", "yes,many", when), "{}"]  # once more, and two that are none
        write(tmp_path / "capture", variant, lines, when)
    labels = tmp_path / "labels.csv"
    pd.DataFrame({"id": list(truth), "label": list(truth.values())}).to_csv(labels, index=False)
    arguments = [
        "compare-variants", str(tmp_path / "capture"), "--package", str(package.path), "--labels", str(labels),
        "--control", "blue", "--treatment", "green", "--effect", "0.05", "--split", "0.5",
    ]  # fmt: skip
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.exception
    lines = result.stdout.splitlines()
    assert lines[0].startswith("green is better than blue: accuracy 0.9")
    assert lines[1:3] == ["blue         400 labelled rows", "green        400 labelled rows"]
    # The line that is no record in both variants, and the answer that is none, once: its identifier came again.
    assert lines[3].startswith("unreadable   3 records")
    document = json.loads(CliRunner().invoke(app, [*arguments, "--json"]).stdout)
    assert document["verdict"] == "better" and document["unreadable"]["count"] == 3
