"""gs:// through gcsfs, against the few calls of Cloud Storage's JSON API that it makes, answered as Google documents
them ("Cloud Storage JSON API", Objects: get, list, insert by multipart and by resumable upload)."""

import base64
import hashlib
import json
import random
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import fsspec
import fsspec.config
import gcsfs
import pytest

from model_packaging import StorageError, data_version, open_package
from model_packaging.data.trace import trace_package
from model_packaging.jobs.publish import publish_candidate
from model_packaging.package import Package
from model_packaging.publish import publish, pull
from model_packaging.storage import filesystem, place


class Storage(BaseHTTPRequestHandler):
    """One bucket, `models`."""

    protocol_version = "HTTP/1.1"
    objects: dict[str, bytes]
    written: list[str]
    sessions: dict[str, bytearray]
    types: dict[str, str]

    def do_GET(self) -> None:
        address = urlsplit(self.path)
        query = {key: values[0] for key, values in parse_qs(address.query).items()}
        parts = address.path.removeprefix("/download").removeprefix("/storage/v1/b/").split("/")
        if parts[0] != "models":
            return self.answer(404, {"error": {"code": 404, "message": "The specified bucket does not exist."}})
        if len(parts) == 2:
            return self.answer(200, self.listing(query.get("prefix", ""), query.get("delimiter", "")))
        name = unquote(parts[2])
        if name not in self.objects:
            return self.answer(404, {"error": {"code": 404, "message": f"No such object: models/{name}"}})
        if query.get("alt") != "media":
            return self.answer(200, self.resource(name))
        content, code = self.objects[name], 200
        if given := self.headers.get("Range"):
            first, _, last = given.removeprefix("bytes=").partition("-")
            content, code = content[int(first) : int(last) + 1 if last else None], 206
        return self.answer(code, content)

    def do_POST(self) -> None:
        address = urlsplit(self.path)
        query = {key: values[0] for key, values in parse_qs(address.query).items()}
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if address.path != "/upload/storage/v1/b/models/o":
            return self.answer(404, {"error": {"code": 404, "message": "The specified bucket does not exist."}})
        if query["uploadType"] == "multipart":
            boundary = self.headers["Content-Type"].partition("boundary=")[2].strip('"').encode()
            metadata, media = (b"\n" + body).split(b"\n--" + boundary)[1:3]
            name, (header, _, content) = json.loads(metadata.partition(b"\n\n")[2])["name"], media.partition(b"\n\n")
            self.types[name] = header.decode().strip().removeprefix("Content-Type: ")
            return self.insert(name, content)
        if "upload_id" not in query:
            self.types[query["name"]] = self.headers["X-Upload-Content-Type"]
            session = f"http://{self.headers['Host']}{self.path}&upload_id={query['name']}"
            return self.answer(200, b"", location=session)
        first, last, size = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+)", self.headers["Content-Range"]).groups()
        kept = self.sessions.setdefault(query["upload_id"], bytearray())
        assert (len(kept), len(body)) == (int(first), int(last) - int(first) + 1)
        kept += body
        if len(kept) == int(size):
            return self.insert(query["upload_id"], bytes(kept))
        return self.answer(308, b"", range=f"bytes=0-{len(kept) - 1}")

    def insert(self, name: str, content: bytes) -> None:
        self.objects[name] = content
        self.written.append(name)
        self.answer(200, self.resource(name))

    def resource(self, name: str) -> dict[str, Any]:
        content = self.objects[name]
        return {
            "kind": "storage#object",
            "bucket": "models",
            "name": name,
            "size": str(len(content)),
            "md5Hash": base64.b64encode(hashlib.md5(content).digest()).decode(),
            "generation": "1",
            "contentType": self.types.get(name, "application/octet-stream"),
        }

    def listing(self, prefix: str, delimiter: str) -> dict[str, Any]:
        found = [name for name in sorted(self.objects) if name.startswith(prefix)]
        below = [name for name in found if delimiter and delimiter in name[len(prefix) :]]
        cut = {name[: name.index(delimiter, len(prefix)) + 1] for name in below}
        items = [self.resource(name) for name in found if name not in below]
        return {"kind": "storage#objects", "items": items, "prefixes": sorted(cut)}

    def answer(self, code: int, content: Any, **headers: str) -> None:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(code)
        for key, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.fixture
def storage(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Storage]]:
    handler = type("Kept", (Storage,), {"objects": {}, "written": [], "sessions": {}, "types": {}})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setitem(fsspec.config.conf, "gs", {"token": "anon"})
    # As with GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT=false, which counts on import only. The other file system asks Google
    # for the kind of each bucket, over gRPC, whatever STORAGE_EMULATOR_HOST says.
    fsspec.register_implementation("gs", gcsfs.core.GCSFileSystem, clobber=True)
    yield handler
    fsspec.register_implementation("gs", gcsfs.GCSFileSystem, clobber=True)
    server.shutdown()
    server.server_close()


def test_a_package_goes_to_google_and_comes_back(original: Package, tmp_path: Path, storage: type[Storage]) -> None:
    address = publish(original, "gs://models")
    hexadecimal = original.digest.removeprefix("sha256:")
    assert address == f"gs://models/packages/churn/{hexadecimal}@{original.digest}"
    files = {f"packages/churn/{hexadecimal}/{file}" for file in original.files}
    assert {*storage.written[:-1]} == files and len(storage.written) == len(files) + 1
    assert storage.written[-1] == f"packages/churn/{hexadecimal}/manifest.json"
    assert pull(address, tmp_path / "back").digest == original.digest
    assert open_package(address).digest == original.digest
    storage.written.clear()
    assert publish(original, "gs://models") == address
    assert storage.written == []
    del storage.objects[f"packages/churn/{hexadecimal}/card.md"]
    del storage.objects[f"packages/churn/{hexadecimal}/manifest.json"]
    publish(original, "gs://models")
    assert [name.rpartition("/")[2] for name in storage.written] == ["card.md", "manifest.json"]


def test_a_candidate_in_google_is_found_with_its_lineage(original: Package, storage: type[Storage]) -> None:
    verdict = {"digest": original.digest, "passed": True, "champion": "sha256:" + "0" * 64}
    address = publish_candidate(original, verdict, "gs://models", "churn", {"execution": "run-7"})
    assert [name.rpartition(".")[2] for name in storage.written[-3:]] == ["json", "md", "json"]
    [origin] = trace_package(address)
    assert origin.data == original.data
    assert origin.lineage == {
        "parent": verdict["champion"],
        "data": original.data["digest"],
        "execution": "run-7",
    }
    storage.written.clear()
    publish_candidate(original, verdict, "gs://models", "churn", {"execution": "run-8"})
    assert storage.written == []  # the first publication stays on record


def test_a_large_file_goes_in_pieces(tmp_path: Path, storage: type[Storage]) -> None:
    content = random.Random(1).randbytes(6 << 20)
    (tmp_path / "large").write_bytes(content)
    fs, path = filesystem("gs://models/large")
    place(fs, path, tmp_path / "large")
    assert storage.sessions["large"] == storage.objects["large"] == content
    with fs.open(path, "rb") as source:
        assert source.read() == content


def test_a_page_is_shown_as_one(tmp_path: Path, storage: type[Storage]) -> None:
    fs, path = filesystem("gs://models/report.html")
    place(fs, path, b"<p>", content_type="text/html")
    (tmp_path / "page").write_bytes(b"<p>" * (2 << 20))
    place(fs, "models/large.html", tmp_path / "page", content_type="text/html")
    assert storage.types == {"report.html": "text/html", "large.html": "text/html"}


def test_data_behind_gs_is_the_same_version(tmp_path: Path, storage: type[Storage]) -> None:
    (tmp_path / "lake").mkdir()
    for name, text in {"a.csv": "a,b\n1,2\n", "b.csv": "a,b\n3,4\n"}.items():
        (tmp_path / "lake" / name).write_text(text)
        storage.objects[f"lake/{name}"] = text.encode()
    here, there = data_version(tmp_path / "lake", name="x"), data_version("gs://models/lake", name="x")
    assert there == here | {"origin": "gs://models/lake"} and there["rows"] == 2


def test_what_google_refuses_is_one_sentence(original: Package, storage: type[Storage]) -> None:
    with pytest.raises(StorageError, match=r"^cannot read gs://models/packages/none/manifest\.json: does not exist"):
        open_package("gs://models/packages/none")
    with pytest.raises(StorageError, match=r"^cannot write gs://elsewhere/packages/churn/"):
        publish(original, "gs://elsewhere")
