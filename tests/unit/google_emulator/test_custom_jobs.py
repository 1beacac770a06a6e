"""Custom jobs of Vertex AI through google-cloud-aiplatform and the discovery client; their programs really run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from google.cloud import aiplatform
from googleapiclient.errors import HttpError

from sandbox.google.server import Handle
from tests.unit.google_emulator.conftest import PROJECT, PYTHON, bucket_for_programs, point_aiplatform, wait_for
from tests.unit.packaging.conftest import packed

PARENT = f"projects/{PROJECT}/locations/europe-west4"
REPOSITORY = "europe-west4-docker.pkg.dev/test-project/images"
ENDED = {"JOB_STATE_SUCCEEDED", "JOB_STATE_FAILED", "JOB_STATE_CANCELLED"}


@pytest.fixture(scope="module")
def bucket(emulator: Handle) -> Any:
    return bucket_for_programs(emulator, "custom-jobs")


@pytest.fixture
def jobs(discovery: Any, bucket: Any) -> Any:
    return discovery("aiplatform", "v1").projects().locations().customJobs()


def spec(*arguments: str, **more: Any) -> dict[str, Any]:
    environment = more.pop("env", {})
    container = {
        "imageUri": PYTHON,
        "args": list(arguments),
        "env": [{"name": key, "value": value} for key, value in environment.items()],
    }
    pool = {"machineSpec": {"machineType": "n1-standard-4"}, "replicaCount": "1", "containerSpec": container}
    return {"displayName": "job", "jobSpec": {"workerPoolSpecs": [pool], **more}}


def ended(jobs: Any, name: str) -> dict[str, Any]:
    def probe() -> dict[str, Any] | None:
        job = jobs.get(name=name).execute()
        return job if job["state"] in ENDED else None

    found = wait_for(probe, 60)
    assert found is not None
    return found


def test_a_program_writes_where_its_variables_say(emulator: Handle, jobs: Any, bucket: Any) -> None:
    program = (
        "import json, os, fsspec\n"
        "with fsspec.open(os.environ['AIP_MODEL_DIR'] + 'environment.json', 'w') as sink:\n"
        "    json.dump(dict(os.environ), sink)\n"
    )
    made = jobs.create(
        parent=PARENT,
        body=spec("-c", program, baseOutputDirectory={"outputUriPrefix": "gs://custom-jobs/out"}, env={"A": "b"}),
    ).execute()
    assert made["state"] == "JOB_STATE_PENDING"
    job = ended(jobs, made["name"])
    assert job["state"] == "JOB_STATE_SUCCEEDED" and "error" not in job
    assert job["createTime"] <= job["startTime"] <= job["endTime"]
    told = json.loads(bucket.blob("out/model/environment.json").download_as_bytes())
    assert told["A"] == "b"
    assert told["AIP_CHECKPOINT_DIR"] == "gs://custom-jobs/out/checkpoints/"
    assert told["AIP_TENSORBOARD_LOG_DIR"] == "gs://custom-jobs/out/logs/"
    assert told["CLOUD_ML_PROJECT_ID"] == made["name"].split("/")[1]
    cluster = json.loads(told["CLUSTER_SPEC"])
    assert cluster["task"] == {"type": "workerpool0", "index": 0} and list(cluster["cluster"]) == ["workerpool0"]
    assert emulator.get("processes") == []


def test_a_failed_program_tells_its_replica_its_code_and_its_last_words(jobs: Any) -> None:
    made = jobs.create(parent=PARENT, body=spec("-c", "print('no data'); raise SystemExit(7)")).execute()
    job = ended(jobs, made["name"])
    assert job["state"] == "JOB_STATE_FAILED" and job["error"]["code"] == 3
    message = job["error"]["message"]
    assert message.startswith(
        "The replica workerpool0-0 exited with a non-zero status of 7. Termination reason: Error."
    )
    assert "no data" in message and f"ml_job%2Fjob_id%2F{made['name'].rpartition('/')[2]}" in message
    listing = jobs.list(parent=PARENT, filter='state="JOB_STATE_FAILED"').execute()
    assert made["name"] in [one["name"] for one in listing["customJobs"]]


def test_a_cancelled_job_gets_the_time_to_clean_up(jobs: Any, bucket: Any) -> None:
    program = (
        "import signal, sys, time, fsspec\n"
        "def end(*_):\n"
        "    fsspec.open('gs://custom-jobs/cleaned', 'w').open().close()\n"
        "    sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, end)\n"
        "fsspec.open('gs://custom-jobs/running', 'w').open().close()\n"
        "time.sleep(60)\n"
    )
    made = jobs.create(parent=PARENT, body=spec("-c", program)).execute()
    wait_for(lambda: bucket.blob("running").exists())
    with pytest.raises(HttpError, match="JOB_STATE_RUNNING: cancel it before"):
        jobs.delete(name=made["name"]).execute()
    jobs.cancel(name=made["name"], body={}).execute()
    job = ended(jobs, made["name"])
    assert (job["state"], job["error"]["code"]) == ("JOB_STATE_CANCELLED", 1)
    assert bucket.blob("cleaned").exists()
    jobs.delete(name=made["name"]).execute()

    def gone() -> bool:
        try:
            jobs.get(name=made["name"]).execute()
        except HttpError as error:
            return bool(error.status_code == 404)
        return False

    wait_for(gone)


def test_a_job_ends_with_its_timeout_and_with_its_first_replica(jobs: Any) -> None:
    sleeping = spec("-c", "import time; time.sleep(60)", scheduling={"timeout": "1s"})
    made = jobs.create(parent=PARENT, body=sleeping).execute()
    both = spec("-c", "pass")
    worker = spec("-c", "import time; time.sleep(60)")["jobSpec"]["workerPoolSpecs"][0]
    both["jobSpec"]["workerPoolSpecs"].append(worker | {"replicaCount": "2"})
    other = jobs.create(parent=PARENT, body=both).execute()
    assert ended(jobs, other["name"])["state"] == "JOB_STATE_SUCCEEDED"
    job = ended(jobs, made["name"])
    assert job["state"] == "JOB_STATE_CANCELLED" and "timeout of 1 s" in job["error"]["message"]


def test_a_crash_is_tried_again(jobs: Any, bucket: Any) -> None:
    program = (
        "import os, fsspec\n"
        "fs = fsspec.filesystem('gs', use_listings_cache=False)\n"
        "if not fs.exists('custom-jobs/crashed'):\n"
        "    fs.touch('custom-jobs/crashed')\n"
        "    os.abort()\n"
    )
    made = jobs.create(parent=PARENT, body=spec("-c", program)).execute()
    assert ended(jobs, made["name"])["state"] == "JOB_STATE_SUCCEEDED"
    assert bucket.blob("crashed").exists()


def test_what_cannot_be_is_refused_at_once(jobs: Any) -> None:
    body = spec("-c", "pass", baseOutputDirectory={"outputUriPrefix": "s3://b"}, serviceAccount="someone")
    del body["jobSpec"]["workerPoolSpecs"][0]["machineSpec"]
    with pytest.raises(HttpError) as caught:
        jobs.create(parent=PARENT, body=body).execute()
    [detail] = json.loads(caught.value.content)["error"]["details"]
    at = "custom_job.job_spec"
    assert [one["field"] for one in detail["fieldViolations"]] == [
        f"{at}.base_output_directory",
        f"{at}.service_account",
        f"{at}.worker_pool_specs[0].machine_spec.machine_type",
    ]


def test_an_image_that_is_not_there_fails_the_job(jobs: Any) -> None:
    body = spec("-c", "pass")
    body["jobSpec"]["workerPoolSpecs"][0]["containerSpec"]["imageUri"] = f"{REPOSITORY}/nothing:1"
    made = jobs.create(parent=PARENT, body=body).execute()
    assert "Failed to pull the image" in ended(jobs, made["name"])["error"]["message"]


@pytest.fixture
def vertex(emulator: Handle, credentials: Any) -> Iterator[Any]:
    point_aiplatform(emulator, credentials, staging_bucket="gs://custom-jobs")
    yield aiplatform
    aiplatform.initializer.global_config.__init__()


def test_the_projects_monitor_runs_on_what_vertex_logged(vertex: Any, jobs: Any, bucket: Any, tmp_path: Path) -> None:
    package = packed(tmp_path / "package")
    for file in [*package.files, "manifest.json"]:
        bucket.blob(f"packages/{file}").upload_from_filename(str(package.path / file))
    row = {
        "logging_time": datetime.now(UTC).isoformat(),
        "request_id": "1",
        "request_payload": [json.dumps(one) for one in package.examples["inputs"]],
        "response_payload": [json.dumps(one) for one in package.examples["predictions"]],
    }
    bucket.blob("exported/log.jsonl").upload_from_string(json.dumps(row))
    environment = {
        "MODELBERTH_CAPTURE": "gs://custom-jobs/exported/log.jsonl",
        "MODELBERTH_PACKAGE": "gs://custom-jobs/packages",
        "MODELBERTH_REPORTS": "gs://custom-jobs/reports",
        "MODELBERTH_ENDPOINT": "churn",
        "MODELBERTH_METRICS": "stdout:",
        "MODELBERTH_MINIMUM_ROWS": "1",
    }
    pool = {
        "machine_spec": {"machine_type": "n1-standard-4"},
        "replica_count": 1,
        "container_spec": {
            "image_uri": f"{REPOSITORY}/modelberth:0.1.0",
            "args": ["job", "monitor"],
            "env": [{"name": key, "value": value} for key, value in environment.items()],
        },
    }
    job = vertex.CustomJob(display_name="monitor", worker_pool_specs=[pool])
    job.submit(service_account="monitor@test-project.iam.gserviceaccount.com")
    found = ended(jobs, job.resource_name)
    assert found["state"] == "JOB_STATE_SUCCEEDED", found
    [report] = [one for one in bucket.list_blobs(prefix="reports/") if one.name.endswith("report.json")]
    assert json.loads(report.download_as_bytes())["rows"] == len(package.examples["inputs"])
