"""The identities that pods have, each with what it may do and no more."""

from collections.abc import Sequence

import pulumi
import pulumi_kubernetes as kubernetes

from . import objects


def service_account(
    name: str, described: kubernetes.meta.v1.ObjectMetaArgsDict, opts: pulumi.ResourceOptions
) -> kubernetes.core.v1.ServiceAccount:
    """Make an identity that may do nothing by itself."""
    return kubernetes.core.v1.ServiceAccount(name, metadata=described, automount_service_account_token=False, opts=opts)


def grant(
    name: str,
    described: kubernetes.meta.v1.ObjectMetaArgsDict,
    account: kubernetes.core.v1.ServiceAccount,
    rules: Sequence[kubernetes.rbac.v1.PolicyRuleArgsDict],
    opts: pulumi.ResourceOptions,
) -> kubernetes.rbac.v1.RoleBinding:
    """Let the account do what the rules say within its namespace."""
    role = kubernetes.rbac.v1.Role(name, metadata=described, rules=rules, opts=opts)
    return kubernetes.rbac.v1.RoleBinding(
        name,
        metadata=described,
        role_ref={
            "api_group": "rbac.authorization.k8s.io",
            "kind": "Role",
            "name": objects.settled(role.metadata, "name"),
        },
        subjects=[
            {
                "kind": "ServiceAccount",
                "name": objects.settled(account.metadata, "name"),
                "namespace": objects.settled(account.metadata, "namespace"),
            }
        ],
        opts=opts,
    )
