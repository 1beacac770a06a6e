"""Every object of a model is taken by the real API server, from a user with the guide's role, without a warning."""

import json
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml
from kubernetes import client, config
from pulumi.runtime import rpc

from sandbox.kubernetes.control_plane import Cluster
from sandbox.settings import ROOT
from tests.docs.test_kubernetes_guide import PLURALS, ROLE
from tests.unit.components.cloud import Deployed
from tests.unit.components.cluster import ALARMS, NAMESPACE, WATCHED, deployment
from tests.unit.components.conftest import packed

pytestmark = pytest.mark.timeout(2400)
USER = "deployer"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Deployed:
    """All that a model can have, without the operator's objects, which this cluster does not know."""
    retraining = {
        "schedule": "0 3 * * 1",
        "source": ROOT / "tests" / "conformance" / "model",
        "entrypoint": "train.py",
        "on": ["drift"],
    }
    return deployment(
        packed(tmp_path_factory.mktemp("packages") / "churn"),
        kubernetes=WATCHED | {"quota": {"pods": 40, "requests.cpu": "64", "requests.memory": "256Gi"}},
        endpoint={
            "capture": {"sample": 0.5},
            "scale": {"min": 2, "max": 4},
            "rollout": {"canary": "50%"},
            "kubernetes": {
                "accelerators": {"nvidia.com/gpu": 1},
                "store_port": 443,
                "ingress": {"host": "churn.example.org", "class_name": "nginx", "tls_secret": "churn-tls"},
            },
        },
        alarms=ALARMS | {"kubernetes": {"rules": "files"}},
        retraining=retraining,
        tags={"modelberth:stack": "dev", "owner": "data science"},
    )


@pytest.fixture(scope="module")
def user(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> client.Configuration:
    """Somebody who has the role of the guide and nothing else."""
    admin = config.new_client_from_config(str(cluster.kubeconfig))
    rights = client.RbacAuthorizationV1Api(admin)
    rights.create_cluster_role(yaml.safe_load(ROLE.read_text()))
    rights.create_cluster_role_binding(
        {
            "metadata": {"name": USER},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "modelberth-deploy"},
            "subjects": [{"kind": "User", "name": USER, "apiGroup": "rbac.authorization.k8s.io"}],
        }
    )
    file: Path = cluster.write_kubeconfig(tmp_path_factory.mktemp("user") / "kubeconfig", USER)
    return config.new_client_from_config(str(file)).configuration


def whole(value: Any) -> Any:
    """Inputs as JSON has them: of the engine's numbers those that are whole are so, and secrets are what they hold."""
    value = rpc.unwrap_rpc_secret(value)
    if isinstance(value, dict):
        return {key: whole(one) for key, one in value.items()}
    if isinstance(value, list):
        return [whole(one) for one in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def apply(document: dict[str, Any], user: client.Configuration) -> requests.Response:
    """Server-side apply, with every field that the server does not know an error."""
    version, kind, metadata = document["apiVersion"], document["kind"], document["metadata"]
    base = f"{user.host}/{'api' if '/' not in version else 'apis'}/{version}"
    within = f"/namespaces/{metadata['namespace']}" if "namespace" in metadata else ""
    return requests.patch(
        f"{base}{within}/{PLURALS.get(kind, f'{kind.lower()}s')}/{metadata['name']}",
        params={"fieldManager": "test", "fieldValidation": "Strict", "force": "true"},
        data=json.dumps(document),
        headers={"Content-Type": "application/apply-patch+yaml"},
        cert=(user.cert_file, user.key_file),
        verify=user.ssl_ca_cert,
        timeout=30,
    )


def test_every_object_is_taken_without_a_warning(made: Deployed, user: client.Configuration) -> None:
    documents = [whole(one.inputs) for one in made.children if one.type.startswith("kubernetes:")]
    documents.sort(key=lambda one: one["kind"] not in ("Namespace",))
    assert {one["kind"] for one in documents} >= {"Deployment", "CronJob", "Job", "Ingress", "HorizontalPodAutoscaler"}
    for document in documents:
        answer = apply(document, user)
        name = f"{document['kind']} {document['metadata']['name']}"
        assert answer.status_code in (200, 201), f"{name}: {answer.json().get('message')}"
        # The namespace warns of pods that are not restricted, the server of what is deprecated.
        assert "Warning" not in answer.headers, f"{name}: {answer.headers['Warning']}"


def test_a_pod_that_is_not_restricted_would_be_seen(made: Deployed, user: client.Configuration) -> None:
    (document,) = [whole(one.inputs) for one in made.of("apps/v1:Deployment")]
    assert document["metadata"]["namespace"] == NAMESPACE
    document["metadata"]["name"] = "privileged"
    document["spec"]["template"]["spec"]["containers"][0]["securityContext"] = {"privileged": True}
    assert "would violate PodSecurity" in apply(document, user).headers["Warning"]


def test_what_the_role_lacks_is_forbidden(made: Deployed, user: client.Configuration) -> None:
    document = {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "x"}}
    answer = apply(document, user)
    assert answer.status_code == 403
    assert f'User "{USER}" cannot patch resource "persistentvolumes"' in answer.json()["message"]
