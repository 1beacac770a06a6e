"""The AWS provider: what is particular to AWS in how the engine is answered."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from modelberth_provider import plugin
from modelberth_provider.wire import UNKNOWN

from sandbox.providers import schema
from sandbox.providers.aws.cloud import Call, Cloud, Settings
from sandbox.providers.bridge import BridgedProvider
from sandbox.providers.check import Failure
from sandbox.providers.resource import CloudError, Resource, Values


class AwsProvider(BridgedProvider):
    """One AWS provider of one engine's run."""

    package = "aws"
    title = "AWS"
    version = "7.51.1"
    told_by: Mapping[str, str] = {"tagsAll": "tags"}

    def __init__(self) -> None:
        super().__init__()
        self._cloud = Cloud(Settings.parse({}), self.cancelled)

    def resources(self) -> Mapping[str, Resource]:
        from sandbox.providers.aws.resources import RESOURCES

        return RESOURCES

    def functions(self) -> Mapping[str, Callable[[Values], Values]]:
        from sandbox.providers.aws.functions import FUNCTIONS

        return {token: partial(function, self._cloud) for token, function in FUNCTIONS.items()}

    def configure(self, values: Values) -> None:
        self._cloud = Cloud(Settings.parse(values), self.cancelled)

    def check_access(self, values: Values) -> list[Failure]:
        settings = Settings.parse(values)
        if not settings.region:
            return [
                Failure(
                    "region",
                    "no AWS region: set it with `pulumi config set aws:region <region>` or AWS_REGION",
                )
            ]
        if settings.skip_credentials_validation:
            return []
        try:
            Call(Cloud(settings, self.cancelled), "sts", "credentials").do("get_caller_identity")
        except CloudError as error:
            return [Failure("", f"unable to validate AWS credentials: {error}")]
        return []

    def call(self, rules: Resource, thing: Any, values: Values) -> Call:
        region = values.get("region") if rules.regional else ""
        return Call(self._cloud, rules.service, thing, str(region or ""))

    def located(self, rules: Resource, values: Values) -> Values:
        return {"region": values.get("region") or self._cloud.settings.region} if rules.regional else {}

    def followed(self, rules: Resource, inputs: Values, state: Values) -> Values:
        if "tagsAll" not in schema.resource(rules.token).outputs:
            return {}
        tags = inputs.get("tags") or {}
        if tags is UNKNOWN:
            return {"tagsAll": UNKNOWN}
        override = ((inputs.get("overrideProvider") or {}).get("defaultTags") or {}).get("tags")
        defaults = self._cloud.settings.default_tags if override is None else {}
        return {"tagsAll": defaults | tags}

    def tell(self, rules: Resource, before: Values, state: Values) -> None:
        if "tagsAll" in state:
            seen = {k: v for k, v in (state["tagsAll"] or {}).items() if not self._cloud.settings.ignores(k)}
            state["tagsAll"] = seen
            defaults, asked = self._cloud.settings.default_tags, before.get("tags") or {}
            tags = {k: v for k, v in seen.items() if k in asked or defaults.get(k) != v}
            if tags or "tags" in state:
                state["tags"] = tags


def serve() -> int:
    """Serve one engine until it stops this process."""
    return plugin.serve(AwsProvider(), "The sandbox's AWS provider plugin (gRPC).")
