"""Every object that a model with all features has on Kubernetes, as the components write it, live in a cluster."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client
from pulumi.runtime.rpc import is_rpc_secret, unwrap_rpc_secret

from model_packaging.package import Package
from tests.unit.components.cloud import Deployed
from tests.unit.components.cluster import ALARMS, WATCHED, deployment

Object = dict[str, Any]
_DEFINITIONS = Path(__file__).parent / "definitions"
_OPERATOR = "github.com/prometheus-operator/prometheus-operator"
_FIRST = ("Namespace", "ServiceAccount", "Role")
_MANAGER = "judged"


def whole(package: Package, source: Path, rules: str = "operator") -> Deployed:
    """A deployment that uses all that the platform can do."""
    return deployment(
        package,
        kubernetes=WATCHED | {"quota": {"requests.cpu": 16, "requests.memory": "64Gi", "pods": "40"}},
        endpoint={
            "capture": {"sample": 0.5},
            "scale": {"min": 2, "max": 4},
            "rollout": {"canary": "50%", "bake": "5m"},
            "kubernetes": {
                "accelerators": {"nvidia.com/gpu": 1},
                "ingress": {"host": "churn.example.org", "class_name": "nginx", "tls_secret": "churn-tls"},
                "store_port": 443,
            },
        },
        alarms=ALARMS | {"kubernetes": {"rules": rules}},
        retraining={"schedule": "0 3 * * 1", "on": ["drift"], "source": str(source), "entrypoint": "train.py"},
    )


def objects(package: Package, source: Path) -> list[Object]:
    """The objects of such a deployment, alarms both as the operator's objects and as files; what is needed first."""
    found: dict[tuple[str, str], Object] = {}
    for rules in ("operator", "files"):
        for one in whole(package, source, rules).children:
            obj = plain(one.inputs)
            found[obj["kind"], obj["metadata"]["name"]] = obj
    return sorted(found.values(), key=lambda obj: (obj["kind"] not in _FIRST, obj["kind"] != "Namespace"))


def plain(value: Any) -> Any:
    """A value as it is written in JSON: no nulls, which mean nothing to the API server, and whole numbers as such."""
    value = unwrap_rpc_secret(value) if is_rpc_secret(value) else value
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items() if one is not None}
    if isinstance(value, list):
        return [plain(one) for one in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def operator_definitions() -> list[Object]:
    """The definitions of the Prometheus Operator that the components use, from its published Go module."""
    if not (go := shutil.which("go")):
        pytest.skip("no Go, with which the operator's definitions are fetched")
    command = [go, "mod", "download", "-json", _OPERATOR]
    environment = {**os.environ, "GOFLAGS": "-mod=readonly"}
    done = subprocess.run(command, cwd=_DEFINITIONS, env=environment, capture_output=True, text=True, check=True)
    folder = Path(json.loads(done.stdout)["Dir"]) / "example" / "prometheus-operator-crd"
    names = ("prometheusrules", "podmonitors", "alertmanagerconfigs")
    return [yaml.load((folder / f"monitoring.coreos.com_{name}.yaml").read_text(), _Loader) for name in names]


class _Loader(yaml.CSafeLoader):
    """A bare `=`, one of the definitions' values, has a meaning in YAML 1.1 alone."""


_Loader.add_constructor("tag:yaml.org,2002:value", _Loader.construct_yaml_str)


class Server:
    """The API server as the administrator speaks to it."""

    def __init__(self, api: client.ApiClient) -> None:
        self._api = api
        self.warnings: list[str] = []

    def request(self, method: str, path: str, body: Object | None = None) -> tuple[int, Any]:
        """The answer's status and document; what the API server warns of is kept."""
        content_type = "application/apply-patch+yaml" if method == "PATCH" else "application/json"
        answer = self._api.rest_client.pool_manager.request(
            method,
            self._api.configuration.host + path,
            body=None if body is None else json.dumps(body),
            headers={"Content-Type": content_type},
        )
        if text := answer.headers.get("Warning"):
            self.warnings.append(f"{path}: {text}")
        return answer.status, json.loads(answer.data)

    def get(self, path: str) -> Any:
        status, found = self.request("GET", path)
        assert status == 200, found
        return found

    def path(self, obj: Object) -> str:
        version = obj["apiVersion"]
        root = f"/apis/{version}" if "/" in version else f"/api/{version}"
        resources = self.get(root)["resources"]
        (kind,) = [one for one in resources if one["kind"] == obj["kind"] and "/" not in one["name"]]
        place = f"/namespaces/{obj['metadata']['namespace']}" if kind["namespaced"] else ""
        return f"{root}{place}/{kind['name']}/{obj['metadata']['name']}"

    def apply(self, obj: Object, *, dry_run: bool = False) -> Object:
        query = f"?fieldManager={_MANAGER}&force=true" + ("&dryRun=All" if dry_run else "")
        status, answer = self.request("PATCH", self.path(obj) + query, obj)
        assert status < 300, answer["message"]
        return answer

    def pods(self, namespace: str) -> list[Object]:
        """The pods of a namespace; a list leaves out what they all are."""
        items = self.get(f"/api/v1/namespaces/{namespace}/pods")["items"]
        return [{"apiVersion": "v1", "kind": "Pod", **pod} for pod in items]
