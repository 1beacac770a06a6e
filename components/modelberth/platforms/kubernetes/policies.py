"""Network policies: a namespace denies all, and each capability lets through what it needs.

Source: Kubernetes documentation, "Network Policies". They are enforced by the cluster's network plugin; one that does
not know them lets all traffic through.
"""

from collections.abc import Sequence
from urllib.parse import urlsplit

import pulumi
import pulumi_kubernetes as kubernetes

from ...args import CommonArgs
from . import objects, values
from .objects import NamespaceOptions

API_SERVER_PORTS = (443, 6443, 16443)
"""Where the cluster's API is: behind 443, and behind another port of the control plane's machines, which is what a
policy sees. 6443 is kubeadm's, k3s' and RKE's, 16443 MicroK8s'."""

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
    callers: Sequence[str] = (),
    reaches: Sequence[int | None],
    servers: Sequence[str | None] = (),
) -> None:
    """Let one capability's pods be reached on a port from any pod of the cluster, and reach others by DNS.

    Args:
        name: The resource's name.
        args: The component's arguments.
        options: Where the pods are.
        component: What they are for.
        instance: Which one.
        opts: The resource's options.
        serves: The port that they are reached on, if they are.
        callers: Addresses of those who are no pods and may reach them on it, too.
        reaches: The ports that they open connections to; None for all of them. A policy knows no host names, so that
            these are open to every address.
        servers: The addresses of servers that they open connections to, by HTTP.
    """
    spec: kubernetes.networking.v1.NetworkPolicySpecArgsDict = {
        "pod_selector": {"match_labels": objects.labels(component, instance)},
        "policy_types": ["Ingress", "Egress"],
        "egress": [_DNS, *_to([*reaches, *(values.port_of(url) for url in servers if url)]), *_to_services(servers)],
    }
    if serves is not None:
        spec["ingress"] = [
            {
                "from_": [{"namespace_selector": {}}, *({"ip_block": {"cidr": one}} for one in callers)],
                "ports": [{"protocol": "TCP", "port": serves}],
            },
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


def _to_services(
    urls: Sequence[str | None],
) -> list[kubernetes.networking.v1.NetworkPolicyEgressRuleArgsDict]:
    """Let through to the pods behind Services: a policy sees their own port, which no URL tells."""
    hosts = {urlsplit(url).hostname or "" for url in urls if url}
    # By name and namespace alone, or with what the cluster's DNS appends to them.
    namespaces = {parts[1] for parts in (host.split(".") for host in hosts) if len(parts) == 2 or parts[2:3] == ["svc"]}
    return [
        {
            "to": [{"namespace_selector": {"match_labels": {"kubernetes.io/metadata.name": namespace}}}],
            "ports": [{"protocol": "TCP"}],
        }
        for namespace in sorted(namespaces)
    ]
