"""The resources of all APIs, as JSON under their full names, and the projects that they are in."""

from __future__ import annotations

import base64
import copy
import hashlib
import json
import re
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

from sandbox.google.errors import invalid
from sandbox.google.filters import compile_filter, values

_PROJECT = re.compile(r"(?<![^/])projects/([^/]+)")
_PROJECT_ID = re.compile(r"[a-z][a-z0-9-]{4,28}[a-z0-9]")


class Projects:
    """The projects of the account: each has an id and a number, and both name it."""

    def __init__(self) -> None:
        self._numbers: dict[str, str] = {}

    def number(self, project: str) -> str:
        """The number of a project named by id or number; a project of a proper id comes into being with its use."""
        if project.isdigit():
            return project
        digits = int(hashlib.sha256(project.encode()).hexdigest(), 16) % 9 * 10**11
        digits += int(hashlib.sha256(project.encode()).hexdigest()[16:], 16) % 10**11
        self._numbers[str(digits + 10**11)] = project
        return str(digits + 10**11)

    def ids(self) -> list[str]:
        """The ids of all projects."""
        return sorted(self._numbers.values())

    def id(self, project: str) -> str:
        """The id of a project named by id or number."""
        return self._numbers.get(project, project)

    def numbered(self, name: str) -> str:
        """A resource's name with its project's number."""
        return _PROJECT.sub(lambda found: f"projects/{self.number(found[1])}", name)

    def named(self, name: str) -> str:
        """A resource's name with its project's id."""
        return _PROJECT.sub(lambda found: f"projects/{self.id(found[1])}", name)

    @staticmethod
    def is_id(project: str) -> bool:
        return project.isdigit() or _PROJECT_ID.fullmatch(project) is not None


class Store:
    """Tables of resources, by collection; whoever reads and then writes holds the lock."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._tables: dict[str, dict[str, dict[str, Any]]] = defaultdict(dict)

    def table(self, collection: str) -> dict[str, dict[str, Any]]:
        """The resources of a collection, such as `aiplatform.projects.locations.models`, by name.

        A collection whose name starts with `_` is the emulator's own.
        """
        return self._tables[collection]

    def below(self, collection: str, parent: str) -> list[dict[str, Any]]:
        """Copies of the resources under a parent; a `-` in the parent stands for any one part."""
        pattern = re.compile("/".join("[^/]+" if part == "-" else re.escape(part) for part in parent.split("/")) + "/")
        with self.lock:
            return [copy.deepcopy(one) for name, one in self._tables[collection].items() if pattern.match(name)]

    def everything(self) -> dict[str, list[str]]:
        """The names of all that there is, by collection."""
        with self.lock:
            return {key: sorted(table) for key, table in sorted(self._tables.items()) if table and key[0] != "_"}


def etag(resource: dict[str, Any]) -> str:
    """The tag of a resource's state."""
    content = {key: value for key, value in resource.items() if key != "etag"}
    digest = hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).digest()
    return base64.b64encode(digest[:12]).decode()


def page(
    items: Iterable[dict[str, Any]], query: dict[str, Any], *, size: int = 100, most: int = 1000
) -> tuple[list[dict[str, Any]], str | None]:
    """The part of a list that a request asks for by filter, orderBy, pageSize and pageToken, and the next token.

    The token is bound to the other parameters, as AIP-158 says: with others it is refused.
    """
    found = list(items)
    if query.get("filter"):
        predicate = compile_filter(str(query["filter"]))
        found = [one for one in found if predicate(one)]
    for clause in reversed([part.strip() for part in str(query.get("orderBy") or "").split(",") if part.strip()]):
        found.sort(key=_order(clause.split()[0]), reverse=clause.lower().endswith(" desc"))
    asked = int(query.get("pageSize") or query.get("maxResults") or 0)
    if asked < 0:
        raise invalid("The page size must not be negative.", [("page_size", "The page size must not be negative.")])
    bound = hashlib.sha256(
        json.dumps([query.get("filter"), query.get("orderBy"), query.get("prefix"), query.get("delimiter")]).encode()
    ).hexdigest()[:8]
    start = 0
    if token := query.get("pageToken"):
        try:
            start_text, _, tag = base64.urlsafe_b64decode(str(token)).decode().partition(":")
            start = int(start_text)
        except ValueError:
            raise invalid("The page token is invalid.", [("page_token", "The page token is invalid.")]) from None
        if tag != bound:
            text = "The page token is of a request with other parameters."
            raise invalid(text, [("page_token", text)])
    end = start + min(asked or size, most)
    following = base64.urlsafe_b64encode(f"{end}:{bound}".encode()).decode() if end < len(found) else None
    return found[start:end], following


def _order(path: str) -> Callable[[dict[str, Any]], Any]:
    return lambda one: [str(value) for value in values(one, path)]
