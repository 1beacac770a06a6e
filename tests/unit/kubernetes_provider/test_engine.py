"""The Kubernetes provider's stand-in under the real engine."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client

from sandbox.engine.install import ensure_engine, write_launcher
from sandbox.kubernetes import control_plane
from sandbox.kubernetes.control_plane import Cluster

PROGRAM = Path(__file__).with_name("program.py")
Run = Callable[..., subprocess.CompletedProcess[str]]
QUIET = ("-y", "--skip-preview", "--suppress-progress")


@pytest.fixture
def pulumi(tmp_path: Path, cluster: Cluster) -> Run:
    """The engine's command line on a project of its own, with the stand-in as its Kubernetes plugin."""
    binaries, project = tmp_path / "bin", tmp_path / "project"
    engine = ensure_engine(binaries)
    write_launcher(binaries / "pulumi-resource-kubernetes", "-m sandbox.providers.kubernetes")
    project.mkdir()
    (tmp_path / "state").mkdir()
    (project / "Pulumi.yaml").write_text("name: objects\nruntime: python\n")
    shutil.copy(PROGRAM, project / "__main__.py")
    environment = {
        **os.environ,
        "PATH": f"{binaries}:{engine.folder}:{os.environ['PATH']}",
        "PULUMI_BACKEND_URL": (tmp_path / "state").as_uri(),
        "PULUMI_CONFIG_PASSPHRASE": "test",
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        "KUBECONFIG": str(cluster.kubeconfig),
    }

    def run(*arguments: str, fails: bool = False) -> subprocess.CompletedProcess[str]:
        command = ["pulumi", *arguments, "--non-interactive", "--color", "never"]
        done = subprocess.run(
            command, cwd=project, env=environment, capture_output=True, text=True, timeout=240, check=False
        )
        assert (done.returncode != 0) == fails, done.stdout + done.stderr
        return done

    run("stack", "init", "dev")
    return run


def write(tmp_path: Path, program: str) -> None:
    (tmp_path / "project" / "__main__.py").write_text(program)


@pytest.mark.timeout(600)
def test_a_stack_of_35_objects_through_its_life(pulumi: Run, api: client.ApiClient, namespace: str) -> None:
    hush = client.V1Secret(metadata=client.V1ObjectMeta(name="there"), string_data={"word": "hush-there"})
    client.CoreV1Api(api).create_namespaced_secret(namespace, hush)
    pulumi("config", "set", "there", f"{namespace}/there")
    previewed = pulumi("preview", "--suppress-progress").stdout
    assert "+ 36 to create" in previewed  # with the stack
    made = pulumi("up", *QUIET)
    assert "would violate PodSecurity" in made.stdout
    assert "36 created" in made.stdout
    pulumi("up", *QUIET, "--expect-no-changes")
    pulumi("refresh", *QUIET, "--expect-no-changes")
    exported = pulumi("stack", "export").stdout
    assert not [word for word in ("hush", base64.b64encode(b"hush-").decode()[:6]) if word in exported]
    outputs = json.loads(pulumi("stack", "output", "--json").stdout)
    place = outputs["namespace"]
    apps = client.AppsV1Api(api)
    apps.patch_namespaced_deployment(outputs["deployment"], place, {"spec": {"replicas": 4}}, field_manager="kubectl")
    shown = pulumi("preview", "--suppress-progress", fails=True).stdout
    assert "Server-Side Apply field conflict detected" in shown, shown
    assert ".spec.replicas" in shown, shown
    assert apps.read_namespaced_deployment(outputs["deployment"], place).spec.replicas == 4
    assert "deleted" in pulumi("destroy", *QUIET).stdout
    assert client.CoreV1Api(api).read_namespaced_secret("there", namespace).metadata.name == "there"


EXPLICIT = """
import pulumi, pulumi_kubernetes as kubernetes
config = pulumi.Config()
provider = kubernetes.Provider("there", kubeconfig=config.require_secret("kubeconfig"), namespace=config.get("space"))
opts = pulumi.ResourceOptions(provider=provider)
kubernetes.core.v1.ConfigMap("c", data={"a": config.get("a") or "b"}, metadata={"name": "c"}, opts=opts)
"""


@pytest.mark.timeout(300)
def test_an_explicit_provider_and_ignored_changes(
    pulumi: Run, tmp_path: Path, cluster: Cluster, api: client.ApiClient, namespace: str
) -> None:
    write(tmp_path, EXPLICIT)
    pulumi("config", "set", "--secret", "kubeconfig", cluster.kubeconfig.read_text())
    pulumi("config", "set", "space", namespace)
    pulumi("up", *QUIET)
    core = client.CoreV1Api(api)
    assert core.read_namespaced_config_map("c", namespace).data == {"a": "b"}
    pulumi("up", *QUIET, "--expect-no-changes")
    ignoring = EXPLICIT.replace("provider=provider)", "provider=provider, ignore_changes=['data'])")
    write(tmp_path, ignoring)
    pulumi("config", "set", "a", "other")
    pulumi("up", *QUIET, "--expect-no-changes")
    assert core.read_namespaced_config_map("c", namespace).data == {"a": "b"}


IMPORTED = """
import pulumi, pulumi_kubernetes as kubernetes
kubernetes.core.v1.ConfigMap(
    "c", data={"a": "b"}, metadata={"name": "found", "namespace": "%s"},
    opts=pulumi.ResourceOptions(import_="%s/found"),
)
"""


@pytest.mark.timeout(300)
def test_an_import_changes_nothing(pulumi: Run, tmp_path: Path, api: client.ApiClient, namespace: str) -> None:
    core = client.CoreV1Api(api)
    body = client.V1ConfigMap(metadata=client.V1ObjectMeta(name="found"), data={"a": "b"})
    before = core.create_namespaced_config_map(namespace, body).metadata.resource_version
    write(tmp_path, IMPORTED % (namespace, namespace))
    assert "1 imported" in pulumi("up", *QUIET).stdout
    pulumi("up", *QUIET, "--expect-no-changes")
    assert core.read_namespaced_config_map("found", namespace).metadata.resource_version == before


@pytest.mark.timeout(300)
def test_without_a_cluster_preview_works_and_up_fails_with_one_line(pulumi: Run, tmp_path: Path) -> None:
    write(tmp_path, EXPLICIT)
    pulumi("config", "set", "kubeconfig", _nowhere())
    previewed = pulumi("preview", "--suppress-progress").stdout
    assert "+ 3 to create" in previewed
    assert "unreachable: http://127.0.0.1:1" in previewed
    told = pulumi("up", *QUIET, fails=True).stdout
    assert "error: configured Kubernetes cluster is unreachable: http://127.0.0.1:1" in told
    assert "Traceback" not in told


LACKING = """
import pulumi, pulumi_kubernetes as kubernetes
kubernetes.core.v1.ConfigMap("c", data={"a": "b"}, metadata={"name": "c", "namespace": "%s"})
kubernetes.apiextensions.CustomResource(
    "r", api_version="monitoring.coreos.com/v1", kind="PrometheusRule", spec={"groups": []},
    metadata={"name": "r", "namespace": "%s"},
)
"""


@pytest.mark.timeout(300)
def test_rights_and_definitions_that_are_missing_are_told_at_once(
    pulumi: Run, tmp_path: Path, cluster: Cluster, namespace: str
) -> None:
    write(tmp_path, LACKING % (namespace, namespace))
    pulumi("config", "set", "kubernetes:kubeconfig", str(cluster.write_kubeconfig(tmp_path / "k", "nobody")))
    rights = "of what ConfigMap objects take here this user lacks: get, create, patch, delete"
    definition = 'no matches for kind "PrometheusRule" in version "monitoring.coreos.com/v1": install the definitions'
    previewed = pulumi("preview", "--suppress-progress").stdout
    assert f"{rights}; the preview goes by the inputs alone" in previewed
    assert definition in previewed
    told = pulumi("up", *QUIET, "--continue-on-error", fails=True).stdout
    for text in (rights, definition):
        assert text in told
    assert "Traceback" not in told


def _nowhere() -> str:
    document: Any = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:1"}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": ""}}],
        "current-context": "x",
    }
    return yaml.safe_dump(document)


@pytest.mark.timeout(600)
def test_an_api_server_that_restarts_during_up_heals(pulumi: Run, cluster: Cluster, api: client.ApiClient) -> None:
    core, results = client.CoreV1Api(api), []
    update = threading.Thread(target=lambda: results.append(pulumi("up", *QUIET)))
    update.start()
    while update.is_alive() and not _has_begun(core):
        update.join(0.05)
    assert update.is_alive()
    control_plane.restart_api_server(cluster)
    update.join()
    assert "36 created" in results[0].stdout
    pulumi("up", *QUIET, "--expect-no-changes")
    pulumi("destroy", *QUIET)


def _has_begun(core: client.CoreV1Api) -> bool:
    return any(one.metadata.name.startswith("map-") for one in core.list_config_map_for_all_namespaces().items)
