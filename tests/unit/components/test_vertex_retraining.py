"""Retraining on Vertex AI: what the schedule posts, what drift starts, who may do what, and what is refused."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from modelberth import RetrainingSchedule, SpecificationError

from model_packaging.jobs import retrain_settings
from model_packaging.package import Package
from tests.unit.components.cloud import LOCATION, PROJECT, Deployed
from tests.unit.components.google import IMAGE, KEY, google

JOB = "cloudscheduler/job:Job"


def retraining(source: Path, **args: Any) -> Deployed:
    common: dict[str, Any] = {"platform": "vertex", "bucket": "gs://models", "model": "churn", "image": IMAGE}
    common |= {"schedule": "0 3 * * 1", "timezone": "Europe/Prague", "source": source, "entrypoint": "train.py"}
    common |= {"data": source / "data"}
    return google(lambda: RetrainingSchedule("churn", common | args))


def wrong(source: Path, **args: Any) -> list[str]:
    with pytest.raises(SpecificationError) as caught:
        retraining(source, **args)
    return caught.value.problems


def run(deployed: Deployed) -> dict[str, Any]:
    return json.loads(base64.b64decode(deployed.one(JOB).inputs["httpTarget"]["body"]))


def test_the_schedule_posts_a_custom_job(source: Path, original: Package) -> None:
    deployed = retraining(source, champion=original, parameters={"note": "${x}"}, encryption_key=KEY)
    job = deployed.one(JOB).inputs
    assert (job["name"], job["schedule"], job["timeZone"]) == ("shop-dev-churn", "0 3 * * 1", "Europe/Prague")
    found = run(deployed)
    (pool,) = found["jobSpec"]["workerPoolSpecs"]
    assert pool["machineSpec"] == {"machineType": "n1-standard-4"}
    assert (pool["replicaCount"], pool["containerSpec"]["imageUri"]) == ("1", IMAGE)
    assert [*pool["containerSpec"]["command"], *pool["containerSpec"]["args"]] == ["modelberth", "retrain"]
    assert found["jobSpec"]["scheduling"] == {"timeout": "18000s"}
    assert found["encryptionSpec"] == {"kmsKeyName": KEY}
    told = {one["name"]: one["value"] for one in pool["containerSpec"]["env"]}
    settings = json.loads(told["MODELBERTH_RETRAIN"])
    digest = original.digest.removeprefix("sha256:")
    assert settings["champion"] == f"gs://models/packages/churn/{digest}"
    assert settings["source"].startswith("gs://models/sources/churn/")
    assert settings["data"].startswith("gs://models/data/churn/")
    assert settings["parameters"] == {"note": "${x}"}
    # The program itself takes them.
    assert retrain_settings.read({}, told).bucket == "gs://models"
    outputs = deployed.outputs[
        next(one.urn for one in deployed.made if one.type == "modelberth:index:RetrainingSchedule")
    ]
    assert outputs == {"schedule_name": "shop-dev-churn", "job_name": "shop-dev-churn"}


def test_sources_and_data_are_kept_by_content(source: Path) -> None:
    objects = retraining(source).of("storage/bucketObject:BucketObject")
    keys = sorted(one.inputs["name"].split("/", 3)[-1] for one in objects)
    assert keys == ["lib/features.py", "rows.csv", "train.py"]
    assert all(one.request.retainOnDelete for one in objects)


def test_the_account_that_trains_may_do_no_more_than_it_must(source: Path, original: Package) -> None:
    deployed = retraining(source, champion=original)
    rights = {one.name: one.inputs for one in deployed.of("storage/bucketIAMMember:BucketIAMMember")}
    below = 'resource.name.startsWith("projects/_/buckets/models/objects/'
    written = rights["churn-writes"]["condition"]["expression"].split(" || ")[1:]
    assert written == [f'{below}packages/churn/")', f'{below}candidates/churn/")']
    assert rights["churn-writes"]["role"] == "roles/storage.objectUser"
    assert rights["churn-reads"]["role"] == "roles/storage.objectViewer"
    accounts = {one.name: one.inputs["accountId"] for one in deployed.of("serviceaccount/account:Account")}
    assert len(set(accounts.values())) == 2
    assert run(deployed)["jobSpec"]["serviceAccount"] == f"{accounts['churn-job']}@{PROJECT}.iam.gserviceaccount.com"
    (acting,) = deployed.of("serviceaccount/iAMMember:IAMMember")
    assert acting.inputs["role"] == "roles/iam.serviceAccountUser"
    assert accounts["churn-job"] in acting.inputs["serviceAccountId"]
    assert accounts["churn-schedule"] in acting.inputs["member"]


def test_drift_starts_the_same_run_by_a_workflow(source: Path) -> None:
    alarm = "shop-dev-churn-alarms-drift-psi"
    deployed = retraining(source, on=["drift"], drift_alarm=alarm)
    trigger = deployed.one("eventarc/trigger:Trigger").inputs
    workflow = deployed.one("workflows/workflow:Workflow")
    assert trigger["transport"] == {"pubsub": {"topic": f"projects/{PROJECT}/topics/{alarm}"}}
    assert trigger["matchingCriterias"] == [
        {"attribute": "type", "value": "google.cloud.pubsub.topic.v1.messagePublished"}
    ]
    assert trigger["destination"] == {"workflow": f"{workflow.name}-id"}
    steps = {name: step for one in workflow.json("sourceContents")["main"]["steps"] for name, step in one.items()}
    encoded = next(one["job"] for one in steps["read"]["assign"] if "job" in one)
    assert json.loads(base64.b64decode(encoded)) == run(deployed)
    call = steps["start"]["try"]["args"]
    assert call["url"] == deployed.one(JOB).inputs["httpTarget"]["uri"]
    # Nothing of the run is taken for an expression.
    assert "$" not in encoded
    granted = {one.inputs["role"] for one in deployed.of("projects/iAMMember:IAMMember")}
    assert {"roles/workflows.invoker", "roles/eventarc.eventReceiver"} <= granted
    assert retraining(source).of("eventarc/trigger:Trigger") == []


def test_what_vertex_cannot_do_is_told_at_once(source: Path) -> None:
    assert wrong(
        source,
        flexible_window="10m",
        timeout="200h",
        image="ghcr.io/acme/modelberth:1",
        compute={"cpu": 400},
        vertex={"location": LOCATION},
    ) == [
        "churn.image: 'ghcr.io/acme/modelberth:1' lies in a registry that Vertex AI cannot read: push it to Artifact "
        "Registry, <region>-docker.pkg.dev/<project>/<repository>/…",
        "churn.flexible_window: vertex can't start a scheduled run later than it is due: Cloud Scheduler starts a job "
        "when it is due (REST reference, projects.locations.jobs): leave it out; sagemaker can",
        "churn.timeout: Vertex AI ends a custom job after 7 days: write at most 167h",
        "churn.compute: no machine of Vertex AI has 400 processors and 2Gi of memory: the largest, n2-highmem-96, has "
        "96 and 768Gi",
    ]
