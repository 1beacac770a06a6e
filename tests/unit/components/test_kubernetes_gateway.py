"""An endpoint behind a Gateway: its HTTPRoute, variants and a shadow, and which Gateway is refused."""

import json
from typing import Any

import pytest
from modelberth import ModelEndpoint, SpecificationError
from modelberth.platforms.kubernetes.gateway import GatewayOptions, judge

from model_packaging.errors import ModelberthError
from model_packaging.package import Package
from tests.unit.components.cloud import Deployed
from tests.unit.components.cluster import IMAGE, WATCHED, planned, variables
from tests.unit.components.test_kubernetes_endpoint import wrong

HOST = "churn.example.org"
GATEWAY = {"name": "shared", "namespace": "edge", "host": HOST}
ACCEPTED = {"conditions": [{"type": "Accepted", "status": "True", "reason": "Accepted", "message": ""}]}
HTTP = {"name": "http", "protocol": "HTTP", "port": 80.0, "allowedRoutes": {"namespaces": {"from": "All"}}}
HTTPS = HTTP | {"name": "https", "protocol": "HTTPS", "port": 443.0, "hostname": "*.example.org"}


def there(*listeners: dict[str, Any], status: dict[str, Any] = ACCEPTED) -> dict[str, dict[str, Any]]:
    """The Gateway as the cluster has it."""
    spec = {"gatewayClassName": "envoy", "listeners": list(listeners or (HTTP,))}
    return {"Gateway/edge/shared": {"spec": spec, "status": status}}


def endpoint(package: Package, objects: Any = None, options: Any = None, **args: Any) -> Deployed:
    common = {"platform": "kubernetes", "package": package, "image": IMAGE, "bucket": "s3://models"}
    told = {"kubernetes": {"gateway": GATEWAY} | (options or {})}
    return planned(
        lambda: ModelEndpoint("churn", common | told | args), objects=there() if objects is None else objects
    )


def route(deployed: Deployed) -> dict[str, Any]:
    return deployed.one("gateway.networking.k8s.io/v1:HTTPRoute").inputs


def url(deployed: Deployed) -> str:
    return deployed.outputs[deployed.made[0].urn]["url"]


def judged(*listeners: dict[str, Any], status: Any = ACCEPTED, namespace: str | None = "models", **told: Any) -> Any:
    options = GatewayOptions.model_validate(GATEWAY | told)
    return judge({"gatewayClassName": "envoy", "listeners": list(listeners)}, status, options, namespace)


def test_a_route_leads_from_the_gateway_to_the_endpoint_s_service(original: Package) -> None:
    deployed = endpoint(original, options={"gateway": GATEWAY | {"section_name": "http"}})
    assert route(deployed)["spec"] == {
        "parentRefs": [
            {
                "group": "gateway.networking.k8s.io",
                "kind": "Gateway",
                "namespace": "edge",
                "name": "shared",
                "sectionName": "http",
            }
        ],
        "hostnames": [HOST],
        "rules": [
            {
                "matches": [{"path": {"type": "PathPrefix", "value": "/"}}],
                "backendRefs": [{"name": "shop-dev-churn", "port": 80, "weight": 100}],
            }
        ],
    }
    assert url(deployed) == f"http://{HOST}/invocations"
    command = deployed.outputs[deployed.made[0].urn]["invoke_command"]
    assert command == f"curl --fail --json @request.json http://{HOST}/invocations"


def test_the_route_is_waited_for_and_comes_after_the_replicas(original: Package) -> None:
    deployed = endpoint(original)
    awaited = json.loads(route(deployed)["metadata"]["annotations"]["pulumi.com/waitFor"])
    assert awaited == [
        'jsonpath={.status.parents[*].conditions[?(@.type=="Accepted")].status}=True',
        'jsonpath={.status.parents[*].conditions[?(@.type=="ResolvedRefs")].status}=True',
    ]
    made = deployed.one("gateway.networking.k8s.io/v1:HTTPRoute")
    assert deployed.one("batch/v1:Job").urn in made.request.dependencies


def test_a_host_that_is_shared_is_told_apart_by_a_path_that_the_server_does_not_see(original: Package) -> None:
    deployed = endpoint(original, there(HTTPS), {"gateway": GATEWAY | {"path": "/models/churn"}})
    (rule,) = route(deployed)["spec"]["rules"]
    assert rule["matches"] == [{"path": {"type": "PathPrefix", "value": "/models/churn"}}]
    assert rule["filters"] == [
        {"type": "URLRewrite", "urlRewrite": {"path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/"}}}
    ]
    assert url(deployed) == f"https://{HOST}/models/churn/invocations"


@pytest.mark.parametrize(
    ("listeners", "told", "address"),
    [
        ([HTTP], {}, f"http://{HOST}"),
        ([HTTP, HTTPS], {}, f"https://{HOST}"),
        ([HTTP, HTTPS], {"section_name": "http"}, f"http://{HOST}"),
        ([HTTP | {"port": 8080.0}], {}, f"http://{HOST}:8080"),
    ],
)
def test_the_address_is_that_of_the_listener(
    original: Package, listeners: list[Any], told: dict[str, Any], address: str
) -> None:
    deployed = endpoint(original, there(*listeners), {"gateway": GATEWAY | told})
    assert url(deployed) == f"{address}/invocations"


def test_each_variant_has_workloads_of_its_own_and_its_share(original: Package, candidate: Package) -> None:
    variants = {"primary": {"weight": 90}, "next": {"package": candidate, "weight": 10}}
    deployed = endpoint(original, variants=variants, capture={"sample": 1}, scale={"min": 2, "max": 4})
    (rule,) = route(deployed)["spec"]["rules"]
    assert rule["backendRefs"] == [
        {"name": "shop-dev-churn", "port": 80, "weight": 90},
        {"name": "shop-dev-churn-next", "port": 80, "weight": 10},
    ]
    assert "filters" not in rule
    for kind in ("apps/v1:Deployment", "batch/v1:Job", "autoscaling/v2:HorizontalPodAutoscaler", "core/v1:Service"):
        assert len(deployed.of(kind)) == 2, kind
    for name, instance, package in (
        ("churn", "shop-dev-churn", original),
        ("churn-variant-next", "shop-dev-churn-next", candidate),
    ):
        service = deployed.one("core/v1:Service", name).inputs
        assert service["metadata"]["name"] == instance
        (workload,) = (
            one.inputs["spec"]["template"]
            for one in deployed.of("apps/v1:Deployment")
            if service["spec"]["selector"].items() <= one.inputs["spec"]["template"]["metadata"]["labels"].items()
        )
        told = variables(workload["spec"]["containers"][0])
        assert told["MODELBERTH_PACKAGE_DIGEST"] == package.digest
        assert told["MODELBERTH_CAPTURE_URL"] == "s3://models/capture/shop-dev-churn"
        assert told["MODELBERTH_CAPTURE_VARIANT"] == ("primary" if package is original else "next")
        rollout = next(
            variables(one.inputs["spec"]["template"]["spec"]["containers"][0])
            for one in deployed.of("batch/v1:Job")
            if one.name.startswith(f"{name}-rollout")
        )
        # A rollout moves the replicas of its variant alone.
        assert rollout["MODELBERTH_ROLLOUT_ENDPOINT"] == instance
    jobs = {one.urn for one in deployed.of("batch/v1:Job")}
    assert jobs <= set(deployed.one("gateway.networking.k8s.io/v1:HTTPRoute").request.dependencies)


def test_variants_come_and_go_without_a_change_of_the_first(original: Package, candidate: Package) -> None:
    variants = {"primary": {"weight": 90}, "next": {"package": candidate, "weight": 10}}
    alone, several = endpoint(original), endpoint(original, variants=variants)
    before = {one.urn: one.inputs for one in alone.children if not one.type.endswith("HTTPRoute")}
    after = {one.urn: one.inputs for one in several.children}
    assert before.items() <= after.items()


def test_only_the_address_that_callers_know_is_protected(original: Package, candidate: Package) -> None:
    deployed = endpoint(original, shadow=candidate)
    protected = {one.name for one in deployed.of("core/v1:Service") if one.request.protect}
    assert protected == {"churn"}


def test_a_shadow_gets_copies_and_no_weight(original: Package, candidate: Package) -> None:
    deployed = endpoint(
        original,
        shadow=candidate,
        rollback_alarms=["slow"],
        options=WATCHED,
        scale={"min": 2},
        rollout={"canary": "50%", "bake": "5m"},
    )
    (rule,) = route(deployed)["spec"]["rules"]
    assert rule["backendRefs"] == [{"name": "shop-dev-churn", "port": 80, "weight": 100}]
    assert rule["filters"] == [
        {"type": "RequestMirror", "requestMirror": {"backendRef": {"name": "shop-dev-churn-shadow", "port": 80}}}
    ]
    watched = {
        one.name.partition("-rollout")[0]: variables(one.inputs["spec"]["template"]["spec"]["containers"][0])
        for one in deployed.of("batch/v1:Job")
    }
    # No alarm tells of answers that nobody gets.
    assert watched["churn"]["MODELBERTH_ROLLOUT_ALARMS"] == "slow"
    assert "MODELBERTH_ROLLOUT_ALARMS" not in watched["churn-variant-shadow"]
    assert watched["churn-variant-shadow"]["MODELBERTH_ROLLOUT_BAKE_SECONDS"] == "0"
    assert watched["churn-variant-shadow"]["MODELBERTH_ROLLOUT_CANARY"] == "0"


def test_a_long_name_leaves_room_for_a_variant_s(original: Package, candidate: Package) -> None:
    long = "a" * 63
    deployed = endpoint(original, shadow=candidate, endpoint_name=long)
    names = [one.inputs["metadata"]["name"] for one in deployed.of("core/v1:Service")]
    assert long in names
    assert {len(name) for name in names} == {63} and len(set(names)) == 2


def test_no_gateway_is_an_error_of_the_engine_and_a_bad_one_ours(original: Package) -> None:
    with pytest.raises(KeyError, match="shared"):
        endpoint(original, {})
    with pytest.raises(ModelberthError) as refused:
        endpoint(original, there(HTTP | {"hostname": "example.net"}))
    assert isinstance(refused.value, SpecificationError)
    assert "takes no route at its listener http: its hostname is example.net" in str(refused.value)


def test_a_gateway_that_takes_the_route_has_no_problem() -> None:
    assert judged(HTTP) == (HTTP, [])
    assert judged(HTTP, HTTPS) == (HTTPS, [])
    # Not known yet, or the cluster's to answer.
    same = HTTP | {"allowedRoutes": {"namespaces": {"from": "Same"}}}
    selector = HTTP | {"allowedRoutes": {"namespaces": {"from": "Selector", "selector": {}}}}
    assert judged(same, namespace=None)[1] == []
    assert judged(same, namespace="edge")[1] == []
    assert judged(selector)[1] == []
    # One that takes it is enough.
    assert judged(HTTP, HTTPS | {"hostname": "example.net"}) == (HTTP, [])


@pytest.mark.parametrize(
    ("listener", "told", "why"),
    [
        (HTTP | {"hostname": "*.example.net"}, {}, "its hostname is *.example.net, which 'churn.example.org' does not"),
        (HTTP | {"hostname": f"*.{HOST}"}, {}, f"its hostname is *.{HOST}, which 'churn.example.org' does not match"),
        (HTTP | {"protocol": "TLS"}, {}, "its protocol is TLS, and the endpoint is reached by HTTP or HTTPS"),
        (
            HTTP | {"allowedRoutes": {"kinds": [{"kind": "GRPCRoute"}]}},
            {},
            "allowedRoutes.kinds lets in GRPCRoute, and no HTTPRoute",
        ),
        (
            {key: value for key, value in HTTP.items() if key != "allowedRoutes"},
            {},
            "allowedRoutes.namespaces.from is Same, and the endpoint is in the namespace models: set it to All, or to",
        ),
        (HTTP | {"allowedRoutes": {"namespaces": {"from": "None"}}}, {}, "allowedRoutes.namespaces.from is None"),
    ],
)
def test_a_listener_that_takes_no_route_is_told_with_its_reason(
    listener: dict[str, Any], told: dict[str, Any], why: str
) -> None:
    _, (problem,) = judged(listener, **told)
    assert problem.startswith("the Gateway edge/shared takes no route at its listener http: ")
    assert why in problem


def test_a_listener_that_is_not_there_is_told_with_those_that_are() -> None:
    assert judged(HTTP, HTTPS, section_name="htps")[1] == [
        "the Gateway edge/shared has no listener 'htps'; section_name can be one of: http, https"
    ]


def test_a_gateway_that_nobody_answers_for_is_told() -> None:
    waiting = {"type": "Accepted", "status": "Unknown", "reason": "Pending", "message": "Waiting for controller"}
    for status, why in (({"conditions": [waiting]}, "Pending: Waiting for controller"), ({}, "nothing has answered")):
        (problem,) = judged(HTTP, status=status)[1]
        assert why in problem
        assert "see that the controller of its GatewayClass envoy runs" in problem


def test_what_is_written_is_checked_first(original: Package, candidate: Package) -> None:
    told = {"name": "Shared", "namespace": "edge", "host": "https://x", "path": "models/"}
    problems = wrong(original, kubernetes={"gateway": told})
    assert [problem.partition(": ")[0] for problem in problems] == [
        f"churn.kubernetes.gateway.{key}" for key in ("name", "host", "path")
    ]
    assert "is no path that a route can begin with: write one such as /models/churn" in problems[2]
    kserve = {"gateway": GATEWAY, "serving": "kserve"}
    assert wrong(original, kubernetes=kserve, shadow=candidate) == [
        "churn.shadow: kubernetes can't copy requests to a shadow where KServe serves: one InferenceService is made, "
        "of the model's own package: leave it out, or write serving: workloads; sagemaker can"
    ]
