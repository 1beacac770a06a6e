"""Alarms on SageMaker: what is measured, in which units, whom they tell, and the monitor behind them.

Metrics, dimensions and units: "Monitor Amazon SageMaker AI with Amazon CloudWatch", SageMaker Developer Guide.
"""

from typing import Any

import pulumi_aws as aws
import pytest
from modelberth import MonitoringAlarms, SpecificationError
from modelberth.vocabulary import ALARMS

from model_packaging.package import Package
from tests.unit.components.cloud import ACCOUNT, IMAGE, Deployed, Made, deploy

THRESHOLDS = {"duration": "200ms", "share": "5%", "count": 3, "number": 0.2}
BINARY = {name: kind for name, kind in ALARMS.items() if "binary" in kind.text.tasks}
"""Those of a model of two classes, such as the tests' package."""
RULES: dict[str, Any] = {name: {kind.side: THRESHOLDS[kind.quantity]} for name, kind in BINARY.items()}
VARIANTS = {"primary": {"weight": 90}, "next": {"package": "x", "weight": 10}}


def alarms(package: Package, **args: Any) -> Deployed:
    common = {"platform": "sagemaker", "package": package, "image": IMAGE, "bucket": "s3://shop-artifacts"}
    return deploy(lambda: MonitoringAlarms("churn", common | {"endpoint_name": "churn-live", "model": "churn"} | args))


def alarm(deployed: Deployed, name: str) -> Made:
    return deployed.one("cloudwatch/metricAlarm:MetricAlarm", f"churn-{name}")


@pytest.fixture(scope="module")
def cached() -> dict[str, Deployed]:
    return {}


@pytest.fixture
def every(original: Package, cached: dict[str, Deployed]) -> Deployed:
    if "every" not in cached:
        notify = ["mailto:ml@example.org", "https://hooks.example.org/x"]
        cached["every"] = alarms(original, **RULES, notify=notify)
    return cached["every"]


def test_every_alarm_of_the_vocabulary_is_there(every: Deployed) -> None:
    made = {one.name.removeprefix("churn-") for one in every.of("cloudwatch/metricAlarm:MetricAlarm")}
    assert made == set(BINARY)


@pytest.mark.parametrize(
    ("name", "namespace", "metric", "statistic", "threshold", "missing"),
    [
        # ModelLatency is in microseconds.
        ("latency_p95", "AWS/SageMaker", "ModelLatency", "p95", 200_000, "notBreaching"),
        ("latency_p99", "AWS/SageMaker", "ModelLatency", "p99", 200_000, "notBreaching"),
        ("invocations", "AWS/SageMaker", "Invocations", "Sum", 3, "breaching"),
        # CPUUtilization is 100 for each processor; the machine, ml.c5.large, has two.
        ("cpu_utilization", "/aws/sagemaker/Endpoints", "CPUUtilization", "Average", 10, "missing"),
        ("memory_utilization", "/aws/sagemaker/Endpoints", "MemoryUtilization", "Average", 5, "missing"),
        ("disk_utilization", "/aws/sagemaker/Endpoints", "DiskUtilization", "Average", 5, "missing"),
    ],
)
def test_what_the_endpoint_measures(
    name: str, namespace: str, metric: str, statistic: str, threshold: float, missing: str, every: Deployed
) -> None:
    made = alarm(every, name).inputs
    assert (made["namespace"], made["metricName"]) == (namespace, metric)
    assert made.get("statistic", made.get("extendedStatistic")) == statistic
    assert ("extendedStatistic" in made) == statistic.startswith("p")
    assert made["dimensions"] == {"EndpointName": "churn-live", "VariantName": "primary"}
    assert made["threshold"] == pytest.approx(threshold)
    assert made["treatMissingData"] == missing
    assert made["period"] == ALARMS[name].period.total_seconds()
    assert made["evaluationPeriods"] == made["datapointsToAlarm"] == ALARMS[name].periods


MEASURED = sorted(name for name, kind in BINARY.items() if kind.source == "monitor" and name != "monitor.runs")


@pytest.mark.parametrize("name", MEASURED)
def test_what_the_monitor_measures(name: str, every: Deployed) -> None:
    made = alarm(every, name).inputs
    worst = {"above": "Maximum", "below": "Minimum"}[BINARY[name].side]
    assert (made["namespace"], made["metricName"], made["statistic"]) == ("modelberth", name, worst)
    assert made["dimensions"] == {"EndpointName": "churn-live"}
    assert made["threshold"] == pytest.approx({"share": 0.05, "number": 0.2}[ALARMS[name].quantity])
    assert (made["period"], made["treatMissingData"]) == (3600, "ignore")


def test_the_error_rate_is_a_share_of_all_requests(every: Deployed) -> None:
    made = alarm(every, "error_rate").inputs
    assert (made["threshold"], made["treatMissingData"]) == (0.05, "notBreaching")
    answer, *queries = made["metricQueries"]
    assert (answer["expression"], answer["returnData"]) == ("SUM([m1]) / SUM([n1])", True)
    dimensions = {"EndpointName": "churn-live", "VariantName": "primary"}
    common = {"namespace": "AWS/SageMaker", "dimensions": dimensions, "period": 60, "stat": "Sum"}
    assert {query["id"]: query["metric"] for query in queries} == {
        "m1": common | {"metricName": "Invocation5XXErrors"},
        "n1": common | {"metricName": "Invocations"},
    }
    assert not any(query.get("returnData") for query in queries)


def test_all_variants_count(original: Package) -> None:
    deployed = alarms(original, **RULES, endpoint={"variants": VARIANTS})
    expressions = {
        name: alarm(deployed, name).inputs["metricQueries"][0]["expression"]
        for name in ("latency_p95", "error_rate", "invocations", "cpu_utilization")
    }
    assert expressions == {
        "latency_p95": "MAX([m1, m2])",
        "error_rate": "SUM([m1, m2]) / SUM([n1, n2])",
        "invocations": "SUM([m1, m2])",
        "cpu_utilization": "MAX([m1, m2])",
    }
    for name in expressions:
        variants = [
            query["metric"]["dimensions"]["VariantName"]
            for query in alarm(deployed, name).inputs["metricQueries"]
            if "metric" in query
        ]
        assert set(variants) == {"primary", "next"}
    assert alarm(deployed, "drift.psi").inputs["dimensions"] == {"EndpointName": "churn-live"}


def test_every_alarm_tells_the_topic_and_says_what_to_do(every: Deployed) -> None:
    topic = f"arn:aws:sns:eu-central-1:{ACCOUNT}:topic/shop-dev-churn"
    for made in every.of("cloudwatch/metricAlarm:MetricAlarm"):
        kind = ALARMS[made.name.removeprefix("churn-")]
        assert made.inputs["alarmActions"] == made.inputs["okActions"] == [topic]
        assert made.inputs.get("actionsEnabled", True)
        assert made.inputs["alarmDescription"].startswith(f"churn-live: {kind.description} {kind.side} ")
        assert made.inputs["alarmDescription"].endswith(kind.action)
        sides = {"above": "GreaterThanThreshold", "below": "LessThanThreshold"}
        assert made.inputs["comparisonOperator"] == sides[kind.side]


def test_periods_may_be_chosen(original: Package) -> None:
    made = alarm(alarms(original, error_rate={"above": "2%", "period": "5m", "periods": 3}), "error_rate").inputs
    assert (made["evaluationPeriods"], made["metricQueries"][1]["metric"]["period"]) == (3, 300)


def test_processors_are_those_of_the_machine(original: Package) -> None:
    rule = {"cpu_utilization": {"above": "90%"}}
    options = {"sagemaker": {"instance_type": "ml.m5.2xlarge"}}
    assert alarm(alarms(original, **rule, endpoint=options), "cpu_utilization").inputs["threshold"] == 720
    options = {"sagemaker": {"instance_type": "ml.g5.xlarge"}}
    with pytest.raises(SpecificationError) as caught:
        alarms(original, **rule, endpoint=options)
    assert caught.value.problems == [
        "churn.cpu_utilization: how many processors ml.g5.xlarge has is not known here, and CloudWatch counts 100% for "
        "each: set alarms.sagemaker.processors"
    ]
    known = alarms(original, **rule, endpoint=options, sagemaker={"processors": 4})
    assert alarm(known, "cpu_utilization").inputs["threshold"] == 360


def test_people_and_programs_are_told(every: Deployed) -> None:
    subscribers = every.of("sns/topicSubscription:TopicSubscription")
    assert [(one.inputs["protocol"], one.inputs["endpoint"]) for one in subscribers] == [
        ("email", "ml@example.org"),
        ("https", "https://hooks.example.org/x"),
    ]


def test_an_address_may_be_another_resources_output(original: Package) -> None:
    def program() -> None:
        hook = aws.lambda_.FunctionUrl("hook", authorization_type="NONE", function_name="hook").function_arn
        address = hook.apply(lambda _: "https://hooks.example.org/y")
        args = {"platform": "sagemaker", "image": IMAGE, "bucket": "s3://b", "endpoint_name": "e", "model": "churn"}
        MonitoringAlarms("churn", args | {"notify": [address]})

    preview = deploy(program, preview=True)
    assert len(preview.of("sns/topicSubscription:TopicSubscription")) == 1


def test_the_dashboard_shows_every_alarm(every: Deployed) -> None:
    body = every.one("cloudwatch/dashboard:Dashboard").json("dashboardBody")
    states, *graphs = body["widgets"]
    assert states["type"] == "alarm"
    assert set(states["properties"]["alarms"]) == {
        f"arn:aws:cloudwatch:eu-central-1:{ACCOUNT}:metricAlarm/{one.inputs['name']}"
        for one in every.of("cloudwatch/metricAlarm:MetricAlarm")
    }
    shown = {metric[1] for graph in graphs for metric in graph["properties"]["metrics"]}
    assert shown >= {"ModelLatency", "Invocations", "Invocation5XXErrors", "CPUUtilization", "drift.psi"}
    assert all(graph["properties"]["region"] == "eu-central-1" for graph in graphs)
    places = [(graph["x"], graph["y"]) for graph in body["widgets"]]
    assert len(set(places)) == len(places)


def test_the_topic_takes_alarms_of_this_account_over_tls_only(every: Deployed) -> None:
    publish, refuse = every.one("sns/topicPolicy:TopicPolicy").json("policy")["Statement"]
    assert publish["Principal"] == {"Service": "cloudwatch.amazonaws.com"}
    assert publish["Condition"] == {
        "StringEquals": {"aws:SourceAccount": ACCOUNT},
        "ArnLike": {"aws:SourceArn": f"arn:aws:cloudwatch:eu-central-1:{ACCOUNT}:alarm:*"},
    }
    assert (refuse["Effect"], refuse["Condition"]) == ("Deny", {"Bool": {"aws:SecureTransport": "false"}})


def test_the_monitor_runs_by_schedule(original: Package) -> None:
    deployed = alarms(original, **{"drift.psi": {"above": 0.2}}, monitor={"schedule": "*/30 * * * *", "window": "36h"})
    assert deployed.one("scheduler/schedule:Schedule").inputs["scheduleExpression"] == "cron(0,30 * * * ? *)"
    (step,) = deployed.one("sagemaker/pipeline:Pipeline").json("pipelineDefinition")["Steps"]
    assert step["Arguments"]["AppSpecification"] == {
        "ImageUri": IMAGE,
        "ContainerEntrypoint": ["modelberth"],
        "ContainerArguments": ["job", "monitor"],
    }
    assert step["Arguments"]["Environment"] == {
        "MODELBERTH_CAPTURE": "s3://shop-artifacts/capture/churn-live",
        "MODELBERTH_PACKAGE": f"s3://shop-artifacts/packages/churn/{original.digest.removeprefix('sha256:')}",
        "MODELBERTH_REPORTS": "s3://shop-artifacts/monitoring/churn",
        "MODELBERTH_METRICS": "cloudwatch:modelberth",
        "MODELBERTH_ENDPOINT": "churn-live",
        "MODELBERTH_WINDOW_HOURS": "36",
    }


def test_where_an_alarm_needs_labels_they_are_looked_for(original: Package) -> None:
    deployed = alarms(original, accuracy={"below": 0.9}, monitor={"label_delay": "3d"})
    (step,) = deployed.one("sagemaker/pipeline:Pipeline").json("pipelineDefinition")["Steps"]
    found = {key: value for key, value in step["Arguments"]["Environment"].items() if "LABEL" in key}
    assert found == {
        "MODELBERTH_LABELS": "s3://shop-artifacts/labels/churn",
        "MODELBERTH_LABEL_DELAY_HOURS": "72",
    }
    policies = [
        one.json("policy") for one in deployed.of("iam/rolePolicy:RolePolicy") if "capture" in one.inputs["policy"]
    ]
    (read,) = [one["Resource"] for one in policies[0]["Statement"] if one["Sid"] == "ReadObjects"]
    assert {one.partition(":::shop-artifacts/")[2] for one in read} >= {"labels/churn/*", "monitoring/churn/labels/*"}
    made = alarm(deployed, "accuracy").inputs
    assert (made["comparisonOperator"], made["threshold"]) == ("LessThanThreshold", 0.9)


def test_an_alarm_that_is_not_measured_of_such_a_model_is_refused(original: Package) -> None:
    with pytest.raises(SpecificationError) as caught:
        alarms(original, f1_macro={"below": 0.9}, r2={"below": 0.5})
    assert [problem.partition(", which")[0] for problem in caught.value.problems] == [
        "churn.f1_macro: is not measured of a model of two classes",
        "churn.r2: is not measured of a model of two classes",
    ]
    assert "accuracy, precision, recall, f1, " in caught.value.problems[0]


def test_the_silence_of_the_monitor_is_a_breach(original: Package) -> None:
    made = alarm(alarms(original, **{"monitor.runs": {"below": 1}}), "monitor.runs").inputs
    assert (made["namespace"], made["metricName"], made["statistic"]) == ("modelberth", "monitor.runs", "Sum")
    assert (made["treatMissingData"], made["comparisonOperator"], made["threshold"]) == (
        "breaching", "LessThanThreshold", 1,
    )  # fmt: skip
    assert (made["period"], made["evaluationPeriods"], made["datapointsToAlarm"]) == (3600, 2, 2)


@pytest.mark.parametrize(
    ("schedule", "rule", "gap"),
    [
        ("0 3 * * *", {"below": 1}, "1d"),
        ("0 3 * * *", {"below": 1, "period": "1d", "periods": 1}, "1d"),
        ("0 9 * * 1-5", {"below": 1, "period": "1d", "periods": 3}, "3d"),
    ],
)
def test_the_alarm_on_silence_must_span_the_schedule(
    schedule: str, rule: dict[str, Any], gap: str, original: Package
) -> None:
    with pytest.raises(SpecificationError, match=rf"^churn\.monitor\.runs: looks back .* leaves up to {gap} between"):
        alarms(original, **{"monitor.runs": rule}, monitor={"schedule": schedule})
    longer = rule | {"period": "1d", "periods": 4}
    assert alarm(alarms(original, **{"monitor.runs": longer}, monitor={"schedule": schedule}), "monitor.runs")


def test_without_drift_or_data_alarms_there_is_no_monitor(original: Package) -> None:
    deployed = alarms(original, error_rate={"above": "1%"})
    assert deployed.of("sagemaker/pipeline:Pipeline") == deployed.of("scheduler/schedule:Schedule") == []


def test_longer_than_cloudwatch_looks_back(original: Package) -> None:
    with pytest.raises(SpecificationError, match=r"^churn\.error_rate\.periods: 2000 periods are longer"):
        alarms(original, error_rate={"above": "1%", "periods": 2000})
