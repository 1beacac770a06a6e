"""A model with all features before judges from outside: Pod Security, the cluster's own schemas, checkov's rules."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from kubernetes import client

from tests.unit.components.cluster import NAMESPACE
from tests.unit.components.conftest import packed
from tests.unit.kubernetes_cluster.eventually import eventually

from . import judges, model
from .model import Object, Server

COMPONENTS = {"endpoint", "rollout", "monitor", "retraining", "drift"}
"""What a model has pods for."""

EXCEPTIONS = {
    ("CKV_K8S_11", "endpoint"): "processors that are idle may be used; a limit would slow answers down",
    ("CKV_K8S_11", "rollout"): "the same",
    ("CKV_K8S_11", "monitor"): "the same",
    ("CKV_K8S_11", "retraining"): "the same",
    ("CKV_K8S_11", "drift"): "the same",
    (
        "CKV_K8S_35",
        "endpoint",
    ): "S3 clients read AWS_ACCESS_KEY_ID and its like; the pod has no shell, and nobody else's code runs in it",
    ("CKV_K8S_35", "monitor"): "the same",
    (
        "CKV_K8S_35",
        "retraining",
    ): "the same, but that the user's own training script runs in it, which needs the bucket",
    ("CKV_K8S_38", "rollout"): "it scales Deployments, and may do nothing else",
    ("CKV_K8S_38", "drift"): "it starts the retraining, and may do nothing else",
    ("CKV_K8S_40", "endpoint"): "1000 is the user whom the image's files are made for",
    ("CKV_K8S_40", "rollout"): "the same",
    ("CKV_K8S_40", "monitor"): "the same",
    ("CKV_K8S_40", "retraining"): "the same",
    ("CKV_K8S_40", "drift"): "the same",
}
"""Which of checkov's rules are broken on purpose, by what the pods are for, and why."""


class Judged(NamedTuple):
    """A model as it was written and as it is live in the cluster, with the pods that its controllers made."""

    server: Server
    written: list[Object]
    live: list[Object]
    pods: list[Object]


@pytest.fixture(scope="module")
def judged(api: client.ApiClient, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Judged]:
    folder = tmp_path_factory.mktemp("model")
    (folder / "source").mkdir()
    (folder / "source" / "train.py").touch()
    written = model.objects(packed(folder / "churn"), folder / "source")
    server = Server(api)
    definitions = model.operator_definitions()
    try:
        for one in definitions:
            path = server.path(server.apply(one))
            eventually(lambda path=path: _is_established(server.get(path)))
        for obj in written:
            server.apply(obj)
        for obj in written:
            if obj["kind"] == "CronJob":
                server.apply(_run_of(obj))
        assert server.warnings == []
        pods = eventually(lambda: _pods(server))
        yield Judged(server, written, [server.get(server.path(obj)) for obj in written], pods)
    finally:
        for obj in [obj for obj in written if obj["kind"] == "Namespace"] + definitions:
            server.request("DELETE", server.path(obj))


def _is_established(definition: Object) -> bool:
    conditions = definition.get("status", {}).get("conditions") or []
    return any(one["type"] == "Established" and one["status"] == "True" for one in conditions)


def _run_of(cron_job: Object) -> Object:
    template = cron_job["spec"]["jobTemplate"]
    metadata = template["metadata"] | {"name": f"{cron_job['metadata']['name']}-now", "namespace": NAMESPACE}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": template["spec"]}


def _pods(server: Server) -> list[Object]:
    """The pods, once there are some for every purpose."""
    pods = server.pods(NAMESPACE)
    purposes = {pod["metadata"]["labels"]["app.kubernetes.io/component"] for pod in pods}
    return pods if purposes == COMPONENTS else []


def test_the_model_has_every_feature(judged: Judged) -> None:
    assert {obj["kind"] for obj in judged.written} == {
        "AlertmanagerConfig", "ConfigMap", "CronJob", "Deployment", "HorizontalPodAutoscaler", "Ingress", "Job",
        "Namespace", "NetworkPolicy", "PodDisruptionBudget", "PodMonitor", "PrometheusRule", "ResourceQuota", "Role",
        "RoleBinding", "Secret", "Service", "ServiceAccount",
    }  # fmt: skip


def test_every_pod_is_let_in_where_the_restricted_standard_is_enforced(judged: Judged) -> None:
    labels = judged.server.get(f"/api/v1/namespaces/{NAMESPACE}")["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
    assert {pod["metadata"]["labels"]["app.kubernetes.io/component"] for pod in judged.pods} == COMPONENTS
    assert judged.server.warnings == []


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"securityContext": {}}, "runAsNonRoot != true"),
        ({"hostNetwork": True}, "host namespaces"),
        (
            {"volumes": [{"name": name, "hostPath": {"path": "/"}} for name in ("scratch", "model", "store")]},
            "hostPath",
        ),
    ],
    ids=["root", "network", "volume"],
)
def test_a_pod_that_asks_for_more_is_refused(judged: Judged, change: Object, told: str) -> None:
    pod = _serving(judged)
    pod["spec"] |= change
    status, answer = judged.server.request("POST", f"/api/v1/namespaces/{NAMESPACE}/pods?dryRun=All", pod)
    assert status == 403, answer["message"]
    assert 'violates PodSecurity "restricted:latest"' in answer["message"]
    assert told in answer["message"]


def _serving(judged: Judged) -> Object:
    (deployment,) = [obj for obj in judged.written if obj["kind"] == "Deployment"]
    template = copy.deepcopy(deployment["spec"]["template"])
    metadata = template["metadata"] | {"name": "another", "namespace": NAMESPACE}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}


def test_applying_it_again_changes_nothing(judged: Judged) -> None:
    for obj in judged.written:
        before = judged.server.get(judged.server.path(obj))
        after = judged.server.apply(obj, dry_run=True)
        assert after["metadata"].get("generation") == before["metadata"].get("generation")
        assert {key: after.get(key) for key in ("spec", "data", "rules")} == {
            key: before.get(key) for key in ("spec", "data", "rules")
        }


def test_kubeconform_finds_no_fault(judged: Judged, tmp_path: Path) -> None:
    """As written, as they are live, and the pods: by the schemas that the API server publishes."""
    found = judged.written + [model.plain(obj) for obj in judged.live + judged.pods]
    judges.schemas(judged.server, found, tmp_path / "schemas")
    judges.write(found, tmp_path / "objects")
    summary, told = judges.kubeconform(tmp_path / "objects", tmp_path / "schemas")
    assert told == []
    assert summary == {"valid": len(found), "invalid": 0, "errors": 0, "skipped": 0}


def test_kubeconform_refuses_what_is_wrong(judged: Judged, tmp_path: Path) -> None:
    by_kind = {obj["kind"]: copy.deepcopy(obj) for obj in judged.written}
    by_kind["Deployment"]["spec"]["template"]["spec"]["containers"][0]["imagePull"] = "Always"
    by_kind["Ingress"]["spec"]["rules"] = "churn.example.org"
    by_kind["PrometheusRule"]["spec"]["groups"][0]["rules"][0]["treshold"] = 1
    del by_kind["CronJob"]["spec"]["schedule"]
    wrong = [by_kind[kind] for kind in ("CronJob", "Deployment", "Ingress", "PrometheusRule")]
    judges.schemas(judged.server, wrong, tmp_path / "schemas")
    judges.write(wrong, tmp_path / "objects")
    summary, told = judges.kubeconform(tmp_path / "objects", tmp_path / "schemas")
    assert summary["invalid"] == 4
    for kind, word in {"CronJob": "schedule", "Deployment": "imagePull", "PrometheusRule": "treshold"}.items():
        assert any(text.startswith(kind) and word in text for text in told), told


def test_checkov_finds_what_is_excepted_and_nothing_else(judged: Judged, tmp_path: Path) -> None:
    judges.write(judged.written, tmp_path / "objects")
    purposes = {
        f"{obj['kind']} {obj['metadata']['name']}": obj["metadata"]["labels"]["app.kubernetes.io/component"]
        for obj in judged.written
    }
    broken = {(rule, purposes[named]) for rule, named in judges.checkov(tmp_path / "objects")}
    assert broken - EXCEPTIONS.keys() == set(), "broken, and no exception"
    assert EXCEPTIONS.keys() - broken == set(), "an exception that is needed no more"


def test_checkov_refuses_what_is_wrong(judged: Judged, tmp_path: Path) -> None:
    pod = _serving(judged)
    pod["spec"]["containers"][0]["securityContext"] = {"privileged": True}
    pod["spec"]["hostPID"] = True
    judges.write([pod], tmp_path / "objects")
    found = {rule for rule, _ in judges.checkov(tmp_path / "objects")}
    assert {"CKV_K8S_16", "CKV_K8S_17", "CKV_K8S_20", "CKV_K8S_22"} <= found
    assert re.fullmatch(r"CKV2?_K8S_\d+", min(found))
