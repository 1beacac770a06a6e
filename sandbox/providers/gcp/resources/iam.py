"""Service accounts, and who may do what."""

from __future__ import annotations

from sandbox.providers.check import AutoName
from sandbox.providers.gcp.cloud import Call
from sandbox.providers.gcp.policies import Membership
from sandbox.providers.gcp.rest import Rest
from sandbox.providers.gcp.services import IAM, RESOURCE_MANAGER
from sandbox.providers.resource import Change, Values


def _email(answer: Values, told: Values) -> None:
    told["member"] = f"serviceAccount:{answer['email']}"
    told["accountId"] = answer["email"].partition("@")[0]


def _enable(call: Call, path: str, change: Change) -> None:
    disabled = bool(change.new.get("disabled"))
    if disabled != bool(change.old.get("disabled")):
        call.send("POST", f"{path}:{'disable' if disabled else 'enable'}", {})


RESOURCES = [
    Rest(
        token="gcp:serviceaccount/account:Account",
        service=IAM,
        schema="ServiceAccount",
        path="projects/{project}/serviceAccounts/{accountId}@{project}.iam.gserviceaccount.com",
        create="projects/{project}/serviceAccounts",
        wrapped="serviceAccount",
        fixed={"accountId": "{accountId}"},
        unsent=frozenset({"disabled"}),
        decode=_email,
        settle=_enable,
        auto_name=AutoName(property="accountId", length=30),
        force_new=frozenset({"accountId"}),
        defaults={"disabled": False},
    ).resource(),
    Membership("gcp:serviceaccount/iAMMember:IAMMember", IAM, "{+serviceAccountId}").resource(),
    Membership(
        "gcp:projects/iAMMember:IAMMember",
        RESOURCE_MANAGER,
        "{project}",
        path="projects/{project}",
        complete=lambda values: values | {"project": values["project"].removeprefix("projects/")},
    ).resource(),
]
