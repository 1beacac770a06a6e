"""`modelberth retrain` killed, or started twice: readers find whole candidates only, and the next run ends well."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

import boto3
import psutil
import pytest

from model_packaging.package import Package
from model_packaging.publish import pull
from tests.unit.jobs.conftest import RETRAINING_SCRIPT, Run, published


@pytest.mark.parametrize(
    ("before", "trained"),
    [
        ("/input/data/code", False),
        ("/hyperparameters.json", False),
        ("/model/.manifest.json", False),
        ("/report/validation.json", True),
        ("/verdict/verdict.json", True),
    ],
)
def test_killed_while_it_works_it_continues(run: Run, churn: Package, before: str, trained: bool) -> None:
    """Before each file of its work folder that a later step goes by; `trained` says whether training is over then."""
    assert run.killed(before, run.work) == -signal.SIGKILL
    assert published(run.bucket) == []
    code, out, err = run.retrain()
    assert code == 0, err
    assert ("training on" in out, "trained before" in out) == (not trained, trained)
    assert published(run.bucket) == [churn.digest]


def test_killed_while_publishing_nothing_is_half_published(run: Run, churn: Package, tmp_path: Path) -> None:
    """Before every third file that appears in the bucket, and before each of the last ones."""
    assert run.retrain()[0] == 0
    listed = tmp_path / "changes"

    def empty() -> None:
        shutil.rmtree(run.bucket)
        run.bucket.mkdir()

    empty()
    assert run.killed("", run.bucket, KILL_LIST=str(listed)) == 0
    changes = listed.read_text().splitlines()
    renamed = [number for number, change in enumerate(changes, 1) if change.startswith("os.rename")]
    assert len(renamed) == len(churn.files) + 3  # the manifest, the page, the record
    points = sorted({1, *renamed[::3], *renamed[-3:]})
    whole = 0
    for number in points:
        empty()
        assert run.killed(str(number), run.bucket) == -signal.SIGKILL
        assert published(run.bucket) == []  # the record's own renaming is the last change
        whole += any(run.bucket.glob("packages/churn/*/manifest.json"))
        code, out, err = run.retrain()
        assert code == 0 and "training on" not in out, err
        assert published(run.bucket) == [churn.digest]
    assert len(points) >= 7 and whole == 2


def test_killed_while_publishing_to_s3_each_run_continues(
    run: Run, churn: Package, aws: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "x",
        "AWS_DEFAULT_REGION": "eu-central-1",
        "AWS_ENDPOINT_URL": aws,
        "NO_PROXY": "127.0.0.1",
    }.items():
        monkeypatch.setenv(name, value)
    s3: Any = boto3.client("s3")
    s3.create_bucket(Bucket="kept", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    run.settings["bucket"] = "s3://kept"
    hexadecimal = churn.digest.removeprefix("sha256:")
    files = [f"packages/churn/{hexadecimal}/{file}" for file in sorted(churn.files)]
    manifest, record = f"packages/churn/{hexadecimal}/manifest.json", f"candidates/churn/{hexadecimal}"
    order = [*files, manifest, f"{record}.md", f"{record}.json"]
    there = 0
    for written in (3, len(files) - 3, 1, 1):  # some files, all, the manifest, the page; each run writes what lacks
        assert run.killed(str(written), run.bucket, "killed_s3.py") == -signal.SIGKILL
        there += written
        assert sorted(one["Key"] for one in s3.list_objects_v2(Bucket="kept")["Contents"]) == sorted(order[:there])
    code, out, err = run.retrain()
    assert code == 0 and "training on" not in out, err
    assert sorted(one["Key"] for one in s3.list_objects_v2(Bucket="kept")["Contents"]) == sorted(order)
    found = json.loads(s3.get_object(Bucket="kept", Key=f"{record}.json")["Body"].read())
    assert pull(found["address"], tmp_path / "back").digest == churn.digest


def test_the_training_of_a_killed_run_is_ended_before_another_begins(run: Run) -> None:
    (run.base / "code" / "train.py").write_text(
        "import os, pathlib, sys, time\n"
        "kept = pathlib.Path(os.environ['MODELBERTH_CHECKPOINTS'], 'pid')\n"
        "if not kept.exists():\n"
        "    kept.write_text(str(os.getpid()))\n"
        "    print('waiting', flush=True)\n"
        "    time.sleep(600)\n" + RETRAINING_SCRIPT
    )
    process = run.start("retrain", MODELBERTH_RETRAIN=json.dumps(run.settings))
    assert process.stdout is not None
    while process.stdout.readline() != "waiting\n":
        assert process.poll() is None
    process.kill()
    process.wait()
    left = int(next(run.work.glob("churn-*/checkpoints/pid")).read_text())
    assert psutil.pid_exists(left)
    code, out, err = run.retrain()
    assert code == 0, err
    assert f"ending the training that a killed run left behind (process group {left})" in out
    assert not psutil.pid_exists(left) or psutil.Process(left).status() == psutil.STATUS_ZOMBIE


def read_until(process: "subprocess.Popen[str]", *texts: str) -> str:
    """The output up to the first line with one of the texts; fails where the process ends without it."""
    assert process.stdout is not None
    read = ""
    for line in process.stdout:
        read += line
        if any(text in line for text in texts):
            return read
    raise AssertionError(f"ended after: {read}")


def test_of_two_at_once_one_trains_and_readers_find_whole_candidates(run: Run, churn: Package) -> None:
    """Two on one machine, and a third as on another one, with a work folder of its own; all on the same inputs."""
    held = run.base / "held"
    os.mkfifo(held)
    opened = f"held = open({str(held)!r})\n"
    script = opened + RETRAINING_SCRIPT.replace("shutil.copytree(", "held.read()\nshutil.copytree(")
    (run.base / "code" / "train.py").write_text(script)
    elsewhere = {**run.settings, "work": str(run.base / "elsewhere"), "verdict": str(run.base / "other")}
    with contextlib.ExitStack() as stack:
        # Training goes on once nobody has it open for writing; open for both, because that waits for no reader.
        release = stack.enter_context(os.fdopen(os.open(held, os.O_RDWR), "wb"))
        processes: list[subprocess.Popen[str]] = []
        output: list[str] = []
        for settings in (run.settings, run.settings, elsewhere):
            process = stack.enter_context(run.start("retrain", MODELBERTH_RETRAIN=json.dumps(settings)))
            stack.callback(process.kill)
            processes.append(process)
            output.append(read_until(process, "training on", "another run has"))
        assert ["training on" in text for text in output] == [True, False, True]
        release.close()
        while left := [process for process in processes if process.poll() is None]:
            assert published(run.bucket) in ([], [churn.digest])
            with contextlib.suppress(subprocess.TimeoutExpired):
                left[0].wait(0.1)
        for number, process in enumerate(processes):
            assert process.stdout is not None and process.stderr is not None
            output[number] += process.stdout.read()
            assert process.returncode == 0, process.stderr.read()
    assert "training on" not in output[1] and "trained before" in output[1]
    assert published(run.bucket) == [churn.digest]
