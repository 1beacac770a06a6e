"""The cluster's API: found by a kubeconfig, asked for objects of any kind.

The kubeconfig is read by Kubernetes' own client, credential plugins and renewed tokens included. What kinds there are
is asked of the API server, one request per API version, and kept for this process alone: a file of it on disk, as the
client's dynamic part writes it by address, would be wrong for a cluster that was made anew at the same address.

Every request can be repeated without harm, so one that the connection broke under, that met a server which is starting
(503) or too busy (429), or that lost a race (409 without a conflict of fields) is repeated, more slowly each time. A
cluster that never answered is given up at once, for all objects: previews then go by the inputs alone.
"""

from __future__ import annotations

import json
import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import urllib3
import yaml

Object = dict[str, Any]

NO_KIND = "NoKind"
"""The reason of an error for a kind that the cluster does not have."""

_CONNECT_SECONDS, _READ_SECONDS = 10, 60
_FIRST_PAUSES = (0.2, 0.6)
_HEAL_SECONDS = 90.0
"""How long an API server that answered before may be away; a restart takes a fraction of it."""
_LONGEST_PAUSE = 5.0
_RACES = 5
_VERBS = ("get", "create", "patch", "delete")
"""What an object's life takes; creation by server-side apply needs both create and patch."""
_RBAC = re.compile(r'User "[^"]*" cannot \w+ resource')
_WARNING = re.compile(r'\b299 \S+ "((?:[^"\\]|\\.)*)"')


class ClusterError(Exception):
    """What the API server refused, or why it was not reached; the text is for people."""

    def __init__(self, text: str, status: int = 0, reason: str = "") -> None:
        super().__init__(text)
        self.status, self.reason = status, reason

    @property
    def lacks_permission(self) -> bool:
        """Whether the user may not do this, in contrast to an object that admission refuses."""
        return self.status == 403 and _RBAC.search(str(self)) is not None


class Unreachable(ClusterError):
    """There is no cluster to ask, or it does not let this user in."""


@dataclass(frozen=True)
class Settings:
    """The provider's configuration, as far as it is carried out here."""

    kubeconfig: str = ""
    context: str = ""
    namespace: str = ""
    cluster_identifier: str = ""
    mutable_config_maps: bool = False
    mutable_secrets: bool = False
    patch_force: bool = False
    upsert: bool = False
    delete_unreachable: bool = False

    @classmethod
    def parse(cls, values: dict[str, Any]) -> Settings:
        """Read the settings; the official plugin's environment variables stand in for the switches."""

        def switch(name: str, variable: str) -> bool:
            return str(values.get(name, os.environ.get(f"PULUMI_K8S_{variable}", ""))).lower() == "true"

        return cls(
            kubeconfig=str(values.get("kubeconfig") or ""),
            context=str(values.get("context") or ""),
            namespace=str(values.get("namespace") or ""),
            cluster_identifier=str(values.get("clusterIdentifier") or ""),
            mutable_config_maps=switch("enableConfigMapMutable", "ENABLE_CONFIGMAP_MUTABLE"),
            mutable_secrets=switch("enableSecretMutable", "ENABLE_SECRET_MUTABLE"),
            patch_force=switch("enablePatchForce", "ENABLE_PATCH_FORCE"),
            upsert=switch("upsertExistingObjects", "UPSERT_EXISTING_OBJECTS"),
            delete_unreachable=switch("deleteUnreachable", "DELETE_UNREACHABLE"),
        )

    def document(self) -> Object | None:
        """The kubeconfig that was given as content; nothing if it is a file's path or none was given.

        Raises:
            ValueError: it is neither.
        """
        given = self.kubeconfig
        if not given or ("\n" not in given and not given.lstrip().startswith("{") and _file(given).is_file()):
            return None
        try:
            document = yaml.safe_load(given)
        except yaml.YAMLError:
            document = None
        if not isinstance(document, dict):
            raise ValueError(f"{given[:60]!r} is neither a kubeconfig nor the path of one")
        return document

    def active(self) -> tuple[Object, Object]:
        """The context and the cluster that the kubeconfig chooses; empty where there is none to be read."""
        try:
            documents = self._documents()
        except (OSError, ValueError, yaml.YAMLError):
            return {}, {}
        context = _named(documents, "contexts", "context", self._chosen(documents))
        return context, _named(documents, "clusters", "cluster", str(context.get("cluster") or ""))

    def mistake(self) -> str:
        """What is wrong with the kubeconfig, where it is none or has no such context; empty where it is another."""
        try:
            documents = self._documents()
        except (OSError, ValueError, yaml.YAMLError):
            return ""
        if not documents:
            return (
                f"there is no kubeconfig: looked for {', '.join(_default_files())}. Set KUBECONFIG, or "
                "kubernetes:kubeconfig of the stack, to the file that your cluster gave you"
            )
        names = sorted({str(item.get("name")) for one in documents for item in one.get("contexts") or []})
        chosen = self._chosen(documents)
        if chosen in names:
            return ""
        where = ", ".join(_default_files()) if not self.kubeconfig else "the kubeconfig that is given"
        if not names:
            return f"{where}: there is no context in it, so that it is no kubeconfig, or an empty one"
        named = f"no context is called {chosen!r}" if chosen else "no context is chosen"
        return f"{named} in {where}: it has {', '.join(names)}; set kubernetes:context of the stack to one of them"

    def _documents(self) -> list[Object]:
        document = self.document()
        if document is not None:
            return [document]
        paths = [self.kubeconfig] if self.kubeconfig else _default_files()
        return [yaml.safe_load(_file(path).read_text()) or {} for path in paths if _file(path).is_file()]

    def _chosen(self, documents: list[Object]) -> str:
        return self.context or next((one["current-context"] for one in documents if one.get("current-context")), "")


def _file(path: str) -> Path:
    return Path(path).expanduser()


def _default_files() -> list[str]:
    return [path for path in os.environ.get("KUBECONFIG", "~/.kube/config").split(os.pathsep) if path]


def _named(documents: list[Object], several: str, one: str, name: str) -> Object:
    found = (item for document in documents for item in document.get(several) or [] if item.get("name") == name)
    return next((item.get(one) or {} for item in found), {})


@dataclass(frozen=True)
class Kind:
    """How objects of a kind are asked for."""

    root: str
    plural: str
    namespaced: bool

    def path(self, namespace: str, name: str = "") -> str:
        parts = [self.root, *(["namespaces", namespace] if self.namespaced and namespace else []), self.plural]
        return "/".join(parts + ([quote(name, safe="")] if name else []))


class Cluster:
    """One cluster, connected to on first use.

    Args:
        settings: Where it is.
        cancelled: Ends every pause between two attempts.
        warn: Gets what the API server warns of.
    """

    def __init__(
        self, settings: Settings, cancelled: threading.Event, warn: Callable[[str], None] = lambda text: None
    ) -> None:
        self.settings = settings
        self.namespace = settings.namespace or str(settings.active()[0].get("namespace") or "") or "default"
        self._cancelled, self._warn = cancelled, warn
        self._connecting, self._discovering = threading.Lock(), threading.Lock()
        self._api: Any = None
        self._unreachable: Unreachable | None = None
        self._kinds: dict[str, dict[str, Kind]] = {}
        self._missing: dict[tuple[Kind, str], list[str]] = {}

    # Objects

    def kind(self, api_version: str, kind: str) -> Kind:
        """How objects of a kind are asked for. Raises ClusterError with the reason NO_KIND if the cluster has none."""
        with self._discovering:
            found = self._kinds.get(api_version, {}).get(kind)
            if found is None:
                self._kinds[api_version] = self._discovered(api_version)
                found = self._kinds[api_version].get(kind)
        if found is None:
            raise ClusterError(
                f'no matches for kind "{kind}" in version "{api_version}": install the definitions that it belongs to, '
                "or configure the component to do without",
                reason=NO_KIND,
            )
        return found

    def _discovered(self, api_version: str) -> dict[str, Kind]:
        root = f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"
        try:
            found = self._request("GET", root, doing=f"look up {api_version}")
        except ClusterError as error:
            if error.status == 404:
                return {}
            raise
        return {
            one["kind"]: Kind(root, one["name"], bool(one["namespaced"]))
            for one in found.get("resources") or []
            if "/" not in one["name"]
        }

    def get(self, api_version: str, kind: str, namespace: str, name: str) -> Object | None:
        """An object, or nothing."""
        path = self.kind(api_version, kind).path(namespace or self.namespace, name)
        try:
            return self._request("GET", path, doing=f"get {kind} {name}")
        except ClusterError as error:
            if error.status == 404:
                return None
            raise

    def list(self, api_version: str, kind: str, namespace: str, **selectors: str) -> list[Object]:
        """Objects of a namespace, chosen by a labelSelector or a fieldSelector."""
        path = self.kind(api_version, kind).path(namespace or self.namespace)
        return self._request("GET", path, query=selectors, doing=f"list {kind}").get("items", [])

    def apply(self, body: Object, manager: str, *, dry_run: bool, force: bool) -> Object:
        """Apply an object on the server's side; what it is then, or would be."""
        kind, metadata = self.kind(body["apiVersion"], body["kind"]), body["metadata"]
        query = {"fieldManager": manager, "force": str(force).lower(), **({"dryRun": "All"} if dry_run else {})}
        return self._request(
            "PATCH",
            kind.path(metadata.get("namespace") or self.namespace, metadata["name"]),
            query=query,
            body=_placed(body, kind),
            content_type="application/apply-patch+yaml",
            doing=f"apply {body['kind']} {metadata['name']}",
        )

    def planned(self, body: Object, manager: str) -> Object:
        """What a new object would be. One that exists raises ClusterError with the reason AlreadyExists."""
        kind, metadata = self.kind(body["apiVersion"], body["kind"]), body["metadata"]
        return self._request(
            "POST",
            kind.path(metadata.get("namespace") or self.namespace),
            query={"fieldManager": manager, "dryRun": "All", "fieldValidation": "Strict"},
            body=_placed(body, kind),
            doing=f"create {body['kind']} {metadata['name']}",
        )

    def delete(self, api_version: str, kind: str, namespace: str, name: str, propagation: str = "Foreground") -> None:
        """Delete an object and, before it, what belongs to it. One that is gone, or going, already is deleted."""
        path = self.kind(api_version, kind).path(namespace or self.namespace, name)
        try:
            self._request("DELETE", path, body={"propagationPolicy": propagation}, doing=f"delete {kind} {name}")
        except ClusterError as error:
            if error.status not in (404, 409):
                raise

    def log(self, namespace: str, pod: str, container: str, lines: int) -> str:
        """The end of a container's log, of the one before if it has just begun anew; empty where there is none."""
        path = Kind("/api/v1", "pods", namespaced=True).path(namespace, pod) + "/log"
        for previous in ("false", "true"):
            query = {"container": container, "tailLines": str(lines), "previous": previous}
            try:
                text = self._answer("GET", path, query=query, doing=f"read the log of {pod}").decode(errors="replace")
            except ClusterError:
                continue
            if text:
                return text
        return ""

    def missing_verbs(self, api_version: str, kind: str, namespace: str) -> list[str]:
        """Which of the verbs that the objects of a kind are kept by this user lacks; asked once for each namespace."""
        asked = self.kind(api_version, kind)
        place = (namespace or self.namespace) if asked.namespaced else ""
        found = self._missing.get((asked, place))
        if found is None:
            found = self._missing[asked, place] = [
                verb for verb in _VERBS if not self._may(verb, api_version, asked, place)
            ]
        return found

    def _may(self, verb: str, api_version: str, kind: Kind, namespace: str) -> bool:
        group = api_version.rpartition("/")[0]
        attributes = {"verb": verb, "group": group, "resource": kind.plural, "namespace": namespace}
        answer = self._request(
            "POST",
            "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
            body={
                "apiVersion": "authorization.k8s.io/v1",
                "kind": "SelfSubjectAccessReview",
                "spec": {"resourceAttributes": attributes},
            },
            doing=f"ask whether {verb} is allowed on {kind.plural}",
        )
        return bool(answer["status"]["allowed"])

    # Requests

    def _request(self, method: str, path: str, **options: Any) -> Object:
        return json.loads(self._answer(method, path, **options))

    def _answer(
        self,
        method: str,
        path: str,
        *,
        doing: str,
        query: dict[str, str] | None = None,
        body: Object | None = None,
        content_type: str = "application/json",
    ) -> bytes:
        """The body of a good answer; attempts that may end otherwise next time are repeated."""
        self._connect()
        target = path + (f"?{urlencode(query)}" if query else "")
        content = None if body is None else json.dumps(body).encode()
        races = 0
        for pause in _pauses(_HEAL_SECONDS):
            try:
                response = self._send(method, target, content, content_type)
            except urllib3.exceptions.HTTPError as error:
                failure: ClusterError = Unreachable(f"{doing}: the API server does not answer: {_reason(error)}")
            else:
                if response.status < 400:
                    if method in ("POST", "PATCH"):
                        self._tell_warnings(doing, response.headers.get("Warning", ""))
                    return response.data
                failure, again = _explained(response, doing)
                if not again or (response.status == 409 and races == _RACES):
                    raise failure
                races += response.status == 409
            if pause is None:
                raise failure
            if self._cancelled.wait(pause):
                raise ClusterError(f"{failure}; the update was cancelled before the next attempt")
        raise AssertionError("the last pause is None")

    def _connect(self) -> None:
        """Load the kubeconfig and see once whether the cluster answers. Raises Unreachable, the same ever after."""
        with self._connecting:
            if self._unreachable is not None:
                raise self._unreachable
            if self._api is not None:
                return
            try:
                self._api = self._load()
                self._first_contact()
            except Unreachable as error:
                self._api, self._unreachable = None, error
                raise

    def _load(self) -> Any:
        # Half a second and more, so that it is not spent before the engine has its port.
        from kubernetes import config

        context = self.settings.context or None
        try:
            document = self.settings.document()
            if document is not None:
                return config.new_client_from_config_dict(document, context=context)
            path = self.settings.kubeconfig
            return config.new_client_from_config(config_file=str(_file(path)) if path else None, context=context)
        except (config.ConfigException, OSError, ValueError, TypeError, yaml.YAMLError) as error:
            why = self.settings.mistake() or _reason(error)
            raise Unreachable(f"configured Kubernetes cluster is unreachable: {why}") from error

    def _first_contact(self) -> None:
        for pause in (*_FIRST_PAUSES, None):
            try:
                response = self._send("GET", "/version", None, "application/json")
            except (urllib3.exceptions.HTTPError, OSError) as error:
                if pause is None or self._cancelled.wait(pause):
                    where = self._api.configuration.host
                    raise Unreachable(
                        f"configured Kubernetes cluster is unreachable: {where}: {_reason(error)}"
                    ) from error
            else:
                if response.status == 401:
                    raise Unreachable(
                        "configured Kubernetes cluster is unreachable: "
                        f"{_explained(response, self._api.configuration.host)[0]}",
                        401,
                    )
                return

    def _send(self, method: str, target: str, content: bytes | None, content_type: str) -> urllib3.BaseHTTPResponse:
        configuration = self._api.configuration
        headers = {"Accept": "application/json", "User-Agent": "modelberth"}
        headers |= {} if content is None else {"Content-Type": content_type}
        # Asked for each time: a token that is short-lived is renewed then.
        headers |= {one["key"]: one["value"] for one in configuration.auth_settings().values() if one["value"]}
        return self._api.rest_client.pool_manager.request(
            method,
            configuration.host + target,
            body=content,
            headers=headers,
            timeout=urllib3.Timeout(connect=_CONNECT_SECONDS, read=_READ_SECONDS),
            retries=False,
        )

    def _tell_warnings(self, doing: str, header: str) -> None:
        for text in _WARNING.findall(header):
            self._warn(f"{doing}: " + re.sub(r"\\(.)", r"\1", text))


def _placed(body: Object, kind: Kind) -> Object:
    """An object without the namespace that was assumed while its definition was not known."""
    if kind.namespaced:
        return body
    return body | {"metadata": {name: value for name, value in body["metadata"].items() if name != "namespace"}}


def _pauses(seconds: float) -> Iterator[float | None]:
    """The pause after each attempt, twice as long each time; None after the last."""
    deadline, pause = time.monotonic() + seconds, 0.2
    while time.monotonic() + pause < deadline:
        yield pause
        pause = min(2 * pause, _LONGEST_PAUSE)
    yield None


def _explained(response: urllib3.BaseHTTPResponse, doing: str) -> tuple[ClusterError, bool]:
    """What the API server refused, and whether it may do otherwise next time."""
    try:
        status = json.loads(response.data)
    except ValueError:
        status = {}
    status = status if isinstance(status, dict) else {}
    message = status.get("message") or response.data.decode(errors="replace").strip() or response.reason
    if response.status == 401:
        message = f"{message} (401): the kubeconfig's credentials have expired or are not this cluster's"
    causes = {one.get("reason") for one in (status.get("details") or {}).get("causes") or []}
    reason = str(status.get("reason") or "")
    lost_a_race = response.status == 409 and reason == "Conflict" and "FieldManagerConflict" not in causes
    again = response.status in (429, 503) or (response.status >= 500 and "Retry-After" in response.headers)
    return ClusterError(f"{doing}: {message}", response.status, reason), again or lost_a_race


def _reason(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
