"""Google's REST APIs: credentials, retries, errors in clear words, and long-running operations.

Sources: AIP-193 (errors), AIP-194 (retries), AIP-151 (long-running operations), google.rpc.Code and
google/rpc/error_details.proto.
"""

# google-auth and requests carry no types.
# pyright: reportMissingTypeStubs=false

from __future__ import annotations

import os
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from importlib import import_module
from typing import Any, ClassVar, cast

from model_packaging.errors import ModelberthError

Json = dict[str, Any]

_SCOPE = "https://www.googleapis.com/auth/cloud-platform"
_REQUEST_SECONDS = 120
_RETRIED = frozenset({429, 503})
"""Answers after which the same request is sent again: it was not carried out."""
_RETRIED_READS = _RETRIED | {500, 502, 504}
_TRIES = 6
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.5, 30.0
_FIRST_POLL_SECONDS, _LONGEST_POLL_SECONDS = 0.2, 10.0
_CODES = {
    1: "CANCELLED",
    3: "INVALID_ARGUMENT",
    4: "DEADLINE_EXCEEDED",
    5: "NOT_FOUND",
    6: "ALREADY_EXISTS",
    7: "PERMISSION_DENIED",
    8: "RESOURCE_EXHAUSTED",
    9: "FAILED_PRECONDITION",
    10: "ABORTED",
    13: "INTERNAL",
    14: "UNAVAILABLE",
    16: "UNAUTHENTICATED",
}


class GoogleError(Exception):
    """A request that Google refused or did not answer; the text is for people.

    Attributes:
        status: The name of the google.rpc.Code, or an empty string where there was no answer.
        http: The HTTP status, or 0.
    """

    def __init__(self, text: str, status: str = "", http: int = 0) -> None:
        super().__init__(text)
        self.status, self.http = status, http


class Interrupted(ModelberthError):
    """The engine asked to stop, or the time is up; what was begun goes on at Google."""


@dataclass(frozen=True)
class Settings:
    """How Google is reached.

    Attributes:
        project: The default project.
        location: The default region.
        endpoint: The address of the Vertex AI API instead of the region's own; an `http:` address is an emulator's and
            gets no credentials but an access token.
        monitoring_endpoint: The address of the Cloud Monitoring API instead of its own.
        credentials: A service account's key or another credentials file's content, as JSON, or the path of one.
        access_token: A token that was issued elsewhere.
    """

    project: str = ""
    location: str = ""
    endpoint: str = ""
    monitoring_endpoint: str = ""
    credentials: str = ""
    access_token: str = ""

    @classmethod
    def parse(cls, values: Json) -> Settings:
        """Read the provider's configuration; what it leaves out is read from the variables that Google's own tools
        heed."""

        def read(key: str, *variables: str) -> str:
            found = [os.environ.get(name, "") for name in variables]
            return next((text for text in (str(values.get(key) or ""), *found) if text), "")

        return cls(
            project=read("project", "GOOGLE_CLOUD_PROJECT", "GOOGLE_PROJECT", "CLOUDSDK_CORE_PROJECT"),
            location=read("location", "GOOGLE_CLOUD_REGION", "GOOGLE_REGION", "CLOUDSDK_COMPUTE_REGION"),
            endpoint=read("vertexEndpoint", "CLOUDSDK_API_ENDPOINT_OVERRIDES_AIPLATFORM"),
            monitoring_endpoint=read("monitoringEndpoint", "CLOUDSDK_API_ENDPOINT_OVERRIDES_MONITORING"),
            credentials=read("credentials", "GOOGLE_CREDENTIALS"),
            access_token=read("accessToken", "GOOGLE_OAUTH_ACCESS_TOKEN"),
        )


@dataclass
class Waiting:
    """How long a call may wait, and whom it tells what it waits for."""

    cancelled: threading.Event
    seconds: float
    """From now on."""
    progress: Callable[[str], None] = lambda text: None
    started: float = field(default_factory=time.monotonic)

    def pause(self, seconds: float, what: str) -> None:
        """Wait a while. Interrupted if the engine asks to stop meanwhile, or the time is up."""
        left = self.started + self.seconds - time.monotonic()
        if left <= 0:
            raise Interrupted(f"{what} takes longer than {self.seconds:.0f} s, the time-out of this resource")
        if self.cancelled.wait(min(seconds, left)):
            raise Interrupted(f"stopped while waiting for {what}")


class Google:
    """Google's REST APIs at one address."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._session: Any = None
        self._lock = threading.Lock()

    def send(
        self,
        method: str,
        address: str,
        waiting: Waiting,
        body: Json | None = None,
        query: Mapping[str, Any] | None = None,
        data: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Json:
        """Send one request, again after a pause where Google says so.

        Args:
            method: The HTTP method.
            address: The whole address but its query.
            waiting: How long to try.
            body: The request's body, as JSON.
            query: The query's parameters.
            data: The request's body where it is no JSON; `headers` then tell what it is.

        Raises:
            GoogleError: it was refused, or there is no answer.
            Interrupted: there was no time for another try.
        """
        retried = _RETRIED_READS if method == "GET" else _RETRIED
        pause = _FIRST_PAUSE_SECONDS
        for attempt in range(_TRIES):
            last = attempt == _TRIES - 1
            try:
                answer = self._open().request(
                    method, address, json=body, params=query, data=data, headers=headers, timeout=_REQUEST_SECONDS
                )
            except Exception as error:
                if not _is_transport(error):
                    raise
                # A change may have been carried out, so it is not sent again: the next run looks for it.
                if method != "GET" or last:
                    raise GoogleError(f"{_host(address)} does not answer: {_cause(error)}") from error
            else:
                if answer.ok:
                    return cast(Json, answer.json() if answer.content else {})
                problem, wait = _problem(answer)
                if answer.status_code not in retried or last:
                    raise problem
                pause = max(pause, wait)
            waiting.progress(f"Google asks to come later, so again in {pause:.0f} s")
            waiting.pause(pause, "an answer of Google's")
            pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)
        raise AssertionError("the last try returns or raises")

    def outcome(self, address: str, waiting: Waiting, what: str) -> Json:
        """Wait until the operation at an address is done; its response.

        Raises:
            GoogleError: it failed.
            Interrupted: it goes on, but nobody waits any longer.
        """
        poll = _FIRST_POLL_SECONDS
        began = time.monotonic()
        while True:
            found = self.send("GET", address, waiting)
            if found.get("done"):
                if error := found.get("error"):
                    status = _CODES.get(int(error.get("code") or 0), "UNKNOWN")
                    raise GoogleError(f"{what} failed: {_text(error)[0]}", status)
                return found.get("response") or {}
            waiting.progress(f"{what}, {time.monotonic() - began:.0f} s")
            waiting.pause(poll, what)
            poll = min(poll * 1.5, _LONGEST_POLL_SECONDS)

    def _open(self) -> Any:
        with self._lock:
            if self._session is None:
                self._session = self._connect()
            return self._session

    def _connect(self) -> Any:
        if self.settings.endpoint.startswith("http://"):
            session: Any = import_module("requests").Session()
            session.trust_env = False  # an emulator is not reached through a proxy
            if self.settings.access_token:
                session.headers["Authorization"] = f"Bearer {self.settings.access_token}"
            return session
        transport: Any = import_module("google.auth.transport.requests")
        return transport.AuthorizedSession(_credentials(self.settings))


class Api(Google, ABC):
    """One of Google's APIs, asked about resources by their names."""

    version: ClassVar[str]

    @abstractmethod
    def own_address(self, name: str) -> str:
        """Where Google answers for a resource."""

    def request(self, method: str, name: str, waiting: Waiting, body: Json | None = None, **query: str) -> Json:
        """Send one request about a resource, such as `projects/p/locations/l/models/m`, with a `:verb` where the
        method has one; see `send`."""
        return self.send(method, f"{self._base(name)}/{self.version}/{name}", waiting, body, query)

    def find(self, name: str, waiting: Waiting) -> Json | None:
        """A resource, or nothing if there is none."""
        try:
            return self.request("GET", name, waiting)
        except GoogleError as error:
            if error.http == 404:
                return None
            raise

    def list(self, name: str, key: str, waiting: Waiting, **query: str) -> list[Json]:
        """All that a list method gives, page by page; nothing where there is no such collection."""
        found: list[Json] = []
        token = ""
        while True:
            try:
                answer = self.request("GET", name, waiting, **query, **({"pageToken": token} if token else {}))
            except GoogleError as error:
                if error.http in (404, 501):
                    return found
                raise
            found += answer.get(key) or []
            token = answer.get("nextPageToken") or ""
            if not token:
                return found

    def _base(self, name: str) -> str:
        if self.settings.endpoint:
            address = self.settings.endpoint.rstrip("/")
            return address if "://" in address else f"https://{address}"
        return self.own_address(name)


class Vertex(Api):
    """The Vertex AI API."""

    version = "v1"

    def own_address(self, name: str) -> str:
        """The region's."""
        return f"https://{name.split('/')[3]}-aiplatform.googleapis.com"

    def running(self, parent: str, waiting: Waiting, kind: str) -> list[str]:
        """The names of a resource's operations that are not done, by the type of their metadata."""
        operations = self.list(f"{parent}/operations", "operations", waiting)
        pending = [one for one in operations if not one.get("done")]
        return [str(one["name"]) for one in pending if _kind(one.get("metadata")).endswith(f".{kind}")]

    def wait(self, operation: str, waiting: Waiting, what: str) -> Json:
        """Wait until an operation is done; see `outcome`."""
        return self.outcome(f"{self._base(operation)}/{self.version}/{operation}", waiting, what)


class Monitoring(Api):
    """The Cloud Monitoring API."""

    version = "v3"

    def __init__(self, settings: Settings) -> None:
        super().__init__(replace(settings, endpoint=settings.monitoring_endpoint))

    def own_address(self, name: str) -> str:
        """The only one."""
        return "https://monitoring.googleapis.com"


def _credentials(settings: Settings) -> Any:
    auth: Any = import_module("google.auth")
    scopes = [_SCOPE]
    try:
        if settings.access_token:
            return import_module("google.oauth2.credentials").Credentials(settings.access_token)
        if settings.credentials.lstrip().startswith("{"):
            json: Any = import_module("json")
            return auth.load_credentials_from_dict(json.loads(settings.credentials), scopes=scopes)[0]
        if settings.credentials:
            return auth.load_credentials_from_file(settings.credentials, scopes=scopes)[0]
        return auth.default(scopes=scopes)[0]
    except (auth.exceptions.GoogleAuthError, ValueError) as error:
        # The text of a key that is no JSON must not be shown.
        reason = "they are no credentials that Google knows" if settings.credentials else _first_line(error)
        raise GoogleError(
            f"no credentials for Google Cloud: {reason}. Run `gcloud auth application-default login`, or set "
            "GOOGLE_APPLICATION_CREDENTIALS to a key's path, or the provider's credentials or accessToken"
        ) from error


def _is_transport(error: Exception) -> bool:
    """Whether no answer came, as opposed to a mistake of ours."""
    requests: Any = import_module("requests")
    auth: Any = import_module("google.auth.exceptions")
    return isinstance(error, (requests.RequestException, auth.GoogleAuthError))


def _problem(answer: Any) -> tuple[GoogleError, float]:
    """What an answer says is wrong, and how long it asks to wait."""
    try:
        error = cast(Json, answer.json()["error"])
    except (ValueError, KeyError, TypeError):
        error = {"message": f"{answer.status_code} {answer.reason}", "status": ""}
    text, wait = _text(error)
    header = answer.headers.get("Retry-After", "")
    return (
        GoogleError(text, str(error.get("status") or ""), answer.status_code),
        max(wait, float(header) if header.isdigit() else 0.0),
    )


def _text(error: Json) -> tuple[str, float]:
    """An error in words, from the message and the details that add to it; and how long it asks to wait."""
    message = str(error.get("message") or "no reason given").strip()
    added: list[str] = []
    wait = 0.0
    for detail in cast("list[Json]", error.get("details") or []):
        match str(detail.get("@type", "")).rpartition(".")[2]:
            case "BadRequest":
                for violation in cast("list[Json]", detail.get("fieldViolations") or []):
                    named = [str(violation[key]) for key in ("field", "description") if violation.get(key)]
                    added.append(": ".join(named))
            case "PreconditionFailure" | "QuotaFailure":
                for violation in cast("list[Json]", detail.get("violations") or []):
                    named = [str(violation[key]) for key in ("subject", "description") if violation.get(key)]
                    added.append(": ".join(named))
            case "ErrorInfo":
                added += _cure(str(detail.get("reason", "")), cast(Json, detail.get("metadata") or {}))
            case "RetryInfo":
                wait = float(str(detail.get("retryDelay", "0s")).removesuffix("s") or 0)
            case "Help":
                links = cast("list[Json]", detail.get("links") or [])
                added += [f"{link.get('description', 'see')}: {link['url']}" for link in links if link.get("url")]
            case _:
                pass
    new = [text for text in dict.fromkeys(added) if text and text not in message]
    return "\n  ".join([message, *new]), wait


def _cure(reason: str, metadata: Json) -> list[str]:
    match reason:
        case "SERVICE_DISABLED":
            project = str(metadata.get("consumer", "")).removeprefix("projects/")
            return [f"Enable the API: gcloud services enable {metadata.get('service')} --project {project}"]
        case "IAM_PERMISSION_DENIED":
            return [f"Whoever runs this needs {metadata.get('permission')} on {metadata.get('resource')}"]
        case "RATE_LIMIT_EXCEEDED" if metadata.get("quota_metric"):
            return [f"The quota is {metadata['quota_metric']}, {metadata.get('quota_limit_value', '?')} at most"]
        case _:
            return []


def _kind(metadata: Json | None) -> str:
    return str((metadata or {}).get("@type", ""))


def _host(address: str) -> str:
    return "/".join(address.split("/", 3)[:3])


def _cause(error: BaseException) -> str:
    while error.__cause__ or error.__context__:
        error = cast(BaseException, error.__cause__ or error.__context__)
    return _first_line(error)


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
