"""The provider's gRPC service: what the engine asks, answered as the official plugin answers it."""

from __future__ import annotations

import copy
import json
import threading
import time
from typing import Any

import grpc
from google.protobuf import empty_pb2
from modelberth_provider import plugin
from modelberth_provider.plugin import answer, init_failed
from modelberth_provider.stubs import plugin_pb2, provider_pb2, provider_pb2_grpc
from modelberth_provider.wire import UNKNOWN, decode, encode, is_unknown

from sandbox.providers.aws import compare, schema
from sandbox.providers.aws.check import DEFAULTS, Failure, auto_name, check_object
from sandbox.providers.aws.cloud import Call, Cancelled, Cloud, CloudError, CreateFailed, Settings
from sandbox.providers.aws.resource import Change, Resource, Values

VERSION = "7.51.1"
"""The official version whose behaviour this follows: the engine sees it as the plugin's version."""


class Refused(Exception):
    """A request that cannot be served; the text is for people."""


class AwsProvider(provider_pb2_grpc.ResourceProviderServicer):
    """One provider of one engine's run."""

    def __init__(self) -> None:
        self._cancelled = threading.Event()
        self._cloud = Cloud(Settings.parse({}), self._cancelled)

    # The provider itself

    def Handshake(self, request: Any, context: grpc.ServicerContext) -> Any:
        return provider_pb2.ProviderHandshakeResponse(supports_autonaming_configuration=True)

    def GetPluginInfo(self, request: Any, context: grpc.ServicerContext) -> Any:
        return plugin_pb2.PluginInfo(version=VERSION)

    def GetSchema(self, request: Any, context: grpc.ServicerContext) -> Any:
        return provider_pb2.GetSchemaResponse(schema=json.dumps({"name": "aws", "version": VERSION}))

    def Attach(self, request: Any, context: grpc.ServicerContext) -> Any:
        return empty_pb2.Empty()

    def Cancel(self, request: Any, context: grpc.ServicerContext) -> Any:
        self._cancelled.set()
        return empty_pb2.Empty()

    def CheckConfig(self, request: Any, context: grpc.ServicerContext) -> Any:
        news = decode(request.news)
        failures = [Failure(f.path, f.reason) for f in _check_config(news)]
        if not failures and not is_unknown(news):
            failures = self._check_access(Settings.parse(news))
        return provider_pb2.CheckResponse(inputs=request.news, failures=_failures(failures))

    def _check_access(self, settings: Settings) -> list[Failure]:
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
            Call(Cloud(settings, self._cancelled), "sts", "credentials").do("get_caller_identity")
        except CloudError as error:
            return [Failure("", f"unable to validate AWS credentials: {error}")]
        return []

    def DiffConfig(self, request: Any, context: grpc.ServicerContext) -> Any:
        old = decode(request.old_inputs) or decode(request.olds)
        new = decode(request.news)
        names = [n for n in sorted(old.keys() | new.keys()) if not n.startswith("__") and n != "version"]
        changed = [name for name in names if not compare.same(old.get(name), new.get(name))]
        some = provider_pb2.DiffResponse.DIFF_SOME if changed else provider_pb2.DiffResponse.DIFF_NONE
        return provider_pb2.DiffResponse(changes=some, diffs=changed)

    def Configure(self, request: Any, context: grpc.ServicerContext) -> Any:
        values = decode(request.args) or {key.rsplit(":", 1)[-1]: value for key, value in request.variables.items()}
        self._cloud = Cloud(Settings.parse(values), self._cancelled)
        return provider_pb2.ConfigureResponse(
            supportsPreview=True, acceptSecrets=False, supports_autonaming_configuration=True
        )

    def Invoke(self, request: Any, context: grpc.ServicerContext) -> Any:
        from sandbox.providers.aws import functions

        def work() -> Any:
            arguments = decode(request.args)
            problems = _check_arguments(request.tok, arguments)
            if problems:
                return provider_pb2.InvokeResponse(failures=_failures(problems))
            function = functions.FUNCTIONS.get(request.tok)
            if function is None:
                known = ", ".join(sorted(functions.FUNCTIONS))
                raise Refused(f"the sandbox's AWS provider does not have the function {request.tok}; it has {known}")
            if is_unknown(arguments):
                return provider_pb2.InvokeResponse()
            return provider_pb2.InvokeResponse(**{"return": encode(function(self._cloud, arguments))})

        return answer(context, work, "sandbox's AWS", CloudError, Refused, Cancelled)

    # Resources

    def Check(self, request: Any, context: grpc.ServicerContext) -> Any:
        def work() -> Any:
            rules, name = _lookup(request.urn)
            olds, news = decode(request.olds), decode(request.news)
            inputs, failures = check(rules, name, olds, news, request.randomSeed, _autonaming(request))
            return provider_pb2.CheckResponse(inputs=encode(inputs), failures=_failures(failures))

        return answer(context, work, "sandbox's AWS", CloudError, Refused, Cancelled)

    def Diff(self, request: Any, context: grpc.ServicerContext) -> Any:
        def work() -> Any:
            rules, _ = _lookup(request.urn)
            state, news = decode(request.olds), decode(request.news)
            olds = decode(request.old_inputs) or state
            return self._diff(rules, olds, state, news, set(request.ignoreChanges))

        return answer(context, work, "sandbox's AWS", CloudError, Refused, Cancelled)

    def _diff(self, rules: Resource, olds: Values, state: Values, news: Values, ignored: set[str]) -> Any:
        changes = differences(rules, olds, news)
        changes |= self._region_change(rules, state, news)
        tags = self._tags_all(rules, news)
        old_tags = state.get("tagsAll") or {}
        tags_told = any(_root(path) == "tags" for path in changes)
        if tags is not None and not tags_told and not compare.same(old_tags, tags):
            changes["tagsAll"] = "update"
        changes = {path: kind for path, kind in changes.items() if _root(path) not in ignored}
        replaced = {path for path in changes if rules.forces_new(_root(path))}
        replaced |= _presence_changes(rules, olds, news) & {_root(path) for path in changes}
        detailed = {
            path: provider_pb2.PropertyDiff(
                kind=_kind(kind, path in replaced or _root(path) in replaced),
                inputDiff=path != "tagsAll",
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

    def _region_change(self, rules: Resource, state: Values, news: Values) -> dict[str, str]:
        region = news.get("region") or self._cloud.settings.region
        if rules.regional and state.get("region") and region and state["region"] != region:
            return {"region": "update"}
        return {}

    def Create(self, request: Any, context: grpc.ServicerContext) -> Any:
        def work() -> Any:
            rules, name = _lookup(request.urn)
            inputs = decode(request.properties)
            if request.preview:
                return provider_pb2.CreateResponse(properties=encode(self._planned(rules, inputs)))
            values = self._effective(rules, inputs)
            named = rules.auto_name
            if named and not values.get(named.property):
                prefix = values.get(f"{named.property}Prefix") or "terraform-"
                values[named.property] = f"{prefix}{time.strftime('%Y%m%d%H%M%S')}{time.time_ns() % 10**12:012d}"
            call = self._call(rules, values.get(named.property) if named else name, inputs)
            call.timeout_seconds = request.timeout or None
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
                return init_failed(context, identifier, self._merge(rules, values, {}, call), str(error))
            return provider_pb2.CreateResponse(id=identifier, properties=encode(state))

        return answer(context, work, "sandbox's AWS", CloudError, Refused, Cancelled)

    def Read(self, request: Any, context: grpc.ServicerContext) -> Any:
        def work() -> Any:
            rules, _ = _lookup(request.urn)
            state, inputs = decode(request.properties), decode(request.inputs)
            call = self._call(rules, request.id, state)
            actual = rules.read(call, request.id, state)
            if actual is None:
                return provider_pb2.ReadResponse()
            identifier = actual.pop("id", None) or request.id
            after = self._merge(rules, state, actual, call)
            if inputs:
                inputs = _refreshed(rules, inputs, after)
            else:
                inputs = _imported(rules, after, self._cloud.settings.region)
            return provider_pb2.ReadResponse(id=identifier, properties=encode(after), inputs=encode(inputs))

        return answer(context, work, "sandbox's AWS", CloudError, Refused, Cancelled)

    def Update(self, request: Any, context: grpc.ServicerContext) -> Any:
        def work() -> Any:
            rules, _ = _lookup(request.urn)
            state, news = decode(request.olds), decode(request.news)
            olds = decode(request.old_inputs) or state
            changed = frozenset(_root(path) for path in differences(rules, olds, news))
            kept = {key: value for key, value in state.items() if not (key in olds and key not in news)}
            values = kept | self._effective(rules, news)
            if "tags" not in news:
                values.pop("tags", None)
            if request.preview:
                for name in changed:
                    values |= dict.fromkeys(rules.recomputed.get(name, ()), UNKNOWN)
                return provider_pb2.UpdateResponse(properties=encode(values))
            call = self._call(rules, request.id, values)
            call.timeout_seconds = request.timeout or None
            if not compare.same(state.get("tagsAll") or {}, values.get("tagsAll") or {}):
                changed |= {"tagsAll"}
            try:
                if rules.update is not None:
                    rules.update(call, request.id, Change(state, values, changed))
            except CreateFailed as failed:
                reason = f"updating {request.urn}: {failed}"
                return init_failed(context, request.id, self._state_or(call, rules, request.id, values), reason)
            return provider_pb2.UpdateResponse(properties=encode(self._read_back(call, rules, request.id, values)))

        return answer(context, work, "sandbox's AWS", CloudError, Refused, Cancelled)

    def Delete(self, request: Any, context: grpc.ServicerContext) -> Any:
        def work() -> Any:
            rules, _ = _lookup(request.urn)
            state = decode(request.properties)
            call = self._call(rules, request.id, state)
            call.timeout_seconds = request.timeout or None
            rules.delete(call, request.id, state)
            return empty_pb2.Empty()

        return answer(context, work, "sandbox's AWS", CloudError, Refused, Cancelled)

    # Parts of the above

    def _call(self, rules: Resource, thing: Any, values: Values) -> Call:
        kind = rules.token.rsplit(":", 1)[-1]
        region = values.get("region") if rules.regional else ""
        return Call(self._cloud, rules.service, f"{kind} ({thing})", str(region or ""))

    def _tags_all(self, rules: Resource, inputs: Values) -> Any:
        """The tags with the provider's default ones, None for a resource without tags."""
        if "tagsAll" not in schema.resource(rules.token).outputs:
            return None
        tags = inputs.get("tags") or {}
        if tags is UNKNOWN:
            return UNKNOWN
        override = ((inputs.get("overrideProvider") or {}).get("defaultTags") or {}).get("tags")
        defaults = self._cloud.settings.default_tags if override is None else {}
        return {key: value for key, value in (defaults | tags).items()}

    def _effective(self, rules: Resource, inputs: Values) -> Values:
        """The inputs with what the provider adds: Terraform's defaults, the region, all tags."""
        values = copy.deepcopy(rules.defaults) | {k: v for k, v in inputs.items() if not k.startswith("__")}
        if rules.regional:
            values.setdefault("region", self._cloud.settings.region)
        tags = self._tags_all(rules, inputs)
        return values if tags is None else values | {"tagsAll": tags}

    def _planned(self, rules: Resource, inputs: Values) -> Values:
        known = self._effective(rules, inputs)
        published = schema.resource(rules.token)
        unknown = (published.outputs - published.inputs.keys()) | rules.computed
        return dict.fromkeys(unknown - {"urn", "id"}, UNKNOWN) | known

    def _read_back(self, call: Call, rules: Resource, identifier: str, values: Values) -> Values:
        """The state after a change. What was made may take a moment to be seen."""
        for attempt in range(20):
            actual = rules.read(call, identifier, values)
            if actual is not None:
                actual.pop("id", None)
                return self._merge(rules, values, actual, call)
            call.wait(0.1 * (attempt + 1))
        raise CloudError(f"reading {call.thing}: it was made, but cannot be found")

    def _state_or(self, call: Call, rules: Resource, identifier: str, values: Values) -> Values:
        try:
            actual = rules.read(call, identifier, values)
        except CloudError:
            actual = None
        return self._merge(rules, values, actual or {}, call)

    def _merge(self, rules: Resource, before: Values, actual: Values, call: Call) -> Values:
        """The state: what AWS tells over what was asked for, tags without the provider's defaults."""
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
        if "tagsAll" in actual:
            seen = {k: v for k, v in (actual["tagsAll"] or {}).items() if not self._cloud.settings.ignores(k)}
            state["tagsAll"] = seen
            defaults, asked = self._cloud.settings.default_tags, before.get("tags") or {}
            tags = {k: v for k, v in seen.items() if k in asked or defaults.get(k) != v}
            if tags or "tags" in state:
                state["tags"] = tags
        if rules.regional:
            state["region"] = call.region
        return state


def check(
    rules: Resource, name: str, olds: Values, news: Values, seed: bytes, autonaming: tuple[str, int] | None
) -> tuple[Values, list[Failure]]:
    """The inputs with names and types settled, and everything that is wrong with them."""
    failures: list[Failure] = []
    inputs = check_object(news, schema.resource(rules.token).inputs, "", failures)
    for unsupported in sorted(rules.unsupported & inputs.keys()):
        failures.append(
            Failure(unsupported, f"the sandbox's AWS provider does not carry out {rules.token}'s {unsupported}")
        )
    if rules.verify is not None:
        failures += [Failure(path, reason) for path, reason in rules.verify(inputs)]
    defaults: list[str] = []
    rule = rules.auto_name
    if rule and rule.property not in inputs and f"{rule.property}Prefix" not in inputs:
        if rule.property in (olds.get(DEFAULTS) or []) and olds.get(rule.property):
            inputs[rule.property] = olds[rule.property]
            defaults.append(rule.property)
        elif autonaming and autonaming[1] == provider_pb2.CheckRequest.AutonamingOptions.DISABLE:
            failures.append(Failure(rule.property, "automatic naming is disabled but no explicit name was provided"))
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


def differences(rules: Resource, olds: Values, news: Values) -> dict[str, str]:
    """The paths that differ between two sets of inputs, and how."""
    changes: dict[str, str] = {}
    published = schema.resource(rules.token).inputs
    for name in sorted(olds.keys() | news.keys()):
        if name.startswith("__") or name not in published or name == "region":
            continue
        old, new = olds.get(name), news.get(name)
        if _same_text(rules, name, old, new) or (name in rules.sets and compare.same_unordered(old, new)):
            continue
        # Taking away a setting that AWS fills in, or that was the default, changes nothing.
        if new is None and (name in rules.computed or compare.same(old, rules.defaults.get(name)) or not old):
            continue
        if old is None and ((not new and new is not UNKNOWN) or compare.same(rules.defaults.get(name), new)):
            continue
        changes |= compare.leaves(old, new, name)
    return changes


def _same_text(rules: Resource, name: str, old: Any, new: Any) -> bool:
    if not isinstance(old, str) or not isinstance(new, str):
        return False
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


def _imported(rules: Resource, state: Values, region: str) -> Values:
    published = schema.resource(rules.token).inputs
    inputs = {
        name: value
        for name, value in state.items()
        if name in published and value not in (None, {}, []) and not compare.same(rules.defaults.get(name), value)
    }
    if inputs.get("region") == region:
        inputs.pop("region")
    if rules.auto_name:
        inputs.pop(f"{rules.auto_name.property}Prefix", None)
    return inputs | {DEFAULTS: []}


def _check_config(news: Values) -> list[Failure]:
    failures: list[Failure] = []
    plain = {k: v for k, v in news.items() if k not in ("version", "pluginDownloadURL") and not k.startswith("__")}
    for name, value in plain.items():
        declared = schema.provider_properties().get(name)
        if declared is None:
            check_object({name: value}, schema.provider_properties(), "", failures)
        elif name in ("endpoints", "defaultTags"):
            from sandbox.providers.aws.cloud import parsed

            check_object({name: parsed(value)}, {name: declared}, "", failures)
    return failures


def _check_arguments(token: str, arguments: Values) -> list[Failure]:
    try:
        known = schema.function(token)
    except schema.UnknownToken:
        raise Refused(f"there is no function {token} in the AWS SDK") from None
    return [
        Failure(name, f'unknown argument "{name}"; known are {", ".join(sorted(known))}')
        for name in arguments
        if name not in known
    ]


def _autonaming(request: Any) -> tuple[str, int] | None:
    if not request.HasField("autonaming"):
        return None
    return request.autonaming.proposed_name, request.autonaming.mode


def _lookup(urn: str) -> tuple[Resource, str]:
    """A resource's rules and logical name, from its URN."""
    from sandbox.providers.aws.resources import RESOURCES

    parts = urn.split("::", 3)
    token = parts[2].split("$")[-1]
    rules = RESOURCES.get(token)
    if rules is None:
        known = ", ".join(sorted(RESOURCES))
        raise Refused(f"the sandbox's AWS provider does not have the resource {token}; it has {known}")
    return rules, parts[3]


def _root(path: str) -> str:
    return path.split(".", 1)[0].split("[", 1)[0]


def _kind(kind: str, replace: bool) -> int:
    names = {"add": "ADD", "delete": "DELETE", "update": "UPDATE"}
    return getattr(provider_pb2.PropertyDiff, names[kind] + ("_REPLACE" if replace else ""))


def _failures(failures: list[Failure]) -> list[Any]:
    return [provider_pb2.CheckFailure(property=item.path, reason=item.reason) for item in failures]


def serve() -> int:
    """Serve one engine until it stops this process."""
    return plugin.serve(AwsProvider(), "The sandbox's AWS provider plugin (gRPC).")
