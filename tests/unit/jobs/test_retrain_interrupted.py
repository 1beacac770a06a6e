"""`modelberth retrain` killed, or started twice: readers find whole candidates only, and the next run ends well."""

import json
import shutil
import signal
from pathlib import Path

import psutil

from model_packaging.package import Package
from tests.unit.jobs.conftest import RETRAINING_SCRIPT, Run, published


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
