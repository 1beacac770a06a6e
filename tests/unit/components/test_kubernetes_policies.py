"""Which traffic of a model's pods is let through: this and no other."""

from pathlib import Path
from typing import Any

from model_packaging.package import Package
from tests.unit.components.cloud import Deployed
from tests.unit.components.cluster import WATCHED, deployment

DNS = {("to anywhere", "UDP", 53), ("to anywhere", "TCP", 53)}
API_SERVER = {("to anywhere", "TCP", port) for port in (443, 6443, 16443)}
STORE = {("to anywhere", "TCP", 8333)}
# A policy sees the port of the pods behind a Service, which its address does not tell.
MONITORING = {("to pods of monitoring", "TCP", None)}
PROMETHEUS = {("to anywhere", "TCP", 9090)} | MONITORING
PUSHGATEWAY = {("to anywhere", "TCP", 9091)} | MONITORING
# Clients, an Ingress' controller and Prometheus' scrape: predictions and metrics are behind the same port.
ASKED = {("from any namespace", "TCP", 8080)}

Flow = tuple[str, str, int | None]
COMPONENT = "app.kubernetes.io/component"


def whole(package: Package, source: Path, **store: int) -> Deployed:
    return deployment(
        package,
        kubernetes=WATCHED,
        endpoint={"capture": {}, "kubernetes": store},
        alarms={
            "latency_p95": {"above": "1s"},
            "drift.psi": {"above": 0.2},
            "kubernetes": store,
        },
        retraining={
            "schedule": "0 3 * * 1",
            "on": ["drift"],
            "source": str(source),
            "entrypoint": "train.py",
            "kubernetes": store,
        },
    )


def policies(deployed: Deployed) -> list[dict[str, Any]]:
    return [one.inputs["spec"] for one in deployed.of("networking.k8s.io/v1:NetworkPolicy")]


def flows(policy: dict[str, Any]) -> set[Flow]:
    """What a policy lets through: with whom, by which protocol, on which port, or on all of them."""
    found: set[Flow] = set()
    for rule in policy.get("egress", []):
        assert rule.keys() <= {"ports", "to"} and rule["ports"], "a rule without ports would open all"
        found |= {(_whom("to", rule.get("to")), port["protocol"], _number(port)) for port in rule["ports"]}
    for rule in policy.get("ingress", []):
        for one in rule["from"]:
            found |= {(_whom("from", [one]), port["protocol"], _number(port)) for port in rule["ports"]}
    return found


def _whom(direction: str, peers: list[dict[str, Any]] | None) -> str:
    if peers is None:
        return f"{direction} anywhere"
    (peer,) = peers
    if "ipBlock" in peer:
        return f"{direction} {peer['ipBlock']['cidr']}"
    if peer["namespaceSelector"] == {}:
        return f"{direction} any namespace"
    return f"{direction} pods of {peer['namespaceSelector']['matchLabels']['kubernetes.io/metadata.name']}"


def _number(port: dict[str, Any]) -> int | None:
    return int(port["port"]) if "port" in port else None


def allowed(deployed: Deployed) -> dict[str, set[Flow]]:
    """What is let through of the pods of each purpose; all else is denied."""
    closed, *others = sorted(policies(deployed), key=lambda one: one["podSelector"] != {})
    assert closed == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    for one in others:
        assert one["policyTypes"] == ["Ingress", "Egress"]
    found = {one["podSelector"]["matchLabels"][COMPONENT]: flows(one) for one in others}
    assert len(found) == len(others)
    return found


def test_each_purpose_is_let_through_what_it_needs(original: Package, source: Path) -> None:
    assert allowed(whole(original, source, store_port=8333)) == {
        "endpoint": ASKED | DNS | STORE,
        "rollout": DNS | API_SERVER | PROMETHEUS,
        "monitor": DNS | STORE | PUSHGATEWAY,
        "retraining": DNS | STORE,
        "drift": DNS | API_SERVER | PROMETHEUS,
    }


def test_a_store_whose_port_is_not_told_opens_all_ports_of_tcp(original: Package, source: Path) -> None:
    found = allowed(whole(original, source))
    for purpose in ("endpoint", "monitor", "retraining"):
        assert ("to anywhere", "TCP", None) in found[purpose]
    for purpose in ("rollout", "drift"):
        assert ("to anywhere", "TCP", None) not in found[purpose]


def test_a_rollout_that_nobody_watches_reaches_no_prometheus(original: Package) -> None:
    found = allowed(deployment(original, alarms={}, kubernetes={}))
    assert found == {"endpoint": ASKED | DNS | {("to anywhere", "TCP", None)}, "rollout": DNS | API_SERVER}


def test_every_pod_is_chosen_by_one_policy(original: Package, source: Path) -> None:
    deployed = whole(original, source)
    chosen = [one["podSelector"]["matchLabels"] for one in policies(deployed) if one["podSelector"]]
    labelled = [
        one.inputs["spec"].get("jobTemplate", one.inputs)["spec"]["template"]["metadata"]["labels"]
        for one in deployed.children
        if one.type.endswith((":Deployment", ":Job", ":CronJob"))
    ]
    assert len(labelled) == 5
    for labels in labelled:
        assert len([one for one in chosen if one.items() <= labels.items()]) == 1, labels
