"""Ways in that do not work, and API servers that go away for a moment or for good."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import grpc
import pytest
import yaml

from sandbox.kubernetes import control_plane
from sandbox.kubernetes.control_plane import Cluster

from . import manifests
from .conftest import Engine, Object, failure

Answer = tuple[int, Object, dict[str, str]]
RESOURCES = {"resources": [{"name": "configmaps", "kind": "ConfigMap", "namespaced": True}]}
MADE = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {"name": "c", "namespace": "default", "uid": "u"},
    "data": {"a": "b"},
}


def kubeconfig(server: str, **user: str) -> str:
    return yaml.safe_dump(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "c", "cluster": {"server": server}}],
            "users": [{"name": "u", "user": user}],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
            "current-context": "x",
        }
    )


def refused(code: int, reason: str, message: str, **details: Any) -> Object:
    return {"kind": "Status", "code": code, "reason": reason, "message": message, "details": details}


class Server:
    """An API server of few words: each request for an object gets the next of `answers`, the last one for ever."""

    def __init__(self) -> None:
        self.answers: list[Answer | None] = []
        self.requests: list[tuple[str, str]] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _answer(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                status, body, headers = self._found()
                content = json.dumps(body).encode()
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(content))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

            def _found(self) -> Answer:
                if self.path == "/version":
                    return 200, {}, {}
                if self.path == "/api/v1":
                    return 200, RESOURCES, {}
                server.requests.append((self.command, self.path))
                if self.command == "GET":
                    return 404, refused(404, "NotFound", "not found"), {}
                found = server.answers.pop(0) if len(server.answers) > 1 else server.answers[0]
                if found is None:
                    self.connection.close()  # in the middle of the request
                    self.close_connection = True
                    raise ConnectionAbortedError
                return found

            do_GET = do_PATCH = do_POST = do_DELETE = _answer

            def log_message(self, format: str, *arguments: Any) -> None:
                pass

        class Quiet(ThreadingHTTPServer):
            def handle_error(self, request: Any, client_address: Any) -> None:
                pass

        self._server = Quiet(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server()
    yield running
    running.close()


@pytest.fixture
def engine_of_server(serve: Callable[..., Engine], server: Server) -> Engine:
    return serve(kubeconfig=kubeconfig(server.url))


# No cluster


UNREACHABLE = kubeconfig("http://127.0.0.1:1")


def test_without_a_cluster_a_preview_goes_by_the_inputs(serve: Callable[..., Engine]) -> None:
    engine = serve(kubeconfig=UNREACHABLE)
    for obj in (manifests.config_map("c", a="b"), manifests.deployment("d"), manifests.custom("Any", "x", 1)):
        _, planned, inputs = engine.create(obj, preview=True)
        assert planned == inputs
    news = inputs | {"spec": {"size": 2}}
    assert list(engine.diff(inputs, inputs, news).detailedDiff) == ["spec.size"]
    assert engine.update(inputs, inputs, news, preview=True) == news
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "r"}}
    assert "namespace" not in engine.check(role, role)[0]["metadata"]
    assert len(set(engine.log.warnings)) == 1
    assert engine.log.warnings[0].startswith("configured Kubernetes cluster is unreachable: http://127.0.0.1:1: ")


def test_without_a_cluster_up_fails_with_one_line(serve: Callable[..., Engine]) -> None:
    engine = serve(kubeconfig=UNREACHABLE)
    for work in (
        lambda: engine.create(manifests.config_map("c", a="b")),
        lambda: engine.update(MADE, MADE, MADE),
        lambda: engine.read(MADE, "default/c", MADE, MADE),
        lambda: engine.delete(MADE, "default/c", MADE),
    ):
        with pytest.raises(grpc.RpcError) as caught:
            work()
        assert failure(caught).startswith("configured Kubernetes cluster is unreachable: http://127.0.0.1:1: ")
        assert "\n" not in failure(caught)


def test_a_cluster_that_never_answered_is_asked_once(serve: Callable[..., Engine]) -> None:
    engine = serve(kubeconfig=UNREACHABLE)
    engine.check(manifests.config_map("c"))
    began = time.monotonic()
    for _ in range(20):
        engine.create(manifests.config_map("c"), preview=True)
    assert time.monotonic() - began < 0.6  # one attempt after another would take 16 s


def test_what_was_in_a_cluster_that_is_gone_can_be_given_up(
    serve: Callable[..., Engine], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        serve(kubeconfig=UNREACHABLE).read(MADE, "default/c", MADE, MADE)
    assert "PULUMI_K8S_DELETE_UNREACHABLE=true" in failure(caught)
    monkeypatch.setenv("PULUMI_K8S_DELETE_UNREACHABLE", "true")
    engine = serve(kubeconfig=UNREACHABLE)
    assert engine.read(MADE, "default/c", MADE, MADE)[0] == ""
    engine.delete(MADE, "default/c", MADE)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"kubeconfig": "/nowhere/kubeconfig"}, "'/nowhere/kubeconfig' is neither a kubeconfig nor the path of one"),
        ({"kubeconfig": "a: [\n"}, "is neither a kubeconfig nor the path of one"),
        (
            {"kubeconfig": "a: b\n"},
            "the kubeconfig that is given: there is no context in it, so that it is no kubeconfig",
        ),
        (
            {"kubeconfig": UNREACHABLE, "context": "other"},
            "no context is called 'other' in the kubeconfig that is given: it has x; set kubernetes:context of the "
            "stack to one of them",
        ),
    ],
    ids=["path", "yaml", "content", "context"],
)
def test_a_kubeconfig_that_is_none_is_named(serve: Callable[..., Engine], settings: Object, told: str) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        serve(**settings).create(manifests.config_map("c", a="b"))
    assert failure(caught).startswith("configured Kubernetes cluster is unreachable: ")
    assert told in failure(caught)
    assert "\n" not in failure(caught)


def test_no_kubeconfig_at_all_is_told_with_where_it_was_looked_for(
    serve: Callable[..., Engine], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    # Kubernetes' client reads the variable when it is imported.
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "none"))
    with pytest.raises(grpc.RpcError) as caught:
        serve().create(manifests.config_map("c", a="b"))
    assert failure(caught) == (
        f"configured Kubernetes cluster is unreachable: there is no kubeconfig: looked for {tmp_path / 'none'}. Set "
        "KUBECONFIG, or kubernetes:kubeconfig of the stack, to the file that your cluster gave you"
    )


# Refused


def test_an_expired_token_is_named(serve: Callable[..., Engine], cluster: Cluster) -> None:
    document = yaml.safe_load(cluster.kubeconfig.read_text())
    document["users"][0]["user"] = {"token": "expired"}
    engine = serve(kubeconfig=yaml.safe_dump(document))
    _, planned, inputs = engine.create(manifests.config_map("c", a="b"), preview=True)
    assert planned == inputs
    with pytest.raises(grpc.RpcError) as caught:
        engine.create(manifests.config_map("c", a="b"))
    assert "Unauthorized (401): the kubeconfig's credentials have expired or are not this cluster's" in failure(caught)


def test_a_token_that_expires_on_the_way_is_named(engine_of_server: Engine, server: Server) -> None:
    server.answers = [(401, refused(401, "Unauthorized", "Unauthorized"), {})]
    with pytest.raises(grpc.RpcError) as caught:
        engine_of_server.create(manifests.config_map("c", a="b"))
    assert failure(caught).startswith("apply ConfigMap c: Unauthorized (401)")


@pytest.mark.parametrize("verb", ["get", "patch", "delete"])
def test_a_missing_permission_names_verb_and_resource(
    serve: Callable[..., Engine], cluster: Cluster, engine: Engine, namespace: str, tmp_path: Path, verb: str
) -> None:
    allowed = sorted({"get", "list", "create", "patch", "delete"} - {verb})
    rules = [{"apiGroups": [""], "resources": ["configmaps"], "verbs": allowed}]
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "r"}, "rules": rules}
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r"}
    subjects = [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "somebody"}]
    engine.create(role)
    engine.create(role | {"kind": "RoleBinding", "roleRef": reference, "subjects": subjects, "rules": None})
    somebody = serve(kubeconfig=str(cluster.write_kubeconfig(tmp_path / "k", "somebody")), namespace=namespace)
    with pytest.raises(grpc.RpcError) as caught:
        identifier, state, inputs = somebody.create(manifests.config_map("c", a="b"))
        somebody.delete(inputs, identifier, state)
    told = f'User "somebody" cannot {verb} resource "configmaps" in API group "" in the namespace "{namespace}"'
    assert told in failure(caught)
    if verb != "delete":
        assert failure(caught).endswith(f"of what ConfigMap objects take here this user lacks: {verb}")


# Again


BUSY = (429, refused(429, "TooManyRequests", "too many requests"), {"Retry-After": "1"})
STARTING = (503, refused(503, "ServiceUnavailable", "the server is starting"), {})
RACED = (409, refused(409, "Conflict", "the object has been modified"), {})
TIMED_OUT = (500, refused(500, "InternalError", "etcdserver: request timed out"), {"Retry-After": "1"})
DONE = (201, MADE, {})


@pytest.mark.parametrize("first", [BUSY, STARTING, RACED, TIMED_OUT, None], ids=str)
def test_what_may_end_otherwise_is_repeated(engine_of_server: Engine, server: Server, first: Answer | None) -> None:
    server.answers = [first, first, DONE]
    assert engine_of_server.create(manifests.config_map("c", a="b"))[0] == "default/c"
    assert [method for method, _ in server.requests].count("PATCH") == 3


@pytest.mark.parametrize(
    "answer",
    [
        (409, refused(409, "Conflict", "conflict", causes=[{"reason": "FieldManagerConflict"}]), {}),
        (422, refused(422, "Invalid", "invalid"), {}),
        (500, refused(500, "InternalError", "broken"), {}),
    ],
    ids=["conflict", "invalid", "broken"],
)
def test_what_cannot_end_otherwise_is_not_repeated(engine_of_server: Engine, server: Server, answer: Answer) -> None:
    server.answers = [answer]
    with pytest.raises(grpc.RpcError):
        engine_of_server.create(manifests.config_map("c", a="b"))
    assert [method for method, _ in server.requests].count("PATCH") == 1


def test_a_lost_race_is_given_up_in_the_end(
    engine_of_server: Engine, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sandbox.providers.kubernetes import cluster

    monkeypatch.setattr(cluster, "_LONGEST_PAUSE", 0.01)
    server.answers = [RACED]
    with pytest.raises(grpc.RpcError) as caught:
        engine_of_server.create(manifests.config_map("c", a="b"))
    assert "the object has been modified" in failure(caught)
    assert [method for method, _ in server.requests].count("PATCH") == 6


def test_cancel_ends_the_attempts(engine_of_server: Engine, server: Server) -> None:
    server.answers = [STARTING]
    threading.Timer(0.5, engine_of_server.cancel).start()
    began = time.monotonic()
    with pytest.raises(grpc.RpcError) as caught:
        engine_of_server.create(manifests.config_map("c", a="b"))
    assert "the update was cancelled before the next attempt" in failure(caught)
    assert time.monotonic() - began < 5


def test_each_api_version_is_looked_up_once(engine_of_server: Engine, server: Server) -> None:
    server.answers = [DONE]
    for name in ("a", "b", "c"):
        engine_of_server.create(manifests.config_map(name))
    assert len(server.requests) == 6  # one look and one apply each; the look-up is not among them


@pytest.mark.timeout(300)
def test_a_cluster_made_anew_at_the_same_address_is_seen_as_it_is(serve: Callable[..., Engine], tmp_path: Path) -> None:
    """What an earlier process knew of the kinds of a cluster must not outlive it."""
    from sandbox.kubernetes import control_plane

    folder = tmp_path / "cluster"
    thing = manifests.custom("Old", "one", 1)
    with control_plane.running(folder) as first:
        engine = serve(kubeconfig=str(first.kubeconfig))
        engine.create(manifests.definition("olds", "Old"))
        assert engine.create(thing)[0] == "default/one"
        ports = (folder / "ports.json").read_text()
    control_plane.remove(folder)
    folder.mkdir()
    (folder / "ports.json").write_text(ports)
    with control_plane.running(folder) as second:
        assert second.server == first.server
        engine = serve(kubeconfig=str(second.kubeconfig))
        assert engine.read(thing, "default/one", thing, thing)[0] == ""
        engine.create(manifests.definition("olds", "Old", scope="Cluster"))
        assert engine.create(thing)[0] == "one"


def test_a_restart_of_the_api_server_heals(engine: Engine, cluster: Cluster) -> None:
    identifier, state, inputs = engine.create(manifests.config_map("c", a="b"))
    restart = threading.Thread(target=control_plane.restart_api_server, args=(cluster,))
    restart.start()
    try:
        made = 0
        while restart.is_alive():
            assert engine.create(manifests.config_map(f"c{made}", a="b"))[0].endswith(f"/c{made}")
            made += 1
    finally:
        restart.join()
    assert engine.read(inputs, identifier, state, inputs)[2] == inputs


# The plugin's process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_plugin_prints_its_port_first_and_ends_when_told(number: signal.Signals) -> None:
    command = [sys.executable, "-m", "sandbox.providers.kubernetes", "127.0.0.1:1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            grpc.channel_ready_future(channel).result(timeout=10)
        process.send_signal(number)
        assert process.wait(timeout=3) == 0
