"""How many replicas run: KEDA's ScaledObject in place of the autoscaler, down to none where something wakes it."""

from typing import Any

from model_packaging.jobs.rollout import Settings
from model_packaging.package import Package
from tests.unit.components.cluster import WATCHED, variables
from tests.unit.components.test_kubernetes_endpoint import endpoint, wrong

KEDA = {"autoscaler": "keda", "prometheus_url": "http://prometheus.monitoring.svc:9090/"}
WAKES = {
    "type": "prometheus",
    "metadata": {"serverAddress": "http://prometheus.monitoring.svc:9090", "query": "asked", "threshold": 5},
}


def scaled_object(package: Package, **args: Any) -> dict[str, Any]:
    return endpoint(package, **args).one("keda.sh/v1alpha1:ScaledObject").inputs


def test_keda_takes_the_place_of_the_autoscaler(original: Package) -> None:
    scale = {"min": 2, "max": 5, "requests_per_replica": 600}
    made = endpoint(original, scale=scale, kubernetes=KEDA | {"cpu_target": 60})

    assert made.of("autoscaling/v2:HorizontalPodAutoscaler") == []
    scaler = made.one("keda.sh/v1alpha1:ScaledObject")
    deployment = made.one("apps/v1:Deployment").inputs["metadata"]["name"]
    # By this name the rollout holds it.
    assert scaler.inputs["metadata"]["name"] == deployment
    spec = scaler.inputs["spec"]
    assert spec["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "Deployment", "name": deployment}
    assert (spec["minReplicaCount"], spec["maxReplicaCount"]) == (2, 5)
    assert spec["triggers"] == [
        {"type": "cpu", "metricType": "Utilization", "metadata": {"value": "60"}},
        {
            "type": "prometheus",
            "metadata": {
                "serverAddress": "http://prometheus.monitoring.svc:9090",
                "query": '60 * sum(rate(modelberth_requests_total{app_kubernetes_io_instance="shop-dev-churn"}[2m]))',
                "threshold": "600",
            },
        },
    ]
    # KEDA warns of both where the last replica always stays.
    assert not spec.keys() & {"cooldownPeriod", "initialCooldownPeriod", "pollingInterval"}
    assert scaler.inputs["metadata"]["annotations"]["pulumi.com/waitFor"] == "condition=Ready"
    assert made.one("batch/v1:Job").urn in scaler.request.dependencies


def test_down_to_none_where_something_wakes_it(original: Package) -> None:
    scale = {"min": 0, "max": 3}
    made = endpoint(original, scale=scale, kubernetes=KEDA | {"triggers": [WAKES]})

    spec = made.one("keda.sh/v1alpha1:ScaledObject").inputs["spec"]
    assert spec["minReplicaCount"] == 0
    assert spec["cooldownPeriod"] == spec["initialCooldownPeriod"] == 300
    assert spec["triggers"][-1] == {"type": "prometheus", "metadata": WAKES["metadata"] | {"threshold": "5"}}
    # The rollout still has to show that the package serves.
    (container,) = made.one("batch/v1:Job").inputs["spec"]["template"]["spec"]["containers"]
    settings = Settings.from_environment(variables(container))
    assert (settings.replicas, settings.keda) == (1, True)


def test_the_rollout_may_hold_keda_and_only_where_it_scales(original: Package) -> None:
    def rules(**args: Any) -> list[Any]:
        return endpoint(original, **args).one("rbac.authorization.k8s.io/v1:Role").inputs["rules"]

    held = {"apiGroups": ["keda.sh"], "resources": ["scaledobjects"], "verbs": ["patch"]}
    assert held in rules(scale={"max": 2}, kubernetes=KEDA)
    assert not any("keda.sh" in rule["apiGroups"] for rule in rules(scale={"max": 2}))


def test_another_autoscaler_is_another_deployment(original: Package) -> None:
    """KEDA refuses a Deployment that a HorizontalPodAutoscaler has."""
    names = {
        endpoint(original, scale={"max": 2}, kubernetes=options).one("apps/v1:Deployment").name
        for options in (KEDA, {}, KEDA | {"cpu_target": 50})
    }
    assert len(names) == 2


def test_what_scaling_needs(original: Package) -> None:
    assert wrong(original, scale={"min": 1, "max": 2, "requests_per_replica": 10}) == [
        "churn.scale.requests_per_replica: a HorizontalPodAutoscaler knows the use of processors, and no requests: "
        "write churn.kubernetes.autoscaler: keda where KEDA is installed, or leave it out and set cpu_target"
    ]
    assert wrong(original, scale={"min": 0, "max": 2}) == [
        "churn.scale.min: a HorizontalPodAutoscaler keeps at least one replica: write churn.kubernetes.autoscaler: "
        "keda where KEDA is installed, or at least 1"
    ]
    sleeps = [
        "churn.kubernetes.triggers: is missing: with scale.min: 0 nobody counts requests while no replica runs; write "
        "one that is seen then, such as requests at the ingress controller by a prometheus query, or KEDA's HTTP "
        "add-on by external-push; or scale.min: 1"
    ]
    assert wrong(original, scale={"min": 0, "max": 2}, kubernetes=KEDA) == sleeps
    memory = {"triggers": [{"type": "memory", "metadata": {"value": 60}}]}
    assert wrong(original, scale={"min": 0, "max": 2}, kubernetes=KEDA | memory) == sleeps
    assert wrong(original, scale={"max": 2}, kubernetes={"autoscaler": "keda"}) == [
        "churn.kubernetes.prometheus_url: is missing: KEDA asks Prometheus for the requests of the replicas; write its "
        "address as pods reach it"
    ]
    assert wrong(original, kubernetes=KEDA) == [
        "churn.kubernetes.autoscaler: has nothing to choose: write churn.scale.max, more than scale.min"
    ]
    assert wrong(original, scale={"max": 2}, kubernetes={"triggers": [WAKES]}) == [
        "churn.kubernetes.triggers: are KEDA's: write autoscaler: keda, or leave them out"
    ]
    assert wrong(original, scale={"max": 2}, kubernetes=KEDA | {"serving": "kserve"}) == [
        "churn.kubernetes.autoscaler: KServe makes the autoscaler itself, by processors: leave autoscaler out, or "
        "write serving: workloads"
    ]
    wrongly = [{"type": "cron"}, {"type": "cron", "metadata": {"a": [1]}}, {"type": "cron", "metadata": {}, "x": 1}]
    assert [
        problem.partition(": ")[0]
        for problem in wrong(original, scale={"max": 2}, kubernetes=KEDA | {"triggers": wrongly})
    ] == [
        "churn.kubernetes.triggers.0.metadata",
        "churn.kubernetes.triggers.1.metadata.a",
        "churn.kubernetes.triggers.2.metadata",
        "churn.kubernetes.triggers.2.x",
    ]


def test_truth_and_numbers_are_text_to_keda(original: Package) -> None:
    told = {"type": "prometheus", "metadata": {"ignoreNullValues": False, "threshold": 2.5, "query": "up"}}
    spec = scaled_object(original, scale={"max": 2}, kubernetes=KEDA | WATCHED | {"triggers": [told]})["spec"]
    assert spec["triggers"][-1]["metadata"] == {"ignoreNullValues": "false", "threshold": "2.5", "query": "up"}
