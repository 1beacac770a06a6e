"""Objects compared: what the API server would change, and what can't be changed in place."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Iterator
from typing import Any

from modelberth_provider.wire import UNKNOWN

from sandbox.providers.kubernetes.cluster import Settings

Object = dict[str, Any]

_SERVERS_OWN = ("managedFields", "resourceVersion", "generation", "uid", "creationTimestamp", "selfLink")
_NOT_INPUTS = ("kubectl.kubernetes.io/last-applied-configuration", "deployment.kubernetes.io/revision")
"""Annotations of the cluster's own; the first holds all that `kubectl apply` was given, a Secret's data too."""

_POD_MUTABLE = ("activeDeadlineSeconds", "tolerations")
_VOLUME_SOURCES = (
    "awsElasticBlockStore", "azureDisk", "azureFile", "cephfs", "cinder", "csi", "fc", "flexVolume", "flocker",
    "gcePersistentDisk", "glusterfs", "hostPath", "iscsi", "local", "nfs", "photonPersistentDisk", "portworxVolume",
    "quobyte", "rbd", "scaleIO", "storageos", "vsphereVolume",
)  # fmt: skip

# Fields whose change needs another object. Source: pulumi-kubernetes, provider/pkg/provider/diff.go.
_FORCE_NEW: dict[str, tuple[str, ...]] = {
    "apps/v1/DaemonSet": ("spec.selector",),
    "apps/v1/Deployment": ("spec.selector",),
    "apps/v1/StatefulSet": (
        "spec.podManagementPolicy",
        "spec.revisionHistoryLimit",
        "spec.selector",
        "spec.serviceName",
        "spec.volumeClaimTemplates",
    ),
    "batch/v1/Job": ("spec.completions", "spec.parallelism", "spec.selector", "spec.template"),
    "rbac.authorization.k8s.io/v1/ClusterRoleBinding": ("roleRef",),
    "rbac.authorization.k8s.io/v1/RoleBinding": ("roleRef",),
    "storage.k8s.io/v1/StorageClass": ("parameters", "provisioner"),
    "v1/PersistentVolume": tuple(f"spec.{source}" for source in _VOLUME_SOURCES),
    "v1/PersistentVolumeClaim": ("spec.accessModes", "spec.selector", "spec.storageClassName", "spec.volumeName"),
    "v1/Pod": ("spec",),
    "v1/ResourceQuota": ("spec.scopes",),
    "v1/Service": ("spec.clusterIP",),
}


def key(obj: Object) -> str:
    """`apps/v1/Deployment`."""
    return f"{obj.get('apiVersion')}/{obj.get('kind')}"


def metadata(obj: Object) -> Object:
    """An object's metadata, empty where there is none or it is not known yet."""
    found = obj.get("metadata")
    return found if isinstance(found, dict) else {}


def annotation(obj: Object, name: str) -> str:
    """An annotation's value, empty where there is none or it is not known yet."""
    annotations = metadata(obj).get("annotations")
    value = annotations.get(name) if isinstance(annotations, dict) else None
    return value if isinstance(value, str) else ""


def clean(obj: Object) -> Object:
    """An object without what only the server writes."""
    kept = {name: value for name, value in metadata(obj).items() if name not in _SERVERS_OWN}
    annotations = kept.get("annotations") or {}
    if any(name in annotations for name in _NOT_INPUTS):
        kept["annotations"] = {name: value for name, value in annotations.items() if name not in _NOT_INPUTS}
    return {name: value for name, value in obj.items() if name != "status"} | {"metadata": kept}


def changes(old: Any, new: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """The paths that differ, each with add, delete or update."""
    if isinstance(old, dict) and isinstance(new, dict):
        for name in sorted(old.keys() | new.keys()):
            here = f"{path}.{name}" if path and _plain(name) else f'{path}["{name}"]' if path else name
            if name not in new:
                yield here, "delete"
            elif name not in old:
                yield here, "add"
            else:
                yield from changes(old[name], new[name], here)
    elif isinstance(old, list) and isinstance(new, list):
        for index in range(max(len(old), len(new))):
            here = f"{path}[{index}]"
            if index >= len(new):
                yield here, "delete"
            elif index >= len(old):
                yield here, "add"
            else:
                yield from changes(old[index], new[index], here)
    elif old != new or old is UNKNOWN or new is UNKNOWN:
        yield path, "update"


def _plain(name: str) -> bool:
    return name.replace("_", "").replace("-", "").isalnum()


def under(path: str, parents: Iterable[str]) -> bool:
    """Whether a path is one of some others, or inside one of them."""
    return any(path == parent or path.startswith((f"{parent}.", f"{parent}[")) for parent in parents)


def forces_new(obj: Object, path: str, settings: Settings) -> bool:
    """Whether a change at a path needs another object."""
    if key(obj) == "v1/Pod" and under(path, [f"spec.{name}" for name in _POD_MUTABLE]):
        return False
    fields = ["metadata.name", "metadata.namespace", "apiVersion", "kind", *_FORCE_NEW.get(key(obj), ())]
    if key(obj) == "v1/ConfigMap" and (not settings.mutable_config_maps or obj.get("immutable") is True):
        fields += ["data", "binaryData"]
    if key(obj) == "v1/Secret" and (not settings.mutable_secrets or obj.get("immutable") is True):
        fields += ["type", "stringData", "data"]
    return under(path, fields)


def leave_ignored(body: Object, live: Object, manager: str, ignored: Iterable[str]) -> Object:
    """An object to apply whose ignored fields stay as they are.

    A field that only others manage is left out, so that it neither conflicts nor comes to be managed here too; any
    other keeps its value. Lists can't be looked into, as in the official plugin.
    """
    body = copy.deepcopy(body)
    for path in ignored:
        steps = _steps(path)
        owners = {
            entry.get("manager") == manager
            for entry in live["metadata"].get("managedFields") or []
            if _at(entry.get("fieldsV1") or {}, [f"f:{step}" for step in steps]) is not None
        }
        value, parent = _at(live, steps), _at(body, steps[:-1])
        if not isinstance(parent, dict):
            continue
        if owners == {False}:
            parent.pop(steps[-1], None)
        elif value is not None:
            parent[steps[-1]] = value
    return body


def _steps(path: str) -> list[str]:
    return [quoted or plain for quoted, plain in re.findall(r'\["([^"]+)"\]|([^.\[\]]+)', path)]


def _at(value: Any, steps: list[str]) -> Any:
    for step in steps:
        value = value.get(step) if isinstance(value, dict) else None
    return value


def project(inputs: Any, live: Any) -> Any:
    """What an object's inputs would be now: the fields that were written, with the values that they have."""
    if isinstance(inputs, dict) and isinstance(live, dict):
        return {name: project(value, live[name]) for name, value in inputs.items() if name in live}
    if isinstance(inputs, list) and isinstance(live, list) and len(inputs) == len(live):
        return [project(one, other) for one, other in zip(inputs, live, strict=True)]
    return live
