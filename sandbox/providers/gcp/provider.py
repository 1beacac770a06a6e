"""The Google Cloud provider: what is particular to Google Cloud in how the engine is answered."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from modelberth_provider import plugin
from modelberth_provider.wire import UNKNOWN

from sandbox.providers import schema
from sandbox.providers.bridge import BridgedProvider
from sandbox.providers.check import Failure
from sandbox.providers.gcp.cloud import Call, Cloud, Settings
from sandbox.providers.resource import Resource, Values

_ATTRIBUTION = "goog-pulumi-provisioned"
"""The label that the official plugin puts on what it makes, unless the configuration says otherwise."""


class GcpProvider(BridgedProvider):
    """One Google Cloud provider of one engine's run."""

    package = "gcp"
    title = "Google Cloud"
    version = "10.2.0"
    told_by: Mapping[str, str] = {"effectiveLabels": "labels", "pulumiLabels": "labels"}

    def __init__(self) -> None:
        super().__init__()
        self._cloud = Cloud(Settings.parse({}), self.cancelled)

    def resources(self) -> Mapping[str, Resource]:
        from sandbox.providers.gcp.resources import RESOURCES

        return RESOURCES

    def functions(self) -> Mapping[str, Callable[[Values], Values]]:
        from sandbox.providers.gcp.functions import FUNCTIONS

        return {token: partial(function, self._cloud) for token, function in FUNCTIONS.items()}

    def configure(self, values: Values) -> None:
        self._cloud = Cloud(Settings.parse(values), self.cancelled)

    def check_access(self, values: Values) -> list[Failure]:
        return []

    def call(self, rules: Resource, thing: Any, values: Values) -> Call:
        from sandbox.providers.gcp.services import SERVICES

        region = values.get("location") or values.get("region") or ""
        return Call(self._cloud, SERVICES[rules.service], thing, str(region))

    def located(self, rules: Resource, values: Values) -> Values:
        published = schema.resource(rules.token).inputs
        settings = self._cloud.settings
        place = {"project": settings.project, "region": settings.region, "zone": settings.zone}
        return {name: values.get(name) or own for name, own in place.items() if name in published}

    def followed(self, rules: Resource, inputs: Values, state: Values) -> Values:
        if "effectiveLabels" not in schema.resource(rules.token).outputs:
            return {}
        labels = inputs.get("labels") or {}
        if labels is UNKNOWN:
            return {"effectiveLabels": UNKNOWN, "pulumiLabels": UNKNOWN}
        before = state.get("pulumiLabels") or {}
        # Put on what is made, and left on what has it: the strategy CREATION_ONLY, which is the official default.
        attributed = _ATTRIBUTION in before if state else self._cloud.settings.attribution
        own = ({_ATTRIBUTION: "true"} if attributed else {}) | self._cloud.settings.default_labels | labels
        # What others have put on it stays.
        others = {key: value for key, value in (state.get("effectiveLabels") or {}).items() if key not in before}
        return {"effectiveLabels": others | own, "pulumiLabels": own}

    def tell(self, rules: Resource, before: Values, state: Values) -> None:
        if "effectiveLabels" in state:
            for name in ("labels", "pulumiLabels"):
                asked = before.get(name) or {}
                state[name] = {key: value for key, value in state["effectiveLabels"].items() if key in asked}


def serve() -> int:
    """Serve one engine until it stops this process."""
    return plugin.serve(GcpProvider(), "The sandbox's Google Cloud provider plugin (gRPC).")
