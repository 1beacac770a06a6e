"""What the sandbox must know of a stack before the engine runs: where its clouds are, and which packages it wants."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from model_packaging.errors import ModelberthError, choices, did_you_mean
from sandbox.settings import ROOT

FOLDER = ROOT / "stacks"
LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class StackFile:
    """A stack's configuration file, read but not checked: the program does that."""

    name: str
    path: Path
    config: dict[str, Any]

    @property
    def models(self) -> dict[str, dict[str, Any]]:
        """The models by name; those that are no mapping are left out."""
        models = self.config.get("modelberth:models")
        if not isinstance(models, dict):
            return {}
        return {str(name): model for name, model in models.items() if isinstance(model, dict)}

    @property
    def region(self) -> str:
        """The AWS Region, if the file names one."""
        return str(self.config.get("aws:region") or "")

    @property
    def emulator_url(self) -> str | None:
        """Where the AWS emulator must listen for this stack; nothing for a stack on a real account."""
        entries = self.config.get("aws:endpoints")
        addresses = [
            str(address)
            for entry in (entries if isinstance(entries, list) else [])
            if isinstance(entry, dict)
            for address in entry.values()
        ]
        local = [address for address in addresses if urlsplit(address).hostname in LOOPBACK]
        return local[0] if local else None


def read(name: str) -> StackFile:
    """Read a stack's file.

    Raises:
        ModelberthError: there is none of that name, or it is no YAML; the text names the stacks that are there.
    """
    path = FOLDER / f"Pulumi.{name}.yaml"
    known = sorted(file.name.removeprefix("Pulumi.").removesuffix(".yaml") for file in FOLDER.glob("Pulumi.*.yaml"))
    if not path.is_file():
        raise ModelberthError(f"unknown stack {name!r}: choose {choices(known)}{did_you_mean(name, known)}")
    try:
        root = yaml.compose(path.read_text(), yaml.SafeLoader)
    except yaml.YAMLError as error:
        raise ModelberthError(f"{path.relative_to(ROOT)}: no YAML: {error}") from error
    # PyYAML keeps the last of two; the engine refuses them without the file's name or the whole key.
    twice = [f"{path.relative_to(ROOT)}: {problem}" for problem in _written_twice(root, "")]
    if twice:
        raise ModelberthError(*twice)
    document = yaml.safe_load(path.read_text())
    config = document.get("config") if isinstance(document, dict) else None
    if not isinstance(config, dict):
        raise ModelberthError(f"{path.relative_to(ROOT)}: has no `config:` with the stack's settings")
    return StackFile(name, path, config)


def _written_twice(node: yaml.Node | None, where: str) -> Iterator[str]:
    """One sentence for each key of a mapping that is written more than once, by its full key and both lines."""
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            yield from _written_twice(item, f"{where}.{index}")
    if not isinstance(node, yaml.MappingNode):
        return
    lines: dict[str, int] = {}
    for key, value in node.value:
        full = f"{where}.{key.value}".removeprefix(".").removeprefix("config.")
        line = key.start_mark.line + 1
        if key.value in lines:
            yield f"{full}: is written twice, in lines {lines[key.value]} and {line}; give one of them another name"
        lines[key.value] = line
        yield from _written_twice(value, f"{where}.{key.value}")
