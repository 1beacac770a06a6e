"""Memberships: one member with one role in the IAM policy of something.

A policy is read, changed and written back with its etag; a change by someone else in between begins it again. Source:
Cloud IAM, "Use etags in a policy".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sandbox.providers.gcp.cloud import Call, Service
from sandbox.providers.gcp.rest import fill, properties, read_id
from sandbox.providers.resource import CloudError, Resource, Values

_TRIES = 8


@dataclass(frozen=True)
class Membership:
    """One row: whose policy it is, and by which requests.

    `of` is the resource as a template of properties, and the first part of the id. Cloud Storage's policies are at
    `<of>/iam`, those of all others at `<of>:getIamPolicy` and `<of>:setIamPolicy`.
    """

    token: str
    service: Service
    of: str
    get_verb: str = "POST"
    get: str = ":getIamPolicy"
    set_verb: str = "POST"
    set: str = ":setIamPolicy"
    path: str = ""
    """The resource in a request, where it is not as in the id."""
    complete: Callable[[Values], Values] = lambda values: values
    """Brings properties that may be given in two forms into one."""

    def resource(self) -> Resource:
        """What the provider's service works with."""
        return Resource(
            token=self.token,
            service=self.service.title,
            create=self._create,
            read=self._read,
            delete=self._delete,
            force_new=frozenset({"role", "member", "condition", *properties(self.of)}),
        )

    def _address(self, values: Values, suffix: str) -> str:
        return fill(self.path or self.of, values) + suffix

    def _policy(self, call: Call, values: Values) -> Values:
        address = self._address(values, self.get)
        if self.get_verb == "POST":
            return call.send("POST", address, {"options": {"requestedPolicyVersion": 3}})
        option = "options.requestedPolicyVersion" if ":" in self.get else "optionsRequestedPolicyVersion"
        return call.send("GET", address, query={option: 3})

    def _change(self, call: Call, values: Values, change: Callable[[list[Values]], bool]) -> None:
        """Change the bindings, unless they are as they should be already."""
        for attempt in range(_TRIES):
            with call.cloud.policies:
                policy = self._policy(call, values)
                bindings: list[Values] = policy.setdefault("bindings", [])
                if not change(bindings):
                    return
                policy["bindings"] = [one for one in bindings if one.get("members")]
                if any(one.get("condition") for one in bindings):
                    policy["version"] = 3
                body = policy if self.set_verb == "PUT" else {"policy": policy}
                try:
                    call.send(self.set_verb, self._address(values, self.set), body)
                    return
                except CloudError as error:
                    if error.code not in ("ABORTED", "409", "412") or attempt == _TRIES - 1:
                        raise
            call.wait(0.2 * 2**attempt)

    def _create(self, call: Call, values: Values) -> str:
        values = self.complete(values)

        def add(bindings: list[Values]) -> bool:
            binding = _binding(bindings, values)
            if binding is None:
                binding = {"role": values["role"], "members": []}
                if values.get("condition"):
                    binding["condition"] = dict(values["condition"])
                bindings.append(binding)
            if values["member"] in binding["members"]:
                return False
            binding["members"].append(values["member"])
            return True

        self._change(call, values, add)
        return self._id(values)

    def _id(self, values: Values) -> str:
        title = (values.get("condition") or {}).get("title")
        return "/".join([fill(self.of, values), values["role"], values["member"], *([title] if title else [])])

    def _read(self, call: Call, identifier: str, values: Values) -> Values | None:
        if not values.get("member"):
            values = values | self._parse(identifier)
        values = self.complete(values)
        try:
            policy = self._policy(call, values)
        except CloudError as error:
            if error.code in ("NOT_FOUND", "404"):
                return None
            raise
        binding = _binding(policy.get("bindings") or [], values)
        if binding is None or values["member"] not in binding.get("members", []):
            return None
        told = {name: values[name] for name in ("role", "member", *properties(self.of))}
        return told | {"condition": binding.get("condition"), "etag": policy.get("etag"), "id": self._id(values)}

    def _delete(self, call: Call, identifier: str, state: Values) -> None:
        state = self.complete(state)

        def remove(bindings: list[Values]) -> bool:
            binding = _binding(bindings, state)
            if binding is None or state["member"] not in binding.get("members", []):
                return False
            binding["members"].remove(state["member"])
            return True

        try:
            self._change(call, state, remove)
        except CloudError as error:
            if error.code not in ("NOT_FOUND", "404"):
                raise

    def _parse(self, identifier: str) -> Values:
        """The properties in an id to import: `<resource> <role> <member>`, and a condition's title perhaps."""
        parts = identifier.split(" ")
        if len(parts) < 3:
            raise CloudError(f"the id {identifier} is none of the form {self.of} <role> <member> [condition's title]")
        found = read_id(self.of, parts[0]) | {"role": parts[1], "member": parts[2]}
        return found | ({"condition": {"title": " ".join(parts[3:])}} if parts[3:] else {})


def _binding(bindings: list[Values], values: Values) -> Values | None:
    """The binding of a role under a condition."""
    wanted = values.get("condition") or {}
    for one in bindings:
        condition = one.get("condition") or {}
        same = all(condition.get(key) == value for key, value in wanted.items()) and bool(condition) == bool(wanted)
        if one["role"] == values["role"] and same:
            return one
    return None
