"""Resources as rows of a table: what is where in an API; making, reading, changing and deleting follow from it.

A row's templates name properties: `{name}` for one part of a path, `{+name}` for one that has slashes itself. Where a
row says nothing else, a resource is made by POST, changed by PATCH with an update mask, and deleted by DELETE, and
long-running operations are waited for. Source: Google's API improvement proposals 131 to 135, 151 and 161.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from urllib.parse import quote, unquote

from sandbox.providers import schema
from sandbox.providers.check import AutoName
from sandbox.providers.gcp import convert
from sandbox.providers.gcp.cloud import Call, Service
from sandbox.providers.resource import Alike, Change, CloudError, CreateFailed, Resource, Values

NAME = AutoName()
"""The name of most resources: the logical name and seven random digits."""


def fill(template: str, values: Mapping[str, Any]) -> str:
    """A template with the values of its properties. Raises CloudError where one is not known."""

    def value(found: re.Match[str]) -> str:
        given = values.get(found[2])
        if given in (None, ""):
            raise CloudError(f"{found[2]} is not set: give it to the resource, or set gcp:{found[2]}")
        text = str(given).lower() if isinstance(given, bool) else str(given)
        return text if found[1] else quote(text, safe="")

    return re.sub(r"\{(\+?)(\w+)\}", value, template)


def properties(template: str) -> list[str]:
    """The properties that a template names."""
    return list(dict.fromkeys(re.findall(r"\{\+?(\w+)\}", template)))


def read_id(template: str, identifier: str) -> Values:
    """The properties in an id, which may be the whole one, or its values with slashes between them and without the
    project. Raises CloudError."""
    names = properties(template)
    pattern, seen = "", set[str]()
    for text, many, name in re.findall(r"([^{]*)(?:\{(\+?)(\w+)\})?", template):
        pattern += re.escape(text)
        if name:
            pattern += f"(?P={name})" if name in seen else f"(?P<{name}>{'.+' if many else '[^/]+'})"
            seen.add(name)
    if found := re.fullmatch(pattern, identifier):
        return found.groupdict()
    parts = identifier.split("/")
    for wanted in (names, [name for name in names if name != "project"]):
        if len(wanted) == len(parts):
            return dict(zip(wanted, parts, strict=True))
    raise CloudError(f"the id {identifier} is none of the form {template}")


@dataclass(frozen=True)
class Rest:
    """One row. The rules of its inputs are those of `sandbox.providers.resource.Resource`."""

    token: str
    service: Service
    schema: str
    """The API's schema of it."""
    path: str
    """Where one is."""
    create: str
    """Where one is made."""
    id: str = ""
    """The id; the path where nothing is said."""
    create_verb: str = "POST"
    update_verb: str = "PATCH"
    """PATCH; PUT or POST, which take all of it; or nothing for what can only be replaced."""
    update: str = ""
    """Where it is changed, if not at its path."""
    masked: bool = True
    """Whether a PATCH has a mask. Without one what is taken away is set to null."""
    wrapped: str = ""
    """The member that holds it in the body of a creation by POST and of a change, beside the mask."""
    wraps_change: bool = True
    fixed: Mapping[str, str] = field(default_factory=dict)
    """Members of the body that are made of several properties, by template."""
    short: frozenset[str] = frozenset()
    """Properties that are only the last part of what the API tells, and are not sent."""
    unsent: frozenset[str] = frozenset()
    """Properties that the API tells but does not take, or takes by another method."""
    shown: Mapping[str, str] = field(default_factory=dict)
    """Properties that only `encode` puts into a body, by the member that a change of them changes."""
    names: convert.Names = field(default_factory=dict)
    delete: str = "{path}"
    encode: Callable[[Values, Values], None] | None = None
    """Changes a body before it is sent, given the properties."""
    decode: Callable[[Values, Values], None] | None = None
    """Changes what was read before it is told, given the API's answer."""
    gone: Callable[[Values], bool] = lambda answer: False
    """Whether what the API still tells is deleted all the same."""
    settle: Callable[[Call, str, Change], None] | None = None
    """What there is to do after a creation, which is a change of nothing, or a change, at a path."""
    prepare_delete: Callable[[Call, str, Values], None] | None = None
    force_new: frozenset[str] = frozenset()
    auto_name: AutoName | None = None
    computed: frozenset[str] = frozenset()
    sets: frozenset[str] = frozenset()
    json: frozenset[str] = frozenset()
    alike: Mapping[str, Alike] = field(default_factory=dict)
    defaults: Values = field(default_factory=dict)
    verify: Callable[[Values], list[tuple[str, str]]] | None = None

    def resource(self) -> Resource:
        """What the provider's service works with."""
        return Resource(
            token=self.token,
            service=self.service.title,
            create=self._create,
            read=self._read,
            update=self._update if self.update_verb else None,
            delete=self._delete,
            force_new=self.force_new,
            auto_name=self.auto_name,
            computed=self.computed,
            sets=self.sets,
            json=self.json,
            alike=self.alike,
            defaults=self.defaults,
            verify=self.verify,
        )

    @cached_property
    def _shape(self) -> Mapping[str, Any]:
        return self.service.schemas[self.schema]

    def _steps(self, name: str) -> list[str] | None:
        if name == "effectiveLabels":
            return ["labels"]
        published = schema.resource(self.token)
        if name in self.short or (name == "labels" and "effectiveLabels" in published.outputs):
            return None
        return convert.path(name, self._shape, self.service.schemas, self.names)

    def _body(self, values: Values, only: frozenset[str] | None = None) -> Values:
        body: Values = {}
        inputs = schema.resource(self.token).inputs
        for name in sorted(values if only is None else only):
            declared = schema.Type("map", schema.Type("string"))
            if name != "effectiveLabels":
                if name not in inputs:
                    continue
                declared = inputs[name].type
            value, steps = values.get(name), self._steps(name)
            if steps is None or value is None or name in self.unsent:
                continue
            shape = convert.at(self._shape, steps, self.service.schemas)
            convert.put(body, steps, convert.to_wire(value, declared, shape, self.service.schemas, self.names))
        if self.encode is not None:
            self.encode(values, body)
        return body

    def _create(self, call: Call, values: Values) -> str:
        if "location" in properties(self.path):
            values.setdefault("location", call.region)
        body = self._body(values)
        body = {self.wrapped: body} if self.wrapped and self.create_verb == "POST" else body
        body |= {name: fill(text, values) for name, text in self.fixed.items()}
        answer = call.finish(call.send(self.create_verb, fill(self.create, values), body), "the creation")
        told = {"name": answer.get("name")} | values | self._told(answer, values)
        identifier = unquote(fill(self.id or self.path, told))
        if self.settle is not None:
            try:
                self.settle(call, fill(self.path, told), Change({}, values, frozenset(values)))
            except CloudError as error:
                # It was made: a state that does not know of it would leave it behind.
                raise CreateFailed(identifier, str(error)) from error
        return identifier

    def _read(self, call: Call, identifier: str, values: Values) -> Values | None:
        located = values | read_id(self.id or self.path, identifier)
        located.setdefault("project", call.cloud.settings.project)
        call.region = str(located.get("location") or located.get("region") or call.region)
        answer = call.find(fill(self.path, located))
        if answer is None or self.gone(answer):
            return None
        told = self._told(answer, located)
        template, published = self.id or self.path, schema.resource(self.token).inputs
        own = {name: located[name] for name in properties(template) if name in published and name not in told}
        return own | told | {"id": unquote(fill(template, located))}

    def _told(self, answer: Values, asked: Values) -> Values:
        """Every property that an answer tells, None for one that is not set."""
        published = schema.resource(self.token)
        found: Values = {}
        for name in published.inputs.keys() | published.outputs:
            if name in self.short:
                told = answer.get(name) or convert.look(answer, (self.names.get(name) or name).split("."))
                if told is not None:
                    found[name] = str(told).rpartition("/")[2]
                continue
            steps = self._steps(name)
            if steps is None:
                continue
            told = convert.look(answer, steps)
            if told is not None and name != "effectiveLabels":
                declared = (published.inputs.get(name) or published.told[name]).type
                shape = convert.at(self._shape, steps, self.service.schemas)
                told = convert.from_wire(told, declared, shape, self.service.schemas, self.names)
            found[name] = convert.with_nothing(asked.get(name), told)
        if "effectiveLabels" in found:
            found["effectiveLabels"] = found["effectiveLabels"] or {}
        if self.decode is not None:
            self.decode(answer, found)
        return found

    def _update(self, call: Call, identifier: str, change: Change) -> None:
        values = change.new
        members = {self.shown[name] for name in change.changed & self.shown.keys()}
        members |= {found[0] for name in change.changed - self.unsent if (found := self._steps(name))}
        path = fill(self.path, values | read_id(self.id or self.path, identifier))
        where = fill(self.update, values) if self.update else path
        if members:
            known = schema.resource(self.token).inputs.keys() | ({"effectiveLabels"} & values.keys())
            within = frozenset(name for name in known if (found := self._steps(name)) and found[0] in members)
            body, query = self._body(values, within if self.update_verb == "PATCH" else None), {}
            if self.update_verb != "PATCH":
                body |= {name: fill(text, values) for name, text in self.fixed.items()}
            elif self.masked:
                query = {"updateMask": ",".join(sorted(members | body.keys()))}
            else:
                body |= dict.fromkeys(members - body.keys())
                gone = (change.old.get("effectiveLabels") or {}).keys() - (values.get("effectiveLabels") or {}).keys()
                if gone:
                    body["labels"] = (body.get("labels") or {}) | dict.fromkeys(gone)
            if self.wrapped and self.wraps_change:
                body, query = {self.wrapped: body} | query, {}
            call.finish(call.send(self.update_verb, where, body, query=query), "the change")
        if self.settle is not None:
            self.settle(call, path, change)

    def _delete(self, call: Call, identifier: str, state: Values) -> None:
        policy = state.get("deletionPolicy") or call.cloud.settings.deletion_policy
        if policy == "ABANDON":
            return
        if policy == "PREVENT" or state.get("deletionProtection"):
            told = "deletionPolicy is PREVENT" if policy == "PREVENT" else "deletionProtection is true"
            raise CloudError(f"{call.thing} is not deleted, because its {told}: change that first, then delete it")
        values = state | read_id(self.id or self.path, identifier)
        path = fill(self.path, values)
        if self.prepare_delete is not None:
            self.prepare_delete(call, path, state)
        if not self.delete:
            return
        try:
            where = path if self.delete == "{path}" else fill(self.delete, values)
            call.finish(call.send("DELETE", where), "the deletion")
        except CloudError as error:
            if error.code not in ("NOT_FOUND", "404"):
                raise


def caseless(old: str, new: str) -> bool:
    """Whether two values are one but for upper and lower case."""
    return old.lower() == new.lower()


def same_resource(old: str, new: str) -> bool:
    """Whether two values name one resource, one of them perhaps by its last part only."""
    if "/" in old and "/" in new:
        return old == new
    return old.rpartition("/")[2] == new.rpartition("/")[2]
