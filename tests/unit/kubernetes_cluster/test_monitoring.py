"""Prometheus finds what it scrapes through the cluster, and its alerts reach a receiver through Alertmanager."""

from collections.abc import Iterator

import pytest
from kubernetes import client, config

from model_packaging.errors import ModelberthError
from sandbox.kubernetes import monitoring
from sandbox.kubernetes.control_plane import LOOPBACK, Cluster
from sandbox.kubernetes.monitoring import Monitoring
from sandbox.kubernetes.webhook import receiving
from tests.node import needs_node
from tests.unit.kubernetes_cluster.eventually import eventually

pytestmark = [
    needs_node,
    # The first run on a machine builds Prometheus.
    pytest.mark.timeout(3600),
]


@pytest.fixture(scope="module")
def watching(cluster: Cluster) -> Iterator[Monitoring]:
    yield monitoring.start(cluster)
    monitoring.stop(cluster.folder)


def test_an_alert_fires_and_resolves_through_alertmanager(watching: Monitoring) -> None:
    with receiving(LOOPBACK) as received:
        watching.route(
            {
                "route": {"receiver": "hook", "group_wait": "0s", "group_interval": "1s"},
                "receivers": [{"name": "hook", "webhook_configs": [{"url": received.url, "send_resolved": True}]}],
            }
        )
        always = {"alert": "TooHigh", "expr": "vector(7) > 5", "labels": {"severity": "page"}}
        watching.rules({"first": [{"name": "group", "interval": "1s", "rules": [always]}]})

        fired = received.wait("TooHigh", "firing", 60)

        assert fired["labels"]["severity"] == "page"
        assert [alert["state"] for alert in watching.alerts()] == ["firing"]

        never = always | {"expr": "vector(4) > 5"}
        watching.rules({"first": [{"name": "group", "interval": "1s", "rules": [never]}]})

        received.wait("TooHigh", "resolved", 60)
        assert watching.alerts() == []


def test_targets_are_found_through_the_api_server(cluster: Cluster, watching: Monitoring) -> None:
    core = client.CoreV1Api(config.new_client_from_config(str(cluster.kubeconfig)))
    core.create_namespace({"metadata": {"name": "watched"}})
    address = watching.alertmanager.removeprefix("http://")
    core.create_namespaced_service(
        "watched", {"metadata": {"name": "a-service"}, "spec": {"ports": [{"port": int(address.split(":")[1])}]}}
    )
    discovery = {"role": "service", "kubeconfig_file": str(watching.kubeconfig), "namespaces": {"names": ["watched"]}}
    # The Service leads nowhere without a node, so that what is scraped is Alertmanager, under the Service's name.
    relabelling = [
        {"target_label": "__address__", "replacement": address},
        {"source_labels": ["__meta_kubernetes_service_name"], "target_label": "service"},
    ]
    watching.scrape([{"job_name": "found", "kubernetes_sd_configs": [discovery], "relabel_configs": relabelling}])

    samples = eventually(lambda: watching.query('up{job="found"} == 1'), 60)

    assert [sample["metric"]["service"] for sample in samples] == ["a-service"]


def test_a_bad_configuration_is_refused_and_the_old_one_stays(watching: Monitoring) -> None:
    good = {"alert": "Kept", "expr": "vector(1)"}
    watching.rules({"good": [{"name": "group", "interval": "1s", "rules": [good]}]})

    with pytest.raises(ModelberthError, match="refuses the configuration"):
        watching.rules({"bad": [{"name": "group", "rules": [{"alert": "Bad", "expr": "sum("}]}]})
    with pytest.raises(ModelberthError, match=r'undefined receiver "nowhere"'):
        watching.route({"route": {"receiver": "nowhere"}, "receivers": []})

    groups = watching.ask("/api/v1/rules")["groups"]
    assert [rule["name"] for group in groups for rule in group["rules"]] == ["Kept"]
