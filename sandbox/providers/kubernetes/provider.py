"""The provider's gRPC service: what the engine asks, answered as the official plugin answers it.

Followed, by the sources of pulumi-kubernetes 4.32 (provider/pkg/provider, await and metadata):
- names, and the namespace of the provider's setting or else of the kubeconfig's context, for namespaced kinds and for
  kinds that are not known yet;
- an object that exists is not taken over by a creation (`upsertExistingObjects` allows it); `pulumi.com/patchForce`
  or `enablePatchForce` decides a conflict of fields; `pulumi.com/patchFieldManager` names the manager;
- which fields need another object, and when the old one is deleted before it;
- fields of `ignoreChanges` are left to whoever manages them;
- a preview of an object whose namespace or definition is not there yet, of values that are not known yet, by a user who
  may not apply, and without a cluster, goes by the inputs alone;
- a refresh records that an object is not ready, so that the next update waits for it again;
- `PULUMI_K8S_DELETE_UNREACHABLE` gives up what was in a cluster that is gone;
- another cluster in the provider's kubeconfig replaces its objects, unless `clusterIdentifier` is the same.

Otherwise than there:
- what differs is what a dry run on the API server says, so that a preview shows an edit by hand without a refresh;
- what admission refuses (Pod Security, a quota) fails at preview, and what the API server warns of is shown;
- the field manager is made of the URN, not of chance: a creation that was interrupted after the API server carried it
  out finds its own object and goes on; two stacks of the same name on one cluster are not told apart by it;
- all that a Secret holds is secret in the state, also if it was read or the program did not say so;
- an update that the API server refuses leaves the state as it was;
- Patch resources, functions, and resources that are made of several (Helm, YAML, Kustomize) are refused.
"""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from typing import Any, NoReturn

import grpc
from google.protobuf import empty_pb2
from modelberth_provider.plugin import EngineLog, answer, init_failed
from modelberth_provider.stubs import plugin_pb2, provider_pb2, provider_pb2_grpc
from modelberth_provider.wire import UNKNOWN, decode, encode, is_unknown, secret

from sandbox.providers.kubernetes import awaiting, objects
from sandbox.providers.kubernetes.awaiting import NotReady
from sandbox.providers.kubernetes.cluster import NO_KIND, Cluster, ClusterError, Settings, Unreachable
from sandbox.providers.kubernetes.objects import Object, annotation

VERSION = "4.34.2"
"""The official version whose behaviour this follows: the engine sees it as the plugin's version."""

INPUTS, MANAGER, AUTONAMED = "__inputs", "__fieldManager", "pulumi.com/autonamed"
_FORCE, _FIELD_MANAGER = "pulumi.com/patchForce", "pulumi.com/patchFieldManager"
_REPLACE_UNREADY, _PROPAGATION = "pulumi.com/replaceUnready", "pulumi.com/deletionPropagationPolicy"
_MISORDERED_PAUSES = (0.5, 1.0, 2.0, 4.0)
"""An object may be made a moment before its namespace or its definition is."""


class Refused(Exception):
    """A request that cannot be served; the text is for people."""


class KubernetesProvider(provider_pb2_grpc.ResourceProviderServicer):
    """One provider of one engine's run."""

    def __init__(self, log: EngineLog | None = None) -> None:
        self._cancelled = threading.Event()
        self._log = log or EngineLog()
        self._cluster = self._connect(Settings())

    def _connect(self, settings: Settings) -> Cluster:
        return Cluster(settings, self._cancelled, self._log.warn)

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
        replaces = [name for name in changed if name in _other_cluster(old, new)]
        return provider_pb2.DiffResponse(changes=some, diffs=changed, replaces=replaces)

    def Configure(self, request: Any, context: grpc.ServicerContext) -> Any:
        values = decode(request.args) or {key.rsplit(":", 1)[-1]: value for key, value in request.variables.items()}
        self._cluster = self._connect(Settings.parse(values))
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
            failures = _failures(request.urn, news)
            if not failures and news.get("metadata") is not UNKNOWN:
                news |= {"metadata": self._placed(news, olds, _named(news, olds, request, failures))}
            return provider_pb2.CheckResponse(inputs=encode(_hidden(news)), failures=failures)

        return self._answer(context, work)

    def _placed(self, news: Object, olds: Object, metadata: Object) -> Object:
        """The metadata with a namespace, if the kind is namespaced as far as is known."""
        if metadata.get("namespace") or is_unknown([news["apiVersion"], news["kind"]]):
            return metadata
        try:
            namespaced = self._cluster.kind(news["apiVersion"], news["kind"]).namespaced
        except ClusterError as error:
            # Without a cluster to ask it stays as it was.
            namespaced = error.reason == NO_KIND or bool(objects.metadata(olds).get("namespace"))
        return metadata | {"namespace": self._cluster.namespace} if namespaced else metadata

    def Diff(self, request: Any, context: grpc.ServicerContext) -> Any:
        def work() -> Any:
            state, news = decode(request.olds), decode(request.news)
            olds = decode(request.old_inputs) or state.get(INPUTS) or {}
            olds, news = self._without_assumed_namespace(olds), self._without_assumed_namespace(news)
            differing = self._differing(olds, news, state, _manager(request.urn, state, news), request.ignoreChanges)
            found = {path: kind for path, kind in differing.items() if not objects.under(path, request.ignoreChanges)}
            replaced = {path for path in found if objects.forces_new(news, path, self._cluster.settings)}
            if self._is_to_be_run_again(news):
                found["metadata.annotations"] = "update"
                replaced |= {"metadata.annotations"}
            before, after = objects.metadata(olds), objects.metadata(news)
            same_name = all(before.get(part) == after.get(part) for part in ("name", "namespace"))
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
                deleteBeforeReplace=bool(replaced) and same_name and annotation(news, AUTONAMED) != "true",
                detailedDiff=detailed,
                hasDetailedDiff=True,
            )

        return self._answer(context, work)

    def _without_assumed_namespace(self, obj: Object) -> Object:
        metadata = obj.get("metadata")
        if not isinstance(metadata, dict) or "namespace" not in metadata or is_unknown(obj.get("apiVersion")):
            return obj
        try:
            if self._cluster.kind(obj["apiVersion"], obj["kind"]).namespaced:
                return obj
        except ClusterError:
            return obj
        return obj | {"metadata": {name: value for name, value in metadata.items() if name != "namespace"}}

    def _is_to_be_run_again(self, news: Object) -> bool:
        """Whether it is a Job that has not succeeded and says that it is to be made anew then."""
        if annotation(news, _REPLACE_UNREADY) != "true" or objects.key(news) != "batch/v1/Job" or is_unknown(news):
            return False
        try:
            live = self._live(news)
        except ClusterError:
            return False
        return live is not None and not awaiting.is_ready(self._cluster, live)[0]

    def _differing(self, olds: Object, news: Object, state: Object, manager: str, ignored: Any) -> dict[str, str]:
        """What differs as the API server says; by the inputs alone where it can't be asked."""
        by_inputs = dict(objects.changes(olds, news))
        asked = [path for path in by_inputs if not objects.under(path, ignored)]
        if any(objects.forces_new(news, path, self._cluster.settings) for path in asked) or is_unknown(news):
            return by_inputs
        try:
            live = self._live(news)
            if live is None:
                return by_inputs
            body = objects.leave_ignored(_body(news), live, manager, ignored)
            planned = self._cluster.apply(body, manager, dry_run=True, force=True)
        except ClusterError as error:
            if isinstance(error, Unreachable) or error.lacks_permission or error.reason == NO_KIND:
                return by_inputs
            if error.status in (404, 422):
                return by_inputs
            raise
        return dict(objects.changes(objects.clean(live), objects.clean(planned)))

    def Create(self, request: Any, context: grpc.ServicerContext) -> Any:
        def work() -> Any:
            inputs = decode(request.properties)
            manager = _manager(request.urn, {}, inputs)
            if request.preview:
                return provider_pb2.CreateResponse(properties=encode(self._planned_new(inputs, manager)))
            made = self._made(inputs, manager)
            try:
                live = awaiting.ready(self._cluster, made, request.timeout or None, self._cancelled)
            except (NotReady, ClusterError) as error:
                self._not_settled(context, request, made, inputs, manager, error, "creating")
            return provider_pb2.CreateResponse(id=_identifier(live), properties=encode(_state(live, inputs, manager)))

        return self._answer(context, work)

    def _planned_new(self, inputs: Object, manager: str) -> Object:
        """What the API server would make of it; the inputs where that can't be known yet."""
        if is_unknown(inputs):
            return _hidden(inputs)
        body = _body(inputs)
        try:
            if _is_forced(inputs, self._cluster.settings) or self._cluster.settings.upsert:
                planned = self._cluster.apply(body, manager, dry_run=True, force=True)
            else:
                planned = self._cluster.planned(body, manager)
        except ClusterError as error:
            # One that exists is replaced, or else refused when it is made.
            if not self._goes_by_inputs(error, inputs) and error.reason != "AlreadyExists":
                raise
            return _hidden(inputs)
        return _state(_without_status(planned), inputs, manager)

    def _goes_by_inputs(self, error: ClusterError, inputs: Object) -> bool:
        """Whether a preview goes on without the API server's answer."""
        # A definition may come in the same update; whether it does is not known here.
        if isinstance(error, Unreachable) or error.lacks_permission or error.reason == NO_KIND:
            self._log.warn(f"{self._explained(error, inputs)}; the preview goes by the inputs alone")
        # 404: its namespace comes in the same update.
        return (
            isinstance(error, Unreachable) or error.lacks_permission or error.reason == NO_KIND or error.status == 404
        )

    def _made(self, inputs: Object, manager: str) -> Object:
        body, settings = _body(inputs), self._cluster.settings
        for pause in (*_MISORDERED_PAUSES, None):
            try:
                existing = None if settings.upsert else self._live(inputs)
                if existing is not None and not _is_managed(existing, manager):
                    raise _exists(existing)
                return self._cluster.apply(body, manager, dry_run=False, force=_is_forced(inputs, settings))
            except ClusterError as error:
                if error.reason != NO_KIND and error.status != 404:
                    raise self._explained(error, inputs) from error
                if pause is None or self._cancelled.wait(pause):
                    raise
        raise AssertionError("the last pause is None")

    def _explained(self, error: ClusterError, inputs: Object) -> ClusterError:
        """The error with what its reader needs: every verb that is missing, or how a conflict is decided."""
        if not error.lacks_permission:
            return _conflict_explained(error)
        namespace = objects.metadata(inputs).get("namespace", "")
        try:
            missing = self._cluster.missing_verbs(inputs["apiVersion"], inputs["kind"], namespace)
        except ClusterError:
            return error
        text = f"{error}; of what {inputs['kind']} objects take here this user lacks: {', '.join(missing)}"
        return ClusterError(text, error.status, error.reason)

    def Update(self, request: Any, context: grpc.ServicerContext) -> Any:
        def work() -> Any:
            state, inputs = decode(request.olds), decode(request.news)
            manager = _manager(request.urn, state, inputs)
            if request.preview and is_unknown(inputs):
                return provider_pb2.UpdateResponse(properties=encode(_hidden(inputs)))
            try:
                made = self._updated(inputs, manager, request)
            except ClusterError as error:
                if request.preview and self._goes_by_inputs(error, inputs):
                    return provider_pb2.UpdateResponse(properties=encode(_hidden(inputs)))
                raise self._explained(error, inputs) from error
            if request.preview:
                made = _without_status(made)
                return provider_pb2.UpdateResponse(properties=encode(_state(made, inputs, manager)))
            try:
                live = awaiting.ready(self._cluster, made, request.timeout or None, self._cancelled)
            except (NotReady, ClusterError) as error:
                self._not_settled(context, request, made, inputs, manager, error, "updating")
            return provider_pb2.UpdateResponse(properties=encode(_state(live, inputs, manager)))

        return self._answer(context, work)

    def _updated(self, inputs: Object, manager: str, request: Any) -> Object:
        body = _body(inputs)
        if request.ignoreChanges:
            live = self._live(inputs)
            body = body if live is None else objects.leave_ignored(body, live, manager, request.ignoreChanges)
        forced = _is_forced(inputs, self._cluster.settings)
        return self._cluster.apply(body, manager, dry_run=request.preview, force=forced)

    def _not_settled(
        self, context: Any, request: Any, made: Object, inputs: Object, manager: str, error: Exception, doing: str
    ) -> NoReturn:
        reasons = error.reasons if isinstance(error, NotReady) else (str(error),)
        live = error.live if isinstance(error, NotReady) else made
        first = (
            f"{doing} {request.urn}: the Kubernetes API server reported that {json.dumps(_identifier(live))} failed to "
            f"fully initialize or become live: {reasons[0]}"
        )
        text = "\n".join([first, *(f"  {reason}" for reason in reasons[1:])])
        init_failed(context, _identifier(live), _state(live, inputs, manager), text)
        raise AssertionError("init_failed ends the call")

    def Read(self, request: Any, context: grpc.ServicerContext) -> Any:
        def work() -> Any:
            state, inputs = decode(request.properties), decode(request.inputs)
            inputs = inputs or state.get(INPUTS) or {}
            api_version, kind = inputs.get("apiVersion") or state.get("apiVersion"), inputs.get("kind")
            if not api_version or not kind:
                api_version, kind = _kind_of(request.urn)
            namespace, _, name = request.id.rpartition("/")
            try:
                live = self._cluster.get(api_version, kind, namespace, name)
            except Unreachable as error:
                return self._given_up(error, provider_pb2.ReadResponse())
            except ClusterError as error:
                if error.reason != NO_KIND:  # with its definition all objects of a kind are gone
                    raise
                live = None
            if live is None:
                return provider_pb2.ReadResponse()
            now = _as_written(inputs, objects.project(inputs, live), live) if inputs else objects.clean(live)
            manager = _manager(request.urn, state, now)
            known = _state(live, now, manager)
            done, failure = awaiting.is_ready(self._cluster, live) if inputs else (True, "")
            if not done:
                why = awaiting.why_not(self._cluster, live, failure)
                init_failed(context, request.id, known, *why.reasons, inputs=_hidden(now))
            return provider_pb2.ReadResponse(
                id=_identifier(live), properties=encode(known), inputs=encode(_hidden(now))
            )

        return self._answer(context, work)

    def Delete(self, request: Any, context: grpc.ServicerContext) -> Any:
        def work() -> Any:
            state = decode(request.properties)
            inputs = state.get(INPUTS) or state
            namespace, _, name = request.id.rpartition("/")
            metadata = {
                "name": name,
                "namespace": namespace,
                "uid": objects.metadata(state).get("uid"),
                "annotations": objects.metadata(inputs).get("annotations"),
            }
            obj = {"apiVersion": inputs["apiVersion"], "kind": inputs["kind"], "metadata": metadata}
            propagation = annotation(obj, _PROPAGATION).capitalize()
            propagation = propagation if propagation in ("Orphan", "Background") else "Foreground"
            try:
                self._cluster.delete(obj["apiVersion"], obj["kind"], namespace, name, propagation)
                awaiting.gone(self._cluster, obj, request.timeout or None, self._cancelled)
            except Unreachable as error:
                return self._given_up(error, empty_pb2.Empty())
            except ClusterError as error:
                if error.reason != NO_KIND:
                    raise
            return empty_pb2.Empty()

        return self._answer(context, work)

    def _given_up(self, error: Unreachable, nothing: Any) -> Any:
        """What is answered for an object of a cluster that is gone, if the user gives it up."""
        if self._cluster.settings.delete_unreachable:
            return nothing
        raise Unreachable(
            f"{error}. If the cluster was deleted, rerun with PULUMI_K8S_DELETE_UNREACHABLE=true: what was in it is "
            "then removed from the state"
        ) from error

    def _live(self, obj: Object) -> Object | None:
        metadata = obj["metadata"]
        return self._cluster.get(obj["apiVersion"], obj["kind"], metadata.get("namespace", ""), metadata["name"])

    def _answer(self, context: grpc.ServicerContext, work: Any) -> Any:
        return answer(context, work, "sandbox's Kubernetes", ClusterError, Refused)


# The parts of the above


def _failures(urn: str, news: Object) -> list[Any]:
    failures = {name: f"an object needs its {name}" for name in ("apiVersion", "kind") if not news.get(name)}
    token = urn.split("::", 3)[2].split("$")[-1]
    if token.endswith("Patch") and not str(news.get("kind")).endswith("Patch"):
        failures["kind"] = f"the sandbox's Kubernetes provider has no Patch resources, so not {token}"
    metadata = news.get("metadata")
    if isinstance(metadata, dict) and metadata.get("generateName") and not metadata.get("name"):
        failures["metadata.generateName"] = (
            "is not supported with server-side apply: leave it out for a name that is made here, or give metadata.name"
        )
    try:
        if awaited := annotation(news, awaiting.WAIT_FOR):
            awaiting.parse_awaited(awaited)
    except ValueError as error:
        failures[f'metadata.annotations["{awaiting.WAIT_FOR}"]'] = str(error)
    return [provider_pb2.CheckFailure(property=name, reason=reason) for name, reason in failures.items()]


def _named(news: Object, olds: Object, request: Any, failures: list[Any]) -> Object:
    """The metadata with a name, which is made and marked as made here where the program gives none."""
    metadata = dict(news.get("metadata") or {})
    if metadata.get("name"):
        return metadata
    if annotation(olds, AUTONAMED) == "true":
        metadata["name"] = olds["metadata"]["name"]
    elif request.HasField("autonaming") and request.autonaming.mode == request.autonaming.DISABLE:
        reason = "autonaming is disabled, resource requires the .metadata.name field to be set"
        failures.append(provider_pb2.CheckFailure(property="metadata.name", reason=reason))
    elif request.HasField("autonaming") and request.autonaming.proposed_name:
        metadata["name"] = request.autonaming.proposed_name
    else:
        name = request.urn.split("::", 3)[3]
        metadata["name"] = f"{name}-{hashlib.sha256(bytes(request.randomSeed)).hexdigest()[:8]}"
    if metadata.get("annotations") is not UNKNOWN:
        metadata["annotations"] = {**(metadata.get("annotations") or {}), AUTONAMED: "true"}
    return metadata


def _other_cluster(old: Object, new: Object) -> tuple[str, ...]:
    """The settings whose change means another cluster."""
    if old.get("clusterIdentifier") != new.get("clusterIdentifier"):
        return ("clusterIdentifier",)
    if new.get("clusterIdentifier"):
        return ()
    which = ("kubeconfig", "context")
    if any(new.get(name) is UNKNOWN for name in which):
        return which
    before, after = Settings.parse(old).active()[1], Settings.parse(new).active()[1]
    return which if before and after and before != after else ()


def _body(inputs: Object) -> Object:
    return {name: value for name, value in inputs.items() if not name.startswith("__") and name != "status"}


def _without_status(planned: Object) -> Object:
    return {name: value for name, value in planned.items() if name != "status"}


def _state(live: Object, inputs: Object, manager: str) -> Object:
    """What the engine keeps; what a Secret holds is secret whoever wrote it."""
    metadata = {name: value for name, value in live["metadata"].items() if name != "managedFields"}
    if annotations := (objects.clean(live)["metadata"].get("annotations") if _is_secret(live) else None):
        metadata["annotations"] = annotations
    state = _hidden({**live, "metadata": metadata})
    return state | {INPUTS: _hidden(inputs), MANAGER: manager}


def _hidden(obj: Object) -> Object:
    if not _is_secret(obj):
        return obj
    return obj | {name: secret(obj[name]) for name in ("data", "stringData") if obj.get(name)}


def _is_secret(obj: Object) -> bool:
    return objects.key(obj) == "v1/Secret"


def _as_written(inputs: Object, now: Object, live: Object) -> Object:
    """A Secret's inputs as they are now: what was written as text is kept as data by the API server."""
    written = inputs.get("stringData")
    if not _is_secret(now) or not isinstance(written, dict):
        return now
    data = live.get("data") or {}
    texts = {name: base64.b64decode(data[name]).decode(errors="replace") for name in written if name in data}
    return now | {"stringData": texts}


def _manager(urn: str, state: Object, inputs: Object) -> str:
    given = annotation(inputs, _FIELD_MANAGER)
    return given or str(state.get(MANAGER) or f"pulumi-kubernetes-{hashlib.sha256(urn.encode()).hexdigest()[:8]}")


def _is_forced(inputs: Object, settings: Settings) -> bool:
    return settings.patch_force or annotation(inputs, _FORCE) == "true"


def _is_managed(live: Object, manager: str) -> bool:
    entries = live["metadata"].get("managedFields") or []
    return any(entry.get("manager") == manager and entry.get("operation") == "Apply" for entry in entries)


def _exists(live: Object) -> ClusterError:
    return ClusterError(
        f"{live['kind']} {_identifier(live)} already exists in the cluster, and this stack did not make it: "
        "for a resource that got another name in the program, give it an alias; to take the object over, "
        "`pulumi import` it, or set upsertExistingObjects on the provider; or choose another name",
        409,
        "AlreadyExists",
    )


def _conflict_explained(error: ClusterError) -> ClusterError:
    if error.status != 409 or error.reason != "Conflict":
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


def _root(path: str) -> str:
    return path.split(".", 1)[0].split("[", 1)[0]
