"""The WSGI application: administration, the metadata server, and Google's APIs.

All APIs answer on one port. Which one a request is for is told by its Host (`aiplatform.googleapis.com`, also with a
region before it), by a first part of the path that is such a name (`/aiplatform.googleapis.com/v1/…`, for clients that
are pointed at a URL), or else by the path alone.
"""

from __future__ import annotations

import gzip
import json
import os
import re
import sys
import threading
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

from sandbox.google import metadata_server, services
from sandbox.google.api import APIS, Api, Call, Handler, Raw
from sandbox.google.discovery import Method
from sandbox.google.emulator import Emulator
from sandbox.google.errors import GoogleError, error_info, help_link, invalid
from sandbox.google.outbound import claims_of

Environ = dict[str, Any]
_HOST = re.compile(r"^(?:[a-z0-9-]+-|[a-z0-9-]+\.)*?([a-z]+)\.(?:[a-z0-9-]+\.)?googleapis\.com(?::\d+)?$")
_STATUS = {200: "OK", 204: "No Content", 206: "Partial Content", 308: "Resume Incomplete"}


@dataclass
class Request:
    """What of a request the APIs look at."""

    http: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: bytes


class Dropped(Exception):
    """The connection is to be closed without an answer."""


class Gateway:
    """One application for every API."""

    def __init__(self, emulator: Emulator, shut_down: Callable[[], None]) -> None:
        self.emulator = emulator
        self._shut_down = shut_down

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        try:
            request = _read(environ)
            status, headers, body = self._answer(request)
        except GoogleError as error:
            status, headers, body = error.http, _JSON, json.dumps(error.body).encode()
        headers = {"Content-Length": str(len(body)), **headers}
        start_response(f"{status} {_STATUS.get(status, 'Status')}", list(headers.items()))
        return [] if request_is_head(environ) else [body]

    def _answer(self, request: Request) -> tuple[int, dict[str, str], bytes]:
        if request.path.startswith("/_sandbox/"):
            return self._administer(request)
        if (found := metadata_server.answer(self.emulator, request.path, request.headers)) is not None:
            return found
        api = None
        try:
            apis, path = _apis(request)
            for api in apis:
                if (found := self._call(api, path, request)) is not None:
                    return found
            raise GoogleError("NOT_FOUND", f"The requested URL {request.path} was not found on this server.")
        except GoogleError as error:
            body = (api.error_body if api else GoogleError.body.fget)(error)  # type: ignore[misc]
            return error.http, _JSON, json.dumps(body).encode()
        except Dropped:
            raise
        except Exception as error:
            traceback.print_exc(file=sys.stderr)
            self.emulator.failures.append(f"{request.http} {request.path}: {error!r}")
            failure = GoogleError("INTERNAL", f"The emulator failed: {error!r}")
            return 500, _JSON, json.dumps(failure.body).encode()

    def _call(self, api: Api, path: str, request: Request) -> tuple[int, dict[str, str], bytes] | None:
        upload = download = False
        for prefix in ("/resumable/upload/", "/upload/", "/download/"):
            if path.startswith(prefix):
                upload, download = "upload" in prefix, "download" in prefix
                path = "/" + path.removeprefix(prefix)
                break
        # The clients generated for Vertex AI poll operations under /ui/, another binding of the same methods.
        path = re.sub(r"^/ui/", f"/{api.version}/", path) if api.name == "aiplatform" else path
        http = "POST" if upload and request.http == "PUT" else request.http
        found = api.document.find(http, path)
        if found is None:
            return None
        method, variables = found
        handler = api.handler(method)
        if handler is None:
            raise GoogleError("UNIMPLEMENTED", f"The sandbox does not emulate {api.name}.{method.key}.")
        self._admit(api, method, variables, request)
        media = request.body if upload or method.request == "GoogleCloudAiplatformV1RawPredictRequest" else None
        if download:
            request.query.setdefault("alt", ["media"])
        body = {} if method.request is None or media is not None else _body(api, method, request)
        query = api.schemas.query(method, {key: value for key, value in request.query.items() if key not in _OTHERS})
        # The parameters of all methods, which the storage's downloads and uploads look at.
        for name in ("alt", "uploadType", "upload_id"):
            if name in request.query:
                query[name] = request.query[name][-1]
        if method.request is not None and media is None and (method.http != "PATCH" and api.prefix):
            api.schemas.required(method, body)
        call = Call(self.emulator, api, method, variables, query, body, request.headers, media, request.path)
        return self._respond(api, method, handler, call)

    def _respond(self, api: Api, method: Method, handler: Handler, call: Call) -> tuple[int, dict[str, str], bytes]:
        answer = handler(call)
        if self.emulator.faults.drops(api.name, method.key):
            raise Dropped
        if isinstance(answer, Raw):
            return answer.status, answer.headers, answer.body
        if method.response is None:
            return 204, {}, b""
        problems = api.schemas.problems(method.response, answer)
        if problems:
            raise RuntimeError(f"{method.key} answers what its schema does not have: " + "; ".join(problems))
        return 200, _JSON, json.dumps(answer).encode()

    def _admit(self, api: Api, method: Method, variables: dict[str, str], request: Request) -> None:
        """Refuse who is not known, what is not enabled and what is not permitted."""
        token = request.headers.get("authorization", "").removeprefix("Bearer ").strip()
        if not (token or api.anonymous or "access_token" in request.query):
            raise GoogleError(
                "UNAUTHENTICATED",
                "Request is missing required authentication credential. Expected OAuth 2 access token, login cookie "
                "or other valid authentication credential. See "
                "https://developers.google.com/identity/sign-in/web/devconsole-project.",
                [error_info("CREDENTIALS_MISSING", "googleapis.com", service=api.document.host, method=method.key)],
                reason="required",
            )
        # An identity token tells who somebody is, and not what he may do.
        if claims_of(token) and method.verb != "triggerPubsubExecution":
            raise GoogleError(
                "UNAUTHENTICATED",
                "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other "
                "valid authentication credential. See "
                "https://developers.google.com/identity/sign-in/web/devconsole-project.",
                [error_info("ACCESS_TOKEN_TYPE_UNSUPPORTED", "googleapis.com", service=api.document.host)],
                reason="authError",
            )
        name = next(iter(variables.values()), "")
        named = re.match(r"projects/([^/]+)", name)
        project = named[1] if named else variables.get("projectId")
        if project and not services.is_enabled(self.emulator, project, api.document.host):
            number = self.emulator.projects.number(project)
            url = f"https://console.developers.google.com/apis/api/{api.document.host}/overview?project={number}"
            raise GoogleError(
                "PERMISSION_DENIED",
                f"{api.document.title} has not been used in project {number} before or it is disabled. Enable it by "
                f"visiting {url} then retry. If you enabled this API recently, wait a few minutes for the action to "
                "propagate to our systems and retry.",
                [
                    error_info(
                        "SERVICE_DISABLED", "googleapis.com", service=api.document.host, consumer=f"projects/{number}"
                    ),
                    help_link("Google developers console API activation", url),
                ],
                reason="accessNotConfigured",
            )
        permission = permission_of(api, method)
        if permission in self.emulator.faults.denied:
            resource = f"//{api.document.host}/{name}"
            raise GoogleError(
                "PERMISSION_DENIED",
                f"Permission '{permission}' denied on resource '{resource}' (or it may not exist).",
                [error_info("IAM_PERMISSION_DENIED", api.document.host, resource=name, permission=permission)],
                reason="forbidden",
            )
        self.emulator.faults.meet(api.name, method.key)

    def _administer(self, request: Request) -> tuple[int, dict[str, str], bytes]:
        emulator, route = self.emulator, request.path.removeprefix("/_sandbox/")
        status, answer = 200, {}
        try:
            given: dict[str, Any] = json.loads(request.body or b"{}") if request.http == "POST" else {}
            match (request.http, route):
                case ("GET", "health"):
                    answer: Any = {
                        "instance_id": emulator.instance_id,
                        "pid": os.getpid(),
                        "speed": emulator.clock.speed,
                        "time": emulator.clock.now().isoformat(),
                    }
                case ("GET", "resources"):
                    answer = emulator.store.everything()
                case ("GET", "failures"):
                    answer = emulator.failures
                case ("GET", "outbox"):
                    answer = list(emulator.outbox)
                case ("GET", "processes"):
                    answer = [
                        {"name": one.name, "pid": one.process.pid, "folder": str(one.folder)}
                        for one in emulator.runtime.running()
                    ]
                case ("POST", "faults"):
                    emulator.faults.add(given)
                case ("POST", "quotas"):
                    emulator.faults.limit(given)
                case ("POST", "permissions"):
                    emulator.faults.denied = {str(one) for one in given["denied"]}
                case ("POST", "operations"):
                    emulator.operations.seconds = float(given["seconds"])
                case ("POST", "kill"):
                    killed = [one for one in emulator.runtime.running() if str(given.get("name", "")) in one.name]
                    for one in killed:
                        one.kill()
                    answer = {"killed": [one.name for one in killed]}
                case ("POST", "images"):
                    emulator.register_image(given["reference"], given["entrypoint"])
                case ("POST", "shutdown"):
                    threading.Thread(target=self._shut_down).start()
                case _:
                    status, answer = 404, {"error": f"no administration route {request.http} /_sandbox/{route}"}
        except (KeyError, ValueError, TypeError) as error:
            status, answer = 400, {"error": str(error)}
        return status, _JSON, json.dumps(answer).encode()


_OTHERS = {"upload_id", "__GCP_CloudEventsMode"}
"""Parameters that a service puts in a URL, and no method's description has."""
_JSON = {"Content-Type": "application/json; charset=UTF-8"}
# A method's permission has its verb in it; these have another one. Source: "Vertex AI IAM permissions", "Cloud
# Storage IAM permissions".
_VERBS = {"patch": "update", "insert": "create", "deployModel": "deploy", "undeployModel": "undeploy"}


def permission_of(api: Api, method: Method) -> str:
    """The IAM permission that a method needs."""
    kind = method.collection.rpartition(".")[2]
    verb = _VERBS.get(method.verb, method.verb)
    return f"{api.name}.{kind}.{verb}"


def request_is_head(environ: Environ) -> bool:
    return environ["REQUEST_METHOD"] == "HEAD"


def _read(environ: Environ) -> Request:
    headers = {key[5:].replace("_", "-").lower(): value for key, value in environ.items() if key.startswith("HTTP_")}
    headers["content-type"] = environ.get("CONTENT_TYPE", "")
    length = str(environ.get("CONTENT_LENGTH") or "0")
    if not length.isdigit():
        raise invalid("The header Content-Length is no number.")
    stream = environ["wsgi.input"]
    body = stream.read() if environ.get("wsgi.input_terminated") else stream.read(int(length))
    if headers.get("content-encoding") == "gzip" and "/upload/" not in environ["RAW_URI"]:
        body = gzip.decompress(body)
    raw = str(environ["RAW_URI"])
    raw = re.sub(r"^https?://[^/]+", "", raw)
    path, _, query = raw.partition("?")
    return Request(environ["REQUEST_METHOD"], path, parse_qs(query, keep_blank_values=True), headers, body)


def _apis(request: Request) -> tuple[list[Api], str]:
    """The APIs that a request may be for, and the path that they see."""
    first, _, rest = request.path.lstrip("/").partition("/")
    for host, path in ((first, "/" + rest), (request.headers.get("host", ""), request.path)):
        found = _HOST.match(host)
        if found:
            named = [api for api in APIS.values() if api.name == found[1]]
            if not named:
                raise GoogleError("NOT_FOUND", f"The sandbox does not emulate {host}.")
            return named, path
    return list(APIS.values()), request.path


def _body(api: Api, method: Method, request: Request) -> dict[str, Any]:
    try:
        given = json.loads(request.body or b"{}")
    except ValueError as error:
        text = f"Invalid JSON payload received. {error}"
        raise invalid(text, [("", text)]) from None
    return (api.patches if method.http == "PATCH" else api.schemas).body(method, given)
