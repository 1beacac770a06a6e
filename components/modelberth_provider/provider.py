"""The plugin's gRPC service: what the engine asks, answered by the resources.

Source: Pulumi, proto/pulumi/provider.proto, and "Implementers' guide to providers".
"""

# grpc and its generated code carry no types.
# pyright: reportMissingTypeStubs=false, reportUntypedBaseClass=false, reportUnknownMemberType=false

from __future__ import annotations

import importlib.metadata
import json
import re
import threading
from collections.abc import Callable, Sequence
from typing import Any

import grpc
from google.protobuf import empty_pb2
from pydantic import ValidationError

from model_packaging.errors import ModelberthError, did_you_mean
from modelberth_provider.compare import Change, changes
from modelberth_provider.google import GoogleError, Interrupted, Json, Settings, Vertex, Waiting
from modelberth_provider.plugin import EngineLog, answer, init_failed
from modelberth_provider.resource import Call, Refused, Resource, Unfinished
from modelberth_provider.schema import CONFIG, schema
from modelberth_provider.stubs import plugin_pb2, provider_pb2, provider_pb2_grpc
from modelberth_provider.wire import decode, encode

VERSION = importlib.metadata.version("modelberth")


class Provider(provider_pb2_grpc.ResourceProviderServicer):
    """One provider of one engine's run."""

    def __init__(self, resources: Sequence[Resource], log: EngineLog | None = None) -> None:
        self._resources = {one.token: one for one in resources}
        self._log = log or EngineLog()
        self._cancelled = threading.Event()
        self._vertex = Vertex(Settings.parse({}))

    # The provider itself

    def Handshake(self, request: Any, context: grpc.ServicerContext) -> Any:
        return provider_pb2.ProviderHandshakeResponse()

    def GetPluginInfo(self, request: Any, context: grpc.ServicerContext) -> Any:
        return plugin_pb2.PluginInfo(version=VERSION)

    def GetSchema(self, request: Any, context: grpc.ServicerContext) -> Any:
        return provider_pb2.GetSchemaResponse(schema=json.dumps(schema(self._resources.values(), VERSION)))

    def Attach(self, request: Any, context: grpc.ServicerContext) -> Any:
        return empty_pb2.Empty()

    def Cancel(self, request: Any, context: grpc.ServicerContext) -> Any:
        self._cancelled.set()
        return empty_pb2.Empty()

    def CheckConfig(self, request: Any, context: grpc.ServicerContext) -> Any:
        news = decode(request.news)
        failures = [
            provider_pb2.CheckFailure(
                property=name, reason=f"unknown setting{did_you_mean(name, CONFIG)}; allowed: {', '.join(CONFIG)}"
            )
            for name in sorted(news)
            if name not in CONFIG and name != "version" and not name.startswith("__")
        ]
        return provider_pb2.CheckResponse(inputs=request.news, failures=failures)

    def DiffConfig(self, request: Any, context: grpc.ServicerContext) -> Any:
        old, new = decode(request.old_inputs) or decode(request.olds), decode(request.news)
        changed = [name for name in CONFIG if old.get(name) != new.get(name)]
        some = provider_pb2.DiffResponse.DIFF_SOME if changed else provider_pb2.DiffResponse.DIFF_NONE
        # The resources hold their project and location themselves, and are replaced by their own rules.
        return provider_pb2.DiffResponse(changes=some, diffs=changed)

    def Configure(self, request: Any, context: grpc.ServicerContext) -> Any:
        values = decode(request.args) or {key.rpartition(":")[2]: value for key, value in request.variables.items()}
        known = {name: value for name, value in values.items() if isinstance(value, str)}
        self._vertex = Vertex(Settings.parse(known))
        # Without `acceptSecrets` the engine itself keeps in the outputs secret what is secret in the inputs.
        return provider_pb2.ConfigureResponse(supportsPreview=True, acceptSecrets=False)

    # Resources

    def Check(self, request: Any, context: grpc.ServicerContext) -> Any:
        def work() -> Any:
            resource = self._resource(request.urn)
            inputs = resource.defaults(decode(request.news), self._vertex.settings)
            failures = check(resource, inputs)
            return provider_pb2.CheckResponse(
                inputs=encode(inputs),
                failures=[provider_pb2.CheckFailure(property=name, reason=text) for name, text in failures],
            )

        return self._answer(context, work)

    def Diff(self, request: Any, context: grpc.ServicerContext) -> Any:
        def work() -> Any:
            resource = self._resource(request.urn)
            news = decode(request.news)
            olds = decode(request.old_inputs) or _inputs(resource, decode(request.olds))
            ignored = tuple(request.ignoreChanges)
            found = [one for one in changes(olds, news) if not _is_below(one.path, ignored)]
            kinds = {one.path: _kind(one, _is_updated(resource, one.path)) for one in found}
            replaced = sorted({_root(one.path) for one in found if not _is_updated(resource, one.path)})
            some = provider_pb2.DiffResponse.DIFF_SOME if found else provider_pb2.DiffResponse.DIFF_NONE
            return provider_pb2.DiffResponse(
                changes=some,
                diffs=sorted({_root(one.path) for one in found}),
                replaces=replaced,
                deleteBeforeReplace=bool(replaced) and resource.delete_first(olds, news),
                hasDetailedDiff=True,
                detailedDiff={
                    path: provider_pb2.PropertyDiff(kind=kind, inputDiff=True) for path, kind in kinds.items()
                },
            )

        return self._answer(context, work)

    def Create(self, request: Any, context: grpc.ServicerContext) -> Any:
        def work() -> Any:
            resource, inputs = self._resource(request.urn), decode(request.properties)
            if request.preview:
                # No call to Google: what is made of the inputs is not known before.
                return provider_pb2.CreateResponse(properties=encode(inputs))
            call = self._call(request, resource, "create")
            identifier, state = resource.create(call, inputs)
            return provider_pb2.CreateResponse(id=identifier, properties=encode(inputs | state))

        return self._answer(context, work, lambda: decode(request.properties))

    def Update(self, request: Any, context: grpc.ServicerContext) -> Any:
        def work() -> Any:
            resource, state, inputs = self._resource(request.urn), decode(request.olds), decode(request.news)
            if request.preview:
                known = {name: state[name] for name in resource.State.model_fields if name in state}
                return provider_pb2.UpdateResponse(properties=encode(known | inputs))
            call = self._call(request, resource, "update")
            state = resource.update(call, request.id, state, inputs)
            return provider_pb2.UpdateResponse(properties=encode(inputs | state))

        return self._answer(context, work, lambda: decode(request.news))

    def Read(self, request: Any, context: grpc.ServicerContext) -> Any:
        inputs = decode(request.inputs)

        def work() -> Any:
            resource, state = self._resource(request.urn), decode(request.properties)
            found = resource.read(
                self._call(request, resource, "update"), request.id, state, inputs or _inputs(resource, state)
            )
            if found is None:
                return provider_pb2.ReadResponse()
            identifier, known, now = found
            return provider_pb2.ReadResponse(id=identifier, properties=encode(now | known), inputs=encode(now))

        return self._answer(context, work, lambda: inputs)

    def Delete(self, request: Any, context: grpc.ServicerContext) -> Any:
        def work() -> Any:
            resource = self._resource(request.urn)
            resource.delete(self._call(request, resource, "delete"), request.id, decode(request.properties))
            return empty_pb2.Empty()

        return self._answer(context, work)

    # The parts of the above

    def _resource(self, urn: str) -> Resource:
        token = urn.split("::", 3)[2].rpartition("$")[2]
        found = self._resources.get(token)
        if found is None:
            raise Refused(f"there is no resource {token}{did_you_mean(token, self._resources)}")
        return found

    def _call(self, request: Any, resource: Resource, doing: str) -> Call:
        # A Read has no time-out of its own.
        seconds = getattr(request, "timeout", 0.0) or resource.seconds[doing]

        def progress(text: str) -> None:
            self._log.status(request.urn, text)

        return Call(request.urn, self._vertex, Waiting(self._cancelled, seconds, progress), self._log.warn)

    def _answer(
        self, context: grpc.ServicerContext, work: Callable[[], Any], inputs: Callable[[], Json] | None = None
    ) -> Any:
        def checked() -> Any:
            try:
                return work()
            except Unfinished as error:
                given = inputs() if inputs else {}
                init_failed(context, error.identifier, given | error.state, str(error), inputs=given)

        return answer(context, checked, "modelberth", GoogleError, Interrupted, Refused, ModelberthError)


def check(resource: Resource, inputs: Json) -> list[tuple[str, str]]:
    """All that is wrong with the inputs: the property and what is wrong with it."""
    from modelberth.errors import problems_of

    found: list[tuple[str, str]] = []
    try:
        resource.Inputs.model_validate(inputs)
    except ValidationError as error:
        told = [sentence.partition(": ") for sentence in problems_of(error, resource.Inputs, "")]
        found = [
            (path, "does not fit its type; what it holds is not shown" if resource.hidden.fullmatch(path) else text)
            for path, text in ((_indexed(key), text) for key, _, text in told)
        ]
    # The rules are for what fits its type.
    sound = {name: value for name, value in inputs.items() if name not in {_root(path) for path, _ in found}}
    unfit = inputs.keys() - sound.keys()
    return found + [one for one in resource.problems(sound).items() if _root(one[0]) not in unfit]


def _inputs(resource: Resource, state: Json) -> Json:
    return {name: state[name] for name in resource.Inputs.model_fields if name in state}


def _indexed(key: str) -> str:
    """`env.0.name` as the engine writes it, `env[0].name`."""
    return re.sub(r"\.(\d+)(?=\.|$)", r"[\1]", key)


def _root(path: str) -> str:
    return re.split(r"[.\[]", path, maxsplit=1)[0]


def _is_below(path: str, roots: Sequence[str]) -> bool:
    return any(path == root or path.startswith((f"{root}.", f"{root}[")) for root in roots)


def _is_updated(resource: Resource, path: str) -> bool:
    return _is_below(path, sorted(resource.updated))


def _kind(change: Change, updated: bool) -> Any:
    name = change.kind if updated else f"{change.kind}_REPLACE"
    return getattr(provider_pb2.PropertyDiff, name)
