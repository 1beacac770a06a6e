"""A real gateway, Envoy Gateway with Envoy, does what an endpoint's HTTPRoute asks for, and judges it as we do."""

import threading
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from kubernetes import client, config
from modelberth.platforms.kubernetes.gateway import GatewayOptions, judge

from model_packaging.package import Package, open_package
from sandbox.kubernetes import cluster as clusters
from sandbox.kubernetes import gateway, node
from sandbox.kubernetes.cluster import Running
from sandbox.kubernetes.gateway import Gateway
from tests.node import WANTED, needs_node
from tests.unit.components.conftest import packed
from tests.unit.components.test_kubernetes_gateway import HOST, endpoint
from tests.unit.kubernetes_cluster.eventually import eventually
from tests.unit.kubernetes_cluster.test_objects import apply, whole

_REASONS = node.reasons_against() if WANTED else []
pytestmark = [
    needs_node,
    pytest.mark.skipif(bool(_REASONS), reason="; ".join(_REASONS)),
    # The first run on a machine builds the programs.
    pytest.mark.timeout(3600),
]
NAMESPACE, NAME = "routed-models", "shop-dev-churn"
GROUP = "gateway.networking.k8s.io"


@dataclass
class _Here:
    running: Running
    gateway: Gateway
    api: client.ApiClient
    seen: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    """The paths that each backend was asked, by its Service."""

    def options(self, **more: Any) -> dict[str, Any]:
        return {"name": self.gateway.name, "namespace": self.gateway.namespace, "host": HOST} | more

    def route(self, package: Package, told: Any = None, **args: Any) -> dict[str, Any]:
        """Apply the route that the endpoint makes, wait for what Pulumi waits for, and return the one that lives."""
        listener = {"name": "http", "protocol": "HTTP", "port": gateway.PORT}
        spec = {"listeners": [listener | {"allowedRoutes": {"namespaces": {"from": "All"}}}]}
        accepted = {"conditions": [{"type": "Accepted", "status": "True"}]}
        there = {f"Gateway/{self.gateway.namespace}/{self.gateway.name}": {"spec": spec, "status": accepted}}
        options = {"gateway": self.options(**(told or {}))}
        made = endpoint(package, there, options, endpoint_name=NAME, **args)
        document = whole(made.one(f"{GROUP}/v1:HTTPRoute").inputs)
        document["metadata"] |= {"namespace": NAMESPACE}
        answer = apply(document, self.api.configuration)
        assert answer.status_code in (200, 201), answer.text
        generation = answer.json()["metadata"]["generation"]
        eventually(lambda: self.conditions(NAME, generation).get("ResolvedRefs") == "True", 60)
        return document

    def conditions(self, name: str, generation: int = 0) -> dict[str, str]:
        objects = client.CustomObjectsApi(self.api)
        live = objects.get_namespaced_custom_object(GROUP, "v1", NAMESPACE, "httproutes", name)
        return {
            one["type"]: one["status"]
            for parent in live.get("status", {}).get("parents", [])
            for one in parent["conditions"]
            if one["observedGeneration"] >= generation
        }

    def ask(self, path: str = "/invocations") -> str:
        request = urllib.request.Request(f"http://{self.gateway.address}{path}", b"{}", {"Host": HOST})
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.read().decode()
        except urllib.error.HTTPError as error:
            return str(error.code)


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Package:
    return open_package(packed(tmp_path_factory.mktemp("packages") / "churn").path)


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[_Here]:
    folder = tmp_path_factory.mktemp("cluster")
    servers: list[ThreadingHTTPServer] = []
    try:
        running = clusters.start(folder)
        assert running.node is not None
        api = config.new_client_from_config(str(running.cluster.kubeconfig))
        here = _Here(running, gateway.start(running.node), api)
        client.CoreV1Api(api).create_namespace({"metadata": {"name": NAMESPACE}})
        for name in (NAME, f"{NAME}-next", f"{NAME}-shadow"):
            servers.append(_backend(here, name))
        yield here
    finally:
        for server in servers:
            server.shutdown()
            server.server_close()
        clusters.remove(folder)


def _backend(here: _Here, name: str) -> ThreadingHTTPServer:
    """A server on this machine that answers with its name, behind a Service without pods."""
    seen = here.seen[name] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            seen.append(self.path)
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Length", str(len(name)))
            self.end_headers()
            self.wfile.write(name.encode())

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing is printed."""

    address = here.running.address
    server = ThreadingHTTPServer((address, 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    port = {"name": "http", "protocol": "TCP"}
    client.CoreV1Api(here.api).create_namespaced_service(
        NAMESPACE, {"metadata": {"name": name}, "spec": {"ports": [port | {"port": 80, "targetPort": 8080}]}}
    )
    client.DiscoveryV1Api(here.api).create_namespaced_endpoint_slice(
        NAMESPACE,
        {
            "metadata": {"name": name, "labels": {"kubernetes.io/service-name": name}},
            "addressType": "IPv4",
            "endpoints": [{"addresses": [address], "conditions": {"ready": True}}],
            "ports": [port | {"port": server.server_port}],
        },
    )
    return server


def test_requests_reach_the_endpoint_s_service(here: _Here, package: Package) -> None:
    here.route(package)
    assert eventually(lambda: here.ask() == NAME)
    assert here.seen[NAME][-1] == "/invocations"


def test_a_path_that_the_server_does_not_see(here: _Here, package: Package) -> None:
    here.route(package, {"path": "/models/churn"})
    assert eventually(lambda: here.ask("/models/churn/invocations") == NAME)
    assert here.seen[NAME][-1] == "/invocations"
    assert eventually(lambda: here.ask("/invocations") == "404")


def test_weights_share_the_requests(here: _Here, package: Package) -> None:
    variants = {"primary": {"weight": 75}, "next": {"weight": 25, "package": package}}
    here.route(package, variants=variants)
    eventually(lambda: here.ask() == f"{NAME}-next")
    answers = Counter(here.ask() for _ in range(400))
    assert answers.keys() == {NAME, f"{NAME}-next"}
    # Beyond five standard deviations of a quarter of 400 it is no chance: the binomial's is 8.7.
    assert abs(answers[f"{NAME}-next"] - 100) < 44


def test_a_shadow_gets_each_request_and_answers_none(here: _Here, package: Package) -> None:
    here.route(package, {"path": "/models/churn"}, shadow=package)
    shadow = here.seen[f"{NAME}-shadow"]
    eventually(lambda: here.ask("/models/churn/invocations") == NAME and shadow)
    before, asked = len(shadow), len(here.seen[NAME])
    assert {here.ask("/models/churn/invocations") for _ in range(20)} == {NAME}
    assert len(here.seen[NAME]) == asked + 20
    eventually(lambda: len(shadow) >= before + 20)
    assert len(shadow) <= before + 20
    assert set(shadow) == {"/invocations"}


@pytest.mark.parametrize(
    ("listener", "told"),
    [
        ({}, {}),
        ({"hostname": "*.example.org"}, {}),
        ({"hostname": HOST}, {}),
        ({"hostname": "*.net"}, {}),
        ({"hostname": f"*.{HOST}"}, {}),
        ({"allowedRoutes": {"namespaces": {"from": "Same"}}}, {}),
        ({"allowedRoutes": {"namespaces": {"from": "All"}, "kinds": [{"kind": "GRPCRoute"}]}}, {}),
        ({}, {"section_name": "https"}),
    ],
)
def test_a_route_is_judged_as_the_controller_judges_it(
    here: _Here, package: Package, listener: dict[str, Any], told: dict[str, Any], request: pytest.FixtureRequest
) -> None:
    name = f"judged-{request.node.callspec.indices['listener']}"
    document = {
        "apiVersion": f"{GROUP}/v1",
        "kind": "Gateway",
        "metadata": {"name": name, "namespace": here.gateway.namespace},
        "spec": {
            "gatewayClassName": gateway.GATEWAY_CLASS,
            "listeners": [
                {"name": "http", "protocol": "HTTP", "port": 9080, "allowedRoutes": {"namespaces": {"from": "All"}}}
                | listener
            ],
        },
    }
    assert apply(document, here.api.configuration).status_code == 201
    objects = client.CustomObjectsApi(here.api)
    options = GatewayOptions.model_validate(here.options(name=name, **told))

    def live() -> dict[str, Any]:
        found = objects.get_namespaced_custom_object(GROUP, "v1", here.gateway.namespace, "gateways", name)
        accepted = [one for one in found["status"]["conditions"] if one["type"] == "Accepted"]
        return found if accepted[0]["status"] == "True" else {}

    found = eventually(live, 60)
    _, problems = judge(found["spec"], found["status"], options, NAMESPACE)
    route = here.route(package)
    route["metadata"]["name"] = name
    (parent,) = route["spec"]["parentRefs"]
    parent |= {"name": name} | ({"sectionName": told["section_name"]} if told else {})
    assert apply(route, here.api.configuration).status_code == 201

    accepted = eventually(lambda: here.conditions(name).get("Accepted"), 60)
    # Each Gateway has an Envoy of its own.
    objects.delete_namespaced_custom_object(GROUP, "v1", here.gateway.namespace, "gateways", name)

    assert (accepted == "True") == (problems == []), problems
