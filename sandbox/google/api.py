"""An API: its description document, the collections of its resources, and what its methods mean.

A method that an API module registers means what its function does. Of any other, the standard methods (AIP-131 to
AIP-135: get, list, create, patch, delete), IAM's three and those of long-running operations mean what they mean
everywhere, if their collection is registered; the rest is answered by UNIMPLEMENTED.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from sandbox.google import masks
from sandbox.google.discovery import Document, Method
from sandbox.google.errors import GoogleError, invalid
from sandbox.google.operations import Operation, Work, timestamp
from sandbox.google.schema import EnumNumbers, Schemas, missing_fields, snake
from sandbox.google.store import etag, page

if TYPE_CHECKING:
    from sandbox.google.emulator import Emulator

Resource = dict[str, Any]
APIS: dict[str, Api] = {}
"""Every emulated API, by its name and version, in the order in which a path without a host is looked up."""


@dataclass
class Raw:
    """An answer that is no JSON of the schema."""

    body: bytes
    headers: dict[str, str] = field(default_factory=dict)
    status: int = 200


Handler = Callable[["Call"], Any]
Hook = Callable[["Call", Resource], None]


def _nothing(call: Call, resource: Resource) -> None:
    """A collection without rules of its own."""


def random_number(call: Call, resource: Resource) -> str:
    """An id as Vertex AI and Cloud Monitoring make it."""
    return str(random.randrange(10**17, 9 * 10**18))


@dataclass
class Collection:
    """How a kind of resource behaves in the standard methods.

    `kind` is its name in messages. `new_id` makes the id where the request names none. `check` judges a resource that
    is to be created or updated, by raising; `complete` sets what the service sets, after the check. `deletable` raises
    where a resource may not be deleted. `delete` ends what a resource has running.
    """

    path: str
    kind: str
    new_id: Callable[[Call, Resource], str] = random_number
    check: Hook = _nothing
    complete: Hook = _nothing
    deletable: Hook = _nothing
    delete: Hook = _nothing
    times: tuple[str, str] | None = ("createTime", "updateTime")
    has_etag: bool = False


@dataclass
class Api:
    """One API. `numbered` tells whether its answers name projects by number.

    `package` and `prefix` are what its types are called in Google's messages and in the description's schemas.
    """

    name: str
    version: str
    package: str
    prefix: str = ""
    numbered: bool = False
    enum_name: EnumNumbers | None = None
    collections: dict[str, Collection] = field(default_factory=dict)
    handlers: dict[str, Handler] = field(default_factory=dict)
    not_found: Callable[[str, str], str] = lambda kind, name: f"{kind} {name} not found."
    error_body: Callable[[GoogleError], dict[str, Any]] = lambda error: error.body
    anonymous: bool = False
    merges: bool = False
    """Whether a null in a PATCH clears a field, as in the APIs that are older than update masks."""

    def __post_init__(self) -> None:
        APIS[f"{self.name}.{self.version}"] = self

    @cached_property
    def document(self) -> Document:
        return Document(self.name, self.version)

    @cached_property
    def schemas(self) -> Schemas:
        return Schemas(self.document, self.package, self.prefix, self.enum_name)

    @cached_property
    def patches(self) -> Schemas:
        """The schemas of the bodies that change something."""
        return Schemas(self.document, self.package, self.prefix, self.enum_name, keeps_null=self.merges)

    def add(self, collection: Collection) -> Collection:
        """Let the standard methods work on a collection."""
        self.collections[collection.path] = collection
        return collection

    def method(self, *keys: str) -> Callable[[Handler], Handler]:
        """Register a function as the meaning of methods."""

        def register(handler: Handler) -> Handler:
            for key in keys:
                self.handlers[key] = handler
            return handler

        return register

    def handler(self, method: Method) -> Handler | None:
        """What a method means; None where the emulator does not know it."""
        if method.key in self.handlers:
            return self.handlers[method.key]
        if method.verb in _IAM:
            return _IAM[method.verb]
        last = method.collection.rpartition(".")[2]
        if last == "operations" and method.verb in _OPERATIONS:
            return _OPERATIONS[method.verb]
        if method.collection in self.collections:
            return _STANDARD.get(method.verb)
        return None


@dataclass
class Call:
    """One request to a method. `path` holds the path's variables, `query` and `body` what passed the schemas."""

    emulator: Emulator
    api: Api
    method: Method
    path: dict[str, str]
    query: dict[str, Any]
    body: dict[str, Any]
    headers: Mapping[str, str] = field(default_factory=dict)
    media: bytes | None = None
    url: str = ""

    @property
    def collection(self) -> Collection:
        return self.api.collections[self.method.collection]

    @property
    def name(self) -> str:
        """The resource that the path names, or the parent of a list or a creation."""
        return next(iter(self.path.values()))

    def canonical(self, name: str) -> str:
        """A resource's name as the API keeps and answers it."""
        projects = self.emulator.projects
        return projects.numbered(name) if self.api.numbered else projects.named(name)

    def table(self, path: str | None = None) -> dict[str, Resource]:
        """The resources of one of the API's collections, this method's by default."""
        return self.emulator.store.table(f"{self.api.name}.{path or self.method.collection}")

    def find(self, path: str | None = None, name: str | None = None) -> Resource:
        """A resource itself, not a copy; raises NOT_FOUND."""
        wanted = self.canonical(name or self.name)
        found = self.table(path).get(wanted)
        if found is None:
            kind = self.api.collections[path or self.method.collection].kind
            raise GoogleError("NOT_FOUND", self.api.not_found(kind, wanted))
        return found

    @property
    def now(self) -> str:
        return timestamp(self.emulator.clock.now())

    def touch(self, resource: Resource, *, new: bool = False) -> None:
        """Set a resource's times and etag after a change."""
        collection = self.collection
        if collection.times is not None:
            created, updated = collection.times
            if new:
                resource[created] = self.now
            resource[updated] = self.now
        if collection.has_etag:
            resource["etag"] = etag(resource)

    def operation(
        self,
        parent: str,
        metadata_type: str,
        work: Work,
        metadata: Mapping[str, Any] | None = None,
        undo: Callable[[], None] | None = None,
    ) -> Resource:
        """Begin a long-running operation and show it."""
        started = self.now
        url = self.api.schemas.type_url(self.api.prefix + metadata_type)
        described = self.api.document.schemas.get(self.api.prefix + metadata_type, {}).get("properties", {})

        def show() -> dict[str, Any]:
            times = {"createTime": started, "updateTime": self.now}
            generic = {"genericMetadata": times} if "genericMetadata" in described else {}
            return {"@type": url, **generic, **(metadata or {})}

        operation = self.emulator.operations.start(self.api.name, self.method.key, parent, work, show, undo)
        return operation.resource

    def operation_on(self, target: str, verb: str, work: Work) -> Resource:
        """Begin an operation of those APIs that describe one by the resource that it changes, and by the verb."""
        parent = target.rsplit("/", 2)[0]
        described = {"createTime": self.now, "target": target, "verb": verb, "apiVersion": self.api.version}
        return self.operation(parent, "OperationMetadata", work, described)

    def any(self, schema: str, content: Mapping[str, Any]) -> dict[str, Any]:
        """A message with its type's name, as an operation's response is. Raises RuntimeError for a bad one."""
        if self.api.prefix + schema in self.api.document.schemas:
            problems = self.api.schemas.problems(self.api.prefix + schema, dict(content))
            if problems:
                raise RuntimeError("; ".join(problems))
        return {"@type": self.api.schemas.type_url(self.api.prefix + schema), **copy.deepcopy(dict(content))}


# Standard methods


def _is_operation(method: Method) -> bool:
    return method.response is not None and method.response.endswith("Operation")


def asked_id(call: Call, resource: Resource) -> str | None:
    """The id that a creation asks for: its own parameter, or the end of the name in the body."""
    last = call.method.collection.rpartition(".")[2]
    singular = last[:-3] + "y" if last.endswith("ies") else last.removesuffix("s")
    for parameter, described in call.method.parameters.items():
        if described["location"] == "query" and parameter == f"{singular}Id" and call.query.get(parameter):
            return str(call.query[parameter])
    name = str(resource.get("name", ""))
    return name.rpartition("/")[2] or None


def create(call: Call) -> Resource:
    """AIP-133: the resource, or the operation that makes it."""
    collection, resource = call.collection, copy.deepcopy(call.body)
    parent = call.canonical(call.name)
    collection.check(call, resource)
    with call.emulator.store.lock:
        name = f"{parent}/{call.method.collection.rpartition('.')[2]}/"
        name += asked_id(call, resource) or collection.new_id(call, resource)
        if name in call.table():
            raise GoogleError("ALREADY_EXISTS", f"Resource '{name}' already exists.")
        resource["name"] = name
        collection.complete(call, resource)
        call.touch(resource, new=True)
        if not _is_operation(call.method):
            call.table()[name] = resource
            return copy.deepcopy(resource)
    schema = call.method.request or ""
    short = schema.removeprefix(call.api.prefix)

    def work(operation: Operation) -> dict[str, Any]:
        with call.emulator.store.lock:
            call.table()[name] = resource
        return call.any(short, resource)

    return call.operation(name, f"Create{short}OperationMetadata", work)


def get(call: Call) -> Resource:
    with call.emulator.store.lock:
        return copy.deepcopy(call.find())


def list_resources(call: Call) -> Resource:
    parent = call.canonical(call.name)
    found = call.emulator.store.below(f"{call.api.name}.{call.method.collection}", parent)
    return listed(call, found)


def listed(call: Call, found: list[Resource]) -> Resource:
    """A page of resources in the shape that the method's answer has."""
    assert call.method.response is not None
    properties = call.api.schemas.properties(call.method.response)
    field_name = next(name for name, described in properties.items() if described.get("type") == "array")
    items, token = page(found, call.query)
    answer: Resource = {field_name: items} if items else {}
    if "totalSize" in properties:
        answer["totalSize"] = len(found)
    return answer | ({"nextPageToken": token} if token else {})


def check_etag(call: Call, resource: Resource, given: str | None) -> None:
    """Refuse a change of a state that the caller has not seen."""
    if given and resource.get("etag") and given != resource["etag"]:
        raise GoogleError("ABORTED", f"The etag {given} does not match the current etag {resource['etag']}.")


def patch(call: Call) -> Resource:
    """AIP-134: the updated resource."""
    assert call.method.request is not None
    collection, schemas, schema = call.collection, call.api.schemas, call.method.request
    mask = call.query.get("updateMask")
    described = call.method.parameters.get("updateMask", {})
    if not mask and str(described.get("description", "")).startswith("Required."):
        raise missing_fields(["update_mask"])
    with call.emulator.store.lock:
        resource = call.find()
        check_etag(call, resource, call.body.get("etag"))
        if not mask or mask == "*":
            paths = [[name] for name in call.body]
        else:
            paths = masks.paths_of(str(mask), schemas, schema)
        immutable = [
            snake(path[0])
            for path in paths
            if str(schemas.properties(schema)[path[0]].get("description", "")).startswith("Immutable.")
            and call.body.get(path[0]) != resource.get(path[0])
        ]
        if immutable:
            text = f"The field {', '.join(immutable)} is immutable and cannot be updated."
            raise invalid(text, [(one, text) for one in immutable])
        writable = [path for path in paths if path[0] not in ("name", "etag")]
        changed = masks.merge(resource, call.body, writable)
        collection.check(call, changed)
        collection.complete(call, changed)
        call.touch(changed)
        resource.clear()
        resource.update(changed)
        return copy.deepcopy(resource)


def delete(call: Call) -> Resource:
    """AIP-135: nothing, or the operation that deletes."""
    collection = call.collection
    with call.emulator.store.lock:
        resource = call.find()
        check_etag(call, resource, call.query.get("etag"))
        collection.deletable(call, resource)
        if not _is_operation(call.method):
            del call.table()[resource["name"]]
    if not _is_operation(call.method):
        collection.delete(call, resource)
        return {}

    def work(operation: Operation) -> dict[str, Any]:
        with call.emulator.store.lock:
            collection.deletable(call, resource)
            call.table().pop(resource["name"], None)
        collection.delete(call, resource)
        return call.any("GoogleProtobufEmpty", {}) | {"@type": "type.googleapis.com/google.protobuf.Empty"}

    return call.operation(resource["name"], "DeleteOperationMetadata", work)


# IAM: source "Cloud IAM, Policy" (version, etag, bindings) and getIamPolicy, setIamPolicy, testIamPermissions.


def get_iam_policy(call: Call) -> Resource:
    return call.emulator.policies.get(_guarded(call))


def set_iam_policy(call: Call) -> Resource:
    return call.emulator.policies.set(_guarded(call), call.body.get("policy", {}))


def test_iam_permissions(call: Call) -> Resource:
    _guarded(call)
    asked = call.body.get("permissions") or call.query.get("permissions") or []
    held = [one for one in asked if one not in call.emulator.faults.denied]
    return {"permissions": held} if held else {}


def _guarded(call: Call) -> str:
    """The resource whose policy is meant; raises NOT_FOUND."""
    name = call.canonical(call.name)
    if call.method.collection in call.api.collections:
        call.find()
    return f"//{call.api.name}.googleapis.com/{name}"


# Long-running operations


def get_operation(call: Call) -> Resource:
    return call.emulator.operations.find(call.canonical(call.name)).resource


def list_operations(call: Call) -> Resource:
    items, token = page(call.emulator.operations.below(call.canonical(call.name)), call.query)
    return ({"operations": items} if items else {}) | ({"nextPageToken": token} if token else {})


def wait_operation(call: Call) -> Resource:
    seconds = float(str(call.query.get("timeout") or call.body.get("timeout") or "10s").removesuffix("s"))
    return call.emulator.operations.wait(call.canonical(call.name), seconds).resource


def cancel_operation(call: Call) -> Resource:
    call.emulator.operations.cancel(call.canonical(call.name))
    return {}


def delete_operation(call: Call) -> Resource:
    call.emulator.operations.delete(call.canonical(call.name))
    return {}


_STANDARD: dict[str, Handler] = {
    "create": create,
    "get": get,
    "list": list_resources,
    "patch": patch,
    "delete": delete,
}
_IAM: dict[str, Handler] = {
    "getIamPolicy": get_iam_policy,
    "setIamPolicy": set_iam_policy,
    "testIamPermissions": test_iam_permissions,
}
_OPERATIONS: dict[str, Handler] = {
    "get": get_operation,
    "list": list_operations,
    "wait": wait_operation,
    "cancel": cancel_operation,
    "delete": delete_operation,
}
