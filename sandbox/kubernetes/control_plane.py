"""Kubernetes' control plane as processes: etcd, the API server, the controller manager and the scheduler.

    with control_plane.running(folder) as cluster:
        kubernetes.config.load_kube_config(str(cluster.kubeconfig))

Everything is as in a cluster that people run: certificates on every connection, RBAC, service accounts, and the API
server's default admission, Pod Security among it. Without a node, pods stay Pending.
"""

import base64
import json
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from model_packaging.errors import ModelberthError
from sandbox.kubernetes import programs
from sandbox.kubernetes.certificates import Authority
from sandbox.kubernetes.network import Network, choose
from sandbox.kubernetes.processes import LOOPBACK, Processes, answers, stable_ports

CLUSTER_DOMAIN = "cluster.local"
CONTEXT = "modelberth-sandbox"
"""The name of the context in each kubeconfig, by which a stack's file asks for the sandbox's cluster."""
_START_SECONDS = 120


@dataclass(frozen=True)
class Cluster:
    """A control plane that runs, or ran, in a folder."""

    folder: Path
    server: str
    """The address of the API server, such as https://127.0.0.1:21234."""

    network: Network

    @property
    def kubeconfig(self) -> Path:
        """The administrator's way in, with all certificates in the file."""
        return self.folder / "kubeconfig"

    @property
    def processes(self) -> Processes:
        """The cluster's processes, to look into or to end one of them."""
        return Processes(self.folder)

    @property
    def authority(self) -> Authority:
        """What every certificate of the cluster is issued by."""
        return Authority(self.folder / "pki")

    def write_kubeconfig(self, file: Path, user: str, groups: tuple[str, ...] = ()) -> Path:
        """Write a kubeconfig with a client certificate for a user of some groups."""
        certificate, key = self.authority.issue(f"user-{user.replace(':', '-')}", user, groups)

        def encoded(path: Path) -> str:
            return base64.b64encode(path.read_bytes()).decode()

        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {
                    "name": "sandbox",
                    "cluster": {
                        "server": self.server,
                        "certificate-authority-data": encoded(self.authority.certificate),
                    },
                }
            ],
            "users": [
                {
                    "name": user,
                    "user": {"client-certificate-data": encoded(certificate), "client-key-data": encoded(key)},
                }
            ],
            "contexts": [{"name": CONTEXT, "context": {"cluster": "sandbox", "user": user}}],
            "current-context": CONTEXT,
        }
        file.touch(mode=0o600)
        file.write_text(yaml.safe_dump(content))
        return file


def start(folder: Path, address: str = LOOPBACK) -> Cluster:
    """Start what does not run of the control plane that lives in `folder`, and wait until it is ready.

    Objects and ports are kept in the folder, so that a cluster that was stopped goes on where it was.

    Args:
        folder: Where it keeps everything; made if there is none.
        address: Where the API server listens. Pods do not reach loopback; see `node`.

    Raises:
        ModelberthError: a program cannot be built, or does not become ready; with the end of its log.
    """
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    ports = stable_ports(
        folder / "ports.json", ("etcd", "etcd-peer", "kube-apiserver", "kube-controller-manager", "kube-scheduler"),
        address,
    )  # fmt: skip
    cluster = Cluster(folder, f"https://{address}:{ports['kube-apiserver']}", choose(folder))
    (folder / "cluster.json").write_text(json.dumps({"server": cluster.server}))
    etcd, binaries = programs.executable(programs.ETCD), programs.folder(programs.CONTROL_PLANE)
    processes, authority = cluster.processes, cluster.authority
    _start_etcd(etcd, cluster, processes, authority, ports)
    _start_api_server(binaries, cluster, processes, authority, ports, address)
    cluster.write_kubeconfig(cluster.kubeconfig, "kubernetes-admin", ("system:masters",))
    for name in ("kube-controller-manager", "kube-scheduler"):
        cluster.write_kubeconfig(folder / f"{name}.kubeconfig", f"system:{name}")
    processes.wait("kube-apiserver", lambda: answers(f"{cluster.server}/readyz", authority.certificate), _START_SECONDS)
    _start_controllers(binaries, cluster, processes, authority, ports)
    for name in ("kube-controller-manager", "kube-scheduler"):
        url = f"https://{LOOPBACK}:{ports[name]}/healthz"
        processes.wait(name, lambda url=url: answers(url, authority.certificate), _START_SECONDS)
    return cluster


def find(folder: Path) -> Cluster | None:
    """Return the control plane of `folder`, if one was started there and not removed.

    Raises:
        ModelberthError: one of its processes has ended by itself; with the end of its log.
    """
    folder = folder.resolve()
    file = folder / "cluster.json"
    if not file.is_file():
        return None
    cluster = Cluster(folder, json.loads(file.read_text())["server"], choose(folder))
    if crashed := cluster.processes.crashed():
        raise ModelberthError(*crashed)
    return cluster


def stop(folder: Path) -> bool:
    """End the control plane of `folder`, which keeps its objects; tells whether anything ran."""
    if not folder.is_dir():
        return False
    processes = Processes(folder.resolve())
    order = ("kube-scheduler", "kube-controller-manager", "kube-apiserver", "etcd")
    return any([processes.stop(name) for name in order])


def remove(folder: Path) -> bool:
    """End the control plane of `folder` and forget all that was in it; tells whether there was one."""
    stop(folder)
    existed = folder.is_dir()
    shutil.rmtree(folder, ignore_errors=True)
    return existed


@contextmanager
def running(folder: Path) -> Generator[Cluster]:
    """Run the control plane of `folder` for as long as the block takes; its objects stay in the folder.

    Raises:
        ModelberthError: see `start`.
    """
    try:
        yield start(folder)
    finally:
        stop(folder)


def restart_api_server(cluster: Cluster) -> None:
    """End the API server and start it again, as in an update of the control plane."""
    cluster.processes.stop("kube-apiserver")
    start(cluster.folder, str(urlsplit(cluster.server).hostname))


def _start_etcd(
    etcd: Path, cluster: Cluster, processes: Processes, authority: Authority, ports: dict[str, int]
) -> None:
    certificate, key = authority.issue("etcd", "etcd", hosts=(LOOPBACK,))
    client, peer = f"https://{LOOPBACK}:{ports['etcd']}", f"https://{LOOPBACK}:{ports['etcd-peer']}"
    flags: dict[str, Any] = {
        "name": "sandbox",
        "data-dir": cluster.folder / "etcd",
        "listen-client-urls": client,
        "advertise-client-urls": client,
        "listen-peer-urls": peer,
        "initial-advertise-peer-urls": peer,
        "initial-cluster": f"sandbox={peer}",
        # What is lost when the machine itself goes down is a sandbox; waiting for the disk would slow every change.
        "unsafe-no-fsync": "true",
        "log-level": "warn",
    }
    for prefix in ("", "peer-"):
        flags[f"{prefix}cert-file"], flags[f"{prefix}key-file"] = certificate, key
        flags[f"{prefix}trusted-ca-file"], flags[f"{prefix}client-cert-auth"] = authority.certificate, "true"
    processes.start("etcd", _command(etcd, flags))


def _start_api_server(
    binaries: Path, cluster: Cluster, processes: Processes, authority: Authority, ports: dict[str, int], address: str
) -> None:
    hosts = (
        *dict.fromkeys((LOOPBACK, address, cluster.network.api_service)),
        "localhost",
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        f"kubernetes.default.svc.{CLUSTER_DOMAIN}",
    )
    certificate, key = authority.issue("kube-apiserver", "kube-apiserver", hosts=hosts)
    etcd_certificate, etcd_key = authority.issue("etcd-client", "kube-apiserver")
    kubelet_certificate, kubelet_key = authority.issue("kubelet-client", "kube-apiserver", ("system:masters",))
    proxy_certificate, proxy_key = authority.issue("aggregator", "aggregator")
    signing_key, signing_public = authority.signing_pair("service-accounts")
    flags: dict[str, Any] = {
        "bind-address": address,
        "secure-port": ports["kube-apiserver"],
        "tls-cert-file": certificate,
        "tls-private-key-file": key,
        "client-ca-file": authority.certificate,
        "etcd-servers": f"https://{LOOPBACK}:{ports['etcd']}",
        "etcd-cafile": authority.certificate,
        "etcd-certfile": etcd_certificate,
        "etcd-keyfile": etcd_key,
        "authorization-mode": "Node,RBAC",
        "enable-admission-plugins": "NodeRestriction",
        "allow-privileged": "true",  # so that it is Pod Security that decides
        "service-cluster-ip-range": cluster.network.services,
        "service-account-issuer": f"https://kubernetes.default.svc.{CLUSTER_DOMAIN}",
        "service-account-key-file": signing_public,
        "service-account-signing-key-file": signing_key,
        "kubelet-client-certificate": kubelet_certificate,
        "kubelet-client-key": kubelet_key,
        "kubelet-certificate-authority": authority.certificate,
        "kubelet-preferred-address-types": "InternalIP",
        "requestheader-client-ca-file": authority.certificate,
        "requestheader-allowed-names": "aggregator",
        "requestheader-extra-headers-prefix": "X-Remote-Extra-",
        "requestheader-group-headers": "X-Remote-Group",
        "requestheader-username-headers": "X-Remote-User",
        "proxy-client-cert-file": proxy_certificate,
        "proxy-client-key-file": proxy_key,
        # Without it the watches of others hold the end up for a minute.
        "shutdown-watch-termination-grace-period": "2s",
        "profiling": "false",
    }
    if address == LOOPBACK:
        # Loopback cannot be the endpoint of a Service; nobody is there to use it without a node.
        flags["endpoint-reconciler-type"] = "none"
    else:
        flags["advertise-address"] = address
    processes.start("kube-apiserver", _command(binaries / "kube-apiserver", flags))


def _start_controllers(
    binaries: Path, cluster: Cluster, processes: Processes, authority: Authority, ports: dict[str, int]
) -> None:
    certificate, key = authority.issue("controllers", "controllers", hosts=(LOOPBACK,))

    def common(name: str) -> dict[str, Any]:
        kubeconfig = cluster.folder / f"{name}.kubeconfig"
        return {
            "kubeconfig": kubeconfig,
            "authentication-kubeconfig": kubeconfig,
            "authorization-kubeconfig": kubeconfig,
            "bind-address": LOOPBACK,
            "secure-port": ports[name],
            "tls-cert-file": certificate,
            "tls-private-key-file": key,
            "leader-elect": "false",
            "profiling": "false",
        }

    processes.start(
        "kube-controller-manager",
        _command(
            binaries / "kube-controller-manager",
            common("kube-controller-manager")
            | {
                "use-service-account-credentials": "true",
                "service-account-private-key-file": authority.signing_pair("service-accounts")[0],
                "root-ca-file": authority.certificate,
                "cluster-signing-cert-file": authority.certificate,
                "cluster-signing-key-file": authority.key,
            },
        ),
    )
    processes.start("kube-scheduler", _command(binaries / "kube-scheduler", common("kube-scheduler")))


def _command(executable: Path, flags: dict[str, Any]) -> list[str | Path]:
    return [executable, *(f"--{name}={value}" for name, value in flags.items())]
