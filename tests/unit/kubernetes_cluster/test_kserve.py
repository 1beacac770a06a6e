"""KServe's real controller takes the InferenceService of an endpoint, and makes of it what plain workloads are."""

from collections.abc import Iterator
from typing import Any

import pytest
from kubernetes import client, config
from kubernetes.client.exceptions import ApiException
from modelberth.platforms.kubernetes.kserve import CONTROLLER, SETTINGS, host_problems, judge

from model_packaging.package import Package, open_package
from sandbox.kubernetes import kserve
from sandbox.kubernetes.control_plane import Cluster
from tests.node import needs_node
from tests.unit.components.cloud import Deployed
from tests.unit.components.conftest import packed
from tests.unit.components.test_kubernetes_kserve import endpoint
from tests.unit.kubernetes_cluster.eventually import eventually
from tests.unit.kubernetes_cluster.test_objects import apply, whole

pytestmark = [
    needs_node,
    # The first run on a machine builds KServe's controller.
    pytest.mark.timeout(3600),
]
NAMESPACE, NAME = "kserve-models", "shop-dev-churn"


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Package:
    return open_package(packed(tmp_path_factory.mktemp("packages") / "churn").path)


@pytest.fixture(scope="module")
def api(cluster: Cluster) -> Iterator[client.ApiClient]:
    """A cluster with KServe, and a namespace that takes restricted pods only."""
    kserve.start(cluster)
    api = config.new_client_from_config(str(cluster.kubeconfig))
    enforced = {"pod-security.kubernetes.io/enforce": "restricted"}
    client.CoreV1Api(api).create_namespace({"metadata": {"name": NAMESPACE, "labels": enforced}})
    yield api
    kserve.stop(cluster)


def applied(api: client.ApiClient, made: Deployed, **metadata: Any) -> dict[str, Any]:
    """Apply the InferenceService that was made, and the account that its pods run under."""
    for kind in ("core/v1:ServiceAccount", "serving.kserve.io/v1beta1:InferenceService"):
        document = whole(made.one(kind).inputs)
        document["metadata"] |= {"namespace": NAMESPACE} | (metadata if kind.endswith("InferenceService") else {})
        answer = apply(document, api.configuration)
        assert answer.status_code in (200, 201), answer.text
        assert "Warning" not in answer.headers, answer.headers["Warning"]
    return answer.json()


def deployment(api: client.ApiClient, name: str = f"{NAME}-predictor") -> Any:
    def found() -> Any:
        try:
            return client.AppsV1Api(api).read_namespaced_deployment(name, NAMESPACE)
        except ApiException as error:
            assert error.status == 404
            return None

    return eventually(found, 60)


def test_the_controller_makes_a_deployment_of_the_replica(api: client.ApiClient, package: Package) -> None:
    applied(api, endpoint(package, scale={"min": 2}))

    made = deployment(api)

    assert made.spec.replicas == 2
    assert made.spec.strategy.rolling_update.max_unavailable == 0
    pod = made.spec.template.spec
    (fetch,), (serve,) = pod.init_containers, pod.containers
    assert fetch.args[:1] == ["pull"] and fetch.args[1].endswith(f"@{package.digest}")
    assert serve.name == "kserve-container"
    assert [one.http_get.path for one in (serve.startup_probe, serve.readiness_probe)] == ["/ping", "/ping"]
    assert serve.liveness_probe.http_get.path == "/v2/health/live"
    assert serve.resources.limits["cpu"] == serve.resources.requests["cpu"]
    assert serve.security_context.read_only_root_filesystem
    assert pod.security_context.run_as_non_root
    assert made.spec.template.metadata.annotations["modelberth/package-digest"] == package.digest
    assert made.spec.template.metadata.annotations["prometheus.io/scrape"] == "true"


def test_pods_are_taken_by_the_restricted_standard_and_found_by_our_service(
    api: client.ApiClient, package: Package
) -> None:
    plan = endpoint(package, scale={"min": 2})
    applied(api, plan)
    deployment(api)
    selector = plan.one("core/v1:Service").inputs["spec"]["selector"]
    selects = ",".join(f"{key}={value}" for key, value in selector.items())

    # The ReplicaSet makes no pod that the namespace refuses, and KServe's own webhook has seen each.
    pods = eventually(
        lambda: (
            len(found := client.CoreV1Api(api).list_namespaced_pod(NAMESPACE, label_selector=selects).items) == 2
            and found
        ),
        60,
    )

    assert {pod.spec.service_account_name for pod in pods} == {f"{NAME}-serve"}
    assert {len(pod.spec.containers) for pod in pods} == {1}


def test_the_autoscaler_has_the_bounds_and_the_target(api: client.ApiClient, package: Package) -> None:
    name = {"name": "scaled"}
    applied(api, endpoint(package, scale={"min": 2, "max": 5}, options={"cpu_target": 60}), **name)

    def found() -> Any:
        scalers = client.AutoscalingV2Api(api).list_namespaced_horizontal_pod_autoscaler(NAMESPACE).items
        return next((one.spec for one in scalers if one.metadata.name == "scaled-predictor"), None)

    spec = eventually(found, 60)

    assert (spec.min_replicas, spec.max_replicas) == (2, 5)
    assert spec.metrics[0].resource.target.average_utilization == 60


def test_it_is_served_in_standard_mode_whatever_the_default_is(
    cluster: Cluster, api: client.ApiClient, package: Package
) -> None:
    core = client.CoreV1Api(api)
    serverless = {"data": {"deploy": '{"defaultDeploymentMode": "Serverless"}'}}
    before = core.read_namespaced_config_map(SETTINGS, kserve.NAMESPACE).data["deploy"]
    core.patch_namespaced_config_map(SETTINGS, kserve.NAMESPACE, serverless)
    try:
        applied(api, endpoint(package), name="by-annotation")
        deployment(api, "by-annotation-predictor")
    finally:
        core.patch_namespaced_config_map(SETTINGS, kserve.NAMESPACE, {"data": {"deploy": before}})

    objects = client.CustomObjectsApi(api)
    find = ("serving.kserve.io", "v1beta1", NAMESPACE, "inferenceservices", "by-annotation")
    mode = eventually(lambda: objects.get_namespaced_custom_object(*find).get("status", {}).get("deploymentMode"), 60)
    assert mode == "Standard"


def test_nothing_leads_from_outside(api: client.ApiClient, package: Package) -> None:
    applied(api, endpoint(package, scale={"min": 2}))
    deployment(api)
    assert client.NetworkingV1Api(api).list_namespaced_ingress(NAMESPACE).items == []


def test_the_release_is_judged_fit(api: client.ApiClient) -> None:
    settings = client.CoreV1Api(api).read_namespaced_config_map(SETTINGS, kserve.NAMESPACE).data
    controller = client.AppsV1Api(api).read_namespaced_deployment(CONTROLLER, kserve.NAMESPACE)
    version, problems = judge(settings, [one.image for one in controller.spec.template.spec.containers])
    assert (version, problems) == (kserve.programs.KSERVE.version, [])


def test_the_longest_name_is_what_the_cluster_takes(api: client.ApiClient, package: Package) -> None:
    settings = client.CoreV1Api(api).read_namespaced_config_map(SETTINGS, kserve.NAMESPACE).data
    room = 63 - len(f"-predictor-{NAMESPACE}")
    assert host_problems(settings, "a" * room, NAMESPACE) == []
    assert host_problems(settings, "a" * (room + 1), NAMESPACE) != []
    for length in (room + 1, room):
        applied(api, endpoint(package), name="a" * length)
    deployment(api, f"{'a' * room}-predictor")

    def refusals() -> list[str]:
        events = client.CoreV1Api(api).list_namespaced_event(NAMESPACE).items
        return [one.message for one in events if one.involved_object.name == "a" * (room + 1)]

    assert any("must be no more than 63 characters" in text for text in eventually(refusals, 60))


def test_what_kserve_does_with_a_canary_is_why_it_is_a_gap(api: client.ApiClient, package: Package) -> None:
    plan = endpoint(package, scale={"min": 2})
    document = whole(plan.one("serving.kserve.io/v1beta1:InferenceService").inputs)
    document["metadata"] |= {"namespace": NAMESPACE, "name": "split"}
    predictor = document["spec"]["predictor"]
    canary = {"name": "next", "containers": predictor["containers"]}
    own = apply(
        document | {"spec": {**document["spec"], "canary": [{"trafficPercent": 50, "predictor": canary}]}},
        api.configuration,
    )
    assert own.status_code == 403
    assert "canary requires a stable predictor with a model" in own.json()["message"]

    # Taken without a word, and nothing comes of it.
    predictor["canaryTrafficPercent"] = 50
    knative = apply(document, api.configuration)
    assert knative.status_code == 201
    assert "Warning" not in knative.headers
    deployment(api, "split-predictor")
    deployments = client.AppsV1Api(api).list_namespaced_deployment(NAMESPACE).items
    assert [one.metadata.name for one in deployments if one.metadata.name.startswith("split")] == ["split-predictor"]
