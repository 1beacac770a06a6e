"""As much of Vertex AI and Cloud Monitoring as the provider calls, by Google's documented behaviour, on loopback.

Source: Vertex AI REST reference v1, projects.locations.models and .endpoints; Cloud Monitoring API v3,
projects.alerts and .alertPolicies; AIP-151.
"""

from __future__ import annotations

import itertools
import json
import re
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

Json = dict[str, Any]
TYPE = "type.googleapis.com/google.cloud.aiplatform.v1."


class Refusal(Exception):
    def __init__(self, http: int, status: str, message: str, details: list[Json] | None = None) -> None:
        super().__init__(message)
        self.http = http
        self.body = {"error": {"code": http, "status": status, "message": message, "details": details or []}}


class Vertex:
    """The state, and what was asked. While `hold` is cleared, operations stay under way."""

    def __init__(self) -> None:
        self.models: dict[str, dict[str, Json]] = {}
        self.endpoints: dict[str, Json] = {}
        self.operations: dict[str, Json] = {}
        self.policies: list[Json] = []
        """Alerting policies of Cloud Monitoring."""
        self.alerts: Callable[[], list[Json]] = list
        """What is open there, asked anew each time."""
        self.asked: list[tuple[str, str]] = []
        self.bodies: list[Json] = []
        self.failures: list[tuple[str, Refusal]] = []
        """Requests, by the end of their path, that are refused once each."""
        self.broken: list[Json] = []
        """Errors with which the next operations end."""
        self.hold = threading.Event()
        self.hold.set()
        self.left_behind = False
        """Whether what a failing operation made stays."""
        self.begun = threading.Semaphore(0)
        self.ended = threading.Semaphore(0)
        self.lock = threading.RLock()
        self.numbers = itertools.count(1)
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.hold.set()
        self.server.shutdown()
        self.server.server_close()

    def count(self, method: str, ending: str) -> int:
        return len([one for one in self.asked if one[0] == method and one[1].endswith(ending)])

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        vertex = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(length)) if length else {}
                url = urlsplit(self.path)
                headers: Json = {}
                try:
                    found = 200, vertex.answer(self.command, url.path, body, dict(parse_qsl(url.query)))
                except Refusal as error:
                    found = error.http, error.body
                content = json.dumps(found[1]).encode()
                self.send_response(found[0])
                for name, value in {**headers, "Content-Length": str(len(content))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_PATCH = do_DELETE = answer

            def log_message(self, format: str, *args: Any) -> None:
                pass

        return Handler

    def answer(self, method: str, path: str, body: Json, query: Json) -> Json:
        with self.lock:
            self.asked.append((method, path))
            self.bodies.append(body)
            for index, (ending, refusal) in enumerate(self.failures):
                if f"{method} {path}".endswith(ending):
                    del self.failures[index]
                    raise refusal
            if path.startswith("/v3/projects/acme/"):
                key = path.rpartition("/")[2]
                return {key: self.alerts() if key == "alerts" else {"alertPolicies": self.policies}[key]}
            name, _, verb = path.removeprefix("/v1/").partition(":")
            if name.endswith("/operations"):
                return {"operations": self._operations(name)}
            if "/operations/" in name:
                return self._found(self.operations, name)
            kind = re.match(r"projects/[^/]+/locations/[^/]+/(models|endpoints)", name)
            if kind is None:
                raise Refusal(404, "NOT_FOUND", f"no such collection: {name}")
            work = getattr(self, f"_{kind.group(1)}")
            return work(method, name, verb, body, query)

    @staticmethod
    def _found(table: dict[str, Any], name: str) -> Any:
        if name not in table:
            raise Refusal(404, "NOT_FOUND", f"{name} is not found.")
        return table[name]

    def _operations(self, name: str) -> list[Json]:
        parent = name.removesuffix("/operations")
        return [one for key, one in self.operations.items() if key.startswith(f"{parent}/operations/")]

    def _operation(self, parent: str, kind: str, work: Callable[[], Json]) -> Json:
        name = f"{parent}/operations/{next(self.numbers)}"
        operation: Json = {"name": name, "metadata": {"@type": f"{TYPE}{kind}OperationMetadata"}}
        self.operations[name] = operation

        def run() -> None:
            self.begun.release()
            self.hold.wait()
            with self.lock:
                if self.broken:
                    if self.left_behind:
                        work()
                    operation.update(done=True, error=self.broken.pop(0))
                    return
                operation.update(done=True, response={"@type": f"{TYPE}{kind}Response", **work()})
            self.ended.release()

        threading.Thread(target=run, daemon=True).start()
        return dict(operation)

    # Models

    def _models(self, method: str, name: str, verb: str, body: Json, query: Json) -> Json:
        if verb == "upload":
            return self._upload(name.removesuffix("/models"), body)
        plain, _, wanted = name.partition("@")
        versions = self._found(self.models, plain)
        if verb == "listVersions":
            return {"models": list(versions.values())}
        if method == "DELETE" and not verb:
            if any(one.get("deployedModels") for one in versions.values()):
                raise Refusal(400, "FAILED_PRECONDITION", f"{plain} is deployed.")
            return self._operation(plain, "Delete", lambda: self.models.pop(plain) and {})
        version = self._version(versions, wanted)
        if version is None:
            raise Refusal(404, "NOT_FOUND", f"{name} is not found.")
        if verb == "deleteVersion":
            if len(versions) == 1:
                raise Refusal(400, "FAILED_PRECONDITION", "The only version cannot be deleted.")
            if "default" in version["versionAliases"]:
                raise Refusal(400, "FAILED_PRECONDITION", "The default version cannot be deleted.")
            return self._operation(plain, "DeleteModelVersion", lambda: versions.pop(version["versionId"]) and {})
        if verb == "mergeVersionAliases":
            for alias in body["versionAliases"]:
                if alias.startswith("-"):
                    version["versionAliases"].remove(alias[1:])
                    continue
                for other in versions.values():
                    other["versionAliases"] = [one for one in other["versionAliases"] if one != alias]
                version["versionAliases"].append(alias)
        if method == "PATCH":
            for field in query["updateMask"].split(","):
                assert field in ("displayName", "description", "versionDescription", "labels"), field
                version[field] = body[field]
        return version

    @staticmethod
    def _version(versions: dict[str, Json], wanted: str) -> Json | None:
        wanted = wanted or "default"
        return next((v for v in versions.values() if wanted in (v["versionId"], *v["versionAliases"])), None)

    def _upload(self, place: str, body: Json) -> Json:
        parent = body.get("parentModel")
        name = parent or f"{place}/models/{body['modelId']}"
        if (name in self.models) != bool(parent):
            raise Refusal(409 if not parent else 404, "ALREADY_EXISTS" if not parent else "NOT_FOUND", f"{name}")

        def work() -> Json:
            versions = self.models.setdefault(name, {})
            number = str(max(map(int, versions), default=0) + 1)
            made = "2026-11-25T08:00:00.000000Z"
            aliases = [*body["model"].get("versionAliases", []), *([] if versions else ["default"])]
            model = {**body["model"], "name": name, "versionId": number, "versionAliases": []}
            versions[number] = {**model, "createTime": made, "versionCreateTime": made, "supportedExportFormats": []}
            self._models("POST", f"{name}@{number}", "mergeVersionAliases", {"versionAliases": aliases}, {})
            return {"model": name, "modelVersionId": number}

        return self._operation(name, "UploadModel", work)

    # Endpoints

    def add_endpoint(self, name: str) -> Json:
        self.endpoints[name] = {"name": name, "displayName": name, "etag": "1", "labels": {}, "trafficSplit": {}}
        self.endpoints[name]["deployedModels"] = []
        return self.endpoints[name]

    def _endpoints(self, method: str, name: str, verb: str, body: Json, query: Json) -> Json:
        endpoint = self._found(self.endpoints, name)
        deployed: list[Json] = endpoint["deployedModels"]
        if method == "PATCH":
            if body.get("etag") not in (None, endpoint["etag"]):
                raise Refusal(409, "ABORTED", "The etag is not the current one.")
            for field in query["updateMask"].split(","):
                if field == "trafficSplit":
                    self._check_split(endpoint, body[field], ())
                endpoint[field] = body[field]
            endpoint["etag"] = str(int(endpoint["etag"]) + 1)
        if verb == "deployModel":
            wanted = body["deployedModel"]
            if body.get("trafficSplit"):
                self._check_split(endpoint, body["trafficSplit"], ("0",))

            def deploy() -> Json:
                one = {**wanted, "createTime": f"2026-11-25T08:00:{next(self.numbers):02d}Z"}
                deployed.append(one)
                if split := body.get("trafficSplit"):
                    endpoint["trafficSplit"] = {one["id"] if key == "0" else key: v for key, v in split.items()}
                endpoint["etag"] = str(int(endpoint["etag"]) + 1)
                return {"deployedModel": one}

            return self._operation(name, "DeployModel", deploy)
        if verb in ("undeployModel", "mutateDeployedModel"):
            identifier = body.get("deployedModelId") or body["deployedModel"]["id"]
            one = next((one for one in deployed if one["id"] == identifier), None)
            if one is None:
                raise Refusal(404, "NOT_FOUND", f"{identifier} is not deployed.")
            if verb == "undeployModel":
                return self._undeploy(endpoint, one, body.get("trafficSplit"))

            def mutate() -> Json:
                for field in body["updateMask"].split(","):
                    source, target, path = body["deployedModel"], one, field.split(".")
                    for part in path[:-1]:
                        source, target = source[part], target[part]
                    target[path[-1]] = source.get(path[-1])
                return {"deployedModel": one}

            return self._operation(name, "MutateDeployedModel", mutate)
        return endpoint

    def _undeploy(self, endpoint: Json, one: Json, split: Json | None) -> Json:
        last = len(endpoint["deployedModels"]) == 1
        if split:
            self._check_split(endpoint, split, ())
        elif endpoint["trafficSplit"].get(one["id"]) and not last:
            raise Refusal(400, "FAILED_PRECONDITION", f"{one['id']} still has traffic.")
        if split and split.get(one["id"]):
            raise Refusal(400, "FAILED_PRECONDITION", f"{one['id']} would still have traffic.")

        def work() -> Json:
            endpoint["deployedModels"].remove(one)
            endpoint["trafficSplit"] = {} if last else (split or endpoint["trafficSplit"])
            endpoint["trafficSplit"].pop(one["id"], None)
            endpoint["etag"] = str(int(endpoint["etag"]) + 1)
            return {}

        return self._operation(endpoint["name"], "UndeployModel", work)

    @staticmethod
    def _check_split(endpoint: Json, split: Json, more: tuple[str, ...]) -> None:
        known = {one["id"] for one in endpoint["deployedModels"]} | set(more)
        if sum(split.values()) != 100 or not split.keys() <= known:
            raise Refusal(400, "INVALID_ARGUMENT", f"Traffic split percentage values should add up to 100: {split}.")
