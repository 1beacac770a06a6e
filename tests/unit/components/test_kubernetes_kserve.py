"""An endpoint behind KServe: the InferenceService, and which KServe it is refused by."""

import json
from typing import Any

import pytest
from modelberth import ModelEndpoint, SpecificationError
from modelberth.platforms.kubernetes import kserve

from model_packaging.errors import ModelberthError
from model_packaging.package import Package
from tests.unit.components.cloud import Deployed
from tests.unit.components.cluster import IMAGE, KSERVE, planned
from tests.unit.components.test_kubernetes_endpoint import endpoint as workloads

STANDARD = {"deploy": json.dumps({"defaultDeploymentMode": "Standard"})}
SERVERLESS = {"deploy": json.dumps({"defaultDeploymentMode": "Serverless"})}


def endpoint(package: Package, objects: Any = KSERVE, options: Any = None, **args: Any) -> Deployed:
    common = {"platform": "kubernetes", "package": package, "image": IMAGE, "bucket": "s3://models"}
    told = {"kubernetes": {"serving": "kserve"} | (options or {})}
    return planned(lambda: ModelEndpoint("churn", common | told | args), objects=objects)


def service(deployed: Deployed) -> dict[str, Any]:
    return deployed.one("serving.kserve.io/v1beta1:InferenceService").inputs


def test_kserve_gets_the_pod_of_the_plain_workload(original: Package) -> None:
    plain = workloads(original).one("apps/v1:Deployment").inputs["spec"]["template"]
    predictor = service(endpoint(original))["spec"]["predictor"]
    (container,), (wanted,) = predictor["containers"], plain["spec"]["containers"]
    assert container["name"] == "kserve-container"
    assert container["resources"]["limits"].pop("cpu") == container["resources"]["requests"]["cpu"]
    assert container | {"name": wanted["name"]} == wanted
    assert predictor["annotations"] == plain["metadata"]["annotations"]
    assert {key: predictor[key] for key in plain["spec"] if key != "containers"} == {
        key: value for key, value in plain["spec"].items() if key != "containers"
    }


def test_kserve_makes_the_deployment_and_the_autoscaler(original: Package) -> None:
    made = endpoint(original, scale={"min": 2, "max": 5})
    for kind in ("apps/v1:Deployment", "batch/v1:Job", "autoscaling/v2:HorizontalPodAutoscaler"):
        assert made.of(kind) == []
    predictor = service(made)["spec"]["predictor"]
    assert {key: predictor[key] for key in ("minReplicas", "maxReplicas", "scaleMetric", "scaleTarget")} == {
        "minReplicas": 2,
        "maxReplicas": 5,
        "scaleMetric": "cpu",
        "scaleTarget": 70,
    }
    annotations = service(made)["metadata"]["annotations"]
    assert annotations["serving.kserve.io/deploymentMode"] == "Standard"
    assert annotations["serving.kserve.io/autoscalerClass"] == "hpa"


def test_a_fixed_number_of_replicas_has_no_autoscaler(original: Package) -> None:
    found = service(endpoint(original, scale={"min": 3}))
    assert found["metadata"]["annotations"]["serving.kserve.io/autoscalerClass"] == "none"
    assert found["spec"]["predictor"]["minReplicas"] == found["spec"]["predictor"]["maxReplicas"] == 3


def test_the_address_is_that_of_the_plain_workload(original: Package) -> None:
    plain, behind = (one.one("core/v1:Service").inputs for one in (workloads(original), endpoint(original)))
    assert plain == behind
    selector = behind["spec"]["selector"]
    assert selector.items() <= service(endpoint(original))["metadata"]["labels"].items()


def test_a_route_to_the_outside_is_only_what_was_asked_for(original: Package) -> None:
    assert service(endpoint(original))["metadata"]["labels"]["networking.kserve.io/visibility"] == "cluster-local"


def test_a_name_leaves_room_for_the_namespace_in_kserve_s_host_names(original: Package) -> None:
    names = [
        service(endpoint(original, endpoint_name=name))["metadata"]["name"]
        for name in ("a" * 20, "a" * 21, "a" * 22, "modelberth-on-prem-flights-endpoint")
    ]
    assert names[0] == "a" * 20
    assert len(set(names)) == 4
    assert max(map(len, names)) == 20


def test_an_old_kserve_refuses_the_endpoint(original: Package) -> None:
    images = {"template": {"spec": {"containers": [{"name": "manager", "image": "kserve/kserve-controller:v0.15.2"}]}}}
    old = KSERVE | {"Deployment/kserve/kserve-controller-manager": {"spec": images}}
    with pytest.raises(SpecificationError, match=r"KServe v0.15.2 is too old: .* update it to v0.16.0 or later"):
        endpoint(original, objects=old)


def test_it_is_read_in_its_own_namespace(original: Package) -> None:
    elsewhere = {key.replace("/kserve/", "/kubeflow/"): value for key, value in KSERVE.items()}
    assert service(endpoint(original, objects=elsewhere, options={"kserve_namespace": "kubeflow"}))


@pytest.mark.parametrize(
    ("settings", "image", "problem"),
    [
        (STANDARD, "kserve/kserve-controller:v0.20.0", None),
        # The annotation asks for Standard mode whatever the default is.
        (SERVERLESS, "registry.example.org:5000/kserve/kserve-controller:v0.16.0-rc1@sha256:" + 64 * "a", None),
        ({}, "kserve/kserve-controller:v1.0.0", None),
        ({"deploy": "no JSON"}, "kserve/kserve-controller:v0.20.0", None),
        (STANDARD, "kserve/kserve-controller:v0.15.2", "KServe v0.15.2 is too old"),
        (STANDARD, "kserve/kserve-controller:latest", "version can't be told from the images .*:latest"),
        (
            SERVERLESS
            | {
                "inferenceService": json.dumps(
                    {"serviceAnnotationDisallowedList": ["serving.kserve.io/deploymentMode"]}
                )
            },
            "kserve/kserve-controller:v0.20.0",
            "KServe is in the mode Serverless, and drops the annotation serving.kserve.io/deploymentMode",
        ),
    ],
)
def test_version_and_mode_are_judged(settings: dict[str, str], image: str, problem: str | None) -> None:
    _, problems = kserve.judge(settings, ["quay.io/brancz/kube-rbac-proxy:0.18.0", image])
    if problem is None:
        assert problems == []
    else:
        with pytest.raises(ModelberthError, match=problem):
            raise ModelberthError(*problems)


@pytest.mark.parametrize(
    ("template", "name", "long"),
    [
        (None, 63 - len("-predictor-models"), False),
        (None, 64 - len("-predictor-models"), True),
        ("{{.Name}}.{{.Namespace}}.{{.IngressDomain}}", 63 - len("-predictor"), False),
        ("{{.Name}}.{{.Namespace}}.{{.IngressDomain}}", 64 - len("-predictor"), True),
    ],
)
def test_host_names_are_judged_by_the_cluster_s_template(template: str | None, name: int, long: bool) -> None:
    settings = {"ingress": json.dumps({"domainTemplate": template})} if template else {}
    problems = kserve.host_problems(settings, "a" * name, "models")
    assert bool(problems) == long
    if long:
        assert "64 characters between dots, at most 63): write one that is at least 1 shorter" in problems[0]
