"""A real node on this machine: containerd, runc, the kubelet, kube-proxy, kube-router and CoreDNS as processes.

It lives in mount and network namespaces of its own: what it mounts, every interface and firewall rule goes away with
its last process, and nothing of this machine is changed but one interface pair, one route and one control group, which
`stop` removes. Pods reach each other, Services, and this machine at `Network.host`; nothing else. This machine reaches
pods and Services by their addresses.

NetworkPolicies are enforced by kube-router where iptables and ipset are installed.
"""

import contextlib
import json
import os
import platform
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import yaml
from kubernetes import client, config
from kubernetes.client.exceptions import ApiException

from model_packaging.errors import ModelberthError
from sandbox.kubernetes import archive, control_group, programs
from sandbox.kubernetes.access import grant
from sandbox.kubernetes.archive import Image
from sandbox.kubernetes.control_plane import CLUSTER_DOMAIN, Cluster
from sandbox.kubernetes.network import Network, choose
from sandbox.kubernetes.processes import Processes, answers

NODE_NAME = "sandbox"
_NAMESPACES = "node-namespaces"
"""The process that keeps the node's namespaces."""
_PROCESSES = ("coredns", "kube-router", "kube-proxy", "kubelet", "containerd")
_PRIVATE_FOLDERS = (
    "/var/lib/kubelet", "/var/lib/containerd", "/var/lib/cni", "/var/log", "/run/containerd", "/certs", "/var/lib/eg",
)  # fmt: skip
"""Where the node's programs, and the gateway, read and write whatever they are told; they see folders of the cluster's
own there: `Node.private`."""
_CONTAINERD_SOCKET = "/run/containerd/containerd.sock"
_PAUSE_IMAGE = "localhost/pause:1"
_NAME_SERVICE_RULES = (
    {"apiGroups": [""], "resources": ["services", "namespaces", "pods"], "verbs": ["list", "watch"]},
    {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]},
)
_POLICY_RULES = (
    {
        "apiGroups": [""],
        "resources": ["namespaces", "pods", "services", "nodes", "endpoints"],
        "verbs": ["get", "list", "watch"],
    },
    {"apiGroups": ["networking.k8s.io"], "resources": ["networkpolicies"], "verbs": ["list", "watch"]},
    {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]},
)
_START_SECONDS = 120
_HEALTH_PORT, _DNS_READY_PORT, _POLICY_HEALTH_PORT = 10248, 8181, 20244


@dataclass(frozen=True)
class Node:
    """A node that runs."""

    cluster: Cluster

    def run(self, command: Sequence[str | Path]) -> str:
        """Run a command inside the node and return what it prints.

        Raises:
            ModelberthError: it failed; with what it wrote.
        """
        return _run(self.within(command))

    def within(self, command: Sequence[str | Path]) -> list[str | Path]:
        """The command that runs a command inside the node."""
        return [*_enter(self.cluster.processes), *command]

    def private(self, path: str) -> Path:
        """Where the folder of this machine lies that programs within the node see at `path`."""
        return _own(self.cluster.folder, path)

    @property
    def enforces_policies(self) -> bool:
        """Whether NetworkPolicies are enforced."""
        # kube-router writes its rules by these.
        return all(shutil.which(program) for program in ("iptables", "ip6tables", "ipset"))

    def load(self, image: Image) -> None:
        """Make sure that the node has the image, which is then used without a registry."""
        if image.name not in self.images():
            self._manage_images("import", image.archive)

    def tag(self, image: Image, name: str) -> None:
        """Let an image that the node has be known by another name, too."""
        self._manage_images("tag", "--force", image.name, name)

    def images(self) -> dict[str, str]:
        """The images that the node has: each name with its digest."""
        return {(fields := line.split())[0]: fields[2] for line in self._manage_images("list").splitlines()[1:]}

    def _manage_images(self, *arguments: str | Path) -> str:
        ctr = programs.folder(programs.CONTAINERD) / "ctr"
        return self.run([ctr, "--address", _CONTAINERD_SOCKET, "--namespace", "k8s.io", "images", *arguments])


def reasons_against() -> list[str]:
    """Why no node can run on this machine; empty where one can. Each is tried, not guessed."""
    if platform.system() != "Linux":
        return [f"a node needs Linux; this is {platform.system()}"]
    reasons: list[str] = []
    if os.geteuid() != 0:
        reasons.append("a node needs root, for namespaces, mounts and control groups; run the command with sudo")
    wanted = {"ip": "iproute2", "nft": "nftables", "mount": "mount", "unshare": "util-linux", "nsenter": "util-linux"}
    missing = sorted({package for program, package in wanted.items() if shutil.which(program) is None})
    if missing:
        reasons.append(f"a node needs these packages, which are not installed: {', '.join(missing)}")
    if lacking := control_group.missing_controllers():
        reasons.append(f"a node needs the control group controllers {', '.join(lacking)}, which are not mounted")
    if "\toverlay" not in Path("/proc/filesystems").read_text():
        reasons.append("a node needs the overlay file system, which this kernel does not have")
    if "Seccomp:" not in Path("/proc/self/status").read_text():
        reasons.append("a node needs seccomp, which this kernel does not have")
    if not (programs.is_built(programs.RUNC) or _has_seccomp_headers()):
        reasons.append("a node needs runc, built with a C compiler, pkg-config and libseccomp-dev; one is missing")
    return reasons or _tried_and_refused()


def prepare(folder: Path) -> Network:
    """Make the node's namespaces and its link to this machine; to be done before the API server listens there.

    Raises:
        ModelberthError: no node can run here (with every reason), or a step failed.
    """
    if reasons := reasons_against():
        raise ModelberthError(*reasons)
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    network, processes = choose(folder), Processes(folder)
    if processes.find(_NAMESPACES) is not None:
        return network
    stop(folder)  # what an unclean end may have left
    control_group.make(_control_group(network))
    binds = ""
    for path in _PRIVATE_FOLDERS:
        own = _own(folder, path)
        own.mkdir(parents=True, exist_ok=True)
        if not Path(path).exists():
            Path(path).mkdir(parents=True)
            _remember_made(folder, path)
        binds += f"mount --bind '{own}' {path} && "
    script = f"{binds}mount --make-rshared / && touch '{folder}/node/ready' && exec sleep infinity"
    unshare = ["unshare", "--mount", "--net", "--propagation", "private", "sh", "-c", script]
    (folder / "node" / "ready").unlink(missing_ok=True)
    processes.start(_NAMESPACES, unshare)
    processes.wait(_NAMESPACES, (folder / "node" / "ready").exists, 20)
    _connect(network, processes)
    return network


def start(cluster: Cluster) -> Node:
    """Start what does not run of the node, and wait until it is ready and every Service is reachable.

    Args:
        cluster: A control plane that listens at its `Network.host`, which `prepare` made.

    Raises:
        ModelberthError: a program cannot be built, or does not become ready; with the end of its log.
    """
    processes, network = cluster.processes, cluster.network
    containerd, runc = programs.folder(programs.CONTAINERD), programs.executable(programs.RUNC)
    plugins, kubernetes = programs.folder(programs.NETWORK_PLUGINS), programs.folder(programs.NODE)
    coredns = programs.executable(programs.COREDNS)
    enter, folder = _enter(processes), cluster.folder / "node"
    path = {"PATH": f"{containerd}:{os.environ.get('PATH', '')}:/usr/sbin:/sbin:/usr/bin:/bin"}
    node = Node(cluster)

    processes.start(
        "containerd",
        [*enter, containerd / "containerd", "--config", _containerd_settings(folder, runc, plugins, network)],
        path,
    )
    socket = folder / "run-containerd" / "containerd.sock"
    processes.wait("containerd", socket.exists, _START_SECONDS)
    processes.wait("containerd", lambda: _answers(node), _START_SECONDS)
    pause = Image(_PAUSE_IMAGE, folder / "pause.tar")
    program = programs.executable(programs.PAUSE).read_bytes()
    archive.write(pause, archive.layer_of({"pause": program}), {"Entrypoint": ["/pause"]})
    node.load(pause)

    kubeconfig = cluster.write_kubeconfig(folder / "kubelet.kubeconfig", f"system:node:{NODE_NAME}", ("system:nodes",))
    processes.start(
        "kubelet",
        [
            *enter,
            kubernetes / "kubelet",
            f"--config={_kubelet_settings(cluster, folder)}",
            f"--kubeconfig={kubeconfig}",
            f"--node-ip={network.node}",
            f"--hostname-override={NODE_NAME}",
        ],
        path,
    )
    kubeconfig = cluster.write_kubeconfig(folder / "kube-proxy.kubeconfig", "system:kube-proxy")
    processes.start(
        "kube-proxy",
        [*enter, kubernetes / "kube-proxy", f"--config={_proxy_settings(folder, kubeconfig, network)}"],
        path,
    )
    _publish_name_service(cluster)
    kubeconfig = grant(cluster, "coredns", _NAME_SERVICE_RULES)
    corefile = folder / "Corefile"
    corefile.write_text(
        f".:53 {{\n  bind {network.node}\n  errors\n  ready {network.node}:{_DNS_READY_PORT}\n"
        f"  kubernetes {CLUSTER_DOMAIN} in-addr.arpa ip6.arpa {{\n    kubeconfig {kubeconfig}\n  }}\n}}\n"
    )
    processes.start("coredns", [*enter, coredns, "-conf", corefile])
    processes.wait("coredns", lambda: answers(f"http://{network.node}:{_DNS_READY_PORT}/ready"), _START_SECONDS)
    core = client.CoreV1Api(config.new_client_from_config(str(cluster.kubeconfig)))
    processes.wait("kubelet", lambda: _is_ready(core), _START_SECONDS)
    if node.enforces_policies:
        _start_kube_router(cluster, enter)
    service = f"https://{network.api_service}/readyz"
    processes.wait("kube-proxy", lambda: answers(service, cluster.authority.certificate), _START_SECONDS)
    return node


def stop(folder: Path) -> bool:
    """End the node of `folder` and all that runs on it, and undo what it changed on this machine.

    Images stay in the folder. Tells whether there was a node.

    Raises:
        ModelberthError: something does not end, or cannot be removed.
    """
    folder = folder.resolve()
    if not (folder / "node").is_dir() or os.geteuid() != 0:
        return False
    processes, network = Processes(folder), choose(folder)
    holder = processes.find(_NAMESPACES)
    for name in _PROCESSES:
        processes.stop(name)
    try:
        control_group.remove(_control_group(network))
    except OSError as error:
        raise ModelberthError(f"the control group of the node cannot be removed: {error}") from error
    if holder is not None:
        # The shims, which outlive containerd, and whatever else was started inside.
        _end_all_within(_mount_namespace(holder.pid), but=holder.pid)
    processes.stop(_NAMESPACES)
    subprocess.run(["ip", "link", "delete", _link(network)], capture_output=True, check=False)
    for name in ("run-containerd", "var-lib-cni", "addresses"):
        shutil.rmtree(folder / "node" / name, ignore_errors=True)
    _remove_made(folder)
    return holder is not None


def _tried_and_refused() -> list[str]:
    """Make what a node needs, in namespaces that are gone at once, and tell what was refused."""
    reasons: list[str] = []
    script = (
        "ip link add name probe-a type veth peer name probe-b && nft add table ip t && "
        "nft add chain ip t c '{ type nat hook prerouting priority 0; }' && "
        "nft add rule ip t c ip daddr 192.0.2.1 dnat to numgen random mod 1 map '{ 0 : 192.0.2.2 }' && "
        "echo 1 > /proc/sys/net/ipv4/ip_forward && mount -t tmpfs none /mnt"
    )
    done = subprocess.run(
        ["unshare", "--mount", "--net", "sh", "-c", script], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        reasons.append(f"a node needs namespaces, veth and nftables, and making them failed: {done.stderr.strip()}")
    try:
        control_group.make("modelberth-probe")
        control_group.remove("modelberth-probe")
    except OSError as error:
        reasons.append(f"a node needs to make control groups, and that failed: {error}")
    return reasons


def _has_seccomp_headers() -> bool:
    if shutil.which("gcc") is None or shutil.which("pkg-config") is None:
        return False
    return subprocess.run(["pkg-config", "--exists", "libseccomp"], check=False).returncode == 0


def _connect(network: Network, processes: Processes) -> None:
    """Lay the link between this machine and the node."""
    holder = processes.find(_NAMESPACES)
    assert holder is not None
    link, enter = _link(network), _enter(processes)
    for command in (
        ["ip", "link", "add", link, "type", "veth", "peer", "name", "uplink", "netns", str(holder.pid)],
        ["ip", "address", "add", f"{network.host}/30", "dev", link],
        ["ip", "link", "set", link, "up"],
        [*enter, "ip", "link", "set", "lo", "up"],
        [*enter, "ip", "address", "add", f"{network.node}/30", "dev", "uplink"],
        [*enter, "ip", "link", "set", "uplink", "up"],
        [*enter, "ip", "route", "add", "default", "via", network.host],
        [*enter, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"],
        ["ip", "route", "add", network.whole, "via", network.node],
    ):
        _run(command)


def _containerd_settings(folder: Path, runc: Path, plugins: Path, network: Network) -> Path:
    networks = folder / "networks"
    networks.mkdir(exist_ok=True)
    connection = {
        "cniVersion": "1.0.0",
        "name": "pods",
        "plugins": [
            {
                "type": "ptp",
                "ipam": {
                    "type": "host-local",
                    "dataDir": str(folder / "addresses"),
                    "ranges": [[{"subnet": network.pods}]],
                    "routes": [{"dst": "0.0.0.0/0"}],
                },
            }
        ],
    }
    (networks / "pods.conflist").write_text(json.dumps(connection, indent=1))
    file = folder / "containerd.toml"
    # Written as text: Python reads TOML and does not write it.
    file.write_text(
        f"""version = 3
root = "/var/lib/containerd"
state = "/run/containerd"
[grpc]
address = "{_CONTAINERD_SOCKET}"
[plugins."io.containerd.cri.v1.images".pinned_images]
sandbox = "{_PAUSE_IMAGE}"
[plugins."io.containerd.cri.v1.runtime"]
restrict_oom_score_adj = true
netns_mounts_under_state_dir = true
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
BinaryName = "{runc}"
SystemdCgroup = false
[plugins."io.containerd.cri.v1.runtime".cni]
bin_dirs = ["{plugins}"]
conf_dir = "{networks}"
"""
    )
    return file


def _kubelet_settings(cluster: Cluster, folder: Path) -> Path:
    network = cluster.network
    certificate, key = cluster.authority.issue("kubelet", "kubelet", hosts=(network.node, NODE_NAME))
    resolver = folder / "resolv.conf"
    resolver.write_text(f"nameserver {network.node}\n")
    settings: dict[str, Any] = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": network.node,
        "tlsCertFile": str(certificate),
        "tlsPrivateKeyFile": str(key),
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(cluster.authority.certificate)},
        },
        "authorization": {"mode": "Webhook"},
        "containerRuntimeEndpoint": f"unix://{_CONTAINERD_SOCKET}",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{_control_group(network)}",
        "enforceNodeAllocatable": [],
        "failCgroupV1": False,
        "failSwapOn": False,
        "clusterDNS": [network.name_service],
        "clusterDomain": CLUSTER_DOMAIN,
        "resolvConf": str(resolver),
        "healthzPort": _HEALTH_PORT,
        "volumePluginDir": str(folder / "volume-plugins"),
        # The disk is the user's: its being rather full must not throw pods or images away.
        "evictionHard": {"memory.available": "50Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
        "imageGCHighThresholdPercent": 100,
        "shutdownGracePeriod": "0s",
        # A sandbox is looked at right after a change.
        "syncFrequency": "10s",
        "nodeStatusUpdateFrequency": "5s",
    }
    return _write_yaml(folder / "kubelet.yaml", settings)


def _proxy_settings(folder: Path, kubeconfig: Path, network: Network) -> Path:
    settings: dict[str, Any] = {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "hostnameOverride": NODE_NAME,
        "clusterCIDR": network.pods,
        "clientConnection": {"kubeconfig": str(kubeconfig)},
        # The limits of connection tracking belong to the whole machine.
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
    }
    return _write_yaml(folder / "kube-proxy.yaml", settings)


def _publish_name_service(cluster: Cluster) -> None:
    """Make the Service by which pods know the cluster's DNS."""
    api = config.new_client_from_config(str(cluster.kubeconfig))
    ports = [{"name": protocol.lower(), "protocol": protocol, "port": 53} for protocol in ("UDP", "TCP")]
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "kube-dns", "labels": {"k8s-app": "kube-dns"}},
        "spec": {"clusterIP": cluster.network.name_service, "ports": ports},
    }
    endpoints = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": "kube-dns", "labels": {"kubernetes.io/service-name": "kube-dns"}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [cluster.network.node], "conditions": {"ready": True}}],
        "ports": ports,
    }
    for apply, body in (
        (client.CoreV1Api(api).patch_namespaced_service, service),
        (client.DiscoveryV1Api(api).patch_namespaced_endpoint_slice, endpoints),
    ):
        apply("kube-dns", "kube-system", body, field_manager="sandbox", _content_type="application/apply-patch+yaml")


def _start_kube_router(cluster: Cluster, enter: Sequence[str | Path]) -> None:
    network = cluster.network
    cluster.processes.start(
        "kube-router",
        [
            *enter,
            programs.executable(programs.NETWORK_POLICIES),
            "--run-firewall=true",
            "--run-router=false",
            "--run-service-proxy=false",
            "--run-loadbalancer=false",
            f"--kubeconfig={grant(cluster, 'kube-router', _POLICY_RULES)}",
            f"--hostname-override={NODE_NAME}",
            f"--service-cluster-ip-range={network.services}",
            f"--health-port={_POLICY_HEALTH_PORT}",
            # Besides at each change.
            "--iptables-sync-period=1m",
        ],
    )
    ready = f"http://{network.node}:{_POLICY_HEALTH_PORT}/healthz"
    cluster.processes.wait("kube-router", lambda: answers(ready), _START_SECONDS)


def _is_ready(core: client.CoreV1Api) -> bool:
    with contextlib.suppress(ApiException):
        conditions = core.read_node(NODE_NAME).status.conditions or []
        return any(condition.type == "Ready" and condition.status == "True" for condition in conditions)
    return False


def _answers(node: Node) -> bool:
    with contextlib.suppress(ModelberthError):
        return node.images() is not None
    return False


def _write_yaml(file: Path, content: dict[str, Any]) -> Path:
    file.write_text(yaml.safe_dump(content))
    return file


def _own(folder: Path, path: str) -> Path:
    return folder / "node" / path.lstrip("/").replace("/", "-")


def _link(network: Network) -> str:
    return f"modelberth{network.number}"


def _control_group(network: Network) -> str:
    return f"modelberth-{network.number}"


def _enter(processes: Processes) -> list[str | Path]:
    holder = processes.find(_NAMESPACES)
    if holder is None:
        raise ModelberthError("the node does not run")
    return ["nsenter", f"--target={holder.pid}", "--mount", "--net", "--"]


def _mount_namespace(number: int) -> str:
    return os.readlink(f"/proc/{number}/ns/mnt")


def _end_all_within(namespace: str, but: int) -> None:
    for process in psutil.process_iter():
        with contextlib.suppress(OSError, psutil.Error):
            if process.pid != but and _mount_namespace(process.pid) == namespace:
                process.kill()


def _remember_made(folder: Path, path: str) -> None:
    with (folder / "node" / "made").open("a") as file:
        file.write(f"{path}\n")


def _remove_made(folder: Path) -> None:
    """Remove the empty folders of this machine that the node's own were laid over."""
    made = folder / "node" / "made"
    for path in made.read_text().split() if made.exists() else ():
        with contextlib.suppress(OSError):
            Path(path).rmdir()
    made.unlink(missing_ok=True)


def _run(command: Sequence[str | Path]) -> str:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        text = " ".join(str(part) for part in command)
        raise ModelberthError(f"{text} failed (exit code {done.returncode}): {(done.stderr or done.stdout).strip()}")
    return done.stdout
