"""Pods by the "restricted" Pod Security standard: no root, no privilege, a file system that can't be written.

Source: Kubernetes documentation, "Pod Security Standards".
"""

from collections.abc import Mapping, Sequence

import pulumi
import pulumi_kubernetes as kubernetes

from ...spec import ComputeSpec

USER = 1000
"""The user `modelberth` of the image."""

_POD: kubernetes.core.v1.PodSecurityContextArgsDict = {
    "run_as_non_root": True,
    "run_as_user": USER,
    "run_as_group": USER,
    "fs_group": USER,
    "seccomp_profile": {"type": "RuntimeDefault"},
}
_CONTAINER: kubernetes.core.v1.SecurityContextArgsDict = {
    "allow_privilege_escalation": False,
    "capabilities": {"drop": ["ALL"]},
    "read_only_root_filesystem": True,
}
_SCRATCH = "scratch"


def resources(
    compute: ComputeSpec, accelerators: Mapping[str, int] | None = None
) -> kubernetes.core.v1.ResourceRequirementsArgsDict:
    """Ask for what `compute` says.

    A replica that grows beyond its memory is ended, and not its node. Processors that are idle may be used: a limit
    would slow answers down while nobody else needs them.
    """
    devices = {name: str(count) for name, count in (accelerators or {}).items()}
    memory = {"memory": str(compute.memory)}
    return {"requests": {"cpu": f"{round(compute.cpu * 1000)}m", **memory, **devices}, "limits": memory | devices}


def container(
    name: str,
    image: pulumi.Input[str],
    arguments: Sequence[pulumi.Input[str]],
    compute: ComputeSpec,
    *,
    environment: Mapping[str, pulumi.Input[str]] | None = None,
    fields: Mapping[str, str] | None = None,
    secret: pulumi.Input[str] | None = None,
    mounts: Mapping[str, str] | None = None,
    accelerators: Mapping[str, int] | None = None,
) -> kubernetes.core.v1.ContainerArgsDict:
    """Return a container that runs the command `modelberth` of the image.

    Args:
        name: The container's name.
        image: The image.
        arguments: What follows `modelberth`.
        compute: What it needs.
        environment: Its variables.
        fields: Further ones that hold what the pod says of itself, by the path in it.
        secret: A Secret whose keys become variables, too.
        mounts: Folders by the volume's name.
        accelerators: Extended resources, such as nvidia.com/gpu, by their name.
    """
    made: kubernetes.core.v1.ContainerArgsDict = {
        "name": name,
        "image": image,
        "command": ["modelberth"],
        "args": list(arguments),
        "env": [
            *({"name": key, "value": value} for key, value in sorted((environment or {}).items())),
            *(
                {"name": key, "value_from": {"field_ref": {"field_path": path}}}
                for key, path in sorted((fields or {}).items())
            ),
        ],
        "resources": resources(compute, accelerators),
        "security_context": _CONTAINER,
        "volume_mounts": [
            {"name": volume, "mount_path": path} for volume, path in {_SCRATCH: "/tmp", **(mounts or {})}.items()
        ],
        "termination_message_policy": "FallbackToLogsOnError",
    }
    if secret is not None:
        made["env_from"] = [{"secret_ref": {"name": secret}}]
    return made


def pod(
    service_account: pulumi.Input[str],
    containers: Sequence[kubernetes.core.v1.ContainerArgsDict],
    *,
    first: Sequence[kubernetes.core.v1.ContainerArgsDict] = (),
    volumes: Sequence[kubernetes.core.v1.VolumeArgsDict] = (),
    talks_to_cluster: bool = False,
) -> kubernetes.core.v1.PodSpecArgsDict:
    """Return what every pod of a model has.

    Args:
        service_account: Under which it runs.
        containers: What runs.
        first: What runs to its end before.
        volumes: Beside the scratch folder /tmp.
        talks_to_cluster: Whether it gets a token for the cluster's API.
    """
    made: kubernetes.core.v1.PodSpecArgsDict = {
        "service_account_name": service_account,
        "automount_service_account_token": talks_to_cluster,
        # Names of other services as variables would say more than a pod needs to know, and could clash with its own.
        "enable_service_links": False,
        "security_context": _POD,
        "containers": list(containers),
        "volumes": [{"name": _SCRATCH, "empty_dir": {}}, *volumes],
    }
    if first:
        made["init_containers"] = list(first)
    return made
