"""The token service of large registries, played by a small server: whom we tell the password, and who we do not."""

import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

import pytest

from model_packaging import StorageError
from model_packaging.oci.client import Registry
from model_packaging.oci.reference import Reference


class Service(BaseHTTPRequestHandler):
    """A registry that wants a token, and the service that gives it."""

    seen: ClassVar[list[tuple[str, str, str | None]]] = []
    realm = ""

    def do_GET(self) -> None:
        address = urlsplit(self.path)
        authorization = self.headers.get("Authorization")
        self.seen.append((self.command, self.path, authorization))
        if address.path == "/token":
            user = base64.b64encode(b"mia:open sesame").decode()
            asked = parse_qs(address.query)
            good = authorization == f"Basic {user}" and asked["scope"] == ["repository:models/churn:pull"]
            self.answer(200 if good else 401, {"token": "abc"} if good else {})
        elif authorization == "Bearer abc":
            self.answer(200, {"schemaVersion": 2})
        else:
            realm = self.realm or f"http://{self.headers['Host']}/token"
            challenge = f'Bearer realm="{realm}",service="registry",scope="repository:models/churn:pull"'
            self.answer(401, {}, {"WWW-Authenticate": challenge})

    def answer(self, status: int, document: dict[str, Any], headers: dict[str, str] | None = None) -> None:
        content = json.dumps(document).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr(Service, "seen", [])
    server = ThreadingHTTPServer(("127.0.0.1", 0), Service)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


def log_in(registry: str, tmp_path: Path, password: str) -> None:
    auth = base64.b64encode(f"mia:{password}".encode()).decode()
    (tmp_path / "docker").mkdir()
    (tmp_path / "docker" / "config.json").write_text(json.dumps({"auths": {registry: {"auth": auth}}}))


def test_a_token_is_fetched_once_and_the_registry_never_sees_the_password(service: str, tmp_path: Path) -> None:
    log_in(service, tmp_path, "open sesame")
    registry = Registry(Reference.parse(f"oci://{service}/models/churn"))
    for _ in range(2):
        registry.manifest("v1", ["application/json"])
    registry.close()
    assert [path.partition("?")[0] for _, path, _ in Service.seen] == [
        "/v2/models/churn/manifests/v1",
        "/token",
        "/v2/models/churn/manifests/v1",
        "/v2/models/churn/manifests/v1",
    ]
    assert all("Basic" not in (said or "") for _, path, said in Service.seen if path.startswith("/v2"))


def test_a_wrong_password_is_one_sentence(service: str, tmp_path: Path) -> None:
    log_in(service, tmp_path, "wrong")
    registry = Registry(Reference.parse(f"oci://{service}/models/churn"))
    with pytest.raises(StorageError, match=r"cannot log in to .*: its token service answers 401; log in with: docker"):
        registry.manifest("v1", ["application/json"])
    registry.close()


def test_a_password_is_not_sent_without_encryption(
    service: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log_in(service, tmp_path, "open sesame")
    monkeypatch.setattr(Service, "realm", "http://tokens.example.org/token")
    registry = Registry(Reference.parse(f"oci://{service}/models/churn"))
    with pytest.raises(StorageError, match="it asks for credentials as 'Bearer realm"):
        registry.manifest("v1", ["application/json"])
    registry.close()
    assert len(Service.seen) == 1
