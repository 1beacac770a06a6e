"""Waiting until an object is ready, and telling why it is not. Source: pulumi-kubernetes' documentation, "Await logic".

Objects of other kinds are ready once they are there.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from sandbox.providers.kubernetes.cluster import Cluster, ClusterError
from sandbox.providers.kubernetes.objects import Object, key

SKIP = "pulumi.com/skipAwait"
_LOOK_SECONDS = 0.5
_LOG_LINES = 12
_DEFAULT_SECONDS = {"apps/v1/Deployment": 600.0, "batch/v1/Job": 600.0, "v1/Service": 600.0}


class NotReady(Exception):
    """An object that is there and did not become ready; the reasons are sentences."""

    def __init__(self, live: Object, *reasons: str) -> None:
        super().__init__(reasons[0])
        self.live, self.reasons = live, reasons


def ready(cluster: Cluster, obj: Object, timeout: float | None, cancelled: threading.Event) -> Object:
    """The object once it is ready. Raises NotReady."""
    state = _STATES.get(key(obj))
    metadata = obj["metadata"]
    if state is None or (metadata.get("annotations") or {}).get(SKIP) == "true":
        return obj
    seconds = timeout or _DEFAULT_SECONDS[key(obj)]
    deadline = time.monotonic() + seconds
    live = obj
    while True:
        found = cluster.get(obj["apiVersion"], obj["kind"], metadata.get("namespace", ""), metadata["name"])
        if found is None:
            raise NotReady(live, "was deleted while it was waited for")
        live = found
        done, failure = state(cluster, live)
        if failure:
            raise NotReady(live, failure, *_reasons(cluster, live))
        if done:
            return live
        if cancelled.is_set():
            raise NotReady(live, "the update was cancelled while it was waited for")
        if time.monotonic() > deadline:
            named = f"'{metadata['name']}' timed out waiting to be Ready"
            raise NotReady(live, f"{named} after {seconds:g} s", *_reasons(cluster, live))
        cancelled.wait(_LOOK_SECONDS)


def gone(cluster: Cluster, obj: Object, timeout: float | None, cancelled: threading.Event) -> None:
    """Wait until an object that was deleted is gone. Raises ClusterError if it stays."""
    metadata = obj["metadata"]
    deadline = time.monotonic() + (timeout or 600.0)
    while True:
        found = cluster.get(obj["apiVersion"], obj["kind"], metadata.get("namespace", ""), metadata["name"])
        if found is None or found["metadata"].get("uid") != metadata.get("uid", found["metadata"].get("uid")):
            return
        if time.monotonic() > deadline or cancelled.is_set():
            held = ", ".join(found["metadata"].get("finalizers") or [])
            raise ClusterError(
                f"{obj['kind']} {metadata['name']} is still being deleted" + (f"; it is held by {held}" if held else "")
            )
        cancelled.wait(_LOOK_SECONDS)


def _deployment(cluster: Cluster, live: Object) -> tuple[bool, str]:
    status, metadata = live.get("status") or {}, live["metadata"]
    if status.get("observedGeneration", 0) < metadata.get("generation", 0):
        return False, ""
    wanted = (live.get("spec") or {}).get("replicas", 1)
    conditions = {one["type"]: one for one in status.get("conditions") or []}
    progressing = conditions.get("Progressing", {})
    if progressing.get("reason") == "ProgressDeadlineExceeded":
        return (
            False,
            f"Minimum number of Pods to consider the application live was not attained: {progressing['message']}",
        )
    failed = conditions.get("ReplicaFailure", {})
    if failed.get("status") == "True":
        return False, str(failed.get("message"))
    updated, available = status.get("updatedReplicas", 0), status.get("availableReplicas", 0)
    return updated >= wanted and available >= wanted and status.get("replicas", 0) == wanted, ""


def job_state(live: Object) -> tuple[bool, str]:
    """Whether a Job is done, and why it failed."""
    conditions = {one["type"]: one for one in (live.get("status") or {}).get("conditions") or []}
    failed = conditions.get("Failed", {})
    if failed.get("status") == "True":
        return False, f"Job has failed: {failed.get('message') or failed.get('reason')}"
    if conditions.get("Suspended", {}).get("status") == "True":
        return True, ""
    return conditions.get("Complete", {}).get("status") == "True", ""


def _service(cluster: Cluster, live: Object) -> tuple[bool, str]:
    spec = live.get("spec") or {}
    if not spec.get("selector") or spec.get("clusterIP") == "None" or spec.get("type") == "ExternalName":
        return True, ""
    metadata = live["metadata"]
    slices = cluster.list(
        "discovery.k8s.io/v1",
        "EndpointSlice",
        metadata.get("namespace", ""),
        f"kubernetes.io/service-name={metadata['name']}",
    )
    endpoints = [one for found in slices for one in found.get("endpoints") or []]
    return any((one.get("conditions") or {}).get("ready") for one in endpoints), ""


_STATES: dict[str, Callable[[Cluster, Object], tuple[bool, str]]] = {
    "apps/v1/Deployment": _deployment,
    "batch/v1/Job": lambda cluster, live: job_state(live),
    "v1/Service": _service,
}


def _reasons(cluster: Cluster, live: Object) -> list[str]:
    """Why an object's pods don't run: their events, states and the end of their logs."""
    selector = ((live.get("spec") or {}).get("selector") or {}).get("matchLabels") or {}
    namespace = live["metadata"].get("namespace", "")
    if not selector:
        return []
    try:
        chosen = ",".join(f"{name}={value}" for name, value in selector.items())
        pods = cluster.list("v1", "Pod", namespace, chosen)
        return [line for pod in pods[-3:] for line in _reasons_of_pod(cluster, pod)]
    except ClusterError as error:
        return [f"why is not known: {error}"]


def _reasons_of_pod(cluster: Cluster, pod: Object) -> Iterator[str]:
    metadata, status = pod["metadata"], pod.get("status") or {}
    where = f"[Pod {metadata['namespace']}/{metadata['name']}]"
    for condition in status.get("conditions") or []:
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            yield f"{where}: is not scheduled: {condition.get('message') or condition.get('reason')}"
    containers = [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]
    for container in containers:
        for kind, state in [*(container.get("state") or {}).items(), *(container.get("lastState") or {}).items()]:
            reason = state.get("reason")
            if kind == "running" or reason in (None, "Completed", "PodInitializing", "ContainerCreating"):
                continue
            yield f"{where}: container {container['name']}: {reason} {_short(state.get('message'))}".rstrip()
            break
        else:
            continue
        log = cluster.log(metadata["namespace"], metadata["name"], container["name"], _LOG_LINES).strip()
        if log:
            lines = "\n".join(f"    {line}" for line in log.splitlines())
            yield f"{where}: the end of the log of {container['name']}:\n{lines}"
    if not containers:
        events = cluster.list("v1", "Event", metadata["namespace"])
        own = [one for one in events if (one.get("involvedObject") or {}).get("uid") == metadata.get("uid")]
        for event in own[-3:]:
            if event.get("type") == "Warning":
                yield f"{where}: {event.get('reason')}: {_short(event.get('message'))}"


def _short(text: Any) -> str:
    return str(text or "").strip()[-500:]
