"""`modelberth train`: what a script gets, and that only a whole package of the right name gets out."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import psutil
import pytest

from model_packaging.package import open_package
from tests.unit.jobs.conftest import Job

SCRIPT = """
import argparse, json, os, pathlib
import pandas as pd
from sklearn.linear_model import LinearRegression
from model_packaging import pack
from columns import TARGET
parser = argparse.ArgumentParser()
for option in ("--data", "--output", "--name", "--parameters"):
    parser.add_argument(option)
given = parser.parse_args()
frame = pd.read_csv(pathlib.Path(given.data) / "rows.csv")
print("environment", json.dumps({key: value for key, value in os.environ.items() if key.startswith("SM_")}))
parameters = json.loads(given.parameters or "{}")
model = LinearRegression(**parameters).fit(frame[["a"]], frame[TARGET])
pack(model, name=given.name or "line", inputs=frame[["a"]], output=given.output, card=False)
"""


@pytest.fixture
def train(job: Job) -> Job:
    code, data = job.layout.channels / "code", job.layout.channels / "training"
    code.mkdir(parents=True)
    data.mkdir()
    (code / "train.py").write_text(SCRIPT)
    (code / "columns.py").write_text('TARGET = "b"\n')
    (data / "rows.csv").write_text("a,b\n1,3\n2,5\n3,7\n")
    parameters(job)
    return job


def parameters(job: Job, **values: Any) -> None:
    """SageMaker gives each value as a string."""
    given = {"entrypoint": "train.py", **values}
    texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in given.items()}
    job.write(job.layout.hyperparameters, texts)


def script(job: Job, text: str) -> None:
    (job.layout.channels / "code" / "train.py").write_text(text)


def failure(job: Job, *, code: int = 1) -> str:
    """Runs a training that must fail: the reason is told twice, and no package is left."""
    found, _, err = job.run("train")
    assert found == code, err
    reason = job.layout.failure.read_text()
    assert reason.startswith("train: ")
    assert "Traceback" not in err.replace(reason, "")
    assert reason.rstrip("…") in err
    assert len(reason) <= 1024
    assert not (job.layout.model / "manifest.json").exists()
    return reason


def test_a_script_leaves_a_package_in_the_model_folder(train: Job) -> None:
    parameters(train, name="line-2026", parameters={"fit_intercept": True}, sagemaker_region="eu-central-1")
    stale = train.layout.model / "stale.txt"
    stale.parent.mkdir(parents=True)
    stale.touch()
    code, out, err = train.run("train", SM_CURRENT_HOST="algo-7")
    assert code == 0, err
    package = open_package(train.layout.model)
    assert package.name == "line-2026"
    assert package.examples["predictions"][0] == pytest.approx(3.0)
    assert out.splitlines()[-1] == f"packaged line-2026 {package.digest}"
    assert not stale.exists() and not train.layout.failure.exists()
    shown = json.loads(next(line for line in out.splitlines() if line.startswith("environment")).partition(" ")[2])
    assert shown["SM_CHANNEL_TRAINING"] == str(train.layout.channels / "training")
    assert json.loads(shown["SM_CHANNELS"]) == ["code", "training"]
    assert json.loads(shown["SM_HPS"]) == {"name": "line-2026", "fit_intercept": True}
    assert (shown["SM_HP_FIT_INTERCEPT"], shown["SM_CURRENT_HOST"]) == ("true", "algo-7")


def test_a_failing_scripts_last_line_is_the_reason(train: Job) -> None:
    train.layout.model.mkdir(parents=True)
    script(train, "print('starting')\nraise ValueError('column \"b\" is missing')\n")
    reason = failure(train)
    assert reason.startswith('train: train.py exited with code 1: ValueError: column "b" is missing\n')
    assert "raise ValueError" in reason


def test_a_long_reason_is_cut_to_what_sagemaker_keeps(train: Job) -> None:
    script(train, "raise SystemExit('x' * 5000)\n")
    assert failure(train).startswith("train: train.py exited with code 1: xxx")


def test_a_killed_script_is_told_by_its_signal(train: Job) -> None:
    script(train, "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n")
    assert "train.py was killed by signal 9 (out of memory?)" in failure(train)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("pass", "left no package in its --output folder (no manifest.json; found nothing)"),
        (
            "import sys, pathlib\npathlib.Path(sys.argv[4], 'model.pkl').touch()",
            "left no package in its --output folder (no manifest.json; found model.pkl)",
        ),
        (f"{SCRIPT}\npathlib.Path(given.output, 'environment.lock').write_text('')", "environment.lock: 0 bytes"),
    ],
)
def test_without_a_whole_package_it_fails(train: Job, text: str, reason: str) -> None:
    script(train, text)
    assert reason in failure(train)


def test_another_models_name_is_refused(train: Job) -> None:
    script(train, SCRIPT.replace("given.name or ", ""))
    parameters(train, name="churn")
    assert 'packed a model named "line": this job trains "churn"' in failure(train)


def test_a_script_that_takes_too_long_ends_with_its_children(train: Job) -> None:
    text = (
        "import pathlib, subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "pathlib.Path(sys.argv[2], 'child').write_text(str(child.pid))\n"
        "time.sleep(600)\n"
    )
    script(train, text)
    parameters(train, timeout_seconds=1.5)
    assert "train.py did not end within timeout_seconds = 1.5" in failure(train)
    child = int((train.layout.channels / "training" / "child").read_text())
    assert not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE


def test_sigterm_ends_the_script_and_leaves_nothing(train: Job) -> None:
    script(train, "import time\nprint('waiting', flush=True)\ntime.sleep(600)\n")
    process = train.start("train")
    assert process.stdout is not None
    while process.stdout.readline() != "waiting\n":
        assert process.poll() is None
    (child,) = psutil.Process(process.pid).children()
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 1
    process.communicate()
    assert train.layout.failure.read_text() == "train: stopped by the platform (SIGTERM) before it was done"
    assert not child.is_running()
    assert not train.layout.model.exists()


def test_every_wrong_hyperparameter_is_named(train: Job) -> None:
    parameters(train, entripoint="x.py", timeout_seconds=-1, parameters=[1], entrypoint="")
    reason = failure(train)
    assert 'unknown hyperparameter "entripoint": known are entrypoint, name, parameters or timeout_seconds' in reason
    assert "(did you mean entrypoint?)" in reason
    assert 'hyperparameter "entrypoint" is missing: name the training script' in reason
    assert "hyperparameter \"parameters\" is '[1]': it must be a JSON object" in reason
    assert "hyperparameter \"timeout_seconds\" is '-1': it must be above 0" in reason


def test_a_misspelt_entrypoint_is_named_with_the_nearest(train: Job) -> None:
    parameters(train, entrypoint="trian.py")
    reason = failure(train)
    assert 'entrypoint "trian.py" is not in the code channel: found columns.py or train.py' in reason
    assert "(did you mean train.py?)" in reason


def test_an_entrypoint_outside_the_code_is_refused(train: Job, tmp_path: Path) -> None:
    (tmp_path / "evil.py").write_text("")
    parameters(train, entrypoint="../../../../evil.py")
    assert "is outside the code channel" in failure(train)


@pytest.mark.parametrize("channel", ["code", "training"])
def test_a_missing_channel_is_named(train: Job, channel: str) -> None:
    os.rename(train.layout.channels / channel, train.layout.channels / "other")
    assert f'the channel "{channel}" is missing' in failure(train)


@pytest.mark.parametrize(("text", "reason"), [(None, "is missing"), ("{", "is not JSON"), ("[]", "must be a JSON")])
def test_hyperparameters_that_cannot_be_read(train: Job, text: str | None, reason: str) -> None:
    train.layout.hyperparameters.unlink()
    if text is not None:
        train.layout.hyperparameters.write_text(text)
    found = failure(train)
    assert f"the hyperparameters {reason}" in found and str(train.layout.hyperparameters) in found
