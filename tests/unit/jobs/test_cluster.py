"""The cluster's API as a pod speaks to it, over TLS, to a server that answers as the API server does."""

import json
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from model_packaging.errors import ModelberthError
from model_packaging.jobs.alarm_start import job_name, start_on_alarm
from model_packaging.jobs.cluster import Api, Deployment
from sandbox.kubernetes.certificates import Authority

APPS = "/apis/apps/v1/namespaces/models"


class Server:
    """Answers each path by what was laid down for it, in turn; the last answer stays."""

    def __init__(self) -> None:
        self.answers: dict[str, list[tuple[int, Any]]] = {}
        self.asked: list[tuple[str, str, dict[str, list[str]], str, Any]] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                parts = urlsplit(self.path)
                length = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(length)) if length else None
                given = f"{self.headers.get('Authorization')} {self.headers.get('Content-Type')}"
                server.asked.append((self.command, parts.path, parse_qs(parts.query), given, body))
                found = server.answers.get(f"{self.command} {parts.path}") or [(404, {"message": "not found"})]
                status, document = found.pop(0) if len(found) > 1 else found[0]
                text = document if isinstance(document, str) else json.dumps(document)
                self.send_response(status)
                self.send_header("Content-Length", str(len(text.encode())))
                self.end_headers()
                self.wfile.write(text.encode())

            do_GET = do_POST = do_PATCH = answer

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.http.server_address[1]

    def says(self, call: str, *answers: tuple[int, Any]) -> None:
        self.answers[call] = list(answers)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    made = Server()
    certificate, key = Authority(tmp_path / "authority").issue("server", "kubernetes", hosts=("127.0.0.1",))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    made.http.socket = context.wrap_socket(made.http.socket, server_side=True)
    thread = threading.Thread(target=made.http.serve_forever, args=(0.05,))
    thread.start()
    yield made
    made.http.shutdown()
    made.http.server_close()
    thread.join()


@pytest.fixture
def prometheus() -> Iterator[Server]:
    made = Server()
    thread = threading.Thread(target=made.http.serve_forever, args=(0.05,))
    thread.start()
    yield made
    made.http.shutdown()
    made.http.server_close()
    thread.join()


@pytest.fixture
def waited(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long it would have waited."""
    found: list[float] = []
    monkeypatch.setattr("model_packaging.jobs.cluster.time.sleep", found.append)
    return found


@pytest.fixture
def account(tmp_path: Path) -> Path:
    folder = tmp_path / "account"
    folder.mkdir()
    (folder / "token").write_text("first\n")
    (folder / "namespace").write_text("models")
    (folder / "ca.crt").symlink_to(tmp_path / "authority" / "ca.crt")
    return folder


@pytest.fixture
def environment(server: Server) -> dict[str, str]:
    return {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": str(server.port)}


@pytest.fixture
def api(environment: dict[str, str], account: Path, prometheus: Server) -> Api:
    return Api(f"http://127.0.0.1:{prometheus.port}", environment, account)


def deployment(name: str, wanted: int, ready: int, *, generation: int = 2, observed: int = 2) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "generation": generation},
        "spec": {"replicas": wanted},
        "status": {"readyReplicas": ready, "observedGeneration": observed} if ready else {},
    }


def test_deployments_are_those_of_the_endpoint(api: Api, server: Server) -> None:
    items = [deployment("old", 4, 4), deployment("new", 2, 1), deployment("late", 3, 3, generation=3)]
    server.says(f"GET {APPS}/deployments", (200, {"items": items}))
    assert api.deployments("churn") == [
        Deployment("old", 4, 4),
        Deployment("new", 2, 1),
        # The controller has not seen the newest generation: what it counted may be of the one before.
        Deployment("late", 3, 0),
    ]
    ((_, _, query, given, _),) = server.asked
    assert query == {"labelSelector": ["app.kubernetes.io/component=endpoint,app.kubernetes.io/instance=churn"]}
    assert given.startswith("Bearer first ")


def test_replicas_are_patched_and_the_token_is_read_each_time(api: Api, server: Server, account: Path) -> None:
    server.says(f"PATCH {APPS}/deployments/new/scale", (200, {}))
    api.scale("new", 3)
    (account / "token").write_text("second")
    api.scale("new", 4)
    assert [(given, body) for *_, given, body in server.asked] == [
        ("Bearer first application/merge-patch+json", {"spec": {"replicas": 3}}),
        ("Bearer second application/merge-patch+json", {"spec": {"replicas": 4}}),
    ]


def test_a_record_is_read_and_a_key_is_taken_out(api: Api, server: Server) -> None:
    path = "/api/v1/namespaces/models/configmaps/churn-rollout"
    server.says(f"GET {path}", (200, {"metadata": {"name": "churn-rollout"}}), (200, {"data": {"new": "{}"}}))
    server.says(f"PATCH {path}", (200, {}))
    assert api.recall("churn-rollout") == {}
    assert api.recall("churn-rollout") == {"new": "{}"}
    api.remember("churn-rollout", {"new": None})
    assert server.asked[-1][-2:] == ("Bearer first application/merge-patch+json", {"data": {"new": None}})


def test_keda_holds_a_deployment_and_goes_on(api: Api, server: Server) -> None:
    held = "/apis/keda.sh/v1alpha1/namespaces/models/scaledobjects/churn-1"
    server.says(f"PATCH {held}", (200, {}))
    api.autoscale("churn-1", False)
    api.autoscale("churn-1", True)
    assert [(path, body) for _, path, _, _, body in server.asked] == [
        (held, {"metadata": {"annotations": {"autoscaling.keda.sh/paused": value}}}) for value in ("true", None)
    ]
    assert server.asked[0][3].endswith("application/merge-patch+json")


def test_what_keda_does_not_scale_needs_no_holding(api: Api, server: Server, waited: list[float]) -> None:
    api.autoscale("churn-1", False)
    assert len(server.asked) == 1
    assert waited == []
    server.says("PATCH /apis/keda.sh/v1alpha1/namespaces/models/scaledobjects/churn-1", (403, {"message": "no"}))
    with pytest.raises(ModelberthError, match="403 no"):
        api.autoscale("churn-1", False)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_what_may_pass_is_tried_again(status: int, api: Api, server: Server, waited: list[float]) -> None:
    busy = (status, {"message": "too many requests"})
    server.says(f"GET {APPS}/deployments", busy, busy, (200, {"items": []}))
    assert api.deployments("churn") == []
    assert waited == [1, 2]


def test_what_does_not_pass_is_told(api: Api, server: Server, waited: list[float]) -> None:
    server.says(f"GET {APPS}/deployments", (503, {"message": "etcd is gone"}))
    with pytest.raises(ModelberthError, match=r"^GET apis/apps/v1/namespaces/models/deployments: 503 etcd is gone$"):
        api.deployments("churn")
    assert len(server.asked) == 5


def test_a_missing_right_is_told_at_once_with_verb_and_resource(api: Api, server: Server, waited: list[float]) -> None:
    message = (
        'deployments.apps "new" is forbidden: User "system:serviceaccount:models:churn-rollout" cannot patch resource '
        '"deployments/scale" in API group "apps" in the namespace "models"'
    )
    server.says(f"PATCH {APPS}/deployments/new/scale", (403, {"message": message}))
    with pytest.raises(ModelberthError) as caught:
        api.scale("new", 1)
    assert str(caught.value) == f"PATCH apis/apps/v1/namespaces/models/deployments/new/scale: 403 {message}"
    assert waited == []


def test_a_server_of_another_authority_is_not_spoken_to(
    environment: dict[str, str], account: Path, server: Server, tmp_path: Path, waited: list[float]
) -> None:
    (account / "ca.crt").unlink()
    (account / "ca.crt").symlink_to(Authority(tmp_path / "another").certificate)
    with pytest.raises(ModelberthError, match="CERTIFICATE_VERIFY_FAILED"):
        Api("", environment, account).deployments("churn")
    assert server.asked == []


def test_outside_of_a_pod(tmp_path: Path) -> None:
    with pytest.raises(ModelberthError, match="this is no pod of a cluster: there is no service account's token"):
        Api("", {}, tmp_path)


def test_which_alarms_fire(api: Api, prometheus: Server) -> None:
    result = [{"metric": {"alertname": name}, "value": [0, "1"]} for name in ("slow", "slow", "late")]
    prometheus.says("GET /api/v1/query", (200, {"status": "success", "data": {"result": result}}))
    assert api.firing(["slow", "late", "a.b"]) == ["late", "slow"]
    ((_, _, query, given, _),) = prometheus.asked
    assert query == {"query": ['ALERTS{alertstate="firing", alertname=~"slow|late|a\\\\.b"}']}
    assert "first" not in given, "the cluster's token is none of Prometheus' business"
    assert api.firing([]) == []
    assert len(prometheus.asked) == 1


def test_a_wrong_query_is_told(api: Api, prometheus: Server, waited: list[float]) -> None:
    prometheus.says("GET /api/v1/query", (400, {"status": "error", "error": "parse error"}))
    with pytest.raises(ModelberthError, match="/api/v1/query: 400 parse error"):
        api.firing(["slow"])


def test_why_pods_are_not_ready(api: Api, server: Server) -> None:
    def pod(name: str, revision: str, **status: Any) -> dict[str, Any]:
        return {"metadata": {"name": name, "labels": {"modelberth/revision": revision}}, "status": status}

    ended = {
        "name": "serve",
        "restartCount": 4,
        "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 40s"}},
        "lastState": {"terminated": {"reason": "Error", "exitCode": 1}},
    }
    image = {"name": "fetch", "restartCount": 0, "state": {"waiting": {"reason": "ImagePullBackOff"}}}
    unscheduled = {"type": "PodScheduled", "status": "False", "message": "0/3 nodes: insufficient memory"}
    pods = [
        pod("new-a", "new", containerStatuses=[ended]),
        pod("new-b", "new", initContainerStatuses=[image]),
        pod("new-c", "new", conditions=[unscheduled]),
        pod("old-a", "old", containerStatuses=[ended]),
    ]
    server.says("GET /api/v1/namespaces/models/pods", (200, {"items": pods}))
    server.says("GET /api/v1/namespaces/models/pods/new-a/log", (200, "loading\nerror: the package is damaged\n"))
    assert api.reasons("churn", "new") == [
        "pod new-a: container serve: CrashLoopBackOff: back-off 40s",
        "pod new-a: container serve: Error",
        "serve of new-a: loading",
        "serve of new-a: error: the package is damaged",
        "pod new-b: container fetch: ImagePullBackOff",
        "pod new-c: is not scheduled: 0/3 nodes: insufficient memory",
    ]
    assert api.restarts("churn", "new") == 4
    assert api.restarts("churn", "none") == 0


@pytest.fixture
def pod(environment: dict[str, str], account: Path, prometheus: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pod that looks at the alarm."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(Api.__init__, "__defaults__", (environment, account))
    monkeypatch.setenv("MODELBERTH_ALARM", "drifted")
    monkeypatch.setenv("MODELBERTH_CRON_JOB", "churn-retraining")
    monkeypatch.setenv("MODELBERTH_PROMETHEUS", f"http://127.0.0.1:{prometheus.port}/")


CRON_JOB = {
    "metadata": {"uid": "u-1"},
    "spec": {"jobTemplate": {"metadata": {"labels": {"a": "b"}}, "spec": {"backoffLimit": 0}}},
}


def test_a_run_is_started_once_for_each_firing(
    pod: None, server: Server, prometheus: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    def fires_since(*times: int) -> None:
        result = [{"metric": {"alertname": "drifted"}, "value": [0, str(time)]} for time in times]
        prometheus.says("GET /api/v1/query", (200, {"data": {"result": result}}))

    jobs = "/apis/batch/v1/namespaces/models/jobs"
    server.says("GET /apis/batch/v1/namespaces/models/cronjobs/churn-retraining", (200, CRON_JOB))
    server.says(f"POST {jobs}", (201, {"metadata": {}}), (409, {"message": "already exists"}), (201, {"metadata": {}}))
    fires_since()
    start_on_alarm()
    assert server.asked == []
    for since in (1_800_000_000, 1_800_000_000, 1_800_007_200):
        fires_since(since)
        start_on_alarm()
    names = [body["metadata"]["name"] for method, path, *_, body in server.asked if method == "POST"]
    assert names[0] == names[1] != names[2]
    assert capsys.readouterr().out.splitlines() == [
        "drifted does not fire",
        f"drifted fires: {names[0]} is started",
        f"drifted fires: {names[0]} was started before",
        f"drifted fires: {names[2]} is started",
    ]
    first = next(body for method, *_, body in server.asked if method == "POST")
    assert first["spec"] == {"backoffLimit": 0}
    assert first["metadata"]["labels"] == {"a": "b"}
    (owner,) = first["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"], owner["uid"]) == ("CronJob", "churn-retraining", "u-1")


def test_a_jobs_name_fits_beside_the_longest_of_a_cron_job() -> None:
    assert len(job_name("c" * 52, 2**32 - 1)) <= 63


def test_all_that_is_missing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MODELBERTH_ALARM", "MODELBERTH_CRON_JOB", "MODELBERTH_PROMETHEUS"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ModelberthError) as caught:
        start_on_alarm()
    assert len(caught.value.problems) == 3
