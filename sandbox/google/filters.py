"""Filters of lists and of time series.

Source: AIP-160, "Filtering" (comparison, AND, OR, NOT, parentheses, `:` for has, `*` in text), and "Monitoring
filters" of Cloud Monitoring (starts_with, ends_with, has_substring, one_of, monitoring.regex.full_match).
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Mapping
from typing import Any

from sandbox.google.errors import invalid

_TOKEN = re.compile(
    r"""\s*(?:(?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')|(?P<operator><=|>=|!=|=~|!~|=|<|>|:)|(?P<mark>[(),])"""
    r"""|(?P<word>[^\s()<>=!:,"']+))"""
)

Predicate = Callable[[Mapping[str, Any]], bool]
_FUNCTIONS: dict[str, Callable[[str, list[str]], bool]] = {
    "starts_with": lambda value, given: value.startswith(given[0]),
    "ends_with": lambda value, given: value.endswith(given[0]),
    "has_substring": lambda value, given: given[0] in value,
    "one_of": lambda value, given: value in given,
    "monitoring.regex.full_match": lambda value, given: re.fullmatch(given[0], value) is not None,
}


def compile_filter(text: str) -> Predicate:
    """What tells whether a resource, as JSON, passes the filter. Raises INVALID_ARGUMENT for a malformed one."""
    tokens = _tokens(text)
    if not tokens:
        return lambda _: True
    parser = _Parser(text, tokens)
    found = parser.either()
    if parser.position != len(tokens):
        raise _malformed(text, f"unexpected {tokens[parser.position][1]!r}")
    return found


def _malformed(text: str, why: str) -> Exception:
    return invalid(f'Invalid filter "{text}": {why}.', [("filter", why)])


def _tokens(text: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    position = 0
    while text[position:].strip():
        match = _TOKEN.match(text, position)
        if match is None:
            raise _malformed(text, f"cannot read {text[position:]!r}")
        kind = str(match.lastgroup)
        value = match[kind]
        if kind == "text":
            value = re.sub(r"\\(.)", r"\1", value[1:-1])
        found.append((kind, value))
        position = match.end()
    return found


class _Parser:
    def __init__(self, text: str, tokens: list[tuple[str, str]]) -> None:
        self.text = text
        self.tokens = tokens
        self.position = 0

    def _next(self) -> tuple[str, str]:
        return self.tokens[self.position] if self.position < len(self.tokens) else ("end", "")

    def _take(self) -> tuple[str, str]:
        token = self._next()
        if token[0] == "end":
            raise _malformed(self.text, "it ends too early")
        self.position += 1
        return token

    def _skip(self, *tokens: tuple[str, str]) -> bool:
        if self._next() in tokens:
            self.position += 1
            return True
        return False

    def either(self) -> Predicate:
        # In AIP-160 OR binds tighter than AND.
        parts = [self._any()]
        while self._next()[0] not in ("end",) and self._next() != ("mark", ")"):
            self._skip(("word", "AND"))
            parts.append(self._any())
        return lambda one: all(part(one) for part in parts)

    def _any(self) -> Predicate:
        parts = [self._not()]
        while self._skip(("word", "OR")):
            parts.append(self._not())
        return lambda one: any(part(one) for part in parts)

    def _not(self) -> Predicate:
        if self._skip(("word", "NOT"), ("word", "-")):
            negated = self._not()
            return lambda one: not negated(one)
        if self._skip(("mark", "(")):
            inner = self.either()
            if not self._skip(("mark", ")")):
                raise _malformed(self.text, "a parenthesis is not closed")
            return inner
        return self._comparison()

    def _comparison(self) -> Predicate:
        kind, path = self._take()
        if kind != "word":
            raise _malformed(self.text, f"a field is expected, not {path!r}")
        if self._next()[0] != "operator":
            raise _malformed(self.text, f"{path} is compared with nothing")
        operator = self._take()[1]
        kind, value = self._take()
        if kind == "word" and value in _FUNCTIONS and self._skip(("mark", "(")):
            given: list[str] = []
            while not self._skip(("mark", ")")):
                given.append(self._take()[1])
                self._skip(("mark", ","))
            function, negate = _FUNCTIONS[value], operator == "!="
            return lambda one: (
                any(function(str(found), given) for found in values(one, path) if found is not None) is not negate
            )
        if kind not in ("word", "text"):
            raise _malformed(self.text, f"{path} {operator} needs a value, not {value!r}")
        return lambda one: _compare(values(one, path), operator, value)


def values(resource: Any, path: str) -> list[Any]:
    """What a dotted path leads to; a step over a list goes to each of its elements."""
    found = [resource]
    rest = path
    while rest and found:
        step, _, after = rest.partition(".")
        below: list[Any] = []
        for one in found:
            for part in one if isinstance(one, list) else [one]:
                if isinstance(part, Mapping):
                    # A label's name may have dots itself.
                    if rest in part:
                        below.append((part[rest], ""))
                    elif (name := _named(part, step)) is not None:
                        below.append((part[name], after))
        if not below:
            return []
        rest = below[0][1]
        found = [value for value, _ in below]
    return [value for one in found for value in (one if isinstance(one, list) else [one])]


def _named(part: Mapping[str, Any], step: str) -> str | None:
    head, *tail = step.split("_")
    written = head + "".join(word[:1].upper() + word[1:] for word in tail)
    return next((name for name in (step, written) if name in part), None)


def _compare(found: list[Any], operator: str, wanted: str) -> bool:
    if operator == "!=":
        return not _compare(found, "=", wanted)
    if operator == ":":
        if wanted == "*":
            return bool(found)
        return any(wanted in one if isinstance(one, Mapping) else _has(one, wanted) for one in found)
    if operator in ("=~", "!~"):
        matched = any(re.search(wanted, str(one)) for one in found)
        return matched is (operator == "=~")
    return any(_holds(one, operator, wanted) for one in found)


def _has(value: Any, wanted: str) -> bool:
    return wanted.lower() in str(value).lower()


def _holds(value: Any, operator: str, wanted: str) -> bool:
    if operator == "=":
        if isinstance(value, bool):
            return wanted.lower() == str(value).lower()
        if isinstance(value, int | float):
            return _as_number(wanted) == float(value)
        return fnmatch.fnmatchcase(str(value), wanted.replace("[", "[[]").replace("?", "[?]"))
    number = _as_number(wanted)
    left: Any = value
    right: Any = wanted
    if number is not None and _as_number(value) is not None:
        left, right = float(value), number
    elif isinstance(value, int | float):
        return False
    return {"<": left < right, "<=": left <= right, ">": left > right, ">=": left >= right}[operator]


def _as_number(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError):
        return None
