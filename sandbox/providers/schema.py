"""The published schema of an official provider, read from its installed SDK: `pulumi_aws`, `pulumi_gcp`.

The SDK's generated sources hold, for every resource, its inputs with their wire names and types and
which are required (`<Resource>Args`), nested types (`_inputs.py`), and the outputs. They are read
as text, class by class: importing them would take seconds.
"""

from __future__ import annotations

import functools
import importlib.util
import re
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Type:
    """A property's type. `kind` is string, integer, number, boolean, list, map, object, json, asset or any.

    `json` is a policy document: text, or an object that becomes text.
    """

    kind: str
    element: Type | None = None
    reference: tuple[Path, str] | None = None
    """For an object: the SDK's file and the class in it."""


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
    told: dict[str, Property]

    @property
    def outputs(self) -> frozenset[str]:
        """The names of what it gives."""
        return frozenset(self.told)


class UnknownToken(LookupError):
    """The SDK has no resource of that type."""


@functools.cache
def _root(package: str) -> Path:
    spec = importlib.util.find_spec(f"pulumi_{package}")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(f"the pulumi-{package} package is not installed")
    return Path(spec.submodule_search_locations[0])


@functools.cache
def _source(path: Path) -> str:
    return path.read_text(encoding="utf-8")


@functools.cache
def _module_file(package: str, module: str, name: str) -> Path:
    folder = _root(package) if module == "index" else _root(package) / module
    wanted = name.lower()
    for path in folder.glob("*.py"):
        if path.stem.replace("_", "").lower() == wanted:
            return path
    raise UnknownToken(f"{package}:{module}/{name}")


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
def _properties(path: Path, class_name: str) -> dict[str, Property]:
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
            properties[wire] = Property(wire, _parse(match["type"], path.parent), match["name"] in required)
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


def _parse(text: str, folder: Path) -> Type:
    text = text.strip()
    if text.startswith(("pulumi.Input[", "pulumi.Output[", "Optional[")):
        return _parse(_inner(text)[0], folder)
    if text.startswith("Sequence["):
        return Type("list", _parse(_inner(text)[0], folder))
    if text.startswith("Mapping["):
        return Type("map", _parse(_inner(text)[1], folder))
    if text.startswith("Union["):
        options = _inner(text)
        if any("Asset" in option or "Archive" in option for option in options):
            return Type("asset")
        if any(option.strip("'\"").endswith("DocumentArgs") for option in options):
            return Type("json")
        return _parse(options[0], folder)
    if text.startswith("_builtins."):
        return Type(_SCALARS.get(text.removeprefix("_builtins."), "any"))
    if text.startswith(("pulumi.Asset", "pulumi.Archive")):
        return Type("asset")
    if text.startswith("'"):
        name = text.strip("'")
        if "." in name:
            prefix, name = name.rsplit(".", 1)
            if prefix == "outputs":
                return Type("object", reference=(folder / "outputs.py", name))
            module = prefix.strip("_").split(".")[-1]
            # The provider's own types are in the package's folder, all others in a folder below it.
            base = folder if (folder / "provider.py").exists() else folder.parent
            folder = base if module in ("index", base.name) else base / module
        return Type("object", reference=(folder / "_inputs.py", name)) if name.endswith("Args") else Type("string")
    return Type("any")


def _split(token: str) -> tuple[Path, str]:
    """(file, class) of `aws:sagemaker/endpointConfiguration:EndpointConfiguration`."""
    parts = token.split(":")
    if len(parts) != 3 or "/" not in parts[1]:
        raise UnknownToken(token)
    module, file = parts[1].split("/", 1)
    return _module_file(parts[0], module, file), parts[2]


@functools.cache
def resource(token: str) -> ResourceSchema:
    """The schema of a resource type. Raises UnknownToken."""
    path, name = _split(token)
    # A class `BucketVersioningArgs` may be a nested type's name; then the resource's is `…InitArgs`.
    args = f"{name}InitArgs" if _class_source(path, f"{name}InitArgs") else f"{name}Args"
    inputs = _properties(path, args)
    return ResourceSchema(token, inputs, _properties(path, name))


@functools.cache
def function(token: str) -> frozenset[str]:
    """The wire names of a function's arguments. Raises UnknownToken."""
    path, _ = _split(token)
    return frozenset(re.findall(r"__args__\['(\w+)'\]", _source(path)))


def members(kind: Type) -> dict[str, Property]:
    """The properties of an object type."""
    assert kind.reference is not None
    return _properties(*kind.reference)


@functools.cache
def provider_properties(package: str) -> dict[str, Property]:
    """What the provider itself can be configured with."""
    return _properties(_root(package) / "provider.py", "ProviderArgs")
