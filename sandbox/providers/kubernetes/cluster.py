"""The cluster's API: found by a kubeconfig, asked for objects of any kind."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import kubernetes
import urllib3
import yaml
from kubernetes.client.rest import ApiException
from kubernetes.dynamic import DynamicClient
from kubernetes.dynamic.exceptions import ResourceNotFoundError

Object = dict[str, Any]

_CONNECT_SECONDS, _READ_SECONDS = 10, 60


class ClusterError(Exception):
    """What the API server refused, or why it was not reached; the text is for people."""

    def __init__(self, text: str, status: int = 0, reason: str = "") -> None:
        super().__init__(text)
        self.status, self.reason = status, reason


class Unreachable(ClusterError):
    """There is no cluster to ask."""


@dataclass(frozen=True)
class Settings:
    """The provider's configuration, as far as it is carried out here."""

    kubeconfig: str = ""
    context: str = ""
    namespace: str = ""
    mutable_config_maps: bool = False
    mutable_secrets: bool = False

    @classmethod
    def parse(cls, values: dict[str, Any]) -> Settings:
        return cls(
            kubeconfig=str(values.get("kubeconfig") or ""),
            context=str(values.get("context") or ""),
            namespace=str(values.get("namespace") or ""),
            mutable_config_maps=str(values.get("enableConfigMapMutable", "")).lower() == "true",
            mutable_secrets=str(values.get("enableSecretMutable", "")).lower() == "true",
        )


class Cluster:
    """One cluster, connected to on first use."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._lock = threading.Lock()
        self._client: DynamicClient | None = None
        self.namespace = settings.namespace or "default"

    def _connected(self) -> DynamicClient:
        with self._lock:
            if self._client is None:
                try:
                    api = self._load()
                    api.configuration.retries = urllib3.Retry(connect=2, read=0, redirect=0, backoff_factor=0.5)
                    self._client = DynamicClient(kubernetes.client.ApiClient(api.configuration))
                except (
                    kubernetes.config.ConfigException,
                    OSError,
                    urllib3.exceptions.HTTPError,
                    ApiException,
                ) as error:
                    raise Unreachable(f"configured Kubernetes cluster is unreachable: {_plain(error)}") from error
            return self._client

    def _load(self) -> Any:
        given = self.settings.kubeconfig
        context = self.settings.context or None
        if given and not Path(given).is_file():
            document = yaml.safe_load(given)
            if not isinstance(document, dict):
                raise kubernetes.config.ConfigException(f"{given[:60]!r} is neither a kubeconfig nor the path of one")
            return kubernetes.config.new_client_from_config_dict(document, context=context)
        return kubernetes.config.new_client_from_config(config_file=given or None, context=context)

    def resource(self, api_version: str, kind: str) -> Any:
        """How objects of a kind are asked for. Raises ClusterError with the reason NoKind if the cluster has none."""
        client = self._connected()
        try:
            return client.resources.get(api_version=api_version, kind=kind)
        except ResourceNotFoundError:
            raise ClusterError(
                f'no matches for kind "{kind}" in version "{api_version}": install the definitions that it belongs to, '
                "or configure the component to do without",
                reason="NoKind",
            ) from None
        except (urllib3.exceptions.HTTPError, ApiException) as error:
            raise self._explained(error, "look up", f"{api_version} {kind}") from error

    def get(self, api_version: str, kind: str, namespace: str, name: str) -> Object | None:
        """An object, or nothing."""
        resource = self.resource(api_version, kind)
        try:
            return self._ask("get", resource, namespace, name)
        except ClusterError as error:
            if error.status == 404:
                return None
            raise

    def list(self, api_version: str, kind: str, namespace: str, selector: str = "") -> list[Object]:
        """Objects of a namespace, chosen by labels."""
        resource = self.resource(api_version, kind)
        options = {"label_selector": selector} if selector else {}
        return self._ask("get", resource, namespace, None, **options).get("items", [])

    def apply(self, body: Object, manager: str, *, dry_run: bool, force: bool) -> Object:
        """Apply an object on the server's side; what it is then, or would be."""
        resource = self.resource(body["apiVersion"], body["kind"])
        metadata = body["metadata"]
        options: dict[str, Any] = {"field_manager": manager, "content_type": "application/apply-patch+yaml"}
        # An unset `force` is sent as none.
        options |= {"force_conflicts": True} if force else {}
        options |= {"dry_run": "All"} if dry_run else {}
        return self._ask("patch", resource, metadata.get("namespace", ""), metadata["name"], body=body, **options)

    def delete(self, api_version: str, kind: str, namespace: str, name: str) -> None:
        """Delete an object and, before it, what belongs to it. One that is gone already is deleted."""
        resource = self.resource(api_version, kind)
        try:
            body = {"propagationPolicy": "Foreground"}
            self._ask("delete", resource, namespace, name, body=body)
        except ClusterError as error:
            if error.status != 404:
                raise

    def log(self, namespace: str, pod: str, container: str, lines: int) -> str:
        """The end of a container's log; empty where there is none."""
        path = f"/api/v1/namespaces/{namespace}/pods/{pod}/log"
        client = self._connected()
        for previous in (False, True):
            try:
                answer = client.client.call_api(
                    path,
                    "GET",
                    query_params=[("container", container), ("tailLines", lines), ("previous", previous)],
                    auth_settings=["BearerToken"],
                    response_type="str",
                    _preload_content=True,
                )
            except (ApiException, urllib3.exceptions.HTTPError):
                continue
            text = answer[0] if isinstance(answer, tuple) else answer
            if text:
                return str(text)
        return ""

    def _ask(self, method: str, resource: Any, namespace: str, name: str | None, **options: Any) -> Object:
        client = self._connected()
        path = resource.path(name=name, namespace=(namespace or self.namespace) if resource.namespaced else None)
        try:
            answer = client.request(
                method, path, serialize=False, _request_timeout=(_CONNECT_SECONDS, _READ_SECONDS), **options
            )
        except (urllib3.exceptions.HTTPError, ApiException) as error:
            verb = {"get": "get", "patch": "apply", "delete": "delete"}[method]
            raise self._explained(error, verb, f"{resource.kind} {name or ''}".strip()) from error
        return json.loads(answer.data)

    def _explained(self, error: Exception, verb: str, what: str) -> ClusterError:
        if not isinstance(error, ApiException):
            return Unreachable(f"configured Kubernetes cluster is unreachable: {_plain(error)}")
        try:
            status = json.loads(error.body or "{}")
        except (ValueError, TypeError):
            status = {}
        message = status.get("message") or error.reason or str(error.status)
        if error.status == 401:
            message = f"{message}: the kubeconfig's credentials have expired or are not this cluster's"
        return ClusterError(f"{verb} {what}: {message}", int(error.status or 0), str(status.get("reason") or ""))


def _plain(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
