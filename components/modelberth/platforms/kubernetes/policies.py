"""Network policies: a namespace denies all, and each capability lets through what it needs.

Source: Kubernetes documentation, "Network Policies". They are enforced by the cluster's network plugin; one that does
not know them lets all traffic through.
"""

from collections.abc import Sequence

import pulumi
import pulumi_kubernetes as kubernetes

from ...args import CommonArgs
from . import objects
from .objects import NamespaceOptions

_DNS: kubernetes.networking.v1.NetworkPolicyEgressRuleArgsDict = {
    "ports": [{"protocol": "UDP", "port": 53}, {"protocol": "TCP", "port": 53}]
}


def deny_all(name: str, args: CommonArgs, options: NamespaceOptions, opts: pulumi.ResourceOptions) -> None:
    """Deny all traffic of a namespace that no other policy lets through."""
    kubernetes.networking.v1.NetworkPolicy(
        name,
        metadata=objects.metadata(args, options, "deny-all", "model", "all"),
        spec={"pod_selector": {}, "policy_types": ["Ingress", "Egress"]},
        opts=opts,
    )


def allow(
    name: str,
    args: CommonArgs,
    options: NamespaceOptions,
    component: str,
    instance: str,
    opts: pulumi.ResourceOptions,
    *,
    serves: int | None = None,
    reaches: Sequence[int | None],
) -> None:
    """Let one capability's pods be reached on a port from anywhere in the cluster, and reach others by DNS.

    Args:
        name: The resource's name.
        args: The component's arguments.
        options: Where the pods are.
        component: What they are for.
        instance: Which one.
        opts: The resource's options.
        serves: The port that they are reached on, if they are.
        reaches: The ports that they open connections to; None for all of them. A policy knows no host names, so that
            these are open to every address.
    """
    spec: kubernetes.networking.v1.NetworkPolicySpecArgsDict = {
        "pod_selector": {"match_labels": objects.labels(component, instance)},
        "policy_types": ["Ingress", "Egress"],
        "egress": [_DNS, *_to(reaches)],
    }
    if serves is not None:
        spec["ingress"] = [
            {"from_": [{"namespace_selector": {}}], "ports": [{"protocol": "TCP", "port": serves}]},
        ]
    kubernetes.networking.v1.NetworkPolicy(
        name,
        metadata=objects.metadata(args, options, f"{instance}-{component}-traffic", component, instance),
        spec=spec,
        opts=opts,
    )


def _to(ports: Sequence[int | None]) -> list[kubernetes.networking.v1.NetworkPolicyEgressRuleArgsDict]:
    if not ports:
        return []
    if None in ports:
        # Without a port, any.
        return [{"ports": [{"protocol": "TCP"}]}]
    return [{"ports": [{"protocol": "TCP", "port": port} for port in sorted({port for port in ports if port})]}]
