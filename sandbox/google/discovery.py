"""Google's API description documents: which method a request is for, and the schemas it is checked by.

Source: "Google API Discovery Service", reference of the document (methods, paths, parameters, schemas); the documents
ship in google-api-python-client.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from typing import Any
from urllib.parse import unquote

_VARIABLE = re.compile(r"\{(\+?)(\w+)\}")


@dataclass(frozen=True, eq=False)
class Method:
    """One method of an API. `key` is its id without the API's name, such as `projects.locations.models.upload`."""

    key: str
    http: str
    path: str
    parameters: Mapping[str, Mapping[str, Any]]
    request: str | None
    response: str | None
    takes_media: bool
    gives_media: bool

    @property
    def verb(self) -> str:
        return self.key.rpartition(".")[2]

    @property
    def collection(self) -> str:
        return self.key.rpartition(".")[0]

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """What a path of this method looks like, with a group for each variable."""
        parts: list[str] = []
        end = 0
        for found in _VARIABLE.finditer(self.path):
            parts.append(re.escape(self.path[end : found.start()]))
            given = str(self.parameters[found[2]].get("pattern") or ("^.+$" if found[1] else "^[^/]+$"))
            parts.append(f"(?P<{found[2]}>{given.removeprefix('^').removesuffix('$')})")
            end = found.end()
        parts.append(re.escape(self.path[end:]))
        return re.compile("".join(parts))

    @property
    def specific(self) -> tuple[bool, int]:
        """How specific the path is: a custom verb comes before the name that would swallow it."""
        literal = _VARIABLE.sub("", self.path)
        return ":" in literal.rpartition("/")[2] or literal.startswith(":"), len(literal)


class Document:
    """One API's description."""

    def __init__(self, name: str, version: str) -> None:
        resource = files("googleapiclient.discovery_cache") / "documents" / f"{name}.{version}.json"
        self._document: dict[str, Any] = json.loads(resource.read_text(encoding="utf-8"))
        self.name = name
        self.version = version
        self.title = str(self._document["title"])
        self.host = str(self._document["rootUrl"]).removeprefix("https://").strip("/")
        self.schemas: dict[str, dict[str, Any]] = self._document["schemas"]
        self.parameters: dict[str, dict[str, Any]] = self._document["parameters"]
        self.base = "/" + str(self._document["servicePath"])
        self.locations = [str(one["location"]) for one in self._document.get("endpoints", [])]
        self.methods = {method.key: method for method in self._read(self._document)}
        self._by_verb: dict[str, list[Method]] = defaultdict(list)
        for method in sorted(self.methods.values(), key=lambda one: one.specific, reverse=True):
            self._by_verb[method.http].append(method)

    def _read(self, node: Mapping[str, Any]) -> Iterator[Method]:
        for given in node.get("methods", {}).values():
            yield Method(
                key=str(given["id"]).partition(".")[2],
                http=given["httpMethod"],
                path=given["path"],
                parameters=given.get("parameters", {}),
                request=given.get("request", {}).get("$ref"),
                response=given.get("response", {}).get("$ref"),
                takes_media=bool(given.get("supportsMediaUpload")),
                gives_media=bool(given.get("supportsMediaDownload")),
            )
        for below in node.get("resources", {}).values():
            yield from self._read(below)

    def find(self, http: str, raw_path: str) -> tuple[Method, dict[str, str]] | None:
        """The method that a path, still in URL encoding, is for, and the path's variables."""
        if not raw_path.startswith(self.base):
            return None
        path = raw_path.removeprefix(self.base)
        for method in self._by_verb[http]:
            found = method.pattern.fullmatch(path)
            if found:
                return method, {name: unquote(value) for name, value in found.groupdict().items()}
        return None
