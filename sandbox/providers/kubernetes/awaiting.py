"""Waiting until an object is ready, and telling why it is not.

Followed: the kinds that the official plugin waits for and what makes each of them ready, ten minutes for each,
`pulumi.com/skipAwait`, `pulumi.com/timeoutSeconds` and what `pulumi.com/waitFor` names. Otherwise than there, a
rollout that cannot succeed any more (its progress deadline has passed, its pods are refused for half a minute) ends the
wait at once, an Ingress is ready with its load balancer's address, and a definition once it is established.
Objects of other kinds are ready once they are there. Sources: pulumi-kubernetes' documentation, "Await logic", and
provider/pkg/await of its repository.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import jsonpath_ng.ext
from jsonpath_ng.exceptions import JSONPathError

from sandbox.providers.kubernetes.cluster import Cluster, ClusterError
from sandbox.providers.kubernetes.objects import Object, annotation, key

SKIP = "pulumi.com/skipAwait"
WAIT_FOR = "pulumi.com/waitFor"
_TIMEOUT = "pulumi.com/timeoutSeconds"
_DEFAULT_SECONDS = 600.0
_LOOK_SECONDS = 0.5
_LOG_LINES = 12
_REFUSED_SECONDS = 30
"""A pod may be refused for a moment: its service account, or the end of an old pod, comes a little later."""
_SKIPS_DELETION = (
    "v1/Namespace", "v1/Pod", "v1/ReplicationController", "apps/v1/DaemonSet", "apps/v1/Deployment",
    "apps/v1/StatefulSet", "batch/v1/Job",
)  # fmt: skip

State = tuple[bool, str]
"""Whether an object is ready, and why it will not become so."""


class NotReady(Exception):
    """An object that is there and did not become ready; the reasons are sentences."""

    def __init__(self, live: Object, *reasons: str) -> None:
        super().__init__(reasons[0])
        self.live, self.reasons = live, reasons


def ready(cluster: Cluster, obj: Object, timeout: float | None, cancelled: threading.Event) -> Object:
    """The object once it is ready. Raises NotReady."""
    state = _state(obj)
    if state is None:
        return obj
    metadata = obj["metadata"]
    seconds = _seconds(obj, timeout)
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
            named = f"Resource operation was cancelled for '{metadata['name']}'"
            raise NotReady(live, named, *_reasons(cluster, live))
        if time.monotonic() > deadline:
            named = f"'{metadata['name']}' timed out waiting to be Ready"
            raise NotReady(live, f"{named} after {seconds:g} s", *_reasons(cluster, live))
        cancelled.wait(_LOOK_SECONDS)


def is_ready(cluster: Cluster, live: Object) -> State:
    """Whether an object is ready now."""
    state = _state(live)
    return (True, "") if state is None else state(cluster, live)


def why_not(cluster: Cluster, live: Object, failure: str) -> NotReady:
    """What to tell of an object that is not ready, and is not waited for."""
    name = live["metadata"]["name"]
    first = failure or f"Resource '{name}' was created but failed to initialize"
    return NotReady(live, first, *_reasons(cluster, live))


def gone(cluster: Cluster, obj: Object, timeout: float | None, cancelled: threading.Event) -> None:
    """Wait until an object that was deleted is gone. Raises ClusterError if it stays."""
    if annotation(obj, SKIP) == "true" and key(obj) in _SKIPS_DELETION:
        return
    metadata = obj["metadata"]
    seconds = _seconds(obj, timeout)
    deadline = time.monotonic() + seconds
    while True:
        found = cluster.get(obj["apiVersion"], obj["kind"], metadata.get("namespace", ""), metadata["name"])
        if found is None or found["metadata"].get("uid") != metadata.get("uid", found["metadata"].get("uid")):
            return
        if cancelled.is_set() or time.monotonic() > deadline:
            why = "the update was cancelled" if cancelled.is_set() else f"after {seconds:g} s"
            raise ClusterError(f"{obj['kind']} {metadata['name']} is still being deleted ({why}){_held_by(found)}")
        cancelled.wait(_LOOK_SECONDS)


def _seconds(obj: Object, timeout: float | None) -> float:
    annotated = annotation(obj, _TIMEOUT)
    return timeout or (float(annotated) if annotated.isdigit() else _DEFAULT_SECONDS)


def _held_by(obj: Object) -> str:
    metadata = obj["metadata"]
    finalizers = [*(metadata.get("finalizers") or []), *((obj.get("spec") or {}).get("finalizers") or [])]
    held = f"; it is held by {', '.join(finalizers)}" if finalizers else ""
    conditions = (obj.get("status") or {}).get("conditions") or []
    remaining = [
        str(one.get("message"))
        for one in conditions
        if key(obj) == "v1/Namespace" and one.get("status") == "True" and one.get("message")
    ]
    return held + "".join(f"\n  {text}" for text in remaining)


def _state(obj: Object) -> Callable[[Cluster, Object], State] | None:
    if annotation(obj, SKIP) == "true":
        return None
    if awaited := annotation(obj, WAIT_FOR):
        awaited_states = parse_awaited(awaited)
        return lambda cluster, live: (all(met(live) for met in awaited_states), "")
    return _STATES.get(key(obj))


def parse_awaited(text: str) -> list[Callable[[Object], bool]]:
    """Whether an object is as each expression of `pulumi.com/waitFor` says: condition=… or jsonpath={…}.

    Raises:
        ValueError: it holds anything else.
    """
    expressions = json.loads(text) if text.lstrip().startswith("[") else [text]
    return [_parse_awaited(str(expression)) for expression in expressions]


def _parse_awaited(expression: str) -> Callable[[Object], bool]:
    prefix, _, rest = expression.partition("=")
    name, _, status = rest.partition("=")
    if prefix == "condition" and name:
        return lambda live: _met(live, name.lower(), (status or "True").lower())
    found = re.fullmatch(r"jsonpath=\{(\..+)\}(?:=(.+))?", expression)
    if found is None:
        raise ValueError(
            f'expected condition=NAME, condition=NAME=STATUS or jsonpath={{PATH}}=VALUE, got "{expression}"'
        )
    try:
        path = jsonpath_ng.ext.parse(f"${found[1]}")
    except JSONPathError as error:
        raise ValueError(f"{found[1]} is no JSONPath: {error}") from error
    value = found[2]

    def met(live: Object) -> bool:
        values = [str(one.value) for one in path.find(live)]
        return bool(values) if value is None else values == [value]

    return met


def _conditions(live: Object) -> dict[str, Object]:
    return {one["type"]: one for one in (live.get("status") or {}).get("conditions") or []}


def _met(live: Object, name: str, status: str) -> bool:
    return _is_observed(live) and any(
        condition.lower() == name and str(one.get("status")).lower() == status
        for condition, one in _conditions(live).items()
    )


def _is_observed(live: Object) -> bool:
    generation = live["metadata"].get("generation", 0)
    return (live.get("status") or {}).get("observedGeneration", generation) >= generation


def _deployment(cluster: Cluster, live: Object) -> State:
    status, spec = live.get("status") or {}, live.get("spec") or {}
    if "observedGeneration" not in status or not _is_observed(live):
        return False, ""
    conditions = _conditions(live)
    progressing, failed = conditions.get("Progressing", {}), conditions.get("ReplicaFailure", {})
    if progressing.get("reason") == "ProgressDeadlineExceeded":
        message = progressing.get("message")
        return False, f"Minimum number of Pods to consider the application live was not attained: {message}"
    if failed.get("status") == "True" and _seconds_since(failed["lastTransitionTime"]) > _REFUSED_SECONDS:
        return False, str(failed.get("message"))
    wanted = spec.get("replicas", 1)
    updated, available = status.get("updatedReplicas", 0), status.get("availableReplicas", 0)
    return updated >= wanted and available >= wanted and status.get("replicas", 0) == wanted, ""


def _seconds_since(time: str) -> float:
    return (datetime.now(UTC) - datetime.fromisoformat(time)).total_seconds()


def _stateful_set(cluster: Cluster, live: Object) -> State:
    status, spec = live.get("status") or {}, live.get("spec") or {}
    if "observedGeneration" not in status or not _is_observed(live):
        return False, ""
    wanted = spec.get("replicas", 1)
    by_hand = (spec.get("updateStrategy") or {}).get("type") == "OnDelete"
    rolled_out = by_hand or status.get("currentRevision") == status.get("updateRevision")
    return rolled_out and status.get("replicas", 0) == status.get("readyReplicas", 0) == wanted, ""


def _daemon_set(cluster: Cluster, live: Object) -> State:
    status, spec = live.get("status") or {}, live.get("spec") or {}
    if "observedGeneration" not in status or not _is_observed(live):
        return False, ""
    wanted = status.get("desiredNumberScheduled", 0)
    by_hand = (spec.get("updateStrategy") or {}).get("type") == "OnDelete"
    rolled_out = by_hand or status.get("updatedNumberScheduled", 0) >= wanted
    return rolled_out and status.get("numberReady", 0) >= wanted, ""


def _pod(cluster: Cluster, live: Object) -> State:
    status = live.get("status") or {}
    if status.get("phase") == "Failed":
        return False, f"Pod has failed: {status.get('message') or status.get('reason') or 'a container ended badly'}"
    done = status.get("phase") == "Succeeded"
    return done or _conditions(live).get("Ready", {}).get("status") == "True", ""


def _job(cluster: Cluster, live: Object) -> State:
    conditions = _conditions(live)
    failed = conditions.get("Failed", {})
    if failed.get("status") == "True":
        return False, f"Job has failed: {failed.get('message') or failed.get('reason')}"
    if refused := _refused(cluster, live):
        return False, f"Job's pods are refused: {refused}"
    return any(conditions.get(name, {}).get("status") == "True" for name in ("Complete", "Suspended")), ""


def _refused(cluster: Cluster, job: Object) -> str:
    """Why a Job that has had no pod yet gets none: admission refuses them, and has for a while. Only events tell."""
    status = job.get("status") or {}
    if any(status.get(name) for name in ("active", "succeeded", "failed", "terminating")):
        return ""
    try:
        events = _events(cluster, job)
    except ClusterError:
        # Who may not read events waits for the time that is given.
        return ""
    for one in events:
        since = one.get("firstTimestamp") or one.get("eventTime")
        if one.get("reason") == "FailedCreate" and since and _seconds_since(since) > _REFUSED_SECONDS:
            return _short(one.get("message"))
    return ""


def _service(cluster: Cluster, live: Object) -> State:
    spec, metadata = live.get("spec") or {}, live["metadata"]
    if spec.get("type") == "LoadBalancer" and not _has_address(live):
        return False, ""
    if not spec.get("selector") or spec.get("clusterIP") == "None" or spec.get("type") == "ExternalName":
        return True, ""
    slices = cluster.list(
        "discovery.k8s.io/v1",
        "EndpointSlice",
        metadata.get("namespace", ""),
        labelSelector=f"kubernetes.io/service-name={metadata['name']}",
    )
    endpoints = [one for found in slices for one in found.get("endpoints") or []]
    return any((one.get("conditions") or {}).get("ready") for one in endpoints), ""


def _has_address(live: Object) -> bool:
    return bool(((live.get("status") or {}).get("loadBalancer") or {}).get("ingress"))


def _claim(cluster: Cluster, live: Object) -> State:
    phase = (live.get("status") or {}).get("phase")
    name = (live.get("spec") or {}).get("storageClassName")
    if phase == "Pending" and name:
        found = cluster.get("storage.k8s.io/v1", "StorageClass", "", name) or {}
        return found.get("volumeBindingMode") == "WaitForFirstConsumer", ""
    return phase == "Bound", ""


def _volume(cluster: Cluster, live: Object) -> State:
    return (live.get("status") or {}).get("phase") in ("Available", "Bound"), ""


def _quota(cluster: Cluster, live: Object) -> State:
    return (live.get("spec") or {}).get("hard") == (live.get("status") or {}).get("hard"), ""


def _secret(cluster: Cluster, live: Object) -> State:
    return live.get("type") != "kubernetes.io/service-account-token" or bool(live.get("data")), ""


def _definition(cluster: Cluster, live: Object) -> State:
    return _conditions(live).get("Established", {}).get("status") == "True", ""


_STATES: dict[str, Callable[[Cluster, Object], State]] = {
    "apiextensions.k8s.io/v1/CustomResourceDefinition": _definition,
    "apps/v1/DaemonSet": _daemon_set,
    "apps/v1/Deployment": _deployment,
    "apps/v1/StatefulSet": _stateful_set,
    "batch/v1/Job": _job,
    "networking.k8s.io/v1/Ingress": lambda cluster, live: (_has_address(live), ""),
    "v1/PersistentVolume": _volume,
    "v1/PersistentVolumeClaim": _claim,
    "v1/Pod": _pod,
    "v1/ResourceQuota": _quota,
    "v1/Secret": _secret,
    "v1/Service": _service,
}


def _reasons(cluster: Cluster, live: Object) -> list[str]:
    """Why an object is not ready: its warnings, and its pods' events, states and the end of their logs."""
    selector = (live.get("spec") or {}).get("selector") or {}
    labels = selector.get("matchLabels") if key(live) != "v1/Service" else selector
    namespace = live["metadata"].get("namespace", "")
    try:
        lines = [f"{live['kind']}: {text}" for text in _warnings(cluster, live)]
        failed = _conditions(live).get("ReplicaFailure", {})
        if failed.get("status") == "True" and not any(str(failed.get("message")) in line for line in lines):
            lines.append(f"{live['kind']}: {failed.get('reason')}: {_short(failed.get('message'))}")
        lines += _refused_by_parents(live)
        if key(live) == "v1/PersistentVolumeClaim":
            lines += _without_class(cluster, live)
        if key(live) == "v1/Pod":
            return lines + list(_reasons_of_pod(cluster, live, is_named=True))
        if labels:
            chosen = ",".join(f"{name}={value}" for name, value in labels.items())
            pods = cluster.list("v1", "Pod", namespace, labelSelector=chosen)
            if key(live) == "v1/Service" and not pods:
                lines.append(f"Service: does not target any Pods: none has the labels {chosen}")
            lines += [line for pod in pods[-3:] for line in _reasons_of_pod(cluster, pod)]
        return lines
    except ClusterError as error:
        return [f"why is not known: {error}"]


def _refused_by_parents(live: Object) -> list[str]:
    """What the Gateways of a route say against it; without an answer, that no controller gave one."""
    if not live["apiVersion"].startswith("gateway.networking.k8s.io/") or not live["kind"].endswith("Route"):
        return []
    parents = (live.get("status") or {}).get("parents") or []
    if not parents:
        return [f"{live['kind']}: no controller of a Gateway has answered: see that it runs"]
    return [
        f"{live['kind']}: {parent['parentRef']['name']}: {one['type']} is {one['status']}: {one.get('reason')}: "
        f"{_short(one.get('message'))}"
        for parent in parents
        for one in parent.get("conditions") or []
        if one["type"] in ("Accepted", "ResolvedRefs") and one["status"] != "True"
    ]


def _without_class(cluster: Cluster, claim: Object) -> list[str]:
    """That a claim names no storage class, and the cluster has no default; which ones it has."""
    if "storageClassName" in (claim.get("spec") or {}):
        return []
    names = [one["metadata"]["name"] for one in cluster.list("storage.k8s.io/v1", "StorageClass", "")]
    has = f"it has {', '.join(sorted(names))}" if names else "it has none at all"
    advice = "set spec.storageClassName to one of them" if names else "install a storage provisioner"
    return [
        "PersistentVolumeClaim: spec.storageClassName is left out, and no storage class of the cluster is its default: "
        f"{has}; {advice}, or mark one as the default"
    ]


def _warnings(cluster: Cluster, obj: Object) -> list[str]:
    return [f"{one.get('reason')}: {_short(one.get('message'))}" for one in _events(cluster, obj)[-3:]]


def _events(cluster: Cluster, obj: Object) -> list[Object]:
    metadata = obj["metadata"]
    selector = f"involvedObject.uid={metadata.get('uid')},type=Warning"
    return cluster.list("v1", "Event", metadata.get("namespace") or "default", fieldSelector=selector)


def _reasons_of_pod(cluster: Cluster, pod: Object, *, is_named: bool = False) -> Iterator[str]:
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
    if not containers and not is_named:
        for text in _warnings(cluster, pod):
            yield f"{where}: {text}"


def _short(text: Any) -> str:
    return str(text or "").strip()[-500:]
