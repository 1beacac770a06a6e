"""The provider's gRPC service: what the engine asks, answered as the official plugin answers it."""

from __future__ import annotations

import hashlib
import json
import threading
from typing import Any

import grpc
from google.protobuf import empty_pb2, struct_pb2

from sandbox.providers.kubernetes import awaiting, objects
from sandbox.providers.kubernetes.awaiting import NotReady
from sandbox.providers.kubernetes.cluster import Cluster, ClusterError, Settings, Unreachable
from sandbox.providers.kubernetes.objects import Object
from sandbox.providers.plugin import answer, init_failed
from sandbox.providers.stubs import plugin_pb2, provider_pb2, provider_pb2_grpc
from sandbox.providers.wire import decode, encode, is_unknown, secret

VERSION = "4.34.2"
"""The official version whose behaviour this follows: the engine sees it as the plugin's version."""

INPUTS, MANAGER, AUTONAMED = "__inputs", "__fieldManager", "pulumi.com/autonamed"
_FORCE = "pulumi.com/patchForce"
_REPLACE_UNREADY = "pulumi.com/replaceUnready"


class Refused(Exception):
    """A request that cannot be served; the text is for people."""


class KubernetesProvider(provider_pb2_grpc.ResourceProviderServicer):
    """One provider of one engine's run."""

    def __init__(self) -> None:
        self._cancelled = threading.Event()
        self._cluster = Cluster(Settings())

    # The provider itself

    def Handshake(self, request: Any, context: grpc.ServicerContext) -> Any:
        return provider_pb2.ProviderHandshakeResponse(supports_autonaming_configuration=True)

    def GetPluginInfo(self, request: Any, context: grpc.ServicerContext) -> Any:
        return plugin_pb2.PluginInfo(version=VERSION)

    def GetSchema(self, request: Any, context: grpc.ServicerContext) -> Any:
        return provider_pb2.GetSchemaResponse(schema=json.dumps({"name": "kubernetes", "version": VERSION}))

    def Attach(self, request: Any, context: grpc.ServicerContext) -> Any:
        return empty_pb2.Empty()

    def Cancel(self, request: Any, context: grpc.ServicerContext) -> Any:
        self._cancelled.set()
        return empty_pb2.Empty()

    def CheckConfig(self, request: Any, context: grpc.ServicerContext) -> Any:
        return provider_pb2.CheckResponse(inputs=request.news)

    def DiffConfig(self, request: Any, context: grpc.ServicerContext) -> Any:
        old, new = decode(request.old_inputs) or decode(request.olds), decode(request.news)
        names = [n for n in sorted(old.keys() | new.keys()) if not n.startswith("__") and n != "version"]
        changed = [name for name in names if old.get(name) != new.get(name)]
        some = provider_pb2.DiffResponse.DIFF_SOME if changed else provider_pb2.DiffResponse.DIFF_NONE
        return provider_pb2.DiffResponse(changes=some, diffs=changed)

    def Configure(self, request: Any, context: grpc.ServicerContext) -> Any:
        values = decode(request.args) or {key.rsplit(":", 1)[-1]: value for key, value in request.variables.items()}
        self._cluster = Cluster(Settings.parse(values))
        return provider_pb2.ConfigureResponse(
            supportsPreview=True, acceptSecrets=False, supports_autonaming_configuration=True
        )

    def Invoke(self, request: Any, context: grpc.ServicerContext) -> Any:
        def work() -> Any:
            raise Refused(f"the sandbox's Kubernetes provider has no functions, so not {request.tok}")

        return self._answer(context, work)

    # Objects

    def Check(self, request: Any, context: grpc.ServicerContext) -> Any:
        def work() -> Any:
            olds, news = decode(request.olds), decode(request.news)
            failures = [
                provider_pb2.CheckFailure(property=name, reason=f"an object needs its {name}")
                for name in ("apiVersion", "kind")
                if not news.get(name)
            ]
            metadata = dict(news.get("metadata") or {})
            if not metadata.get("name") and not is_unknown(metadata.get("name")):
                metadata["name"] = _auto_name(olds, request)
                metadata["annotations"] = {**(metadata.get("annotations") or {}), AUTONAMED: "true"}
            if not failures and "namespace" not in metadata and self._namespaced(news):
                metadata["namespace"] = self._cluster.namespace
            return provider_pb2.CheckResponse(inputs=encode(news | {"metadata": metadata}), failures=failures)

        return self._answer(context, work)

    def Diff(self, request: Any, context: grpc.ServicerContext) -> Any:
        def work() -> Any:
            state, news = decode(request.olds), decode(request.news)
            olds = decode(request.old_inputs) or state.get(INPUTS) or {}
            differing = self._differing(olds, news, state)
            ignored = set(request.ignoreChanges)
            found = {
                path: kind
                for path, kind in differing.items()
                if not any(path == one or path.startswith((f"{one}.", f"{one}[")) for one in ignored)
            }
            if self._failed_job(news):
                found["metadata.annotations"] = "update"
            replaced = {path for path in found if objects.forces_new(news, path, self._cluster.settings)}
            replaced |= {"metadata.annotations"} if self._failed_job(news) else set()
            autonamed = AUTONAMED in ((news.get("metadata") or {}).get("annotations") or {})
            same_name = all(
                (olds.get("metadata") or {}).get(part) == (news.get("metadata") or {}).get(part)
                for part in ("name", "namespace")
            )
            detailed = {
                path: provider_pb2.PropertyDiff(
                    kind=getattr(provider_pb2.PropertyDiff, kind.upper() + ("_REPLACE" if path in replaced else "")),
                    inputDiff=True,
                )
                for path, kind in found.items()
            }
            some = provider_pb2.DiffResponse.DIFF_SOME if found else provider_pb2.DiffResponse.DIFF_NONE
            return provider_pb2.DiffResponse(
                changes=some,
                replaces=sorted({_root(path) for path in replaced}),
                diffs=sorted({_root(path) for path in found}),
                deleteBeforeReplace=bool(replaced) and same_name and not autonamed,
                detailedDiff=detailed,
                hasDetailedDiff=True,
            )

        return self._answer(context, work)

    def _failed_job(self, news: Object) -> bool:
        """Whether it is a Job that failed and says that it is to be run again then."""
        annotations = (news.get("metadata") or {}).get("annotations") or {}
        if annotations.get(_REPLACE_UNREADY) != "true" or objects.key(news) != "batch/v1/Job" or is_unknown(news):
            return False
        try:
            live = self._live(news)
        except ClusterError:
            return False
        return live is not None and bool(awaiting.job_state(live)[1])

    def _differing(self, olds: Object, news: Object, state: Object) -> dict[str, str]:
        """What differs as the API server says; by the inputs alone where it can't be asked."""
        by_inputs = dict(objects.changes(olds, news))
        if any(objects.forces_new(news, path, self._cluster.settings) for path in by_inputs) or is_unknown(news):
            return by_inputs
        try:
            live = self._live(news)
            if live is None:
                return by_inputs
            planned = self._cluster.apply(_body(news), _manager(state, news), dry_run=True, force=True)
        except Unreachable:
            return by_inputs
        except ClusterError as error:
            if error.status in (404, 422) or error.reason == "NoKind":
                return by_inputs
            raise
        return dict(objects.changes(objects.clean(live), objects.clean(planned)))

    def Create(self, request: Any, context: grpc.ServicerContext) -> Any:
        def work() -> Any:
            inputs = decode(request.properties)
            manager = f"pulumi-kubernetes-{hashlib.sha256(request.urn.encode()).hexdigest()[:8]}"
            if request.preview:
                return provider_pb2.CreateResponse(properties=self._planned(inputs, manager))
            try:
                made = self._cluster.apply(_body(inputs), manager, dry_run=False, force=_forced(inputs))
            except ClusterError as error:
                raise _conflict_explained(error) from error
            return self._settled(context, request, made, inputs, manager, provider_pb2.CreateResponse, "creating")

        return self._answer(context, work)

    def Update(self, request: Any, context: grpc.ServicerContext) -> Any:
        def work() -> Any:
            state, inputs = decode(request.olds), decode(request.news)
            manager = _manager(state, inputs)
            if request.preview:
                return provider_pb2.UpdateResponse(properties=self._planned(inputs, manager))
            try:
                made = self._cluster.apply(_body(inputs), manager, dry_run=False, force=_forced(inputs))
            except ClusterError as error:
                raise _conflict_explained(error) from error
            return self._settled(context, request, made, inputs, manager, provider_pb2.UpdateResponse, "updating")

        return self._answer(context, work)

    def _planned(self, inputs: Object, manager: str) -> struct_pb2.Struct:
        """What the API server would make of it; the inputs where that can't be known yet."""
        planned = inputs
        if not is_unknown(inputs):
            try:
                planned = self._cluster.apply(_body(inputs), manager, dry_run=True, force=_forced(inputs))
            except Unreachable:
                pass
            except ClusterError as error:
                # Its namespace, or its definition, comes in the same update.
                if error.status != 404 and error.reason != "NoKind":
                    raise _conflict_explained(error) from error
        return _outputs(planned, inputs, manager)

    def _settled(
        self, context: Any, request: Any, made: Object, inputs: Object, manager: str, answer_class: Any, doing: str
    ) -> Any:
        identifier = _identifier(made)
        try:
            live = awaiting.ready(self._cluster, made, request.timeout or None, self._cancelled)
        except (NotReady, ClusterError) as error:
            reasons = error.reasons if isinstance(error, NotReady) else (str(error),)
            live = error.live if isinstance(error, NotReady) else made
            first = (
                f"{doing} {request.urn}: the Kubernetes API server reported that {json.dumps(identifier)} failed to "
                f"fully initialize or become live: {reasons[0]}"
            )
            return init_failed(
                context, identifier, _state(live, inputs, manager), "\n".join([first, *(f"  {r}" for r in reasons[1:])])
            )
        properties = _outputs(live, inputs, manager)
        if answer_class is provider_pb2.CreateResponse:
            return answer_class(id=identifier, properties=properties)
        return answer_class(properties=properties)

    def Read(self, request: Any, context: grpc.ServicerContext) -> Any:
        def work() -> Any:
            state, inputs = decode(request.properties), decode(request.inputs)
            inputs = inputs or state.get(INPUTS) or {}
            api_version, kind = inputs.get("apiVersion") or state.get("apiVersion"), inputs.get("kind")
            if not api_version or not kind:
                api_version, kind = _kind_of(request.urn)
            namespace, _, name = request.id.rpartition("/")
            live = self._cluster.get(api_version, kind, namespace, name)
            if live is None:
                return provider_pb2.ReadResponse()
            live = {"apiVersion": api_version, "kind": kind, **live}
            now = objects.project(inputs, live) if inputs else objects.clean(live)
            manager = _manager(state, now)
            return provider_pb2.ReadResponse(
                id=_identifier(live), properties=_outputs(live, now, manager), inputs=encode(now)
            )

        return self._answer(context, work)

    def Delete(self, request: Any, context: grpc.ServicerContext) -> Any:
        def work() -> Any:
            state = decode(request.properties)
            inputs = state.get(INPUTS) or state
            namespace, _, name = request.id.rpartition("/")
            obj = {"apiVersion": inputs["apiVersion"], "kind": inputs["kind"]}
            try:
                self._cluster.delete(obj["apiVersion"], obj["kind"], namespace, name)
                metadata = {"name": name, "namespace": namespace, "uid": (state.get("metadata") or {}).get("uid")}
                awaiting.gone(self._cluster, obj | {"metadata": metadata}, request.timeout or None, self._cancelled)
            except ClusterError as error:
                if error.reason != "NoKind":  # with its definition all objects of a kind are gone
                    raise
            return empty_pb2.Empty()

        return self._answer(context, work)

    # Parts of the above

    def _namespaced(self, obj: Object) -> bool:
        try:
            return bool(self._cluster.resource(obj["apiVersion"], obj["kind"]).namespaced)
        except ClusterError:
            return False

    def _live(self, obj: Object) -> Object | None:
        metadata = obj["metadata"]
        return self._cluster.get(obj["apiVersion"], obj["kind"], metadata.get("namespace", ""), metadata["name"])

    def _answer(self, context: grpc.ServicerContext, work: Any) -> Any:
        return answer(context, work, "Kubernetes", ClusterError, Refused)


def _body(inputs: Object) -> Object:
    return {name: value for name, value in inputs.items() if not name.startswith("__") and name != "status"}


def _state(live: Object, inputs: Object, manager: str) -> Object:
    metadata = {name: value for name, value in (live.get("metadata") or {}).items() if name != "managedFields"}
    return {**live, "metadata": metadata, INPUTS: inputs, MANAGER: manager}


def _outputs(live: Object, inputs: Object, manager: str) -> struct_pb2.Struct:
    """The state as the engine gets it; what a Secret holds is secret whoever wrote it."""
    state = _state(live, inputs, manager)
    if objects.key(live) == "v1/Secret":
        state |= {name: secret(state[name]) for name in ("data", "stringData", INPUTS) if name in state}
    return encode(state)


def _manager(state: Object, inputs: Object) -> str:
    # An object that was imported gets a manager made of what it is.
    identity = json.dumps([inputs.get("apiVersion"), inputs.get("kind"), inputs.get("metadata", {}).get("name")])
    return str(state.get(MANAGER) or f"pulumi-kubernetes-{hashlib.sha256(identity.encode()).hexdigest()[:8]}")


def _forced(inputs: Object) -> bool:
    return ((inputs.get("metadata") or {}).get("annotations") or {}).get(_FORCE) == "true"


def _conflict_explained(error: ClusterError) -> ClusterError:
    if error.status != 409:
        return error
    return ClusterError(
        f"{error}\nServer-Side Apply field conflict detected: someone else changed these fields in the cluster. Run "
        "`pulumi refresh` to see what is there, then give the object the annotation pulumi.com/patchForce=true to take "
        "the fields over, or write the value that is there.",
        error.status,
        error.reason,
    )


def _identifier(obj: Object) -> str:
    metadata = obj["metadata"]
    namespace = metadata.get("namespace")
    return f"{namespace}/{metadata['name']}" if namespace else str(metadata["name"])


def _kind_of(urn: str) -> tuple[str, str]:
    """The API version and kind in a type token, such as kubernetes:core/v1:Secret."""
    token = urn.split("::", 3)[2].split("$")[-1]
    _, group, kind = token.split(":")
    return group.removeprefix("core/"), kind


def _auto_name(olds: Object, request: Any) -> str:
    old = (olds.get("metadata") or {}).get("name")
    if old and AUTONAMED in ((olds.get("metadata") or {}).get("annotations") or {}):
        return str(old)
    if request.HasField("autonaming") and request.autonaming.proposed_name:
        return str(request.autonaming.proposed_name)
    name = request.urn.split("::", 3)[3]
    return f"{name}-{hashlib.sha256(bytes(request.randomSeed)).hexdigest()[:8]}"


def _root(path: str) -> str:
    return path.split(".", 1)[0].split("[", 1)[0]
