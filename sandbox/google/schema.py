"""Checks of bodies, query parameters and answers by the published schemas.

Sources: the discovery documents; "Protocol Buffers, ProtoJSON Format" for what is taken as which type (int64 as text
or number, the fields' own names beside lowerCamelCase, null for left out); the texts are those of Google's front end.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from sandbox.google.discovery import Document, Method
from sandbox.google.errors import GoogleError, Violation, invalid

_TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)")
_DURATION = re.compile(r"-?\d+(\.\d{1,9})?s")
_RANGES = {"int32": (-(2**31), 2**31), "uint32": (0, 2**32), "int64": (-(2**63), 2**63), "uint64": (0, 2**64)}
_WORDS = {"google-datetime": "Timestamp", "date-time": "Timestamp", "google-duration": "Duration"}

EnumNumbers = Callable[[str, str, int], str | None]
"""The name of an enum's number, by schema and field."""


def snake(name: str) -> str:
    """A field's own name: `artifactUri` is `artifact_uri`."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def camel(name: str) -> str:
    """The JSON name of a field: `artifact_uri` is `artifactUri`."""
    first, *rest = name.split("_")
    return first + "".join(part[:1].upper() + part[1:] for part in rest)


def is_output_only(described: Mapping[str, Any]) -> bool:
    """Whether a field is the service's to set."""
    return bool(described.get("readOnly")) or str(described.get("description", "")).startswith(
        ("Output only.", "[Output Only]")
    )


def is_required(described: Mapping[str, Any]) -> bool:
    return str(described.get("description", "")).startswith("Required.")


class _Refused(Exception):
    """A value is not of its type; the text stands after the type's name, where it is another than the value."""


class Schemas:
    """The schemas of one API. `package` is the name that its types have in Google's messages, `keeps_null` whether a
    null in a body is a value."""

    def __init__(
        self,
        document: Document,
        package: str,
        prefix: str,
        enum_name: EnumNumbers | None = None,
        *,
        keeps_null: bool = False,
    ) -> None:
        self._document = document
        self._package = package
        self._prefix = prefix
        self._enum_name = enum_name
        self._keeps_null = keeps_null

    def type_url(self, schema: str) -> str:
        """The type's name, as an Any holds it."""
        known = {"Empty": "google.protobuf.Empty", "GoogleProtobufEmpty": "google.protobuf.Empty"}
        return "type.googleapis.com/" + known.get(schema, f"{self._package}.{schema.removeprefix(self._prefix)}")

    def properties(self, schema: str) -> dict[str, dict[str, Any]]:
        return self._document.schemas[schema].get("properties", {})

    def root(self, method: Method) -> str:
        """The path that a request's body has in messages: empty where the body is the whole request."""
        assert method.request is not None
        short = method.request.removeprefix(self._prefix)
        return "" if short.endswith("Request") else snake(short)

    # Requests

    def body(self, method: Method, given: Any) -> dict[str, Any]:
        """A body without what it may not set; raises what Google answers for one that does not fit."""
        assert method.request is not None
        root = self.root(method)
        if not isinstance(given, dict):
            raise invalid(
                'Invalid JSON payload received. Unknown name "": Root element must be a message.',
                [("", 'Invalid JSON payload received. Unknown name "": Root element must be a message.')],
            )
        violations: list[Violation] = []
        taken = self._object(self._document.schemas[method.request], method.request, given, root, violations)
        if violations:
            raise invalid("\n".join(text for _, text in violations), violations)
        return taken

    def required(self, method: Method, given: Mapping[str, Any]) -> None:
        """Refuse a checked body in which a required field is not set."""
        assert method.request is not None
        missing: list[str] = []
        self._missing(method.request, given, self.root(method), missing)
        if missing:
            raise missing_fields(missing)

    def _missing(self, schema: str, given: Mapping[str, Any], at: str, missing: list[str]) -> None:
        for name, described in self.properties(schema).items():
            path, value = _below(at, snake(name)), given.get(name)
            if "$ref" in described and isinstance(value, dict):
                self._missing(described["$ref"], value, path, missing)
            elif "$ref" in described.get("items", {}) and isinstance(value, list) and value:
                for index, one in enumerate(value):
                    self._missing(described["items"]["$ref"], one, f"{path}[{index}]", missing)
            elif is_required(described) and not is_output_only(described):
                # A number's presence is enough: 0 may be what is meant.
                given_number = name in given and described.get("type") in ("integer", "number", "any")
                if value in (None, "", [], {}) and not given_number:
                    missing.append(path)

    def _object(
        self, described: Mapping[str, Any], schema: str, given: Mapping[str, Any], at: str, violations: list[Violation]
    ) -> dict[str, Any]:
        if "additionalProperties" in described and "properties" not in described:
            return dict(given)
        fields, taken = described.get("properties", {}), {}
        for key, value in given.items():
            name = key if key in fields else camel(key)
            if name not in fields:
                where = f" at '{at}'" if at else ""
                text = f'Invalid JSON payload received. Unknown name "{key}"{where}: Cannot find field.'
                violations.append((at, text))
            elif value is None and self._keeps_null:
                taken[name] = None
            elif value is not None and not is_output_only(fields[name]):
                taken[name] = self._value(fields[name], value, _below(at, snake(name)), violations, (schema, name))
        return taken

    def _value(
        self,
        described: Mapping[str, Any],
        value: Any,
        at: str,
        violations: list[Violation],
        of: tuple[str, str],
    ) -> Any:
        kind = described.get("type")
        if kind == "array":
            # One value stands for a list of one.
            values = value if isinstance(value, list) else [value]
            items = described["items"]
            return [self._value(items, one, f"{at}[{n}]", violations, of) for n, one in enumerate(values)]
        if isinstance(value, list) and kind != "any":
            parent, _, name = at.rpartition(".")
            where = f" at '{parent}'" if parent else ""
            text = f'Invalid JSON payload received. Unknown name "{name}"{where}: '
            violations.append((parent, text + "Proto field is not repeating, cannot start list."))
            return None
        if "$ref" in described or kind == "object":
            if not isinstance(value, dict):
                type_name = self.type_url(described["$ref"]) if "$ref" in described else "Map"
                violations.append((at, f"Invalid value at '{at}' ({type_name}), {_shown(value)}"))
                return None
            if "$ref" in described:
                return self._object(self._document.schemas[described["$ref"]], described["$ref"], value, at, violations)
            if "properties" in described:
                return self._object(described, of[0], value, at, violations)
            items = described.get("additionalProperties")
            if items is None:
                return value
            return {
                key: None
                if one is None and self._keeps_null
                else self._value(items, one, f"{at}[{json.dumps(key)}]", violations, of)
                for key, one in value.items()
            }
        try:
            return self._scalar(described, value, of)
        except _Refused as refused:
            text = str(refused) or _shown(value)
            violations.append((at, f"Invalid value at '{at}' ({self._type_name(described, of)}), {text}"))
            return None

    def _type_name(self, described: Mapping[str, Any], of: tuple[str, str]) -> str:
        style = str(described.get("format", ""))
        if "enum" in described:
            return f"type.googleapis.com/{self._package}.{of[1][:1].upper()}{of[1][1:]}"
        if style in _WORDS:
            return f"type.googleapis.com/google.protobuf.{_WORDS[style]}"
        if style == "byte":
            return "TYPE_BYTES"
        names = {"boolean": "BOOL", "integer": style or "INT32", "number": style or "DOUBLE"}
        return "TYPE_" + names.get(str(described.get("type")), style if style in _RANGES else "STRING").upper()

    def _scalar(self, described: Mapping[str, Any], value: Any, of: tuple[str, str]) -> Any:
        kind, style = described.get("type"), str(described.get("format", ""))
        if kind == "any":
            return value
        if isinstance(value, dict):
            raise _Refused
        if "enum" in described:
            if isinstance(value, int) and not isinstance(value, bool) and self._enum_name is not None:
                value = self._enum_name(*of, value)
            if value not in described["enum"]:
                raise _Refused
            return value
        if kind == "boolean":
            if isinstance(value, bool) or (isinstance(value, str) and value.lower() in ("true", "false")):
                return str(value).lower() == "true"
            raise _Refused
        if style in _RANGES:
            number = _whole(value)
            if not _RANGES[style][0] <= number < _RANGES[style][1]:
                raise _Refused
            return number if kind == "integer" else str(number)
        if kind in ("number", "integer"):
            return _number(value)
        if not isinstance(value, str):
            raise _Refused
        _check_text(style, value, of[1])
        return value

    def query(self, method: Method, given: Mapping[str, list[str]]) -> dict[str, Any]:
        """The query's parameters by their types; raises what Google answers for one that does not fit."""
        violations: list[Violation] = []
        taken: dict[str, Any] = {}
        for key, values in given.items():
            name = key if key in method.parameters else camel(key)
            described = method.parameters.get(name)
            if described is None or described["location"] != "query":
                if key.lstrip("$") not in self._document.parameters and key not in self._document.parameters:
                    # The query's name for a field below another one has a dot, and is not in every document.
                    text = (
                        f'Invalid JSON payload received. Unknown name "{key}": Cannot bind query parameter. '
                        f"Field '{key}' could not be found in request message."
                    )
                    violations.append(("", text))
                continue
            shape = {"type": "array", "items": described} if described.get("repeated") else described
            value: Any = values if described.get("repeated") else values[-1]
            if "enum" in described and isinstance(value, str) and value.isdigit():
                value = described["enum"][int(value)] if int(value) < len(described["enum"]) else value
            taken[name] = self._value(shape, value, snake(name), violations, ("", name))
        if violations:
            raise invalid("\n".join(text for _, text in violations), violations)
        return taken

    # Answers

    def problems(self, schema: str, answer: Any, at: str = "answer") -> list[str]:
        """What in an answer of ours is not as the schema says."""
        return self._problems(self._document.schemas[schema], schema, answer, at)

    def _problems(self, described: Mapping[str, Any], schema: str, answer: Any, at: str) -> list[str]:
        if not isinstance(answer, dict):
            return [f"{at} is no object"]
        fields = described.get("properties", {})
        if not fields and "additionalProperties" in described:
            return []
        found = [f"{at}.{name} is unknown to {schema}" for name in answer if name not in fields]
        for name in answer.keys() & fields.keys():
            found += self._answered(fields[name], answer[name], f"{at}.{name}", (schema, name))
        return found

    def _answered(self, described: Mapping[str, Any], value: Any, at: str, of: tuple[str, str]) -> list[str]:
        kind = described.get("type")
        if "$ref" in described:
            return self.problems(described["$ref"], value, at)
        if kind == "array":
            if not isinstance(value, list):
                return [f"{at} is no list"]
            items = described["items"]
            return [text for n, one in enumerate(value) for text in self._answered(items, one, f"{at}[{n}]", of)]
        if kind == "object":
            if not isinstance(value, dict):
                return [f"{at} is no object"]
            if "properties" in described:
                return self._problems(described, of[0], value, at)
            items = described.get("additionalProperties", {"type": "any"})
            if "@type" in value:
                return self._any(value, at)
            return [text for key, one in value.items() for text in self._answered(items, one, f"{at}[{key}]", of)]
        try:
            taken = self._scalar(described, value, of)
        except _Refused:
            return [f"{at} is {value!r}, which is no {self._type_name(described, of)}"]
        return [] if taken == value else [f"{at} is {value!r} and should be written {taken!r}"]

    def _any(self, value: Mapping[str, Any], at: str) -> list[str]:
        name = str(value["@type"]).removeprefix(f"type.googleapis.com/{self._package}.")
        schema = self._prefix + name
        content = {key: one for key, one in value.items() if key != "@type"}
        return self.problems(schema, content, at) if schema in self._document.schemas else []

    def knows(self, short: str) -> bool:
        """Whether there is a schema of this name, without the API's prefix."""
        return self._prefix + short in self._document.schemas


def missing_fields(paths: list[str]) -> GoogleError:
    """The refusal of a request that leaves required fields out, as Vertex AI words it."""
    found = "".join(f"\t{n}.Field: {path}; Message: Required field is not set." for n, path in enumerate(paths, 1))
    return invalid(f"List of found errors:{found}\t", [(path, "Required field is not set.") for path in paths])


def _below(at: str, name: str) -> str:
    return f"{at}.{name}" if at else name


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        # The front end stops at the brace that opens a message where none may start.
        return "{"
    return json.dumps(value, ensure_ascii=False)


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise _Refused
    try:
        number = int(value) if not isinstance(value, float) else value
    except ValueError:
        raise _Refused from None
    if number != int(number):
        raise _Refused
    return int(number)


def _number(value: Any) -> Any:
    if isinstance(value, bool):
        raise _Refused
    if isinstance(value, str):
        if value in ("NaN", "Infinity", "-Infinity"):
            return value
        try:
            return float(value)
        except ValueError:
            raise _Refused from None
    if not isinstance(value, int | float):
        raise _Refused
    return value


def _check_text(style: str, value: str, name: str) -> None:
    if style in ("google-datetime", "date-time") and not _TIMESTAMP.fullmatch(value):
        raise _Refused(
            f"Field '{name}', Illegal timestamp format; timestamps must end with 'Z' or have a valid timezone offset."
            if not re.search(r"([Zz]|[+-]\d\d:\d\d)$", value)
            else f"Field '{name}', Invalid time format: {value}"
        )
    if style == "google-duration" and not _DURATION.fullmatch(value):
        if not value.endswith("s"):
            raise _Refused(f"Field '{name}', Illegal duration format; duration must end with 's'")
        raise _Refused(f"Field '{name}', Invalid duration format, failed to parse seconds")
    if style == "byte":
        padded = value.replace("-", "+").replace("_", "/")
        try:
            base64.b64decode(padded + "=" * (-len(padded) % 4), validate=True)
        except binascii.Error:
            raise _Refused(f"Base64 decoding failed for {json.dumps(value)}") from None
