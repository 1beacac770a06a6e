"""The steps between training and the bucket; each fails closed and says why."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest

from model_packaging.package import Package, open_package
from tests.unit.jobs.conftest import Job, Judged
from tests.unit.packaging.conftest import altered

OTHER = "sha256:" + "0" * 64


def refused(job: Job, *command: str, **environment: str) -> str:
    """Runs a step that must fail: exit code 1, and the same text on stderr and for SageMaker."""
    code, _, err = job.run(*command, **environment)
    assert code == 1, err
    message = job.message()
    assert message.startswith(f"{command[-1]}: ")
    assert message in err and "Traceback" not in err
    return message


# validate


def test_a_good_candidate_is_validated_in_a_fresh_process(job: Job, churn: Package, better: Path) -> None:
    job.candidate(better)
    shutil.copytree(churn.path, job.layout.champion)
    code, out, err = job.run("job", "validate")
    assert code == 0, err
    report = json.loads(job.layout.report.read_text())
    digest = open_package(better).digest
    assert out == f"validated churn {digest}: 3 checks passed\n"
    assert (report["passed"], report["digest"], report["champion"]) == (True, digest, churn.digest)
    assert [check["check"] for check in report["checks"]] == ["integrity", "load", "examples"]
    assert report["comparison"]["f1"]["difference"] == pytest.approx(0.05)
    assert report["comparison"]["roc_auc"]["difference"] == 0


def test_the_first_candidate_has_no_champion(job: Job, churn: Package) -> None:
    job.candidate(churn.path)
    job.layout.champion.mkdir(parents=True)  # as SageMaker makes it for an empty prefix
    assert job.run("job", "validate")[0] == 0
    report = json.loads(job.layout.report.read_text())
    assert (report["champion"], report["comparison"]) == (None, {})


def test_a_model_that_gives_other_predictions_does_not_pass(job: Job, churn: Package, tmp_path: Path) -> None:
    def change(examples: dict[str, Any]) -> None:
        examples["predictions"][3]["probabilities"]["false"] += 0.01

    job.candidate(altered(churn, tmp_path / "other", "examples.json", change))
    assert "examples: example 3: prediction probabilities false is" in refused(job, "job", "validate")
    report = json.loads(job.layout.report.read_text())
    assert report["passed"] is False
    assert [check["passed"] for check in report["checks"]] == [True, True, False]


def tamper(path: Path) -> None:
    content = bytearray((path / "model" / "model.skops").read_bytes())
    content[len(content) // 2] ^= 1
    (path / "model" / "model.skops").write_bytes(content)


DAMAGE: dict[str, tuple[Callable[[Path], None], str]] = {
    "one byte of the model": (tamper, "model/model.skops: sha256 is"),
    "a file more": (lambda path: (path / "run.py").touch(), "run.py: not in manifest.json"),
    "a file less": (lambda path: (path / "baseline.json").unlink(), "baseline.json: missing"),
    "no manifest": (lambda path: (path / "manifest.json").unlink(), "manifest.json: missing"),
    "a link": (lambda path: (path / "link").symlink_to("/etc/passwd"), "'link': is a link"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_tampered_archive_is_refused_by_its_file(job: Job, churn: Package, tmp_path: Path, damage: str) -> None:
    change, reason = DAMAGE[damage]
    folder = Path(shutil.copytree(churn.path, tmp_path / "churn"))
    change(folder)
    job.candidate(folder)
    assert reason in refused(job, "job", "validate")
    assert not job.layout.report.exists()


def test_a_truncated_archive_is_refused(job: Job, churn: Package) -> None:
    job.candidate(churn.path)
    job.layout.candidate.write_bytes(job.layout.candidate.read_bytes()[:5000])
    assert "model.tar.gz" in refused(job, "job", "validate")


def test_without_a_candidate_nothing_is_validated(job: Job) -> None:
    assert f"the candidate is missing: {job.layout.candidate}" in refused(job, "job", "validate")


# gate


def test_a_candidate_that_keeps_the_rules_passes(judged: Judged, churn: Package) -> None:
    job = judged()
    rules = {"metrics": {"roc_auc": {"min": 0.5}}, "require": ["cross_validation"], "no_worse_than": "champion"}
    code, out, err = job.run("job", "gate", MODELBERTH_GATE=json.dumps(rules))
    assert code == 0, err
    assert out.startswith(f"passed churn {churn.digest}: ")
    verdict = json.loads(job.layout.verdict.read_text())
    assert (verdict["passed"], verdict["digest"], verdict["problems"]) == (True, churn.digest, [])


@pytest.mark.parametrize(
    ("rules", "reason"),
    [
        (None, "MODELBERTH_GATE is not set"),
        (" ", "MODELBERTH_GATE is not set"),
        ("{", "MODELBERTH_GATE is not JSON"),
        ("[]", "MODELBERTH_GATE: "),
        ('{"metrix": {}}', 'MODELBERTH_GATE: unknown key "metrix" (did you mean metrics?)'),
    ],
)
def test_without_usable_rules_nothing_passes(judged: Judged, rules: str | None, reason: str) -> None:
    job = judged()
    assert reason in refused(job, "job", "gate", **({} if rules is None else {"MODELBERTH_GATE": rules}))
    assert not job.layout.verdict.exists()


@pytest.mark.parametrize(
    ("report", "reason"),
    [
        ({"digest": OTHER}, f"validation: the report is about {OTHER}, the candidate is"),
        ({"digest": None}, "validation: the report is about None"),
        ({"passed": False}, "validation: the candidate did not pass its checks"),
        ({"passed": "true"}, "validation: the candidate did not pass its checks"),
    ],
)
def test_a_report_that_does_not_vouch_refuses(judged: Judged, report: dict[str, Any], reason: str) -> None:
    job = judged(**report)
    assert reason in refused(job, "job", "gate", MODELBERTH_GATE="{}")
    verdict = json.loads(job.layout.verdict.read_text())
    assert verdict["passed"] is False
    assert any(reason in problem for problem in verdict["problems"])


def test_without_a_report_nothing_passes(judged: Judged) -> None:
    job = judged()
    job.layout.report.unlink()
    assert "the validation report is missing" in refused(job, "job", "gate", MODELBERTH_GATE="{}")
    assert not job.layout.verdict.exists()


def test_a_better_champion_refuses(judged: Judged, better: Path) -> None:
    job = judged()
    shutil.copytree(better, job.layout.champion)
    rules = json.dumps({"no_worse_than": "champion", "metrics": {"f1": {"min": 0.99}}})
    message = refused(job, "job", "gate", MODELBERTH_GATE=rules)
    assert "metrics.f1.min: f1 is " in message
    assert "no_worse_than.champion.f1: f1 is " in message and "worse than the champion's" in message
    verdict = json.loads(job.layout.verdict.read_text())
    assert (verdict["passed"], verdict["champion"]) == (False, open_package(better).digest)


def test_a_refused_candidates_verdict_is_kept_in_the_bucket(judged: Judged, better: Path, tmp_path: Path) -> None:
    job = judged()
    champion = open_package(Path(shutil.copytree(better, job.layout.champion))).digest
    job.environment |= {
        "MODELBERTH_GATE": '{"no_worse_than": "champion"}',
        "MODELBERTH_MODEL": "churn",
        "MODELBERTH_EXECUTION": "run-7",
    }
    (tmp_path / "file").touch()
    message = refused(job, "job", "gate", MODELBERTH_BUCKET=str(tmp_path / "file" / "bucket"))
    assert "no_worse_than.champion.f1: f1 is " in message and "the verdict is not kept: cannot write " in message
    assert "the verdict is not kept" not in refused(job, "job", "gate", MODELBERTH_BUCKET=str(tmp_path / "bucket"))
    verdict = json.loads(job.layout.verdict.read_text())
    kept = tmp_path / "bucket" / "candidates" / "churn" / "refused" / verdict["digest"].removeprefix("sha256:")
    lineage = {"parent": champion, "data": open_package(job.layout.candidate).data["digest"], "execution": "run-7"}
    expected = verdict | {"outcome": "refused", "model": "churn", "lineage": lineage}
    assert json.loads(kept.with_suffix(".json").read_text()) == expected
    assert kept.with_suffix(".md").read_text().startswith("# churn: candidate refused\n\n- no_worse_than.champion.f1: ")
    assert not list((tmp_path / "bucket").glob("candidates/churn/*.*"))


def test_a_damaged_champion_refuses(judged: Judged, better: Path) -> None:
    job = judged()
    (Path(shutil.copytree(better, job.layout.champion)) / "card.md").write_text("x")
    assert "card.md: 1 bytes" in refused(job, "job", "gate", MODELBERTH_GATE='{"no_worse_than": "champion"}')


# publish


@pytest.fixture
def passed(judged: Judged, churn: Package) -> Callable[..., Job]:
    """A job whose candidate may be published; `verdict` changes what the verdict says."""

    def make(bucket: str, **verdict: Any) -> Job:
        job = judged()
        job.write(job.layout.verdict, {"digest": churn.digest, "passed": True, "champion": OTHER, **verdict})
        job.environment |= {"MODELBERTH_BUCKET": bucket, "MODELBERTH_MODEL": "churn"}
        return job

    return make


def test_a_candidate_is_published_with_its_record(passed: Callable[..., Job], churn: Package, tmp_path: Path) -> None:
    bucket = (tmp_path / "bucket").as_uri()
    job = passed(f"{bucket}/")
    hexadecimal = churn.digest.removeprefix("sha256:")
    code, out, err = job.run("job", "publish", MODELBERTH_EXECUTION="arn:execution/7")
    assert code == 0, err
    address = f"{bucket}/packages/churn/{hexadecimal}@{churn.digest}"
    assert out == f"published candidate {address}\n"
    assert open_package(address).digest == churn.digest
    path = tmp_path / "bucket" / "candidates" / "churn" / f"{hexadecimal}.json"
    record = json.loads(path.read_text())
    assert record.pop("created").endswith("+00:00")
    assert record == {
        "schema_version": 1,
        "model": "churn",
        "digest": churn.digest,
        "address": address,
        "verdict": {"digest": churn.digest, "passed": True, "champion": OTHER},
        "lineage": {"parent": OTHER, "data": churn.data["digest"], "execution": "arn:execution/7"},
    }


def test_publishing_twice_changes_nothing(passed: Callable[..., Job], tmp_path: Path) -> None:
    job = passed((tmp_path / "bucket").as_uri())
    assert job.run("job", "publish", MODELBERTH_EXECUTION="first")[0] == 0
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in (tmp_path / "bucket").rglob("*.*")}
    assert job.run("job", "publish", MODELBERTH_EXECUTION="second")[0] == 0
    after = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in (tmp_path / "bucket").rglob("*.*")}
    assert before == after and len(before) > 5


@pytest.mark.parametrize(
    ("verdict", "reason"),
    [
        ({"digest": OTHER}, f"the verdict is about {OTHER}, the candidate is sha256:"),
        ({"passed": False}, "the gate did not pass this candidate"),
        ({"passed": 1}, "the gate did not pass this candidate"),
    ],
)
def test_what_did_not_pass_is_not_published(
    passed: Callable[..., Job], tmp_path: Path, verdict: dict[str, Any], reason: str
) -> None:
    job = passed((tmp_path / "bucket").as_uri(), **verdict)
    assert reason in refused(job, "job", "publish")
    assert not (tmp_path / "bucket").exists()


def test_another_models_candidate_is_not_published(passed: Callable[..., Job], tmp_path: Path) -> None:
    job = passed((tmp_path / "bucket").as_uri())
    message = refused(job, "job", "publish", MODELBERTH_MODEL="fraud")
    assert 'the candidate is named "churn", MODELBERTH_MODEL is "fraud"' in message
    assert not (tmp_path / "bucket").exists()


def test_without_a_verdict_nothing_is_published(passed: Callable[..., Job], tmp_path: Path) -> None:
    job = passed((tmp_path / "bucket").as_uri())
    job.layout.verdict.unlink()
    assert "the gate's verdict is missing" in refused(job, "job", "publish")
    assert not (tmp_path / "bucket").exists()


@pytest.mark.parametrize("variable", ["MODELBERTH_BUCKET", "MODELBERTH_MODEL"])
def test_a_missing_setting_is_named(passed: Callable[..., Job], tmp_path: Path, variable: str) -> None:
    job = passed((tmp_path / "bucket").as_uri())
    assert f"{variable} is not set" in refused(job, "job", "publish", **{variable: ""})


def test_a_bucket_of_s3(passed: Callable[..., Job], churn: Package, aws: str) -> None:
    keys = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_DEFAULT_REGION": "eu-central-1"}
    s3 = boto3.client(
        "s3", endpoint_url=aws, region_name="eu-central-1", aws_access_key_id="x", aws_secret_access_key="x"
    )
    job = passed("s3://models")
    job.environment |= {**keys, "AWS_ENDPOINT_URL": aws, "NO_PROXY": "127.0.0.1"}
    assert "cannot write s3://models/" in refused(job, "job", "publish")
    s3.create_bucket(Bucket="models", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    code, out, err = job.run("job", "publish")
    assert code == 0, err
    hexadecimal = churn.digest.removeprefix("sha256:")
    keys_found = {item["Key"] for item in s3.list_objects_v2(Bucket="models")["Contents"]}
    expected = {f"packages/churn/{hexadecimal}/{file}" for file in [*churn.files, "manifest.json"]}
    assert keys_found == {*expected, *(f"candidates/churn/{hexadecimal}{suffix}" for suffix in (".md", ".json"))}
    assert out == f"published candidate s3://models/packages/churn/{hexadecimal}@{churn.digest}\n"
