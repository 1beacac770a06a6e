"""The gRPC service that the stand-ins share: the engine's requests, answered as the official plugins answer them.

The official AWS and Google Cloud plugins are both made of a Terraform provider by Pulumi's bridge, so that their
inputs, names, differences and previews follow the same rules. What is particular to a cloud is left to its provider.
"""

from __future__ import annotations

import copy
import json
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import grpc
from google.protobuf import empty_pb2
from modelberth_provider import plugin
from modelberth_provider.plugin import init_failed
from modelberth_provider.stubs import plugin_pb2, provider_pb2, provider_pb2_grpc
from modelberth_provider.wire import UNKNOWN, decode, encode, is_unknown

from sandbox.providers import compare, schema
from sandbox.providers.check import DEFAULTS, Failure, auto_name, check_object, parsed
from sandbox.providers.resource import Call, Cancelled, Change, CloudError, CreateFailed, Resource, Values


class Refused(Exception):
    """A request that cannot be served; the text is for people."""


class BridgedProvider(provider_pb2_grpc.ResourceProviderServicer, ABC):
    """One provider of one engine's run."""

    package: ClassVar[str]
    """The first part of its tokens."""
    title: ClassVar[str]
    """What people call its cloud."""
    version: ClassVar[str]
    """The official version whose behaviour this follows: the engine sees it as the plugin's version."""
    told_by: ClassVar[Mapping[str, str]]
    """Outputs that follow from an input and the provider's configuration, such as all tags, by the input."""

    def __init__(self) -> None:
        self.cancelled = threading.Event()

    # What a cloud's provider says

    @abstractmethod
    def resources(self) -> Mapping[str, Resource]:
        """The resources by token."""

    @abstractmethod
    def functions(self) -> Mapping[str, Callable[[Values], Values]]:
        """The functions (data sources) by token."""

    @abstractmethod
    def configure(self, values: Values) -> None:
        """Take the configuration."""

    @abstractmethod
    def check_access(self, values: Values) -> list[Failure]:
        """What is wrong with a configuration whose types are right."""

    @abstractmethod
    def call(self, rules: Resource, thing: Any, values: Values) -> Call:
        """How the cloud is reached for one resource."""

    @abstractmethod
    def located(self, rules: Resource, values: Values) -> Values:
        """Where a resource is, by its own properties or else by the provider's; elsewhere it is another one."""

    @abstractmethod
    def followed(self, rules: Resource, inputs: Values, state: Values) -> Values:
        """What the properties of `told_by` will be, for a resource that has them."""

    @abstractmethod
    def tell(self, rules: Resource, before: Values, state: Values) -> None:
        """Settle in the state what the program says of `told_by`'s inputs; `before` was asked for or known."""

    # The provider itself

    def Handshake(self, request: Any, context: grpc.ServicerContext) -> Any:
        return provider_pb2.ProviderHandshakeResponse(supports_autonaming_configuration=True)

    def GetPluginInfo(self, request: Any, context: grpc.ServicerContext) -> Any:
        return plugin_pb2.PluginInfo(version=self.version)

    def GetSchema(self, request: Any, context: grpc.ServicerContext) -> Any:
        return provider_pb2.GetSchemaResponse(schema=json.dumps({"name": self.package, "version": self.version}))

    def Attach(self, request: Any, context: grpc.ServicerContext) -> Any:
        return empty_pb2.Empty()

    def Cancel(self, request: Any, context: grpc.ServicerContext) -> Any:
        self.cancelled.set()
        return empty_pb2.Empty()

    def CheckConfig(self, request: Any, context: grpc.ServicerContext) -> Any:
        news = decode(request.news)
        failures = self._check_config(news)
        if not failures and not is_unknown(news):
            failures = self.check_access(news)
        return provider_pb2.CheckResponse(inputs=request.news, failures=_failures(failures))

    def _check_config(self, news: Values) -> list[Failure]:
        failures: list[Failure] = []
        known = schema.provider_properties(self.package)
        plain = {k: v for k, v in news.items() if k not in ("version", "pluginDownloadURL") and not k.startswith("__")}
        for name, value in plain.items():
            declared = known.get(name)
            if declared is None:
                check_object({name: value}, known, "", failures)
            elif declared.type.kind in ("list", "map", "object"):
                check_object({name: parsed(value)}, {name: declared}, "", failures)
        return failures

    def DiffConfig(self, request: Any, context: grpc.ServicerContext) -> Any:
        old = decode(request.old_inputs) or decode(request.olds)
        new = decode(request.news)
        names = [n for n in sorted(old.keys() | new.keys()) if not n.startswith("__") and n != "version"]
        changed = [name for name in names if not compare.same(old.get(name), new.get(name))]
        some = provider_pb2.DiffResponse.DIFF_SOME if changed else provider_pb2.DiffResponse.DIFF_NONE
        return provider_pb2.DiffResponse(changes=some, diffs=changed)

    def Configure(self, request: Any, context: grpc.ServicerContext) -> Any:
        variables = {key.rsplit(":", 1)[-1]: value for key, value in request.variables.items()}
        self.configure(decode(request.args) or variables)
        return provider_pb2.ConfigureResponse(
            supportsPreview=True, acceptSecrets=False, supports_autonaming_configuration=True
        )

    def Invoke(self, request: Any, context: grpc.ServicerContext) -> Any:
        def work() -> Any:
            arguments = decode(request.args)
            problems = self._check_arguments(request.tok, arguments)
            if problems:
                return provider_pb2.InvokeResponse(failures=_failures(problems))
            functions = self.functions()
            if request.tok not in functions:
                known = ", ".join(sorted(functions))
                raise Refused(
                    f"the sandbox's {self.title} provider does not have the function {request.tok}; it has {known}"
                )
            if is_unknown(arguments):
                return provider_pb2.InvokeResponse()
            return provider_pb2.InvokeResponse(**{"return": encode(functions[request.tok](arguments))})

        return self._answer(context, work)

    def _check_arguments(self, token: str, arguments: Values) -> list[Failure]:
        try:
            known = schema.function(token)
        except schema.UnknownToken:
            raise Refused(f"there is no function {token} in the {self.title} SDK") from None
        return [
            Failure(name, f'unknown argument "{name}"; known are {", ".join(sorted(known))}')
            for name in arguments
            if name not in known
        ]

    def _answer(self, context: grpc.ServicerContext, work: Callable[[], Any]) -> Any:
        return plugin.answer(context, work, f"sandbox's {self.title}", CloudError, Refused, Cancelled)

    # Resources

    def Check(self, request: Any, context: grpc.ServicerContext) -> Any:
        def work() -> Any:
            rules, name = self._lookup(request.urn)
            olds, news = decode(request.olds), decode(request.news)
            inputs, failures = self._check(rules, name, olds, news, request.randomSeed, _autonaming(request))
            return provider_pb2.CheckResponse(inputs=encode(inputs), failures=_failures(failures))

        return self._answer(context, work)

    def _check(
        self, rules: Resource, name: str, olds: Values, news: Values, seed: bytes, autonaming: tuple[str, int] | None
    ) -> tuple[Values, list[Failure]]:
        """The inputs with names and types settled, and everything that is wrong with them."""
        failures: list[Failure] = []
        inputs = check_object(news, schema.resource(rules.token).inputs, "", failures)
        for unsupported in sorted(rules.unsupported & inputs.keys()):
            reason = f"the sandbox's {self.title} provider does not carry out {rules.token}'s {unsupported}"
            failures.append(Failure(unsupported, reason))
        if rules.verify is not None:
            failures += [Failure(path, reason) for path, reason in rules.verify(inputs)]
        defaults: list[str] = []
        rule = rules.auto_name
        if rule and rule.property not in inputs and f"{rule.property}Prefix" not in inputs:
            if rule.property in (olds.get(DEFAULTS) or []) and olds.get(rule.property):
                inputs[rule.property] = olds[rule.property]
                defaults.append(rule.property)
            elif autonaming and autonaming[1] == provider_pb2.CheckRequest.AutonamingOptions.DISABLE:
                reason = "automatic naming is disabled but no explicit name was provided"
                failures.append(Failure(rule.property, reason))
            elif autonaming:
                inputs[rule.property] = autonaming[0]
                defaults.append(rule.property)
            else:
                try:
                    inputs[rule.property] = auto_name(rule, name, seed, inputs)
                    defaults.append(rule.property)
                except ValueError as error:
                    failures.append(Failure(rule.property, str(error)))
        return inputs | {DEFAULTS: defaults}, failures

    def Diff(self, request: Any, context: grpc.ServicerContext) -> Any:
        def work() -> Any:
            rules, _ = self._lookup(request.urn)
            state, news = decode(request.olds), decode(request.news)
            olds = decode(request.old_inputs) or state
            return self._diff(rules, olds, state, news, set(request.ignoreChanges))

        return self._answer(context, work)

    def _diff(self, rules: Resource, olds: Values, state: Values, news: Values, ignored: set[str]) -> Any:
        located = self.located(rules, news)
        changes = _differences(rules, olds, news, located.keys())
        told = {_root(path) for path in changes}
        for name, value in located.items():
            if state.get(name) and value and state[name] != value:
                changes[name] = "update"
        for name, value in self.followed(rules, news, state).items():
            if self.told_by[name] not in told and not compare.same(state.get(name) or {}, value):
                changes[name] = "update"
        changes = {path: kind for path, kind in changes.items() if _root(path) not in ignored}
        replaced = {path for path in changes if rules.forces_new(_root(path)) or _root(path) in located}
        replaced |= _presence_changes(rules, olds, news) & {_root(path) for path in changes}
        detailed = {
            path: provider_pb2.PropertyDiff(
                kind=_kind(kind, path in replaced or _root(path) in replaced),
                inputDiff=path not in self.told_by,
            )
            for path, kind in changes.items()
        }
        named = rules.auto_name
        explicit = named is not None and named.property in news and named.property not in (news.get(DEFAULTS) or [])
        some = provider_pb2.DiffResponse.DIFF_SOME if changes else provider_pb2.DiffResponse.DIFF_NONE
        return provider_pb2.DiffResponse(
            changes=some,
            replaces=sorted({_root(path) for path in replaced}),
            diffs=sorted({_root(path) for path in changes}),
            deleteBeforeReplace=bool(replaced) and explicit,
            detailedDiff=detailed,
            hasDetailedDiff=True,
        )

    def Create(self, request: Any, context: grpc.ServicerContext) -> Any:
        def work() -> Any:
            rules, name = self._lookup(request.urn)
            inputs = decode(request.properties)
            if request.preview:
                return provider_pb2.CreateResponse(properties=encode(self._planned(rules, inputs)))
            values = self._effective(rules, inputs, {})
            named = rules.auto_name
            if named and not values.get(named.property):
                prefix = values.get(f"{named.property}Prefix") or "terraform-"
                values[named.property] = f"{prefix}{time.strftime('%Y%m%d%H%M%S')}{time.time_ns() % 10**12:012d}"
            call = self._call(rules, values.get(named.property) if named else name, values, request.timeout)
            try:
                identifier = rules.create(call, values)
            except CreateFailed as failed:
                reason = f"creating {request.urn}: {failed}"
                state = self._state_or(call, rules, failed.identifier, values)
                return init_failed(context, failed.identifier, state, reason)
            try:
                state = self._read_back(call, rules, identifier, values)
            except CloudError as error:
                # It was made: a state that does not know of it would leave it behind.
                return init_failed(context, identifier, self._merge(rules, values, {}), str(error))
            return provider_pb2.CreateResponse(id=identifier, properties=encode(state))

        return self._answer(context, work)

    def Read(self, request: Any, context: grpc.ServicerContext) -> Any:
        def work() -> Any:
            rules, _ = self._lookup(request.urn)
            state, inputs = decode(request.properties), decode(request.inputs)
            call = self._call(rules, request.id, state)
            actual = rules.read(call, request.id, state)
            if actual is None:
                return provider_pb2.ReadResponse()
            identifier = actual.pop("id", None) or request.id
            after = self._merge(rules, state, actual)
            inputs = _refreshed(rules, inputs, after) if inputs else self._imported(rules, after)
            return provider_pb2.ReadResponse(id=identifier, properties=encode(after), inputs=encode(inputs))

        return self._answer(context, work)

    def Update(self, request: Any, context: grpc.ServicerContext) -> Any:
        def work() -> Any:
            rules, _ = self._lookup(request.urn)
            state, news = decode(request.olds), decode(request.news)
            olds = decode(request.old_inputs) or state
            located = self.located(rules, news)
            changed = frozenset(_root(path) for path in _differences(rules, olds, news, located.keys()))
            kept = {key: value for key, value in state.items() if not (key in olds and key not in news)}
            values = kept | self._effective(rules, news, state)
            for name in set(self.told_by.values()) - news.keys():
                values.pop(name, None)
            if request.preview:
                for name in changed:
                    values |= dict.fromkeys(rules.recomputed.get(name, ()), UNKNOWN)
                return provider_pb2.UpdateResponse(properties=encode(values))
            call = self._call(rules, request.id, values, request.timeout)
            for name in self.told_by:
                if not compare.same(state.get(name) or {}, values.get(name) or {}):
                    changed |= {name}
            try:
                if rules.update is not None:
                    rules.update(call, request.id, Change(state, values, changed))
            except CreateFailed as failed:
                reason = f"updating {request.urn}: {failed}"
                return init_failed(context, request.id, self._state_or(call, rules, request.id, values), reason)
            return provider_pb2.UpdateResponse(properties=encode(self._read_back(call, rules, request.id, values)))

        return self._answer(context, work)

    def Delete(self, request: Any, context: grpc.ServicerContext) -> Any:
        def work() -> Any:
            rules, _ = self._lookup(request.urn)
            state = decode(request.properties)
            rules.delete(self._call(rules, request.id, state, request.timeout), request.id, state)
            return empty_pb2.Empty()

        return self._answer(context, work)

    # Parts of the above

    def _lookup(self, urn: str) -> tuple[Resource, str]:
        """A resource's rules and logical name, from its URN."""
        parts = urn.split("::", 3)
        token = parts[2].split("$")[-1]
        resources = self.resources()
        if token not in resources:
            known = ", ".join(sorted(resources))
            raise Refused(f"the sandbox's {self.title} provider does not have the resource {token}; it has {known}")
        return resources[token], parts[3]

    def _call(self, rules: Resource, thing: Any, values: Values, timeout: float = 0) -> Call:
        call = self.call(rules, f"{rules.token.rsplit(':', 1)[-1]} ({thing})", values)
        call.timeout_seconds = timeout or None
        return call

    def _effective(self, rules: Resource, inputs: Values, state: Values) -> Values:
        """The inputs with what the provider adds: Terraform's defaults, the place, all tags or labels."""
        values = copy.deepcopy(rules.defaults) | {k: v for k, v in inputs.items() if not k.startswith("__")}
        for name, value in self.located(rules, inputs).items():
            if value:
                values.setdefault(name, value)
        return values | self.followed(rules, inputs, state)

    def _planned(self, rules: Resource, inputs: Values) -> Values:
        known = self._effective(rules, inputs, {})
        published = schema.resource(rules.token)
        unknown = (published.outputs - published.inputs.keys()) | rules.computed
        return dict.fromkeys(unknown - {"urn", "id"}, UNKNOWN) | known

    def _read_back(self, call: Call, rules: Resource, identifier: str, values: Values) -> Values:
        """The state after a change. What was made may take a moment to be seen."""
        for attempt in range(20):
            actual = rules.read(call, identifier, values)
            if actual is not None:
                actual.pop("id", None)
                return self._merge(rules, values, actual)
            call.wait(0.1 * (attempt + 1))
        raise CloudError(f"reading {call.thing}: it was made, but cannot be found")

    def _state_or(self, call: Call, rules: Resource, identifier: str, values: Values) -> Values:
        try:
            actual = rules.read(call, identifier, values)
        except CloudError:
            actual = None
        return self._merge(rules, values, actual or {})

    def _merge(self, rules: Resource, before: Values, actual: Values) -> Values:
        """The state: what the cloud tells over what was asked for, tags without the provider's defaults."""
        state = {key: value for key, value in before.items() if not key.startswith("__")}
        for name in rules.policies | rules.json:
            if _same_text(rules, name, state.get(name), actual.get(name)):
                actual[name] = state[name]
        for name in rules.sets:
            if name in state and compare.same_unordered(state[name], actual.get(name)):
                actual[name] = state[name]
        for name, value in actual.items():
            asked = state.get(name)
            if value is not None:
                state[name] = value
            elif asked:
                state.pop(name)
        self.tell(rules, before, state)
        for name, value in self.located(rules, before).items():
            if value:
                state.setdefault(name, value)
        return state

    def _imported(self, rules: Resource, state: Values) -> Values:
        """The inputs of a resource that only the cloud knew: those that say more than what is so anyway."""
        published = schema.resource(rules.token).inputs
        inputs = {
            name: value
            for name, value in state.items()
            if name in published and value not in (None, {}, []) and not compare.same(rules.defaults.get(name), value)
        }
        for name, value in self.located(rules, {}).items():
            if inputs.get(name) == value:
                inputs.pop(name)
        if rules.auto_name:
            inputs.pop(f"{rules.auto_name.property}Prefix", None)
        return inputs | {DEFAULTS: []}


def _differences(rules: Resource, olds: Values, news: Values, apart: Any) -> dict[str, str]:
    """The paths that differ between two sets of inputs, and how; those `apart` are left to others."""
    changes: dict[str, str] = {}
    published = schema.resource(rules.token).inputs
    for name in sorted(olds.keys() | news.keys()):
        if name.startswith("__") or name not in published or name in apart:
            continue
        old, new = olds.get(name), news.get(name)
        if _same_text(rules, name, old, new) or (name in rules.sets and compare.same_unordered(old, new)):
            continue
        # Taking away a setting that the cloud fills in, or that was the default, changes nothing.
        if new is None and (name in rules.computed or compare.same(old, rules.defaults.get(name)) or not old):
            continue
        if old is None and (_is_nothing(new, rules.defaults.get(name)) or compare.same(rules.defaults.get(name), new)):
            continue
        changes |= compare.leaves(old, new, name)
    return changes


def _is_nothing(value: Any, default: Any) -> bool:
    """Whether a value asks for what is so without it: false or empty, unless the default is something."""
    return not value and value is not UNKNOWN and not default


def _same_text(rules: Resource, name: str, old: Any, new: Any) -> bool:
    if not isinstance(old, str) or not isinstance(new, str):
        return False
    if name in rules.alike:
        return rules.alike[name](old, new)
    if name in rules.policies:
        return compare.canonical_policy(old) == compare.canonical_policy(new)
    return name in rules.json and compare.canonical_json(old) == compare.canonical_json(new)


def _presence_changes(rules: Resource, olds: Values, news: Values) -> set[str]:
    found: set[str] = set()
    for path in rules.force_new_presence:
        old, new = olds, news
        for step in path.split("."):
            old = (old or {}).get(step) if isinstance(old, dict) else None
            new = (new or {}).get(step) if isinstance(new, dict) else None
        if (old is None) != (new is None):
            found.add(_root(path))
    return found


def _refreshed(rules: Resource, inputs: Values, state: Values) -> Values:
    result: Values = {}
    published = schema.resource(rules.token).inputs
    for name, value in inputs.items():
        if name.startswith("__") or name not in published:
            result[name] = value
        elif name in state:
            same = _same_text(rules, name, value, state[name])
            result[name] = value if same else compare.project(value, state[name])
        elif not value:
            result[name] = value
    return result


def _autonaming(request: Any) -> tuple[str, int] | None:
    if not request.HasField("autonaming"):
        return None
    return request.autonaming.proposed_name, request.autonaming.mode


def _root(path: str) -> str:
    return path.split(".", 1)[0].split("[", 1)[0]


def _kind(kind: str, replace: bool) -> int:
    names = {"add": "ADD", "delete": "DELETE", "update": "UPDATE"}
    return getattr(provider_pb2.PropertyDiff, names[kind] + ("_REPLACE" if replace else ""))


def _failures(failures: list[Failure]) -> list[Any]:
    return [provider_pb2.CheckFailure(property=item.path, reason=item.reason) for item in failures]
