"""The Python classes of the plugin's resources: `python -m modelberth_provider.sdk` writes them beside the components.

One module of `modelberth` for each module of the schema. A test fails when a file differs from what this writes.
"""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import cast

from pydantic.alias_generators import to_snake

from modelberth_provider.google import Json
from modelberth_provider.resources import RESOURCES
from modelberth_provider.schema import PACKAGE, schema

TARGET = Path(__file__).parents[1] / PACKAGE
_SCALARS = {"string": "str", "integer": "int", "number": "float", "boolean": "bool"}
_HEAD = '''"""{what}

Written by `python -m modelberth_provider.sdk` from the plugin's schema: change it there.
"""

# Pulumi's functions for properties carry no types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

{imports}

import pulumi

__all__ = {names}
'''


def modules() -> dict[str, str]:
    """The text of each module, by its name."""
    found = schema(RESOURCES, "")
    resources, types = cast(Json, found["resources"]), cast(Json, found["types"])
    names = sorted({token.split(":")[1] for token in resources})
    return {name: _module(name, _of(resources, name), _of(types, name)) for name in names}


def _of(definitions: Json, module: str) -> Json:
    return {token.split(":")[2]: one for token, one in definitions.items() if token.split(":")[1] == module}


def _module(name: str, resources: Json, types: Json) -> str:
    what = f"Resources of the plugin: {', '.join(resources)}."
    names = sorted([*resources, *(f"{one}Args" for one in types)])
    parts = ["\n".join(_args(f"{one}Args", types[one])) for one in _inner_first(types)]
    for one, definition in resources.items():
        inner = {"properties": definition["inputProperties"], "required": definition["requiredInputs"]}
        parts.append("\n".join(_args(f"_{one}Args", inner)))
        parts.append("\n".join(_resource(f"{PACKAGE}:{name}:{one}", definition)))
    body = "\n\n".join(parts) + "\n"
    return _HEAD.format(what=what, names=str(names), imports=_imports(body)) + "\n\n" + body


def _imports(body: str) -> str:
    lines: list[str] = []
    for module, names in (("collections.abc", ("Mapping", "Sequence")), ("typing", ("Any", "cast"))):
        used = [name for name in names if re.search(rf"\b{name}[\[\](,]", body)]
        lines += [f"from {module} import {', '.join(used)}"] if used else []
    return "\n".join(lines)


def _inner_first(types: Json) -> list[str]:
    ordered: list[str] = []

    def add(name: str) -> None:
        for other in types:
            if other != name and other not in ordered and f":{other}'" in str(types[name]["properties"]):
                add(other)
        if name not in ordered:
            ordered.append(name)

    for name in types:
        add(name)
    return ordered


def _args(name: str, definition: Json) -> Iterator[str]:
    yield "@pulumi.input_type"
    yield f"class {name}:"
    yield from _doc(definition.get("description") or "Inputs.", 4)
    for key, one in definition["properties"].items():
        yield f'    {to_snake(key)}: {_given(key, one, definition)} = pulumi.property("{key}")'
        yield from _doc(one.get("description", ""), 4)
    yield ""
    yield from _signature(definition["properties"], definition["required"], ["self", "*"])
    for key in definition["properties"]:
        yield f'        pulumi.set(self, "{to_snake(key)}", {to_snake(key)})'
    yield ""


def _resource(token: str, definition: Json) -> Iterator[str]:
    name, inputs = token.rpartition(":")[2], definition["inputProperties"]
    outputs = [key for key in definition["properties"] if key not in inputs]
    yield f"class {name}(pulumi.CustomResource):"
    yield from _doc(definition["description"], 4)
    yield ""
    options = "opts: pulumi.ResourceOptions | None = None"
    yield from _signature(inputs, definition["requiredInputs"], ["self", "resource_name: str", "*"], [options])
    given = ", ".join(f"{to_snake(key)}={to_snake(key)}" for key in inputs)
    yield f"        args = _{name}Args({given})"
    # Each is known once the resource is made.
    for key in outputs:
        yield f'        args.__dict__["{to_snake(key)}"] = None'
    yield f'        super().__init__("{token}", resource_name, cast("pulumi.Inputs", args), opts)'
    for key, one in definition["properties"].items():
        optional = "" if key in definition["required"] else " | None"
        yield ""
        yield "    @property"
        yield f'    @pulumi.getter(name="{key}")'
        yield f"    def {to_snake(key)}(self) -> pulumi.Output[{_type(one, plain=True)}{optional}]:"
        yield from _doc(one.get("description", ""), 8)
        yield f'        return pulumi.get(self, "{to_snake(key)}")'
    yield ""


def _signature(inputs: Json, required: list[str], first: list[str], last: list[str] | None = None) -> Iterator[str]:
    yield "    def __init__("
    ordered = [key for key in inputs if key in required] + [key for key in inputs if key not in required]
    given = [
        f"{to_snake(key)}: {_given(key, inputs[key], {'required': required})}{'' if key in required else ' = None'}"
        for key in ordered
    ]
    for one in [*first, *given, *(last or [])]:
        yield f"        {one},"
    yield "    ) -> None:"


def _given(key: str, one: Json, definition: Json) -> str:
    return f"pulumi.Input[{_type(one)}]{'' if key in definition['required'] else ' | None'}"


def _type(one: Json, *, plain: bool = False) -> str:
    """A type in Python. What is sent may hold outputs at any depth; what comes back is `plain`."""
    if "$ref" in one:
        name = str(one["$ref"]).rpartition(":")[2]
        if name == "pulumi.json#/Any":
            return "Any"
        return "Mapping[str, Any]" if plain else f"{name}Args"
    if one["type"] == "array":
        inner = _type(one["items"], plain=plain)
        return f"Sequence[{inner}]" if plain else f"Sequence[pulumi.Input[{inner}]]"
    if one["type"] == "object":
        inner = _type(one["additionalProperties"], plain=plain)
        return f"Mapping[str, {inner}]" if plain else f"Mapping[str, pulumi.Input[{inner}]]"
    return _SCALARS[one["type"]]


def _doc(text: str, indent: int) -> Iterator[str]:
    if not text:
        return
    lines = [part for line in text.splitlines() for part in (textwrap.wrap(line, 116 - indent - 3) or [""])]
    quoted = f'"""{lines[0]}' if len(lines) > 1 else f'"""{lines[0]}"""'
    yield " " * indent + quoted
    for line in lines[1:-1]:
        yield " " * indent + line if line else ""
    if len(lines) > 1:
        yield f"{' ' * indent}{lines[-1]}"
        yield f'{" " * indent}"""'


def main() -> int:
    """Write the modules."""
    for name, text in modules().items():
        (TARGET / f"{name}.py").write_text(text)
        subprocess.run([sys.executable, "-m", "ruff", "format", "-q", TARGET / f"{name}.py"], check=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
