"""What a model's capabilities share in a cluster: the namespace, what it lets through, and how much it may take."""

import pytest
from modelberth import ArtifactBucket, ModelDeployment, SpecificationError

from model_packaging.package import Package
from tests.unit.components.cluster import NAMESPACE, SECRETS, STORE, WATCHED, deployment, model, planned


def test_everything_goes_into_a_namespace_of_the_models_own(original: Package) -> None:
    deployed = deployment(original)
    assert deployed.one("core/v1:Namespace").inputs["metadata"]["name"] == NAMESPACE
    others = [one for one in deployed.children if not one.type.endswith(":Namespace")]
    assert len(others) > 15
    assert {one.inputs["metadata"]["namespace"] for one in others if "metadata" in one.inputs} == {NAMESPACE}


def test_the_namespace_enforces_the_restricted_standard(original: Package) -> None:
    labels = deployment(original).one("core/v1:Namespace").inputs["metadata"]["labels"]
    for mode in ("enforce", "audit", "warn"):
        assert labels[f"pod-security.kubernetes.io/{mode}"] == "restricted"
        assert labels[f"pod-security.kubernetes.io/{mode}-version"] == "latest"


def test_nothing_goes_in_or_out_that_no_capability_needs(original: Package) -> None:
    deployed = deployment(original)
    closed = deployed.one("networking.k8s.io/v1:NetworkPolicy", "churn-deny-all").inputs["spec"]
    assert closed == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    opened = [one for one in deployed.of("networking.k8s.io/v1:NetworkPolicy") if one.name != "churn-deny-all"]
    assert all(one.inputs["spec"]["podSelector"]["matchLabels"] for one in opened)
    assert [one.name for one in opened if "ingress" in one.inputs["spec"]] == ["churn-endpoint-traffic"]


def test_a_quota_for_the_whole(original: Package) -> None:
    assert deployment(original).of("core/v1:ResourceQuota") == []
    options = WATCHED | {"quota": {"requests.cpu": 16, "requests.memory": "64Gi", "pods": "40"}}
    quota = deployment(original, kubernetes=options).one("core/v1:ResourceQuota")
    assert quota.inputs["spec"] == {"hard": {"requests.cpu": "16", "requests.memory": "64Gi", "pods": "40"}}
    assert quota.inputs["metadata"]["namespace"] == NAMESPACE


def test_in_a_namespace_of_ones_own_nothing_is_laid_down(original: Package, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SECRETS, "models/shop-dev-churn-bucket", STORE)
    deployed = deployment(original, kubernetes=WATCHED | {"namespace": "models"})
    assert deployed.of("core/v1:Namespace") == []
    assert [one.name for one in deployed.of("networking.k8s.io/v1:NetworkPolicy") if "deny" in one.name] == []
    assert {one.inputs["metadata"]["namespace"] for one in deployed.children if "metadata" in one.inputs} == {"models"}


def test_a_capabilitys_own_key_goes_before_the_models(original: Package, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SECRETS, "serving/shop-dev-churn-bucket", STORE)
    deployed = deployment(original, endpoint={"capture": {}, "kubernetes": {"namespace": "serving"}})
    assert deployed.one("apps/v1:Deployment").inputs["metadata"]["namespace"] == "serving"
    assert deployed.one("batch/v1:CronJob").inputs["metadata"]["namespace"] == NAMESPACE


def test_a_namespace_is_protected_but_in_development(original: Package) -> None:
    assert deployment(original).one("core/v1:Namespace").request.protect is True
    assert deployment(original, development=True).one("core/v1:Namespace").request.protect is False


def test_a_quota_of_a_namespace_that_is_there_is_refused(original: Package) -> None:
    with pytest.raises(SpecificationError) as caught:
        deployment(original, kubernetes=WATCHED | {"namespace": "models", "quota": {"pods": 4}})
    assert caught.value.problems == [
        "churn.kubernetes.quota: is for the namespace that is made for the model; 'models' is there already, so set "
        "its quota where it is made, or leave namespace out"
    ]


def test_two_models_stand_side_by_side(original: Package, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SECRETS, "shop-dev-fraud/shop-dev-fraud-bucket", STORE)

    def program() -> None:
        ModelDeployment("churn", model(original))
        ModelDeployment("fraud", model(original))

    deployed = planned(program)
    names = [
        (one.type, one.inputs["metadata"].get("namespace"), one.inputs["metadata"]["name"])
        for one in deployed.children
        if "metadata" in one.inputs
    ]
    assert len(names) == len(set(names)) >= 40


def test_a_component_by_itself_uses_the_providers_namespace() -> None:
    args = {"platform": "kubernetes", "kubernetes": {"secret": "storage/objects"}}
    deployed = planned(lambda: ArtifactBucket("churn", args))
    assert "namespace" not in deployed.one("core/v1:Secret", "churn-access").inputs["metadata"]
