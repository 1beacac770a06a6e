"""Retraining on Kubernetes: a CronJob, the settings of its runs, and what else starts one."""

import json
from pathlib import Path
from typing import Any

import pytest
from modelberth import RetrainingSchedule, SpecificationError

from model_packaging.jobs.retrain_settings import read
from model_packaging.package import Package
from tests.unit.components.cloud import Deployed
from tests.unit.components.cluster import IMAGE, WATCHED, planned, variables


def retraining(source: Path, **args: Any) -> Deployed:
    common = {"platform": "kubernetes", "image": IMAGE, "bucket": "s3://models", "model": "churn"}
    schedule = {"schedule": "0 3 * * 1", "timezone": "Europe/Prague", "source": source, "entrypoint": "train.py"}
    return planned(lambda: RetrainingSchedule("churn", common | schedule | args))


def container(deployed: Deployed, name: str = "churn") -> dict[str, Any]:
    spec = deployed.one("batch/v1:CronJob", name).inputs["spec"]["jobTemplate"]["spec"]
    return spec["template"]["spec"]["containers"][0]


def test_the_schedule_in_its_time_zone_never_twice_at_once(source: Path) -> None:
    deployed = retraining(source, timeout="2h")
    spec = deployed.one("batch/v1:CronJob").inputs["spec"]
    assert (spec["schedule"], spec["timeZone"], spec["concurrencyPolicy"]) == ("0 3 * * 1", "Europe/Prague", "Forbid")
    assert spec["successfulJobsHistoryLimit"] == spec["failedJobsHistoryLimit"] == 3
    assert spec["startingDeadlineSeconds"] == 3600
    job = spec["jobTemplate"]["spec"]
    # The script's own time, and an hour for what comes before and after it.
    assert job["activeDeadlineSeconds"] == 3 * 3600
    assert job["backoffLimit"] == 0
    (own,) = [one for one in deployed.outputs.values() if "schedule_name" in one]
    assert own["schedule_name"] == own["job_name"] == "shop-dev-churn"


def test_the_settings_are_those_that_the_command_reads(source: Path, original: Package) -> None:
    deployed = retraining(
        source,
        data=source / "data",
        champion=original,
        gate={"metrics": {"accuracy": {"min": 0.5}}, "max_age": "30d"},
        parameters={"depth": 3},
        timeout="90m",
        compute={"cpu": 4, "memory": "8Gi"},
    )
    run = container(deployed)
    assert [*run["command"], *run["args"]] == ["modelberth", "retrain"]
    assert run["resources"]["requests"]["cpu"] == "4000m"
    document = json.loads(variables(run)["MODELBERTH_RETRAIN"])
    assert document.pop("source").startswith("s3://models/sources/churn/")
    assert document.pop("data").startswith("s3://models/data/churn/")
    assert document.pop("champion").endswith(f"@{original.digest}")
    assert document == {
        "model": "churn",
        "entrypoint": "train.py",
        "bucket": "s3://models",
        "gate": {"metrics": {"accuracy": {"min": 0.5}}, "max_age": "30d"},
        "parameters": {"depth": 3},
        "timeout_seconds": 5400,
    }
    settings = read({}, variables(run))
    assert (settings.model, settings.parameters, settings.timeout_seconds) == ("churn", {"depth": 3}, 5400)


def test_a_run_knows_its_own_name(source: Path) -> None:
    (own,) = [one for one in container(retraining(source))["env"] if one["name"] == "MODELBERTH_EXECUTION"]
    assert own["valueFrom"]["fieldRef"]["fieldPath"] == "metadata.labels['batch.kubernetes.io/job-name']"


def test_another_source_is_another_address(source: Path) -> None:
    before = variables(container(retraining(source)))["MODELBERTH_RETRAIN"]
    again = variables(container(retraining(source)))["MODELBERTH_RETRAIN"]
    (source / "more.py").write_text("more")
    after = variables(container(retraining(source)))["MODELBERTH_RETRAIN"]
    (source / "more.py").unlink()
    assert before == again != after


def test_drift_starts_it_too(source: Path) -> None:
    deployed = retraining(source, on=["drift"], drift_alarm="churn-drift", kubernetes=WATCHED)
    run = container(deployed, "churn-drift")
    assert run["args"] == ["start-on-alarm"]
    assert variables(run) == {
        "MODELBERTH_ALARM": "churn-drift",
        "MODELBERTH_CRON_JOB": "shop-dev-churn",
        "MODELBERTH_PROMETHEUS": "http://prometheus.monitoring.svc:9090",
    }
    assert "envFrom" not in run
    assert deployed.one("batch/v1:CronJob", "churn-drift").inputs["spec"]["schedule"] == "* * * * *"
    assert deployed.one("rbac.authorization.k8s.io/v1:Role").inputs["rules"] == [
        {"apiGroups": ["batch"], "resources": ["cronjobs"], "resourceNames": ["shop-dev-churn"], "verbs": ["get"]},
        {"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["create"]},
    ]
    policy = deployed.one("networking.k8s.io/v1:NetworkPolicy", "churn-drift-traffic").inputs["spec"]
    assert {port["port"] for port in policy["egress"][1]["ports"]} == {443, 6443, 9090, 16443}


def test_without_drift_nobody_looks(source: Path) -> None:
    deployed = retraining(source)
    assert len(deployed.of("batch/v1:CronJob")) == 1
    assert deployed.of("rbac.authorization.k8s.io/v1:Role") == []


def test_what_a_cron_job_cannot_do(source: Path) -> None:
    with pytest.raises(SpecificationError) as caught:
        retraining(source, flexible_window="1h", timeout="1500ms", on=["drift"], drift_alarm="x")
    assert caught.value.problems == [
        "churn.flexible_window: kubernetes can't start a scheduled run later than it is due: a CronJob starts when it "
        'is due (Kubernetes documentation, "CronJob"): leave it out; sagemaker can',
        "churn.timeout: Kubernetes counts in whole seconds, at least 1s",
        "churn.kubernetes.prometheus_url: is missing: on has drift, and it is Prometheus that knows when the alarm "
        "fires; write its address as pods reach it",
    ]
