"""`modelberth retrain` as a real process: what it publishes, what it refuses, and why it fails."""

import json
import shutil
from pathlib import Path
from typing import Any

import psutil
import pytest

from model_packaging.data.trace import trace_package
from model_packaging.errors import ModelberthError
from model_packaging.jobs import retrain_settings
from model_packaging.jobs.retrain import gather
from model_packaging.jobs.verdict import markdown
from model_packaging.package import Package, open_package
from tests.unit.jobs.conftest import RETRAINING_SCRIPT, Run, published
from tests.unit.packaging.conftest import altered


def test_a_candidate_is_published_with_verdict_and_lineage(run: Run, churn: Package, better: Path) -> None:
    champion = run.base / "bucket" / "packages" / "churn" / churn.digest.removeprefix("sha256:")
    shutil.copytree(churn.path, champion)
    gate = {"no_worse_than": "champion", "comparison": "point"}
    code, out, err = run.retrain(champion=str(champion), parameters={"package": str(better)}, gate=gate)
    assert code == 0, err
    digest = open_package(better).digest
    address = f"{run.bucket.as_uri()}/packages/churn/{digest.removeprefix('sha256:')}@{digest}"
    assert out.splitlines()[-1] == f"published candidate {address}"
    assert "training on ['rows.csv'] sha256:" in out and out.split("training on")[1].splitlines()[0].endswith(" 2")
    assert published(run.bucket) == [digest]
    verdict = run.verdict()
    assert (verdict["outcome"], verdict["passed"], verdict["address"]) == ("published", True, address)
    f1 = verdict["metrics"]["f1"]
    assert f1["difference"] == pytest.approx(0.05) and len(f1["champion"]["interval"]) == 2
    lineage = verdict["lineage"]
    assert (lineage["parent"], lineage["data"]) == (churn.digest, churn.data["digest"])
    assert (lineage["execution"], lineage["code_version"]) == ("run-7", "c0ffee")
    assert (
        lineage["given_data"]
        == json.loads((next(run.work.glob("churn-*/input/config/data.json"))).read_text())["digest"]
    )
    [candidate, parent] = trace_package(address)
    assert (candidate.lineage["code"], parent.digest) == (lineage["code"], churn.digest)
    page = run.page()
    assert page.startswith("# churn: candidate published\n") and "| f1 | " in page and " +0.05 |" in page
    assert "## Data, against the champion's\n\n- the same content\n" in page


def test_a_refused_candidate_is_told_by_its_own_exit_code(run: Run, churn: Package) -> None:
    code, out, err = run.retrain(gate={"metrics": {"f1": {"min": 0.99}}})
    assert code == 3, err
    assert err.startswith(f"retrain: churn {churn.digest[:19]} is refused\nmetrics.f1.min: f1 is ")
    assert "published" not in out and published(run.bucket) == []
    assert not (run.bucket / "packages").exists()
    kept = run.bucket / "candidates" / "churn" / "refused" / f"{churn.digest.removeprefix('sha256:')}.json"
    assert json.loads(kept.read_bytes()) == run.verdict()
    assert run.page().startswith("# churn: candidate refused\n\n- metrics.f1.min: f1 is ")
    # The rules are no input of the training: with others, what was trained is judged anew.
    code, out, err = run.retrain()
    assert code == 0, err
    assert "training on" not in out and published(run.bucket) == [churn.digest]


def test_a_candidate_that_does_not_reproduce_is_refused(run: Run, churn: Package, tmp_path: Path) -> None:
    def change(examples: dict[str, Any]) -> None:
        examples["predictions"][3]["probabilities"]["false"] += 0.01

    other = altered(churn, tmp_path / "other", "examples.json", change)
    code, _, err = run.retrain(parameters={"package": str(other)})
    assert code == 3
    assert "validation: the candidate did not pass its checks; examples: example 3: prediction" in err


def test_a_finished_step_is_not_done_again_unless_an_input_changed(run: Run, churn: Package) -> None:
    assert "training on" in run.retrain()[1]
    record = run.bucket / "candidates" / "churn" / f"{churn.digest.removeprefix('sha256:')}.json"
    before = record.read_bytes()
    code, out, _ = run.retrain(execution="run-8")
    assert (code, out.splitlines()[0]) == (0, f"trained before: churn {churn.digest}")
    assert record.read_bytes() == before
    (run.base / "code" / "train.py").write_text(f"{RETRAINING_SCRIPT}\n# changed\n")
    assert "training on" in run.retrain()[1]


def test_every_input_names_another_run(run: Run, churn: Package, tmp_path: Path) -> None:
    given = retrain_settings.Settings(**run.settings)

    def key(number: int, settings: retrain_settings.Settings) -> str:
        (tmp_path / str(number)).mkdir()
        return gather(settings, tmp_path / str(number)).key(settings)

    first = key(0, given)
    assert key(1, given.model_copy(update={"gate": {}, "execution": "other", "bucket": "x"})) == first
    changes: list[dict[str, Any]] = [
        {"entrypoint": "fit:train"},
        {"parameters": {}},
        {"champion": str(churn.path)},
        {"data": None},
        {"source": None},
    ]
    keys = {key(number, given.model_copy(update=change)) for number, change in enumerate(changes, 2)}
    (run.base / "data" / "rows.csv").write_text("a,b\n1,3\n2,6\n")
    assert len({first, *keys, key(10, given)}) == 7
    own = given.model_copy(update={"data": None})
    assert key(11, own) == key(12, own) != key(13, own.model_copy(update={"execution": "other"}))
    assert key(14, own.model_copy(update={"execution": None})) != key(15, own.model_copy(update={"execution": None}))


FAILURES: dict[str, tuple[str, dict[str, Any], str]] = {
    "a script that raises": (
        "raise ValueError('no such column')",
        {},
        "train.py exited with code 1: ValueError: no such",
    ),
    "a script that hangs": (
        "import subprocess, sys, time\nsubprocess.Popen(['sleep', '631'])\ntime.sleep(600)",
        {"timeout_seconds": 1},
        "train.py did not end within timeout_seconds = 1 and was ended, with all that it started",
    ),
    "data of another version": ("", {"data": "@sha256:" + "0" * 64}, "asked for is sha256:" + "0" * 64),
    "data that is not there": ("", {"data": "/nowhere/rows.csv"}, "no such data file: /nowhere/rows.csv"),
    "code that is not there": ("", {"source": "/nowhere"}, "source: /nowhere is not a folder"),
    "a bucket that cannot be written": (RETRAINING_SCRIPT, {"bucket": "nope://bucket"}, "cannot open nope://bucket"),
}


@pytest.mark.parametrize("failure", FAILURES)
def test_a_failure_says_why_and_publishes_nothing(run: Run, failure: str) -> None:
    text, settings, reason = FAILURES[failure]
    (run.base / "code" / "train.py").write_text(text)
    if settings.get("data", "").startswith("@"):
        settings = {"data": run.settings["data"] + settings["data"]}
    code, _, err = run.retrain(**settings)
    assert code == 1
    assert reason in err and "Traceback" not in err.replace(run.page(), "").partition("retrain: ")[0]
    assert run.verdict()["outcome"] == "failed" and reason in run.verdict()["problems"][0]
    assert run.page().startswith("# churn: retraining failed\n")
    assert published(run.bucket) == []
    assert not [one for one in psutil.process_iter(["cmdline"]) if one.info["cmdline"] == ["sleep", "631"]]


def test_a_function_of_the_code_trains_too(run: Run, churn: Package) -> None:
    (run.base / "code" / "fit.py").write_text(
        "import shutil\n"
        "def train(data, output, name, parameters):\n"
        "    assert (data / 'rows.csv').is_file() and name == 'churn'\n"
        "    shutil.copytree(parameters['package'], output, dirs_exist_ok=True)\n"
    )
    assert run.retrain(entrypoint="fit:train")[0] == 0
    assert published(run.bucket) == [churn.digest]


# Settings.


def settings(**given: str) -> retrain_settings.Settings:
    return retrain_settings.read({}, given)


def test_an_option_goes_before_a_variable_and_a_variable_before_the_document(tmp_path: Path) -> None:
    file = tmp_path / "settings.json"
    file.write_text(json.dumps({"model": "a", "bucket": "s3://a", "entrypoint": "fit:train", "timeout_seconds": 60}))
    variables = {"MODELBERTH_BUCKET": "s3://b", "MODELBERTH_GATE": '{"max_age": "30d"}', "MODELBERTH_DATA": " "}
    found = retrain_settings.read({"model": "c"}, {"MODELBERTH_RETRAIN": str(file), **variables})
    assert (found.model, found.bucket, found.entrypoint, found.timeout_seconds) == ("c", "s3://b", "fit:train", 60)
    assert (found.gate, found.data, found.champion) == ({"max_age": "30d"}, None, None)
    same = retrain_settings.read({"settings": file.read_text()}, {})
    assert (same.model, same.timeout_seconds) == ("a", 60)


def test_everything_that_is_wrong_is_told_at_once() -> None:
    with pytest.raises(ModelberthError) as told:
        settings(
            MODELBERTH_RETRAIN='{"modle": "x", "entrypoint": "train.py"}',
            MODELBERTH_TIMEOUT_SECONDS="-1",
            MODELBERTH_PARAMETERS="{",
        )
    text = str(told.value)
    assert 'MODELBERTH_RETRAIN: unknown key "modle" (did you mean model?)' in text
    assert "model is not set: give --model, MODELBERTH_MODEL, or model in MODELBERTH_RETRAIN" in text
    assert "bucket is not set" in text and "MODELBERTH_PARAMETERS is not JSON" in text
    assert "MODELBERTH_TIMEOUT_SECONDS is '-1': Input should be greater than 0" in text


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"MODELBERTH_GATE": '{"metrix": {}}'}, 'MODELBERTH_GATE: gate: unknown key "metrix" (did you mean metrics?)'),
        ({"MODELBERTH_ENTRYPOINT": "train.py"}, "source is not set: MODELBERTH_ENTRYPOINT names the script 'train.py'"),
        ({"MODELBERTH_MODEL": "Churn!"}, "MODELBERTH_MODEL is 'Churn!'"),
        ({"MODELBERTH_RETRAIN": "[1]"}, "neither a JSON object nor a file that can be read"),
        ({"MODELBERTH_RETRAIN": "{"}, "MODELBERTH_RETRAIN is not JSON"),
    ],
)
def test_a_wrong_setting_is_named_with_its_place(given: dict[str, str], reason: str) -> None:
    right = {"MODELBERTH_MODEL": "a", "MODELBERTH_BUCKET": "s3://a", "MODELBERTH_ENTRYPOINT": "fit:train"}
    with pytest.raises(ModelberthError) as told:
        settings(**{**right, **given})
    assert reason in str(told.value)


def test_the_page_shows_any_name_as_it_is() -> None:
    page = markdown(
        {
            "package": "churn",
            "passed": False,
            "problems": ["a | b\n<script>"],
            "metrics": {"_f1_`": {"champion": None, "candidate": {"value": 0.5, "interval": None}, "difference": None}},
        }
    )
    assert "- a \\| b &lt;script&gt;\n" in page
    assert "| \\_f1\\_\\` |  | 0.5 |  |" in page
