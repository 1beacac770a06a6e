"""Calls to Google Cloud: the provider's configuration, its APIs and their addresses, errors for people."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from modelberth_provider import google
from modelberth_provider.google import GoogleError, Interrupted, Waiting

from sandbox.google.discovery import Document
from sandbox.providers.check import parsed
from sandbox.providers.resource import Cancelled, CloudError

_WAIT_SECONDS = 1200.0
"""How long an operation may take where the program does not say: Terraform's default of 20 minutes."""


@dataclass(frozen=True)
class Service:
    """One of Google's APIs.

    `document` names its description, `option` the provider's option for another address (`storage` for
    `storageCustomEndpoint`), and `base` is its own address. Source of both: the Terraform provider's products.
    """

    title: str
    document: str
    option: str
    base: str

    @cached_property
    def schemas(self) -> dict[str, dict[str, Any]]:
        """The schemas of its bodies."""
        name, version = self.document.split(".")
        return Document(name, version).schemas


@dataclass
class Settings:
    """The provider's own configuration, from `gcp:*`, an explicit `gcp.Provider` or the environment."""

    project: str = ""
    region: str = ""
    zone: str = ""
    credentials: str = ""
    access_token: str = ""
    default_labels: dict[str, str] = field(default_factory=dict)
    attribution: bool = True
    deletion_policy: str = "DELETE"
    endpoints: dict[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, values: Mapping[str, Any]) -> Settings:
        """From the wire's properties. Nested ones arrive as JSON text."""
        config = {key: parsed(value) for key, value in values.items() if value is not None}

        def read(key: str, *variables: str) -> str:
            found = [str(values.get(key) or ""), *(os.environ.get(name, "") for name in variables)]
            return next((text for text in found if text), "")

        return cls(
            project=read(
                "project", "GOOGLE_PROJECT", "GOOGLE_CLOUD_PROJECT", "GCLOUD_PROJECT", "CLOUDSDK_CORE_PROJECT"
            ),
            region=read("region", "GOOGLE_REGION", "GCLOUD_REGION", "CLOUDSDK_COMPUTE_REGION"),
            zone=read("zone", "GOOGLE_ZONE", "GCLOUD_ZONE", "CLOUDSDK_COMPUTE_ZONE"),
            credentials=read("credentials", "GOOGLE_CREDENTIALS", "GOOGLE_CLOUD_KEYFILE_JSON", "GCLOUD_KEYFILE_JSON"),
            access_token=read("accessToken", "GOOGLE_OAUTH_ACCESS_TOKEN"),
            default_labels=config.get("defaultLabels") or {},
            attribution=str(config.get("addPulumiAttributionLabel", True)).lower() == "true",
            deletion_policy=str(config.get("deletionPolicy") or "DELETE"),
            endpoints={
                key.removesuffix("CustomEndpoint"): str(value)
                for key, value in config.items()
                if key.endswith("CustomEndpoint") and value
            },
        )

    def base(self, service: Service, region: str) -> str:
        """Where an API is, with a slash at the end."""
        option = re.sub(r"[A-Z]", lambda found: f"_{found[0]}", service.option).upper()
        own = self.endpoints.get(service.option) or os.environ.get(f"GOOGLE_{option}_CUSTOM_ENDPOINT")
        return (own or service.base.format(region=region)).rstrip("/") + "/"


class Cloud:
    """The connections of one configured provider, made on first use and shared by all threads."""

    def __init__(self, settings: Settings, cancelled: threading.Event) -> None:
        self.settings = settings
        self.cancelled = cancelled
        self.policies = threading.Lock()
        """Held while a policy is read, changed and written."""
        self._connections: dict[str, google.Google] = {}
        self._lock = threading.Lock()

    def connection(self, base: str) -> google.Google:
        """The connection to an address."""
        with self._lock:
            if base not in self._connections:
                self._connections[base] = google.Google(
                    google.Settings(
                        endpoint=base,
                        credentials=self.settings.credentials,
                        access_token=self.settings.access_token,
                    )
                )
            return self._connections[base]


class Call:
    """One operation on one resource: its API, its region, and what to call it in an error."""

    def __init__(self, cloud: Cloud, service: Service, thing: str, region: str = "") -> None:
        self.cloud = cloud
        self.service = service
        self.thing = thing
        self.region = region or cloud.settings.region
        self.timeout_seconds: float | None = None
        """How long it may wait, where the program says so (`custom_timeouts`)."""

    @property
    def base(self) -> str:
        """The API's address."""
        return self.cloud.settings.base(self.service, self.region)

    def send(self, method: str, path: str, body: Any = None, **more: Any) -> dict[str, Any]:
        """Send a request to a path below the API's address, or to a whole address. Raises CloudError, Cancelled."""
        address = path if "://" in path else self.base + path
        try:
            return self.cloud.connection(self.base).send(method, address, self._waiting(), body, **more)
        except GoogleError as error:
            code = error.status or str(error.http or "")
            text = " ".join(filter(None, [code, str(error)]))
            raise CloudError(f"{method} of {self.service.title} {self.thing}: {text}", code) from error
        except Interrupted as error:
            raise Cancelled(str(error)) from error

    def find(self, path: str) -> dict[str, Any] | None:
        """Get something; None where there is nothing."""
        try:
            return self.send("GET", path)
        except CloudError as error:
            if error.code in ("NOT_FOUND", "404"):
                return None
            raise

    def finish(self, answer: dict[str, Any], doing: str) -> dict[str, Any]:
        """What an answer comes to: of a long-running operation its response, once it is done."""
        name = str(answer.get("name", ""))
        if not re.search(r"(^|/)operations/[^/]+$", name):
            return answer
        try:
            if answer.get("done") and "error" not in answer:
                return answer.get("response") or {}
            return self.cloud.connection(self.base).outcome(self.base + name, self._waiting(), doing)
        except GoogleError as error:
            raise CloudError(f"{self.service.title} {self.thing}: {error}", error.status) from error
        except Interrupted as error:
            raise Cancelled(str(error)) from error

    def wait(self, seconds: float) -> None:
        """Wait, unless the update is interrupted. Raises Cancelled."""
        if self.cloud.cancelled.wait(seconds):
            raise Cancelled(f"interrupted while waiting for {self.thing}")

    def _waiting(self) -> Waiting:
        return Waiting(self.cloud.cancelled, self.timeout_seconds or _WAIT_SECONDS)
