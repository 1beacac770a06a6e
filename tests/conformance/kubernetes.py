"""Kubernetes on this machine: a real control plane and node, a real store, Prometheus and Alertmanager.

The cluster serves all files of the suite and ends with the process; each file's stack is deployed into it anew.
"""

import atexit
import functools
import itertools
import json
import re
import tempfile
import urllib.request
from pathlib import Path
from typing import Any, ClassVar

import boto3
import kubernetes
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError

from sandbox.kubernetes import cluster, gateway, images, services
from sandbox.kubernetes.services import NAMESPACE, SECRET, Services
from sandbox.kubernetes.webhook import Received, receiving
from tests.conformance import world

_NOT_COUNTED = {"events", "leases", "pods", "endpoints", "endpointslices", "replicasets", "controllerrevisions"}
"""Kinds that come and go by themselves, or belong to another object."""
_PLATFORM = {
    "compute": {"cpu": 0.25, "memory": "768Mi"},
    # Real minutes: the alarms below look at one, and what Prometheus sees every five seconds is enough to decide.
    "rollout": {"canary": "50%", "bake": "45s"},
}


_TIMEOUT = "MODELBERTH_TIMEOUT_SECONDS"


_HOST = "models.example.org"


def _selector(*instances: str) -> str:
    return f"app.kubernetes.io/component=endpoint,app.kubernetes.io/instance in ({','.join(instances)})"


@functools.cache
def _running() -> tuple[cluster.Running, Services, Received, str]:
    """The cluster with all that belongs to it."""
    folder = tempfile.TemporaryDirectory(prefix="modelberth-conformance-")
    atexit.register(folder.cleanup)
    running = cluster.start(Path(folder.name))
    atexit.register(cluster.remove, Path(folder.name))
    assert running.node is not None, running.reasons_against_node
    found = services.start(running)
    image = images.serving_image()
    running.node.load(image)
    receiver = receiving(running.address)
    received = receiver.__enter__()
    atexit.register(receiver.__exit__, None, None, None)
    return running, found, received, image.name


class World(world.World):
    """The suite's view of Kubernetes."""

    needed: ClassVar[dict[str, Any]] = {"bucket": {"kubernetes": {"secret": f"{NAMESPACE}/{SECRET}"}}}
    larger: ClassVar[dict[str, Any]] = {"cpu": 0.4, "memory": "1Gi"}
    soon: ClassVar[str] = "* * * * *"
    patience: ClassVar[float] = 3.0

    def start(self) -> None:
        self._running, self._services, self._received, self._image = _running()
        self._told_before = len(self._received.alerts)
        self._numbers = itertools.count(1)
        self._api = kubernetes.config.new_client_from_config(str(self._running.cluster.kubeconfig))
        self._core = kubernetes.client.CoreV1Api(self._api)
        self._batch = kubernetes.client.BatchV1Api(self._api)
        self._addresses: dict[str, str] = {}
        self._gateway: gateway.Gateway | None = None

    def sharing(self) -> dict[str, Any]:
        """Begin a gateway; requests go through it from then on."""
        if self._gateway is None:
            assert self._running.node is not None
            before = self.everything()
            self._gateway = gateway.start(self._running.node)
            self.before |= self.everything() - before
        return {"kubernetes": {"gateway": {"name": gateway.NAME, "namespace": gateway.NAMESPACE, "host": _HOST}}}

    def stop(self) -> None:
        """The cluster ends with the process."""

    def environment(self) -> dict[str, str]:
        return {"KUBECONFIG": str(self._running.cluster.kubeconfig), "NO_PROXY": "*"}

    def config(self) -> dict[str, Any]:
        return {"modelberth:platform": "kubernetes", "modelberth:image": self._image}

    def model(self, package: str) -> dict[str, Any]:
        usual = super().model(package)
        return (
            usual
            | self.needed
            | {
                "kubernetes": {
                    "prometheus_url": self._services.prometheus,
                    "pushgateway_url": self._services.pushgateway,
                },
                "endpoint": usual["endpoint"] | _PLATFORM | {"kubernetes": {"callers": [self._running.address]}},
                "alarms": usual["alarms"] | {"notify": [self._received.url], "kubernetes": {"rules": "files"}},
                "retraining": usual["retraining"] | {"compute": {"cpu": 0.5, "memory": "2Gi"}},
            }
        )

    def predict(self, endpoint: str, body: str, content_type: str, accept: str) -> str:
        address, headers = self._service(endpoint), {"Content-Type": content_type, "Accept": accept}
        if self._gateway is not None:
            address, headers["Host"] = self._gateway.address, _HOST
        request = urllib.request.Request(f"http://{address}/invocations", body.encode(), headers)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.read().decode()

    def served(self, endpoint: str) -> dict[str, int]:
        counts: dict[str, int] = {}
        for variant, instance in self._variants(endpoint).items():
            for pod in self._pods(instance):
                with urllib.request.urlopen(f"http://{pod.status.pod_ip}:8080/metrics", timeout=10) as answer:
                    found = re.findall(r"^modelberth_requests_total{.*} (\S+)$", answer.read().decode(), re.MULTILINE)
                counts[variant] = counts.get(variant, 0) + round(sum(map(float, found)))
        return counts

    def _variants(self, endpoint: str) -> dict[str, str]:
        """Each variant's instance; a shadow is one, too."""
        services = self._core.list_service_for_all_namespaces(label_selector="app.kubernetes.io/component=endpoint")
        names = [str(one.metadata.name) for one in services.items]
        others = {name.removeprefix(f"{endpoint}-"): name for name in names if name.startswith(f"{endpoint}-")}
        return {"primary": endpoint} | others

    def running(self, endpoint: str) -> list[str]:
        pods = self._pods(*(name for variant, name in self._variants(endpoint).items() if variant != "shadow"))
        ready = [pod for pod in pods if all(one.ready for one in pod.status.container_statuses or [])]
        return sorted({pod.metadata.annotations["modelberth/package-digest"] for pod in ready})

    def break_replicas(self, endpoint: str) -> None:
        """Let each request time out, by a hand's edit of what serves: a killed pod fails no request here."""
        self._edit_environment(endpoint, {"name": _TIMEOUT, "value": "0.001"})

    def heal_replicas(self, endpoint: str) -> None:
        self._edit_environment(endpoint, {"name": _TIMEOUT, "$patch": "delete"})

    def _edit_environment(self, endpoint: str, variable: dict[str, str]) -> None:
        apps = kubernetes.client.AppsV1Api(self._api)
        containers = [{"name": "serve", "env": [variable]}]
        for one in apps.list_deployment_for_all_namespaces(label_selector=_selector(endpoint)).items:
            name, namespace = one.metadata.name, one.metadata.namespace
            apps.patch_namespaced_deployment(
                name, namespace, {"spec": {"template": {"spec": {"containers": containers}}}}
            )

    def scaled(self, endpoint: str) -> tuple[int, int] | None:
        api = kubernetes.client.AutoscalingV2Api(self._api)
        for one in api.list_horizontal_pod_autoscaler_for_all_namespaces().items:
            if one.metadata.labels.get("app.kubernetes.io/instance") == endpoint:
                return one.spec.min_replicas, one.spec.max_replicas
        return None

    def alarm_state(self, name: str) -> str:
        rules = services.alerting_rules(self._running.cluster.folder)
        states = {rule["name"]: rule["state"] for rule in rules}
        return {"firing": "ALARM", "inactive": "OK", "pending": "OK"}.get(states.get(name, ""), "INSUFFICIENT_DATA")

    def told(self) -> list[str]:
        words = {"firing": "ALARM", "resolved": "OK"}
        alerts = self._received.alerts[self._told_before :]
        return [f"{words[alert['status']]}: {alert['labels']['alertname']}" for alert in alerts]

    def start_job(self, name: str) -> str:
        namespace, found = self._cron_job(name)
        run = f"{name}-manual-{next(self._numbers)}"
        template = self._api.sanitize_for_serialization(found.spec.job_template)
        owner = {"apiVersion": "batch/v1", "kind": "CronJob", "name": name, "uid": found.metadata.uid}
        metadata = {**template.get("metadata", {}), "name": run, "ownerReferences": [owner]}
        self._batch.create_namespaced_job(namespace, {"metadata": metadata, "spec": template["spec"]})
        return run

    def runs(self, name: str) -> dict[str, str]:
        namespace, _ = self._cron_job(name)
        found: dict[str, str] = {}
        for job in self._batch.list_namespaced_job(namespace).items:
            if any(owner.name == name for owner in job.metadata.owner_references or []):
                ended = {one.type: one.status for one in job.status.conditions or []}
                state = "succeeded" if ended.get("Complete") == "True" else "executing"
                found[job.metadata.name] = "failed" if ended.get("Failed") == "True" else state
        return found

    def why(self, name: str, run: str) -> str:
        namespace, _ = self._cron_job(name)
        pods = self._core.list_namespaced_pod(namespace, label_selector=f"batch.kubernetes.io/job-name={run}").items
        return "\n".join(self._core.read_namespaced_pod_log(pod.metadata.name, namespace) for pod in pods)

    def objects(self, bucket: str) -> list[str]:
        pages = self._s3().get_paginator("list_objects_v2").paginate(Bucket=bucket.removeprefix("s3://"))
        return [item["Key"] for page in pages for item in page.get("Contents", [])]

    def is_the_same_model(self, bucket: str, digest: str, kind: str) -> bool:
        """Compare file by file what was trained in a pod: the packages of its image are not those of the checkout, so
        that the package's lock of its environment, and with it the digest, is another."""
        key = f"packages/{world.MODEL}/{digest}/manifest.json"
        stored = self._s3().get_object(Bucket=bucket.removeprefix("s3://"), Key=key)["Body"].read()
        there = json.loads(stored)["files"]
        here = json.loads((self.packages / kind / "manifest.json").read_text())["files"]
        differing = {name for name in here.keys() | there.keys() if here.get(name) != there.get(name)}
        assert differing <= {"environment.lock", "card.md", "card.html"}, differing
        return "model" in {name.split("/")[0] for name in here}

    def bucket_facts(self, bucket: str) -> dict[str, bool]:
        name = bucket.removeprefix("s3://")
        try:
            self._s3(signature_version=UNSIGNED).list_objects_v2(Bucket=name)
            private = False
        except ClientError as error:
            private = error.response["ResponseMetadata"]["HTTPStatusCode"] == 403
        versioning = self._s3().get_bucket_versioning(Bucket=name)
        # This store encrypts nothing and is reached by plain HTTP, which `up` says and the guide tells.
        return {"versioned": versioning.get("Status") == "Enabled", "private": private}

    def everything(self) -> set[str]:
        found: set[str] = set()
        client = kubernetes.dynamic.DynamicClient(self._api)
        for resource in client.resources.search():
            listed = "list" in (getattr(resource, "verbs", None) or [])
            if not listed or "/" in resource.name or resource.name in _NOT_COUNTED:
                continue
            for item in client.get(resource).to_dict().get("items", []):
                metadata = item["metadata"]
                # What belongs to another object is counted with it.
                if not metadata.get("ownerReferences"):
                    found.add(f"{resource.kind} {metadata.get('namespace', '')}/{metadata['name']}")
        return found

    def _service(self, endpoint: str) -> str:
        if endpoint not in self._addresses:
            self._addresses[endpoint] = self._find_service(endpoint)
        return self._addresses[endpoint]

    def _find_service(self, endpoint: str) -> str:
        for one in self._core.list_service_for_all_namespaces(field_selector=f"metadata.name={endpoint}").items:
            return str(one.spec.cluster_ip)
        raise LookupError(f"there is no Service {endpoint}")

    def _pods(self, *instances: str) -> list[Any]:
        pods = self._core.list_pod_for_all_namespaces(label_selector=_selector(*instances)).items
        return [pod for pod in pods if pod.metadata.deletion_timestamp is None]

    def _cron_job(self, name: str) -> tuple[str, Any]:
        for one in self._batch.list_cron_job_for_all_namespaces().items:
            if one.metadata.name == name:
                return one.metadata.namespace, one
        raise LookupError(f"there is no CronJob {name}")

    def _s3(self, **more: Any) -> Any:
        store = self._services.store
        return boto3.client(
            "s3",
            endpoint_url=store.endpoint,
            region_name=store.region,
            aws_access_key_id=store.access_key,
            aws_secret_access_key=store.secret_key,
            config=Config(s3={"addressing_style": "path"}, **more),
        )
