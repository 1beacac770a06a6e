"""Alerting policies: what they look at, when they fire, whom they tell, and the monitor behind them."""

import base64
import json
from typing import Any

import pulumi
import pytest
from modelberth import ModelDeployment, MonitoringAlarms, SpecificationError
from modelberth.platforms.vertex import alarms as platform
from modelberth.platforms.vertex.conditions import Target, condition
from modelberth.spec import AlarmsSpec
from modelberth.vocabulary import ALARMS

from model_packaging.package import Package
from tests.unit.components.cloud import LOCATION, PROJECT, Deployed
from tests.unit.components.google import IMAGE, KEY, deployment, google, model

POLICY, CHANNEL = "monitoring/alertPolicy:AlertPolicy", "monitoring/notificationChannel:NotificationChannel"
MEMBER = "storage/bucketIAMMember:BucketIAMMember"


def alarms(package: Package, **args: Any) -> Deployed:
    common = {"platform": "vertex", "endpoint_name": "shop-dev-churn-endpoint", "bucket": "gs://models", "image": IMAGE}
    common |= {"package": package, "model": "churn", "latency_p95": {"above": "200ms"}}
    return google(lambda: MonitoringAlarms("churn-alarms", common | args))


def wrong(package: Package, **args: Any) -> list[str]:
    with pytest.raises(SpecificationError) as caught:
        alarms(package, **args)
    return caught.value.problems


def threshold(deployed: Deployed, alarm: str) -> dict[str, Any]:
    (found,) = deployed.one(POLICY, f"churn-alarms-{alarm}").inputs["conditions"]
    assert found["displayName"] == alarm
    return found["conditionThreshold"]


def test_every_alarm_of_the_vocabulary_has_a_condition_or_a_gap(original: Package) -> None:
    target = Target("123", "churn", LOCATION, 4, 2**30)
    for name, kind in ALARMS.items():
        if name in platform.gaps_of("vertex"):
            continue
        rule = AlarmsSpec.model_validate({name: {kind.side: "1s" if kind.quantity == "duration" else 0.5}}).rules[name]
        found = condition(name, kind, rule, target)
        query = found.get("condition_prometheus_query_language")
        assert (query is not None) == kind.silence_breaches
        if query is None:
            assert len(found["condition_threshold"]["filter"]) <= 2048  # type: ignore


def test_the_slowest_of_several_models_counts(original: Package) -> None:
    deployed = deployment(original)
    number = deployed.one("vertex/aiEndpoint:AiEndpoint").inputs["name"]
    found = threshold(deployed, "latency_p95")
    assert found["filter"] == (
        'metric.type = "aiplatform.googleapis.com/prediction/online/prediction_latencies" AND '
        'resource.type = "aiplatform.googleapis.com/Endpoint" AND '
        f'resource.labels.endpoint_id = "{number}" AND resource.labels.location = "{LOCATION}" AND '
        'metric.labels.latency_type = "model"'
    )
    assert found["aggregations"] == [
        {
            "alignmentPeriod": "60s",
            "perSeriesAligner": "ALIGN_PERCENTILE_95",
            "crossSeriesReducer": "REDUCE_MAX",
        }
    ]
    # Two periods of a minute, in milliseconds.
    assert (found["comparison"], found["thresholdValue"], found["duration"]) == ("COMPARISON_GT", 200, "60s")
    assert found["evaluationMissingData"] == "EVALUATION_MISSING_DATA_INACTIVE"


def test_the_error_rate_is_a_share_of_all_answers(original: Package) -> None:
    found = threshold(deployment(original), "error_rate")
    assert 'metric.labels.response_code = "5xx"' in found["filter"]
    assert "response_code" not in found["denominatorFilter"]
    assert found["aggregations"] == found["denominatorAggregations"]
    assert found["thresholdValue"] == 0.01


def test_drift_keeps_its_verdict_in_silence(original: Package) -> None:
    deployed = deployment(original)
    found = threshold(deployed, "drift.psi")
    assert found["filter"] == (
        'metric.type = "custom.googleapis.com/modelberth/drift/psi" AND resource.type = "global" AND '
        'metric.labels.endpoint = "shop-dev-churn-endpoint"'
    )
    assert (found["duration"], "evaluationMissingData" in found) == ("0s", False)
    policy = deployed.one(POLICY, "churn-alarms-drift.psi")
    assert policy.inputs["alertStrategy"]["autoClose"] == "604800s"
    described = deployed.one("monitoring/metricDescriptor:MetricDescriptor", "churn-alarms-drift.psi-metric")
    assert described.inputs["type"] == "custom.googleapis.com/modelberth/drift/psi"
    assert described.urn in policy.request.dependencies
    assert described.request.retainOnDelete


def test_a_monitor_that_never_ran_is_noticed(original: Package) -> None:
    (found,) = deployment(original).one(POLICY, "churn-alarms-monitor.runs").inputs["conditions"]
    assert found["conditionPrometheusQueryLanguage"] == {
        "query": '(sum(sum_over_time(custom_googleapis_com:modelberth_monitor_runs{endpoint="shop-dev-churn-endpoint",'
        'monitored_resource="global"}[3600s])) or vector(0)) < 1',
        "duration": "3600s",
        "evaluationInterval": "60s",
        "disableMetricValidation": True,
    }


def test_silence_is_no_traffic(original: Package) -> None:
    (found,) = alarms(original, invocations={"below": 10}).one(POLICY, "churn-alarms-invocations").inputs["conditions"]
    query = found["conditionPrometheusQueryLanguage"]["query"]
    assert query.startswith("(sum(increase(aiplatform_googleapis_com:prediction_online_response_count{endpoint_id=")
    assert query.endswith("[300s])) or vector(0)) < 10")
    assert found["conditionPrometheusQueryLanguage"]["duration"] == "600s"


def test_machines_are_measured_against_what_they_have(original: Package) -> None:
    rules = {"cpu_utilization": {"above": "90%"}, "memory_utilization": {"above": "50%"}}
    sized = {"compute": {"cpu": 4, "memory": "16Gi"}}
    found = alarms(original, endpoint=sized, **rules)
    assert threshold(found, "cpu_utilization")["thresholdValue"] == pytest.approx(3.6)
    assert threshold(found, "memory_utilization")["thresholdValue"] == 8 * 2**30
    named = {"vertex": {"machine_type": "c3-highcpu-22"}}
    assert wrong(original, endpoint=named, **rules) == [
        "churn-alarms.cpu_utilization: what c3-highcpu-22 has is not known here, and Vertex AI counts 100% for each "
        "processor: set alarms.vertex.processors",
        "churn-alarms.memory_utilization: what c3-highcpu-22 has is not known here, and Vertex AI counts bytes: set "
        "alarms.vertex.memory",
    ]
    told = alarms(original, endpoint=named, vertex={"processors": 22, "memory": "44Gi"}, **rules)
    assert threshold(told, "cpu_utilization")["thresholdValue"] == pytest.approx(19.8)


def test_names_and_subscribers(original: Package) -> None:
    deployed = deployment(original)
    outputs = deployed.outputs[
        next(one.urn for one in deployed.made if one.type == "modelberth:index:MonitoringAlarms")
    ]
    assert outputs["names"] == {
        alarm: f"shop-dev-churn-alarms-{alarm.replace('.', '-').replace('_', '-')}"
        for alarm in ("latency_p95", "error_rate", "drift.psi", "monitor.runs")
    }
    assert outputs["dashboard_url"] == (
        "https://console.cloud.google.com/monitoring/dashboards/builder/churn-alarms-dashboard-id?project=acme-shop"
    )
    kinds = {one.name: (one.inputs["type"], one.inputs["labels"]) for one in deployed.of(CHANNEL)}
    assert kinds["churn-alarms-subscriber-1"] == ("email", {"email_address": "ml@example.org"})
    assert kinds["churn-alarms-subscriber-2"] == ("webhook_tokenauth", {"url": "https://example.org/hook"})
    policy = deployed.one(POLICY, "churn-alarms-error_rate").inputs
    assert policy["alertStrategy"]["notificationPrompts"] == ["OPENED", "CLOSED"]
    assert len(policy["notificationChannels"]) == 2
    assert policy["documentation"]["content"].startswith("shop-dev-churn-endpoint: share of requests that the model")


def test_the_drift_alarm_publishes_to_a_topic_of_its_name(original: Package) -> None:
    deployed = deployment(original)
    topic = deployed.one("pubsub/topic:Topic").inputs
    assert topic["name"] == "shop-dev-churn-alarms-drift-psi"
    publisher = deployed.one("pubsub/topicIAMMember:TopicIAMMember").inputs
    assert publisher["role"] == "roles/pubsub.publisher"
    assert publisher["member"] == (
        "serviceAccount:service-123456789@gcp-sa-monitoring-notification.iam.gserviceaccount.com"
    )
    channels = deployed.one(POLICY, "churn-alarms-drift.psi").inputs["notificationChannels"]
    assert len(channels) == 3


def test_the_monitor_runs_by_schedule_and_may_do_no_more_than_it_must(original: Package) -> None:
    deployed = deployment(original)
    job = deployed.one("cloudscheduler/job:Job", "churn-alarms-monitor-schedule").inputs
    assert (job["name"], job["schedule"], job["timeZone"]) == ("shop-dev-churn-alarms-monitor", "0 * * * *", "UTC")
    target = job["httpTarget"]
    assert target["uri"] == (
        f"https://{LOCATION}-aiplatform.googleapis.com/v1/projects/{PROJECT}/locations/{LOCATION}/customJobs"
    )
    starter = f"{deployed.one('serviceaccount/account:Account', 'churn-alarms-monitor-schedule').inputs['accountId']}"
    assert target["oauthToken"]["serviceAccountEmail"] == f"{starter}@{PROJECT}.iam.gserviceaccount.com"
    run = json.loads(base64.b64decode(target["body"]))
    (pool,) = run["jobSpec"]["workerPoolSpecs"]
    told = {one["name"]: one["value"] for one in pool["containerSpec"]["env"]}
    assert pool["containerSpec"]["command"] + pool["containerSpec"]["args"] == ["modelberth", "job", "monitor"]
    assert told["MODELBERTH_METRICS"] == f"cloudmonitoring:{PROJECT}"
    bucket = deployed.one("storage/bucket:Bucket").name + "-1a2b3c4"
    assert told["MODELBERTH_CAPTURE"] == f"gs://{bucket}/capture/shop-dev-churn-endpoint"
    assert told["MODELBERTH_ENDPOINT"] == "shop-dev-churn-endpoint"
    assert told["MODELBERTH_EXECUTION"] == "$(CLOUD_ML_JOB_ID)"
    assert run["displayName"] == "shop-dev-churn-alarms-monitor"
    rights = {one.name: one.inputs for one in deployed.of(MEMBER) if "monitor" in one.name}
    below = f'resource.name.startsWith("projects/_/buckets/{bucket}/objects/'
    assert rights["churn-alarms-monitor-writes"]["role"] == "roles/storage.objectUser"
    assert f'{below}monitoring/churn/")' in rights["churn-alarms-monitor-writes"]["condition"]["expression"]
    read = rights["churn-alarms-monitor-reads"]["condition"]["expression"].split(" || ")
    assert read[0] == 'resource.type == "storage.googleapis.com/Bucket"'
    assert read[1] == f'{below}capture/shop-dev-churn-endpoint/")'
    assert len(read) == 3
    granted = {one.inputs["role"] for one in deployed.of("projects/iAMMember:IAMMember")}
    role = deployed.one("projects/iAMCustomRole:IAMCustomRole").inputs
    assert role["permissions"] == ["aiplatform.customJobs.create"]
    assert "roles/monitoring.metricWriter" in granted
    assert not granted & {"roles/owner", "roles/editor", "roles/aiplatform.user", "roles/aiplatform.admin"}


def test_the_dashboard_shows_alarms_traffic_and_drift(original: Package) -> None:
    deployed = deployment(original)
    shown = deployed.one("monitoring/dashboard:Dashboard").json("dashboardJson")
    tiles = shown["mosaicLayout"]["tiles"]
    titles = [tile["widget"]["title"] for tile in tiles]
    assert titles[:2] == ["Alarm: drift.psi", "Alarm: error_rate"]
    assert "Drift (population stability index)" in titles
    assert len({(tile["xPos"], tile["yPos"]) for tile in tiles}) == len(tiles)
    assert all(tile["xPos"] + tile["width"] <= shown["mosaicLayout"]["columns"] for tile in tiles)
    quiet = deployment(original, alarms={"error_rate": {"above": "1%"}}, endpoint={})
    titles = [
        tile["widget"]["title"]
        for tile in quiet.one("monitoring/dashboard:Dashboard").json("dashboardJson")["mosaicLayout"]["tiles"]
    ]
    assert not any("Drift" in title for title in titles)
    assert quiet.of("cloudscheduler/job:Job") == []


def test_alarms_come_before_the_endpoint_that_they_watch(original: Package) -> None:
    deployed = deployment(original)
    rollout = deployed.one("vertex:DeployedModel").inputs["rollout"]
    assert rollout["alarms"] == ["shop-dev-churn-alarms-error-rate", "shop-dev-churn-alarms-latency-p95"]


def test_what_cloud_monitoring_cannot_do_is_told_at_once(original: Package) -> None:
    assert wrong(
        original,
        latency_p95={"above": "200ms", "period": "26h", "periods": 1},
        error_rate={"above": "1%", "period": "1h", "periods": 25},
        disk_utilization={"above": "90%"},
        notify=["http://example.org/hook"],
        encryption_key=KEY.replace(LOCATION, "us-central1"),
        vertex={"location": LOCATION},
        bucket="s3://models",
    ) == [
        "churn-alarms.bucket: 's3://models' is no bucket of Cloud Storage: write gs://<name>, such as the output url "
        "of ArtifactBucket",
        f"churn-alarms.encryption_key: '{KEY.replace(LOCATION, 'us-central1')}' lies in us-central1, but what it would "
        f"encrypt lies in {LOCATION}: use a key there",
        "churn-alarms.notify.0: 'http://example.org/hook' is not encrypted in transit, and Cloud Monitoring calls no "
        "such address: write https://…",
        "churn-alarms.latency_p95.period: Cloud Monitoring takes periods of at most 25h",
        "churn-alarms.error_rate.periods: 25 periods look back longer than Cloud Monitoring does, 23h 30m beyond the "
        "first",
        "churn-alarms.disk_utilization: vertex can't measure how full the disks of the replicas are: Vertex AI "
        "publishes no metric of a replica's disk (Google Cloud metrics, aiplatform): leave it out; sagemaker can",
    ]
    (problem,) = wrong(original, monitor={"vertex": {"disk_gb": 10}})
    assert problem == "churn-alarms.monitor.vertex.disk_gb: 10 is out of range: must be at least 100"


@pytest.mark.parametrize(
    ("errors", "again"),
    [
        (['Cannot find metric that matches type = "custom.googleapis.com/modelberth/drift/psi"'], True),
        (["Permission denied"], False),
        (["Cannot find metric that matches type"] * 13, False),
    ],
)
def test_a_policy_waits_until_its_metric_is_known(
    errors: list[str], again: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []
    monkeypatch.setattr(platform.time, "sleep", slept.append)
    monkeypatch.setattr(pulumi.log, "info", lambda text: None)
    arguments: Any = type("Arguments", (), {"errors": errors, "name": "drift"})()
    assert platform.wait_for_descriptors(arguments) is again
    assert len(slept) == again


def test_two_models_stand_side_by_side(original: Package) -> None:
    def both() -> None:
        for name in ("churn", "fraud"):
            ModelDeployment(name, model(original))

    made = google(both)
    for kind in (POLICY, "serviceaccount/account:Account", "cloudscheduler/job:Job", "vertex/aiEndpoint:AiEndpoint"):
        own = [
            one.inputs.get("name") or one.inputs.get("accountId") or one.inputs["displayName"] for one in made.of(kind)
        ]
        assert len(own) == len(set(own)) > 1
    for account in made.of("serviceaccount/account:Account"):
        assert 6 <= len(account.inputs["accountId"]) <= 30
