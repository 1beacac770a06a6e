"""The published schema of the AWS provider, read from the installed `pulumi_aws` package.

The SDK's generated sources hold, for every resource, its inputs with their wire names and types and
which are required (`<Resource>Args`), nested types (`_inputs.py`), and the outputs. They are read
as text, class by class: importing them would take seconds.
"""

from __future__ import annotations

import functools
import importlib.util
import re
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Type:
    """A property's type. `kind` is string, integer, number, boolean, list, map, object, json, asset or any.

    `json` is a policy document: text, or an object that becomes text.
    """

    kind: str
    element: Type | None = None
    reference: tuple[str, str] | None = None
    """For an object: (module, class in its `_inputs.py`)."""


@dataclass(frozen=True)
class Property:
    """One property under its wire name."""

    name: str
    type: Type
    required: bool = False


@dataclass(frozen=True)
class ResourceSchema:
    """What a resource takes and gives."""

    token: str
    inputs: dict[str, Property]
    outputs: frozenset[str] = field(default_factory=frozenset)


class UnknownToken(LookupError):
    """The SDK has no resource of that type."""


def _root() -> Path:
    spec = importlib.util.find_spec("pulumi_aws")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("the pulumi-aws package is not installed")
    return Path(spec.submodule_search_locations[0])


@functools.cache
def _source(path: Path) -> str:
    return path.read_text(encoding="utf-8")


@functools.cache
def _module_file(module: str, name: str) -> Path:
    folder = _root() if module == "index" else _root() / module
    wanted = name.lower()
    for path in folder.glob("*.py"):
        if path.stem.replace("_", "").lower() == wanted:
            return path
    raise UnknownToken(f"aws:{module}/{name}")


def _class_source(path: Path, name: str) -> str | None:
    """The text of one class of a generated file, or None."""
    text = _source(path)
    start = text.find(f"\nclass {name}:")
    if start < 0:
        start = text.find(f"\nclass {name}(")
    if start < 0:
        return None
    end = re.compile(r"^(?:@|class |def )", re.MULTILINE).search(text, start + 7)
    return text[start : end.start() if end else len(text)]


_GETTER = re.compile(
    r"@pulumi\.getter(?:\(name=\"(?P<wire>\w+)\"\))?\n"
    r"(?:    @_utilities\.deprecated\(.*?\"\"\"\)\n)?"
    r"    def (?P<name>\w+)\(self\) -> (?P<type>[^\n]*):\n",
    re.DOTALL,
)
_PARAMETER = re.compile(r"^ {17}(?P<name>\w+): (?P<type>.*?)(?P<optional> = None)?(?:,|\):)$", re.MULTILINE)


@functools.cache
def _properties(path: Path, class_name: str, module: str) -> dict[str, Property]:
    body = _class_source(path, class_name)
    if body is None:
        raise UnknownToken(class_name)
    signature = body[: body.find('"""')]
    required = {m["name"] for m in _PARAMETER.finditer(signature) if not m["optional"]}
    # A docstring between getters may hold anything, so a match must not run across it.
    properties: dict[str, Property] = {}
    for chunk in body.split("@_builtins.property\n")[1:]:
        match = _GETTER.search(chunk)
        if match:
            wire = match["wire"] or match["name"]
            properties[wire] = Property(wire, _parse(match["type"], module), match["name"] in required)
    return properties


def _inner(text: str) -> list[str]:
    """The arguments between the brackets of `X[a, b]`."""
    text = text[text.index("[") + 1 : text.rindex("]")]
    parts: list[str] = []
    depth = start = 0
    for index, character in enumerate(text):
        depth += (character == "[") - (character == "]")
        if character == "," and depth == 0:
            parts.append(text[start:index].strip())
            start = index + 1
    parts.append(text[start:].strip())
    return parts


_SCALARS = {"str": "string", "int": "integer", "float": "number", "bool": "boolean"}


def _parse(text: str, module: str) -> Type:
    text = text.strip()
    if text.startswith(("pulumi.Input[", "pulumi.Output[", "Optional[")):
        return _parse(_inner(text)[0], module)
    if text.startswith("Sequence["):
        return Type("list", _parse(_inner(text)[0], module))
    if text.startswith("Mapping["):
        return Type("map", _parse(_inner(text)[1], module))
    if text.startswith("Union["):
        options = _inner(text)
        if any("Asset" in option or "Archive" in option for option in options):
            return Type("asset")
        if any(option.strip("'\"").endswith("DocumentArgs") for option in options):
            return Type("json")
        return _parse(options[0], module)
    if text.startswith("_builtins."):
        return Type(_SCALARS.get(text.removeprefix("_builtins."), "any"))
    if text.startswith(("pulumi.Asset", "pulumi.Archive")):
        return Type("asset")
    if text.startswith("'"):
        name = text.strip("'")
        if "." in name:
            prefix, name = name.rsplit(".", 1)
            module = prefix.strip("_").split(".")[-1]
        if name.startswith("outputs"):
            return Type("any")
        return Type("object", reference=(module, name)) if name.endswith("Args") else Type("string")
    return Type("any")


def _split(token: str) -> tuple[str, str, str]:
    """(module, file, class) of `aws:sagemaker/endpointConfiguration:EndpointConfiguration`."""
    parts = token.split(":")
    if len(parts) != 3 or "/" not in parts[1]:
        raise UnknownToken(token)
    module, file = parts[1].split("/", 1)
    return module, file, parts[2]


@functools.cache
def resource(token: str) -> ResourceSchema:
    """The schema of a resource type. Raises UnknownToken."""
    module, file, name = _split(token)
    path = _module_file(module, file)
    # A class `BucketVersioningArgs` may be a nested type's name; then the resource's is `…InitArgs`.
    args = f"{name}InitArgs" if _class_source(path, f"{name}InitArgs") else f"{name}Args"
    inputs = _properties(path, args, module)
    return ResourceSchema(token, inputs, frozenset(_properties(path, name, module)))


@functools.cache
def function(token: str) -> frozenset[str]:
    """The wire names of a function's arguments. Raises UnknownToken."""
    module, file, _ = _split(token)
    path = _module_file(module, file)
    names = set(re.findall(r"__args__\['(\w+)'\]", _source(path)))
    return frozenset(names)


def members(kind: Type) -> dict[str, Property]:
    """The properties of an object type."""
    assert kind.reference is not None
    module, name = kind.reference
    folder = _root() if module in ("index", "pulumi_aws") else _root() / module
    return _properties(folder / "_inputs.py", name, module)


@functools.cache
def provider_properties() -> dict[str, Property]:
    """What the provider itself can be configured with."""
    return _properties(_root() / "provider.py", "ProviderArgs", "index")
