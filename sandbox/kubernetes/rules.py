"""Keeps Prometheus and Alertmanager at what the cluster's ConfigMaps say: `python -m sandbox.kubernetes.rules FOLDER`.

A ConfigMap with the label modelberth/rules=prometheus holds rule files, one with modelberth/rules=alertmanager holds a
route and its receiver. On a cluster of one's own the Prometheus Operator, or a sidecar, does this.
"""

import json
import sys
from pathlib import Path
from typing import Any

import kubernetes
from kubernetes.client.exceptions import ApiException

from model_packaging.errors import ModelberthError
from sandbox.kubernetes import control_plane, monitoring
from sandbox.kubernetes.monitoring import Monitoring

_LABEL = "modelberth/rules"
_NOBODY = "nobody"


def routes(documents: list[dict[str, Any]]) -> dict[str, Any]:
    """Alertmanager's configuration: each document's route, and nobody for what none of them takes."""
    return {
        "global": {"smtp_smarthost": "127.0.0.1:25", "smtp_from": "alerts@sandbox.invalid", "smtp_require_tls": False},
        "route": {"receiver": _NOBODY, "routes": [one["route"] for one in documents]},
        "receivers": [{"name": _NOBODY}, *(one["receiver"] for one in documents)],
    }


def apply(config_maps: list[Any], watching: Monitoring) -> None:
    """Tell both programs what all ConfigMaps say together."""
    groups: dict[str, list[Any]] = {}
    documents: list[dict[str, Any]] = []
    for one in sorted(config_maps, key=lambda found: (found.metadata.namespace, found.metadata.name)):
        for file, text in sorted((one.data or {}).items()):
            found = json.loads(text)
            if one.metadata.labels[_LABEL] == "prometheus":
                groups[f"{one.metadata.namespace}-{Path(file).stem}"] = found["groups"]
            else:
                documents.append(found)
    watching.rules(groups)
    watching.route(routes(documents))


def main() -> int:
    """Follow the cluster until it ends."""
    cluster = control_plane.find(Path(sys.argv[1]))
    watching = monitoring.find(cluster.folder)
    core = kubernetes.client.CoreV1Api(kubernetes.config.new_client_from_config(str(cluster.kubeconfig)))
    while True:
        found = core.list_config_map_for_all_namespaces(label_selector=_LABEL)
        try:
            apply(found.items, watching)
        except (ModelberthError, ValueError, KeyError) as error:
            print(f"the rules of the cluster are not taken: {error}", flush=True)
        changes = kubernetes.watch.Watch()
        try:
            stream = changes.stream(
                core.list_config_map_for_all_namespaces,
                label_selector=_LABEL,
                resource_version=found.metadata.resource_version,
                timeout_seconds=300,
            )
            # The first change is enough: all is read again.
            next(stream, None)
        except ApiException as error:
            if error.status != 410:  # what was seen last is too old
                raise
        finally:
            changes.stop()


if __name__ == "__main__":
    sys.exit(main())
