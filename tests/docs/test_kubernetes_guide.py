"""The role in the guide to Kubernetes is what the objects need, and the guide names what is there."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from modelberth.platforms.kubernetes.gaps import GAPS

from sandbox.settings import ROOT
from tests.docs.test_stacks import SECRETS_ON_SITE, deployed
from tests.unit.components.cloud import Deployed

GUIDE = ROOT / "docs" / "guides" / "deploy-to-kubernetes.md"
ROLE = ROOT / "docs" / "guides" / "deploy-to-kubernetes-role.yaml"
PLURALS = {"PodDisruptionBudget": "poddisruptionbudgets", "NetworkPolicy": "networkpolicies", "Ingress": "ingresses"}


@pytest.fixture
def made(project: Path) -> Deployed:
    return deployed("on-prem", project / "packages" / "churn", secrets=SECRETS_ON_SITE)


def rights(rules: list[dict[str, Any]]) -> set[tuple[str, str, str]]:
    return {
        (group, resource, verb)
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def allowed() -> set[tuple[str, str, str]]:
    return rights(yaml.safe_load(ROLE.read_text())["rules"])


def needed(made: Deployed) -> set[tuple[str, str]]:
    """The group and resource of every object that is made."""
    found: set[tuple[str, str]] = set()
    for one in made.children:
        version, _, kind = one.type.removeprefix("kubernetes:").partition(":")
        group = version.rpartition("/")[0].removesuffix("/v1")
        group = "" if group == "core" else group
        found.add((group, PLURALS.get(kind, f"{kind.lower()}s")))
    return found


def test_the_role_allows_every_object_and_no_others(made: Deployed) -> None:
    verbs = {verb for *_, verb in allowed() if verb not in ("create", "patch", "delete")}
    assert verbs == {"get", "list", "watch"}
    writable = {(group, resource) for group, resource, verb in allowed() if verb == "create"}
    assert writable == needed(made)
    for group, resource in writable:
        for verb in ("get", "list", "watch", "patch", "delete"):
            assert (group, resource, verb) in allowed()


def test_what_is_handed_on_is_had(made: Deployed) -> None:
    """Kubernetes documentation, "Privilege escalation prevention"."""
    roles = made.of("rbac.authorization.k8s.io/v1:Role")
    assert len(roles) == 2
    for role in roles:
        assert rights(role.inputs["rules"]) <= allowed(), role.name


def test_the_guide_names_every_kind_and_every_gap(made: Deployed) -> None:
    text = GUIDE.read_text()
    kinds = {one.type.rpartition(":")[2] for one in made.children}
    assert not {kind for kind in kinds if not re.search(rf"\b{kind}\b", text)}
    assert not {name for name in GAPS if f"`{name}`" not in text}
