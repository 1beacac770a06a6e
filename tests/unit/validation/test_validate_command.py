"""`modelberth validate`: the same numbers as validate(), from a package and a file."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from typer.testing import CliRunner

from model_packaging.cli import app
from model_packaging.package import Package
from tests.unit.validation.conftest import customers


@pytest.fixture
def held(tmp_path: Path) -> Path:
    customers()[400:].to_csv(tmp_path / "held.csv", index=False)
    return tmp_path / "held.csv"


def run(*arguments: Any) -> Any:
    return CliRunner().invoke(app, ["validate", *map(str, arguments)])


def test_the_hold_out_gives_the_metrics_of_the_package(strong: Package, weak: Package, held: Path) -> None:
    common = ("--data", held, "--target", "left", "--bootstrap", 20)
    result = run(strong.path, *common, "--segment", "site", "--champion", weak.path, "--json")
    assert result.exit_code == 0, result.exception
    document = json.loads(result.stdout)
    for name, entry in strong.validation["metrics"].items():
        assert document["metrics"][name]["value"] == pytest.approx(entry["value"], abs=1e-6)
    assert sum(entry["rows"] for entry in document["segments"]["site"].values()) == 400
    assert document["worst_segments"]["site"]["roc_auc"]["segment"] in ("north", "south")
    compared = document["comparison"]["metrics"]["roc_auc"]
    assert compared["champion"] == pytest.approx(weak.validation["metrics"]["roc_auc"]["value"], abs=1e-6)
    assert compared["at_most"] < 0


def test_it_is_told_in_words_and_written(strong: Package, weak: Package, held: Path, tmp_path: Path) -> None:
    output = tmp_path / "validation.json"
    result = run(
        strong.path, "--data", held, "--target", "left", "--bootstrap", 20, "--segment", "site",
        "--champion", weak.path, "--output", output,
    )  # fmt: skip
    lines = result.stdout.splitlines()
    assert lines[0] == "400 rows"
    assert any(line.startswith("worst roc_auc by site: ") for line in lines)
    assert any(line.startswith("roc_auc against the champion's ") and "better with 0.95" in line for line in lines)
    assert json.loads(output.read_bytes())["package"] == strong.digest


def test_ranking_and_the_users_own_metric(strong: Package, held: Path) -> None:
    table = pd.read_csv(held).assign(query=lambda rows: rows.index // 20)
    table.to_csv(held, index=False)
    metric = "tests.unit.validation.test_validate_command:share_said"
    result = run(
        strong.path, "--data", held, "--target", "left", "--bootstrap", 5, "--query", "query", "--k", 3,
        "--metric", metric, "--json",
    )  # fmt: skip
    metrics = json.loads(result.stdout)["metrics"]
    assert {"ndcg_at_3", "recall_at_3", "mean_average_precision", "share_said"} <= set(metrics)


def share_said(target: Any, predicted: Any, chances: Any) -> float:
    return float(predicted.mean())


@pytest.mark.parametrize(
    ("change", "arguments", "text"),
    [
        (lambda t: t, ["--target", "gone"], 'there is no column "gone"'),
        (lambda t: t, ["--target", "left", "--segment", "gone"], 'there is no column "gone"'),
        (lambda t: t[:0], ["--target", "left"], "no rows"),
        (lambda t: t.drop(columns="z"), ["--target", "left"], "the data has no column z, which churn needs"),
        (lambda t: t.assign(left="maybe"), ["--target", "left"], "does not know the class maybe"),
        (lambda t: t.assign(left=[None, *t["left"][1:]]), ["--target", "left"], "1 rows have no left"),
    ],
)
def test_what_cannot_be_judged_is_said(
    strong: Package, held: Path, change: Any, arguments: list[str], text: str
) -> None:
    change(pd.read_csv(held)).to_csv(held, index=False)
    result = run(strong.path, "--data", held, *arguments)
    assert result.exit_code == 1
    assert text in str(result.exception)
