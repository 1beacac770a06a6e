"""Every option of Kubernetes wrong once: one text that names the key, the value and what is allowed."""

import json
from typing import Any

import pulumi
import pytest
from modelberth import SpecificationError
from modelberth.stack import deploy_stack

from model_packaging.package import Package
from tests.unit.components.cloud import Made, deploy
from tests.unit.components.cluster import IMAGE, WATCHED

PREFIX = "Pulumi.onprem.yaml: modelberth:models.churn."


def of_churn(tags: dict[str, str] | None = None, /, **model: Any) -> list[str]:
    """Everything that is said about a model, of which nothing may have been made."""
    made: list[Made] = []
    whole = {"package": "none", "bucket": {"kubernetes": {"secret": "storage/objects"}}} | model
    config = {
        "modelberth:platform": "kubernetes",
        "modelberth:image": IMAGE,
        "modelberth:tags": json.dumps(tags or {}),
        "modelberth:models": json.dumps({"churn": whole}),
    }
    with pytest.raises(pulumi.RunError) as caught:
        deploy(deploy_stack, config=config, stack="onprem", made=made)
    assert made == []
    assert isinstance(caught.value, SpecificationError)
    assert all(problem.startswith(PREFIX) for problem in caught.value.problems), caught.value.problems
    return [problem.removeprefix(PREFIX) for problem in caught.value.problems]


def test_the_models_own_key() -> None:
    assert of_churn(
        kubernetes={
            "namespace": "My_Models",
            "quota": {"pods": "forty", "requests.cpu": "16 cores", "requests.memory": None},
            "prometheus_url": "prometheus:9090",
            "pushgateway_url": "http://",
            "promtheus_url": "x",
        }
    ) == [
        "kubernetes.namespace: 'My_Models' is no name of a namespace: use at most 63 lower-case letters, digits and "
        "hyphens, with a letter or digit at both ends",
        "kubernetes.quota.pods: 'forty' is no quantity of Kubernetes: write a number, such as 40, 500m or 64Gi",
        "kubernetes.quota.requests.cpu: '16 cores' is no quantity of Kubernetes: write a number, such as 40, 500m or "
        "64Gi",
        "kubernetes.quota.requests.memory: None is no quantity of Kubernetes: write a number, such as 40, 500m or 64Gi",
        "kubernetes.prometheus_url: 'prometheus:9090' is no address: write http://<host>:<port> or https://<host>",
        "kubernetes.pushgateway_url: 'http://' is no address: write http://<host>:<port> or https://<host>",
        "kubernetes.promtheus_url: unknown key (did you mean prometheus_url?); allowed here: namespace, "
        "prometheus_url, pushgateway_url, quota",
    ]


def test_the_bucket() -> None:
    assert of_churn(
        bucket={
            "keep_noncurrent": "12h",
            "kubernetes": {
                "secret": "a/b/c",
                "endpoint_url": "https://store/bucket",
                "external_url": "store:9000",
                "bucket": "My Bucket",
                "region": 5,
                "namespace": "-x",
                "bukcet": "x",
            },
        }
    ) == [
        "bucket.kubernetes.namespace: '-x' is no name of a namespace: use at most 63 lower-case letters, digits and "
        "hyphens, with a letter or digit at both ends",
        "bucket.kubernetes.endpoint_url: 'https://store/bucket' is no address of a store: write https://<host> or "
        "https://<host>:<port>, and nothing after it",
        "bucket.kubernetes.external_url: 'store:9000' is no address of a store: write https://<host> or "
        "https://<host>:<port>, and nothing after it",
        "bucket.kubernetes.secret: 'a/b/c' names no Secret: write <name> or <namespace>/<name>, in lower-case letters, "
        "digits, hyphens and dots",
        "bucket.kubernetes.bucket: 'My Bucket' is no name of a bucket: use 3 to 63 lower-case letters, digits, hyphens "
        "and single dots, with a letter or digit at both ends",
        "bucket.kubernetes.region: 5 must be a valid string",
        "bucket.kubernetes.bukcet: unknown key (did you mean bucket?); allowed here: bucket, ca_file, endpoint_url, "
        "external_url, namespace, prometheus_url, pushgateway_url, region, secret",
    ]
    assert of_churn(bucket={"keep_noncurrent": "12h", "kubernetes": {"secret": "x", "ca_file": "nope.pem"}}) == [
        "bucket.keep_noncurrent: S3 counts in whole days, at least 1d",
        "bucket.kubernetes.ca_file: 'nope.pem' does not exist; a path is relative to the project's folder",
    ]
    assert of_churn(bucket={}) == ["bucket.kubernetes.secret: is missing; required here: secret"]


def test_the_endpoint(original: Package) -> None:
    assert of_churn(
        package=str(original.path),
        endpoint={
            "kubernetes": {
                "accelerators": {"gpu": 1, "nvidia.com/gpu": 0, "amd.com/gpu": True},
                "ingress": {"host": "https://churn.example.org", "class_name": "Nginx!", "tls_secret": ""},
                "startup_timeout_seconds": 5,
                "cpu_target": 101,
                "store_port": 70000,
                "bucket_secret": "No_Name",
            }
        },
    ) == [
        "endpoint.kubernetes.bucket_secret: 'No_Name' is no name of an object: use at most 253 lower-case letters, "
        "digits, hyphens and dots, with a letter or digit at both ends of each part",
        "endpoint.kubernetes.store_port: 70000 is out of range: must be at most 65535",
        "endpoint.kubernetes.accelerators.gpu.[key]: 'gpu' is no extended resource: write <domain>/<name>, such as "
        "nvidia.com/gpu",
        "endpoint.kubernetes.accelerators.nvidia.com/gpu: 0 is out of range: must be at least 1",
        "endpoint.kubernetes.accelerators.amd.com/gpu: True must be a valid integer",
        "endpoint.kubernetes.ingress.host: 'https://churn.example.org' is no host name: write one such as "
        "models.example.org, without scheme, port and path",
        "endpoint.kubernetes.ingress.class_name: 'Nginx!' is no name of an object: use at most 253 lower-case letters, "
        "digits, hyphens and dots, with a letter or digit at both ends of each part",
        "endpoint.kubernetes.ingress.tls_secret: '' is no name of an object: use at most 253 lower-case letters, "
        "digits, hyphens and dots, with a letter or digit at both ends of each part",
        "endpoint.kubernetes.startup_timeout_seconds: 5 is out of range: must be at least 10",
        "endpoint.kubernetes.cpu_target: 101 is out of range: must be at most 100",
    ]


def test_alarms_and_retraining_at_once(original: Package, source: Any) -> None:
    retraining = {
        "schedule": "0 3 * * 1",
        "source": str(source),
        "entrypoint": "train.py",
        "kubernetes": {"image_pull": "x"},
    }
    found = of_churn(
        package=str(original.path),
        kubernetes=WATCHED,
        alarms={
            "latency_p95": {"above": "1s"},
            "kubernetes": {"rules": "crd"},
            "monitor": {"kubernetes": {"machine": "x"}},
        },
        retraining=retraining,
    )
    assert [problem.partition(": ")[0] for problem in found] == [
        "alarms.kubernetes.rules",
        "retraining.kubernetes.image_pull",
    ]


def test_tags_that_no_label_takes() -> None:
    assert of_churn({"a b": "x"}) == [
        "tags.a b: is no key of a Kubernetes label: letters, digits, `-`, `_` and `.`, at most 63, after an optional "
        "prefix such as example.org/"
    ]
