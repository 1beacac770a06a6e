"""Objects compared: what the API server would change, and what can't be changed in place."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sandbox.providers.kubernetes.cluster import Settings
from sandbox.providers.wire import UNKNOWN

Object = dict[str, Any]

_SERVERS_OWN = ("managedFields", "resourceVersion", "generation", "uid", "creationTimestamp", "selfLink")
_POD_TEMPLATED = ("apps/v1/Deployment", "apps/v1/DaemonSet", "apps/v1/StatefulSet")

# Fields whose change needs another object. Source: pulumi-kubernetes, "force new" table of version 4, by kind.
_FORCE_NEW: dict[str, tuple[str, ...]] = {
    "apps/v1/DaemonSet": ("spec.selector",),
    "apps/v1/Deployment": ("spec.selector",),
    "apps/v1/StatefulSet": (
        "spec.podManagementPolicy",
        "spec.revisionHistoryLimit",
        "spec.selector",
        "spec.serviceName",
    ),
    "batch/v1/Job": (
        "spec.completionMode",
        "spec.completions",
        "spec.manualSelector",
        "spec.podFailurePolicy",
        "spec.selector",
        "spec.template",
    ),
    "rbac.authorization.k8s.io/v1/ClusterRoleBinding": ("roleRef",),
    "rbac.authorization.k8s.io/v1/RoleBinding": ("roleRef",),
    "storage.k8s.io/v1/StorageClass": ("parameters", "provisioner", "reclaimPolicy", "volumeBindingMode"),
    "v1/PersistentVolumeClaim": ("spec.accessModes", "spec.selector", "spec.storageClassName", "spec.volumeName"),
    "v1/Pod": ("spec",),
    "v1/Service": ("spec.clusterIP", "spec.type"),
}


def key(obj: Object) -> str:
    """`apps/v1/Deployment`."""
    return f"{obj.get('apiVersion')}/{obj.get('kind')}"


def clean(obj: Object) -> Object:
    """An object without what only the server writes."""
    metadata = {name: value for name, value in (obj.get("metadata") or {}).items() if name not in _SERVERS_OWN}
    return {name: value for name, value in obj.items() if name != "status"} | {"metadata": metadata}


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


def forces_new(obj: Object, path: str, settings: Settings) -> bool:
    """Whether a change at a path needs another object."""
    fields = ["metadata.name", "metadata.namespace", "apiVersion", "kind", *_FORCE_NEW.get(key(obj), ())]
    if key(obj) == "v1/ConfigMap" and not settings.mutable_config_maps:
        fields += ["data", "binaryData"]
    if key(obj) == "v1/Secret" and not settings.mutable_secrets:
        fields += ["type", "stringData", "data"]
    return any(path == field or path.startswith((f"{field}.", f"{field}[")) for field in fields)


def project(inputs: Any, live: Any) -> Any:
    """What an object's inputs would be now: the fields that were written, with the values that they have."""
    if isinstance(inputs, dict) and isinstance(live, dict):
        return {name: project(value, live[name]) for name, value in inputs.items() if name in live}
    if isinstance(inputs, list) and isinstance(live, list) and len(inputs) == len(live):
        return [project(one, other) for one, other in zip(inputs, live, strict=True)]
    return live
