"""The API of the Kubernetes cluster that a pod runs in, and of the Prometheus that watches it.

Source: Kubernetes documentation, "Accessing the Kubernetes API from a Pod"; Prometheus documentation, "HTTP API" and
"Alerting rules" (the series ALERTS and ALERTS_FOR_STATE).
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model_packaging.errors import ModelberthError

_ENDPOINT = "app.kubernetes.io/instance"
_COMPONENT = "app.kubernetes.io/component=endpoint"
_REVISION = "modelberth/revision"
_LOG_LINES, _MOST_LINES = 8, 30
_Instead = Mapping[int, dict[str, Any]]
_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


@dataclass(frozen=True)
class Deployment:
    """What matters of a Deployment: how many replicas it wants, and how many are ready."""

    name: str
    wanted: int
    ready: int


class Api:
    """Both APIs, as a pod reaches them under its service account."""

    def __init__(self, prometheus: str, environment: Mapping[str, str] = os.environ, account: Path = _ACCOUNT) -> None:
        import requests

        host, port = environment.get("KUBERNETES_SERVICE_HOST"), environment.get("KUBERNETES_SERVICE_PORT", "443")
        if not host or not (account / "token").is_file():
            raise ModelberthError("this is no pod of a cluster: there is no service account's token")
        self._base = f"https://{f'[{host}]' if ':' in host else host}:{port}"
        self._account = account
        self._namespace = (account / "namespace").read_text().strip()
        self._session = requests.Session()
        self._session.verify = str(account / "ca.crt")
        # A proxy of the image's stands between neither.
        self._session.trust_env = False
        self._prometheus = prometheus

    def deployments(self, endpoint: str) -> list[Deployment]:
        """All Deployments of an endpoint."""
        items = self._list("apis/apps/v1", "deployments", endpoint)
        return [
            Deployment(
                one["metadata"]["name"],
                int(one["spec"].get("replicas", 1)),
                # Those of a template that is being replaced are not counted as ready.
                int(one.get("status", {}).get("readyReplicas", 0)) if _settled(one) else 0,
            )
            for one in items
        ]

    def scale(self, name: str, replicas: int) -> None:
        """Set how many replicas a Deployment wants."""
        address = f"apis/apps/v1/namespaces/{self._namespace}/deployments/{name}/scale"
        self._patch(address, {"spec": {"replicas": replicas}})

    def autoscale(self, name: str, on: bool) -> None:
        """Let KEDA's ScaledObject of this name scale its Deployment, or hold it; nothing where there is none."""
        address = f"apis/keda.sh/v1alpha1/namespaces/{self._namespace}/scaledobjects/{name}"
        held = {"autoscaling.keda.sh/paused": None if on else "true"}
        self._patch(address, {"metadata": {"annotations": held}}, instead={404: {}})

    def recall(self, record: str) -> dict[str, str]:
        """What a ConfigMap holds."""
        return self._call("GET", f"api/v1/namespaces/{self._namespace}/configmaps/{record}").get("data") or {}

    def remember(self, record: str, values: Mapping[str, str | None]) -> None:
        """Write into a ConfigMap; None takes a key out of it."""
        self._patch(f"api/v1/namespaces/{self._namespace}/configmaps/{record}", {"data": dict(values)})

    def firing(self, alarms: Sequence[str]) -> list[str]:
        """Which of the alarms fire."""
        if not alarms or not self._prometheus:
            return []
        names = "|".join(_quoted(alarm) for alarm in alarms)
        found = self._query(f'ALERTS{{alertstate="firing", alertname=~"{names}"}}')
        return sorted({str(one["metric"].get("alertname")) for one in found})

    def firing_since(self, alarm: str) -> int | None:
        """When a firing alarm began, in seconds since 1970; nothing where it does not fire."""
        name = _quoted(alarm)
        firing = f'(ALERTS{{alertstate="firing", alertname=~"{name}"}} == 1)'
        found = self._query(f'ALERTS_FOR_STATE{{alertname=~"{name}"}} and on (alertname) {firing}')
        return min((int(float(one["value"][1])) for one in found), default=None)

    def start(self, cron_job: str, name: str) -> bool:
        """Start what a CronJob starts, as a Job of this name; false where there is one already."""
        own = f"apis/batch/v1/namespaces/{self._namespace}"
        found = self._call("GET", f"{own}/cronjobs/{cron_job}")
        template = found["spec"]["jobTemplate"]
        job = {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {
                **template.get("metadata", {}),
                "name": name,
                # It goes with its CronJob, and counts in its history.
                "ownerReferences": [
                    {
                        "apiVersion": "batch/v1",
                        "kind": "CronJob",
                        "name": cron_job,
                        "uid": found["metadata"]["uid"],
                        "controller": True,
                    }
                ],
            },
            "spec": template["spec"],
        }
        return "metadata" in self._call("POST", f"{own}/jobs", json=job, instead={409: {}})

    def restarts(self, endpoint: str, deployment: str) -> int:
        """How often a container of a Deployment's pods has ended and was started again, at most."""
        counts = [
            container.get("restartCount", 0) for pod in self._pods(endpoint, deployment) for container in _of(pod)
        ]
        return max(counts, default=0)

    def reasons(self, endpoint: str, deployment: str) -> list[str]:
        """Why pods of a Deployment don't become ready, one sentence each, with the end of their logs."""
        found: list[str] = []
        for pod in self._pods(endpoint, deployment):
            name = pod["metadata"]["name"]
            found += [f"pod {name}: {reason}" for reason in _reasons(pod)]
            for container in _of(pod):
                if container.get("restartCount") or container.get("state", {}).get("terminated", {}).get("exitCode"):
                    found += [f"{container['name']} of {name}: {line}" for line in self._log(name, container)]
        return found[:_MOST_LINES]

    def _log(self, pod: str, container: Mapping[str, Any]) -> list[str]:
        previous = "terminated" not in container.get("state", {})
        path = f"api/v1/namespaces/{self._namespace}/pods/{pod}/log"
        query = {"container": container["name"], "tailLines": _LOG_LINES, "previous": str(previous).lower()}
        answer = self._session.get(f"{self._base}/{path}", params=query, headers=self._authorization(), timeout=10)
        return answer.text.splitlines() if answer.ok else []

    def _pods(self, endpoint: str, deployment: str) -> list[dict[str, Any]]:
        return [
            pod
            for pod in self._list("api/v1", "pods", endpoint)
            if pod["metadata"].get("labels", {}).get(_REVISION) == deployment
        ]

    def _query(self, query: str) -> list[dict[str, Any]]:
        address = f"{self._prometheus}/api/v1/query"
        answer = self._asked(address, lambda: self._session.get(address, params={"query": query}, timeout=10))
        return answer.get("data", {}).get("result", [])

    def _list(self, group: str, kind: str, endpoint: str) -> list[dict[str, Any]]:
        selector = {"labelSelector": f"{_COMPONENT},{_ENDPOINT}={endpoint}"}
        return self._call("GET", f"{group}/namespaces/{self._namespace}/{kind}", params=selector).get("items", [])

    def _patch(self, path: str, changes: Mapping[str, Any], instead: _Instead | None = None) -> None:
        headers = {"Content-Type": "application/merge-patch+json"}
        self._call("PATCH", path, data=json.dumps(changes), headers=headers, instead=instead)

    def _call(self, method: str, path: str, *, instead: _Instead | None = None, **more: Any) -> dict[str, Any]:
        headers = self._authorization() | more.pop("headers", {})
        address = f"{self._base}/{path}"
        return self._asked(
            f"{method} {path}",
            lambda: self._session.request(method, address, headers=headers, timeout=10, **more),
            instead,
        )

    def _authorization(self) -> dict[str, str]:
        # The token is renewed while a pod runs.
        return {"Authorization": f"Bearer {(self._account / 'token').read_text().strip()}"}

    def _asked(self, what: str, call: Callable[[], Any], instead: _Instead | None = None) -> dict[str, Any]:
        """The answer's JSON, or what is given `instead` for a status; what may pass is waited for."""
        import requests

        problem = ""
        for wait in (1, 2, 4, 8, 0):
            try:
                answer = call()
            except requests.RequestException as error:
                problem = f"{what}: {error}"
            else:
                if answer.status_code < 400:
                    return answer.json()
                if instead is not None and answer.status_code in instead:
                    return instead[answer.status_code]
                problem = f"{what}: {answer.status_code} {_message(answer)}"
                if answer.status_code < 500 and answer.status_code != 429:
                    break
            time.sleep(wait)
        raise ModelberthError(problem)


def _settled(deployment: Mapping[str, Any]) -> bool:
    return deployment.get("status", {}).get("observedGeneration") == deployment["metadata"].get("generation")


def _of(pod: Mapping[str, Any]) -> list[dict[str, Any]]:
    status = pod.get("status", {})
    return [*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])]


def _reasons(pod: Mapping[str, Any]) -> Iterator[str]:
    status = pod.get("status", {})
    for container in _of(pod):
        state = {**container.get("lastState", {}), **container.get("state", {})}
        for kind in ("waiting", "terminated"):
            found = state.get(kind)
            if found and found.get("reason") not in (None, "Completed", "PodInitializing", "ContainerCreating"):
                said = (found.get("message") or "").strip()
                yield f"container {container['name']}: {found['reason']}" + (f": {said[-500:]}" if said else "")
    for condition in status.get("conditions", []):
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            yield f"is not scheduled: {condition.get('message', condition.get('reason'))}"


def _quoted(name: str) -> str:
    """A name as a regular expression within a string of PromQL."""
    return re.escape(name).replace("\\", "\\\\").replace('"', '\\"')


def _message(answer: Any) -> str:
    try:
        return str(answer.json().get("message") or answer.json().get("error") or "")
    except ValueError:
        return str(answer.text)[:200]
