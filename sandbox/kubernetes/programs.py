"""The programs of a cluster, each built once from its published Go module into the user's cache folder.

Each folder below `modules` pins what a program is made of.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from sandbox.go_tools import GoProgram, build, cache_folder

KUBERNETES_VERSION = "v1.37.2"

_MODULES = Path(__file__).parent / "modules"
_GIGABYTE = 1024**3
_WITHOUT_GO = (
    "There is no Go on this machine, and a cluster of our own is built with it: install Go 1.26 or later "
    "(https://go.dev/doc/install), or name a cluster that you have."
)
_program = partial(GoProgram, without_go=_WITHOUT_GO)


def _version_symbols() -> str:
    """Without these, Kubernetes' programs do not know their version."""
    major, minor, _ = KUBERNETES_VERSION.removeprefix("v").split(".")
    values = {"gitVersion": KUBERNETES_VERSION, "gitMajor": major, "gitMinor": minor}
    packages = ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
    return " ".join(f"-X {package}.{name}={value}" for package in packages for name, value in values.items())


ETCD = _program(
    name="etcd",
    version="v3.7.3",
    source=_MODULES / "etcd",
    package="go.etcd.io/etcd/server/v3",
    executable="etcd",
    space_bytes=_GIGABYTE,
    minutes="less than a minute",
)
CONTROL_PLANE = _program(
    name="Kubernetes' control plane",
    version=KUBERNETES_VERSION,
    source=_MODULES / "kubernetes",
    package="k8s.io/kubernetes/cmd/kube-apiserver",
    executable="kube-apiserver",
    companions={
        "kube-controller-manager": "k8s.io/kubernetes/cmd/kube-controller-manager",
        "kube-scheduler": "k8s.io/kubernetes/cmd/kube-scheduler",
    },
    ldflags=_version_symbols(),
    space_bytes=6 * _GIGABYTE,
    minutes="about 10 minutes on two cores",
    instead="Naming a cluster that you have avoids the build.",
)

NODE = _program(
    name="Kubernetes' node programs",
    version=KUBERNETES_VERSION,
    source=_MODULES / "kubernetes",
    package="k8s.io/kubernetes/cmd/kubelet",
    executable="kubelet",
    companions={"kube-proxy": "k8s.io/kubernetes/cmd/kube-proxy"},
    ldflags=_version_symbols(),
    space_bytes=6 * _GIGABYTE,
    minutes="about 5 minutes on two cores",
)
CONTAINERD = _program(
    name="containerd",
    version="v2.4.2",
    source=_MODULES / "containerd",
    package="github.com/containerd/containerd/v2/cmd/containerd",
    executable="containerd",
    companions={
        "containerd-shim-runc-v2": "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2",
        "ctr": "github.com/containerd/containerd/v2/cmd/ctr",
    },
    cgo=False,
    space_bytes=2 * _GIGABYTE,
    minutes="about 2 minutes on two cores",
)
RUNC = _program(
    name="runc",
    version="v1.5.2",
    source=_MODULES / "runc",
    package="github.com/opencontainers/runc",
    executable="runc",
    tags="seccomp",
    cgo=True,
    space_bytes=_GIGABYTE,
    minutes="less than a minute",
)
NETWORK_PLUGINS = _program(
    name="the network plugins of containers",
    version="v1.9.1",
    source=_MODULES / "network",
    package="github.com/containernetworking/plugins/plugins/main/ptp",
    executable="ptp",
    companions={
        "loopback": "github.com/containernetworking/plugins/plugins/main/loopback",
        "host-local": "github.com/containernetworking/plugins/plugins/ipam/host-local",
    },
    cgo=False,
    space_bytes=_GIGABYTE,
    minutes="less than a minute",
)
NETWORK_POLICIES = _program(
    name="kube-router, which enforces network policies",
    version="v2.1.0",
    source=_MODULES / "kube-router",
    package="github.com/cloudnativelabs/kube-router/v2/cmd/kube-router",
    executable="kube-router",
    cgo=False,
    space_bytes=3 * _GIGABYTE,
    minutes="about 2 minutes on two cores",
)
COREDNS = _program(
    name="CoreDNS",
    version="v1.15.0",
    source=_MODULES / "coredns",
    package="github.com/coredns/coredns",
    executable="coredns",
    space_bytes=3 * _GIGABYTE,
    minutes="about 4 minutes on two cores",
)
PAUSE = _program(
    name="the pause program",
    version="v1",
    source=_MODULES / "pause",
    package=".",
    executable="pause",
    cgo=False,
    space_bytes=_GIGABYTE // 8,
    minutes="seconds",
)
OBJECT_STORE = _program(
    name="the object store",
    version="v1.8.0",
    source=_MODULES / "versitygw",
    package="github.com/versity/versitygw/cmd/versitygw",
    executable="versitygw",
    space_bytes=2 * _GIGABYTE,
    minutes="about a minute on two cores",
)
PROMETHEUS = _program(
    name="Prometheus",
    version="v0.316.0",
    source=_MODULES / "prometheus",
    package="github.com/prometheus/prometheus/cmd/prometheus",
    executable="prometheus",
    tags="remove_all_sd enable_kubernetes_sd",
    space_bytes=3 * _GIGABYTE,
    minutes="about 3 minutes on two cores",
)
ALERTMANAGER = _program(
    name="Alertmanager",
    version="v0.31.1",
    source=_MODULES / "alertmanager",
    package="github.com/prometheus/alertmanager/cmd/alertmanager",
    executable="alertmanager",
    space_bytes=2 * _GIGABYTE,
    minutes="about 2 minutes on two cores",
)
PUSHGATEWAY = _program(
    name="the Pushgateway",
    version="v1.11.1",
    source=_MODULES / "pushgateway",
    package="github.com/prometheus/pushgateway",
    executable="pushgateway",
    space_bytes=_GIGABYTE,
    minutes="less than a minute",
)
KUBECONFORM = _program(
    name="kubeconform",
    version="v0.8.0",
    source=_MODULES / "kubeconform",
    package="github.com/yannh/kubeconform/cmd/kubeconform",
    executable="kubeconform",
    cgo=False,
    space_bytes=_GIGABYTE // 4,
    minutes="seconds",
)

KSERVE = _program(
    name="KServe's controller",
    version="v0.20.0",
    source=_MODULES / "kserve",
    package="github.com/kserve/kserve/cmd/manager",
    executable="kserve-controller",
    space_bytes=3 * _GIGABYTE,
    minutes="about 5 minutes on two cores",
)

OF_A_NODE = (
    ETCD,
    CONTROL_PLANE,
    RUNC,
    PAUSE,
    NETWORK_PLUGINS,
    NETWORK_POLICIES,
    CONTAINERD,
    COREDNS,
    OBJECT_STORE,
    PUSHGATEWAY,
    ALERTMANAGER,
    PROMETHEUS,
    NODE,
)
"""What a cluster with a node consists of, and what a model needs beside it."""
ENVOY_GATEWAY = _program(
    name="Envoy Gateway",
    version="v1.9.1",
    source=_MODULES / "envoy-gateway",
    package="github.com/envoyproxy/gateway/cmd/envoy-gateway",
    executable="envoy-gateway",
    space_bytes=4 * _GIGABYTE,
    minutes="about 8 minutes on two cores",
)


def is_built(program: GoProgram) -> bool:
    """Whether the program needs no building any more."""
    return (_target(program) / program.executable).exists()


def folder(program: GoProgram, complete: Callable[[Path, Callable[[str], Path]], None] | None = None) -> Path:
    """Return the folder that holds the program's executables; build them if they are not there.

    Args:
        program: What is wanted.
        complete: Adds to the folder when it is built; see `go_tools.build`.

    Raises:
        ModelberthError: they cannot be built; the text says why.
    """
    target = _target(program)
    if not is_built(program):
        build(program, target, complete)
    return target


def executable(program: GoProgram) -> Path:
    """Return the program's main executable; see `folder`."""
    return folder(program) / program.executable


def _target(program: GoProgram) -> Path:
    return cache_folder() / program.executable / program.version
