"""The HTTPRoute of an endpoint is what the Gateway API's own definitions allow."""

from collections.abc import Iterator
from typing import Any

import pytest
from kubernetes import client, config
from modelberth.platforms.kubernetes.gateway import GatewayOptions, judge

from model_packaging.package import Package, open_package
from sandbox.kubernetes import gateway
from sandbox.kubernetes.control_plane import Cluster
from tests.unit.components.conftest import packed
from tests.unit.components.test_kubernetes_gateway import GATEWAY, endpoint
from tests.unit.kubernetes_cluster.test_objects import apply, whole

pytestmark = pytest.mark.timeout(2400)
NAMESPACE = "routed-models"


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Package:
    return open_package(packed(tmp_path_factory.mktemp("packages") / "churn").path)


@pytest.fixture(scope="module")
def api(cluster: Cluster) -> Iterator[client.ApiClient]:
    """A cluster with the Gateway API's definitions, and no controller."""
    gateway.install_definitions(cluster)
    api = config.new_client_from_config(str(cluster.kubeconfig))
    for name in (NAMESPACE, GATEWAY["namespace"]):
        client.CoreV1Api(api).create_namespace({"metadata": {"name": name}})
    yield api


@pytest.mark.parametrize(
    ("named", "options", "more"),
    [
        ("plain", {}, {}),
        ("listener", {"section_name": "http"}, {}),
        ("path", {"path": "/models/churn"}, {}),
        ("shadow", {"path": "/models/churn"}, {"shadow": True}),
        ("variants", {}, {"variants": True}),
    ],
)
def test_every_route_is_taken_without_a_warning(
    api: client.ApiClient, package: Package, named: str, options: dict[str, Any], more: dict[str, bool]
) -> None:
    variants = {"primary": {"weight": 100}, "next": {"package": package, "weight": 0}}
    args = {key: {"variants": variants, "shadow": package}[key] for key in more}
    made = endpoint(package, options={"gateway": GATEWAY | options}, **args)
    document = whole(made.one("gateway.networking.k8s.io/v1:HTTPRoute").inputs)
    document["metadata"] |= {"namespace": NAMESPACE, "name": named}

    answer = apply(document, api.configuration)

    assert answer.status_code == 201, answer.text
    assert "Warning" not in answer.headers
    assert answer.json()["spec"]["rules"][0]["backendRefs"][0]["kind"] == "Service"


def test_a_path_that_we_take_is_one_that_the_definition_takes(api: client.ApiClient, package: Package) -> None:
    made = endpoint(package)
    for number, path in enumerate(("/a", "/models/churn-2", "/v1.2/~me/a_b", "/...")):
        assert GatewayOptions.model_validate(GATEWAY | {"path": path}).path == path
        document = whole(made.one("gateway.networking.k8s.io/v1:HTTPRoute").inputs)
        document["metadata"] |= {"namespace": NAMESPACE, "name": f"path-{number}"}
        document["spec"]["rules"][0]["matches"][0]["path"]["value"] = path
        assert apply(document, api.configuration).status_code == 201, path


def test_a_gateway_without_a_controller_is_told_of(api: client.ApiClient) -> None:
    document = {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "Gateway",
        "metadata": {"name": "shared", "namespace": GATEWAY["namespace"]},
        "spec": {"gatewayClassName": "nobody", "listeners": [{"name": "http", "protocol": "HTTP", "port": 80}]},
    }
    live = apply(document, api.configuration).json()
    _, (pending, outside) = judge(live["spec"], live["status"], GatewayOptions.model_validate(GATEWAY), NAMESPACE)
    assert "is not accepted by a controller (Pending: Waiting for controller)" in pending
    assert f"allowedRoutes.namespaces.from is Same, and the endpoint is in the namespace {NAMESPACE}" in outside
