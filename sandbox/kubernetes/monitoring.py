"""Prometheus and Alertmanager as processes of the cluster's folder.

Prometheus finds what it scrapes through the API server, as a user who may only look. With a node, this machine reaches
every pod by its address.
"""

import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from model_packaging.errors import ModelberthError
from sandbox.kubernetes import programs
from sandbox.kubernetes.access import grant
from sandbox.kubernetes.control_plane import LOOPBACK, Cluster
from sandbox.kubernetes.processes import Processes, answers, stable_ports

_START_SECONDS = 60
_INTERVAL = "5s"
"""A sandbox looks, and decides, this often."""
_RULES = (
    {
        "apiGroups": [""],
        "resources": ["nodes", "nodes/metrics", "services", "endpoints", "pods"],
        "verbs": ["get", "list", "watch"],
    },
    {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["get", "list", "watch"]},
)


@dataclass(frozen=True)
class Monitoring:
    """Prometheus and Alertmanager that run."""

    folder: Path
    prometheus: str
    """Its address, such as http://127.0.0.1:21234."""

    alertmanager: str
    kubeconfig: Path
    """For `kubernetes_sd_configs`, as its `kubeconfig_file`."""

    def scrape(self, jobs: Sequence[Mapping[str, Any]]) -> None:
        """Scrape these jobs (`scrape_configs` of Prometheus) and no others.

        Raises:
            ModelberthError: Prometheus refuses them; it goes on with those that it had.
        """
        self._change(self.folder / "prometheus.yml", _prometheus_settings(self, jobs), self.prometheus)

    def rules(self, groups: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
        """Evaluate these rule groups, by the name of their file, and no others.

        Raises:
            ModelberthError: Prometheus refuses them; it goes on with those that it had.
        """
        before = {file: file.read_text() for file in (self.folder / "rules").glob("*.yml")}
        for file in before:
            file.unlink()
        for name, group in groups.items():
            (self.folder / "rules" / f"{name}.yml").write_text(yaml.safe_dump({"groups": list(group)}))
        try:
            _reload(self.prometheus)
        except ModelberthError:
            for file in (self.folder / "rules").glob("*.yml"):
                file.unlink()
            for file, text in before.items():
                file.write_text(text)
            raise

    def route(self, settings: Mapping[str, Any]) -> None:
        """Deliver alerts by this configuration of Alertmanager.

        Raises:
            ModelberthError: Alertmanager refuses it; it goes on with the one that it had.
        """
        self._change(self.folder / "alertmanager.yml", settings, self.alertmanager)

    def alerts(self) -> list[dict[str, Any]]:
        """The alerts that Prometheus sees pending or firing."""
        return self.ask("/api/v1/alerts")["alerts"]

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The present value of a PromQL expression."""
        return self.ask(f"/api/v1/query?{urllib.parse.urlencode({'query': expression})}")["result"]

    def ask(self, path: str) -> Any:
        """What Prometheus' HTTP API answers."""
        with urllib.request.urlopen(self.prometheus + path, timeout=30) as answer:
            return json.load(answer)["data"]

    def _change(self, file: Path, settings: Mapping[str, Any], program: str) -> None:
        before = file.read_text()
        file.write_text(yaml.safe_dump(dict(settings)))
        try:
            _reload(program)
        except ModelberthError:
            file.write_text(before)
            raise


def start(cluster: Cluster, address: str = LOOPBACK) -> Monitoring:
    """Start what does not run of the two, and wait until they are ready. What they were told stays in the folder.

    Prometheus listens at `address`, which pods may reach; Alertmanager on loopback.

    Raises:
        ModelberthError: one cannot be built or does not start; with the end of its log.
    """
    processes, home = cluster.processes, cluster.folder / "monitoring"
    (home / "rules").mkdir(parents=True, exist_ok=True)
    ports = stable_ports(cluster.folder / "ports.json", ("alertmanager",), LOOPBACK)
    ports |= stable_ports(cluster.folder / "ports.json", ("prometheus",), address)
    monitoring = Monitoring(
        home,
        f"http://{address}:{ports['prometheus']}",
        f"http://{LOOPBACK}:{ports['alertmanager']}",
        grant(cluster, "prometheus", _RULES),
    )
    (home / "addresses.json").write_text(json.dumps([monitoring.prometheus, monitoring.alertmanager]))
    for file, settings in (
        (home / "prometheus.yml", _prometheus_settings(monitoring, ())),
        (home / "alertmanager.yml", {"route": {"receiver": "nobody"}, "receivers": [{"name": "nobody"}]}),
    ):
        if not file.exists():
            file.write_text(yaml.safe_dump(settings))
    processes.start(
        "alertmanager",
        [
            programs.executable(programs.ALERTMANAGER),
            f"--config.file={home / 'alertmanager.yml'}",
            f"--storage.path={home / 'alertmanager'}",
            f"--web.listen-address={LOOPBACK}:{ports['alertmanager']}",
            "--cluster.listen-address=",  # alone
        ],
    )
    processes.start(
        "prometheus",
        [
            programs.executable(programs.PROMETHEUS),
            f"--config.file={home / 'prometheus.yml'}",
            f"--storage.tsdb.path={home / 'prometheus'}",
            "--storage.tsdb.retention.time=7d",
            f"--web.listen-address={address}:{ports['prometheus']}",
            "--web.enable-lifecycle",
        ],
    )
    for name, url in (("alertmanager", monitoring.alertmanager), ("prometheus", monitoring.prometheus)):
        processes.wait(name, lambda url=url: answers(f"{url}/-/ready"), _START_SECONDS)
    return monitoring


def find(folder: Path) -> Monitoring:
    """The monitoring that was started for the cluster in `folder`."""
    home = folder.resolve() / "monitoring"
    prometheus, alertmanager = json.loads((home / "addresses.json").read_text())
    return Monitoring(home, prometheus, alertmanager, folder.resolve() / "prometheus.kubeconfig")


def stop(folder: Path) -> bool:
    """End both, and what `services` starts beside them; tells whether one ran."""
    processes = Processes(folder.resolve())
    return any([processes.stop(name) for name in ("rules", "pushgateway", "prometheus", "alertmanager")])


def _prometheus_settings(monitoring: Monitoring, jobs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    alertmanager = monitoring.alertmanager.removeprefix("http://")
    return {
        "global": {"scrape_interval": _INTERVAL, "evaluation_interval": _INTERVAL},
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": [alertmanager]}]}]},
        "rule_files": [str(monitoring.folder / "rules" / "*.yml")],
        "scrape_configs": [dict(job) for job in jobs],
    }


def _reload(program: str) -> None:
    request = urllib.request.Request(f"{program}/-/reload", method="POST")
    try:
        with urllib.request.urlopen(request, timeout=60):
            pass
    except urllib.error.HTTPError as error:
        raise ModelberthError(f"{program} refuses the configuration: {error.read().decode().strip()}") from None
