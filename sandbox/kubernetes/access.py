"""Access to the cluster for a program of the sandbox: a user of its own who may do what it needs and no more."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from kubernetes import client, config
from kubernetes.client.exceptions import ApiException

from sandbox.kubernetes.control_plane import Cluster

_GROUP = "rbac.authorization.k8s.io"


def grant(cluster: Cluster, program: str, rules: Sequence[Mapping[str, Sequence[str]]]) -> Path:
    """Let the user `sandbox:<program>` do in every namespace what `rules` say; returns the user's kubeconfig."""
    user = f"sandbox:{program}"
    access = client.RbacAuthorizationV1Api(config.new_client_from_config(str(cluster.kubeconfig)))
    role = {"metadata": {"name": user}, "rules": list(rules)}
    binding = {
        "metadata": {"name": user},
        "roleRef": {"apiGroup": _GROUP, "kind": "ClusterRole", "name": user},
        "subjects": [{"apiGroup": _GROUP, "kind": "User", "name": user}],
    }
    for create, replace, body in (
        (access.create_cluster_role, access.replace_cluster_role, role),
        (access.create_cluster_role_binding, access.replace_cluster_role_binding, binding),
    ):
        try:
            create(body)
        except ApiException as error:
            if error.reason != "Conflict":
                raise
            replace(user, body)
    return cluster.write_kubeconfig(cluster.folder / f"{program}.kubeconfig", user)
