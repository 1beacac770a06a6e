"""Service accounts, one for each purpose, and what each may do: objects below some prefixes, and nothing else.

Conditions on objects' names need a bucket with uniform access. Source: Cloud Storage documentation, "IAM Conditions".
"""

from collections.abc import Sequence

import pulumi
import pulumi_gcp as gcp

from . import values
from .place import Place

READ = "roles/storage.objectViewer"
CREATE = "roles/storage.objectCreator"
WRITE = "roles/storage.objectUser"


def service_account(
    name: str, place: pulumi.Output[Place], description: str, opts: pulumi.ResourceOptions
) -> gcp.serviceaccount.Account:
    """Make the account of one purpose; it has no right yet."""
    return gcp.serviceaccount.Account(
        name,
        account_id=values.account_id(name),
        project=place.apply(lambda at: at.project),
        display_name=values.account_id(name),
        description=description[:256],
        opts=opts,
    )


def below(bucket: str, prefixes: Sequence[str], *, lists: bool) -> str:
    """Return the condition that a right holds for objects below some prefixes.

    With `lists` it holds for the bucket itself too, so that objects can be listed: their names, not their content.
    """
    parts = [f'resource.name.startsWith("projects/_/buckets/{bucket}/objects/{prefix}")' for prefix in prefixes]
    return " || ".join(['resource.type == "storage.googleapis.com/Bucket"'] * lists + parts)


def on_objects(
    name: str,
    bucket: pulumi.Output[str],
    account: gcp.serviceaccount.Account,
    role: str,
    prefixes: Sequence[str],
    opts: pulumi.ResourceOptions,
) -> gcp.storage.BucketIAMMember:
    """Let an account do what the role says with the objects below some prefixes."""
    return gcp.storage.BucketIAMMember(
        name,
        bucket=bucket,
        role=role,
        member=account.member,
        condition={
            "title": "modelberth",
            "description": "Only what this account is for.",
            "expression": bucket.apply(lambda known: below(known, prefixes, lists=role != CREATE)),
        },
        opts=opts,
    )


def on_project(
    name: str,
    place: pulumi.Output[Place],
    account: gcp.serviceaccount.Account,
    role: pulumi.Input[str],
    opts: pulumi.ResourceOptions,
) -> gcp.projects.IAMMember:
    """Let an account do in the project what the role says."""
    return gcp.projects.IAMMember(
        name, project=place.apply(lambda at: at.project), role=role, member=account.member, opts=opts
    )


def act_as(
    name: str,
    account: gcp.serviceaccount.Account,
    actor: gcp.serviceaccount.Account,
    opts: pulumi.ResourceOptions,
) -> gcp.serviceaccount.IAMMember:
    """Let one account start what runs as another."""
    return gcp.serviceaccount.IAMMember(
        name,
        service_account_id=account.name,
        role="roles/iam.serviceAccountUser",
        member=actor.member,
        opts=opts,
    )
