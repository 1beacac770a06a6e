"""Expressions of Workflows, `${…}`, and the functions of its standard library that may stand in them.

Sources: "Expressions" (operators, what may be added and compared), "Access data", "Standard library reference". The
language is close enough to Python's expressions to be read as such; what goes beyond it is refused. A key that is a
word of Python's own, as in `a.from`, has to be written `a["from"]` here.
"""

from __future__ import annotations

import ast
import base64
import json
import operator
import re
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Scope:
    """What an expression may name: variables and functions."""

    variables: Mapping[str, Any]
    functions: Mapping[str, Callable[..., Any]]


_WHOLE = re.compile(r"\$\{(.*)\}", re.DOTALL)


class NotEmulated(Exception):
    """Something of the language that the sandbox does not have; the text names it."""


class Malformed(Exception):
    """What is no expression or no step; the text says why."""


class Raised(Exception):
    """An error of a running workflow, with what `except` gets of it: a map, or any value that was raised."""

    def __init__(self, value: Any) -> None:
        super().__init__(str(value))
        self.value = value


def error(message: str, *tags: str, **more: Any) -> Raised:
    """An error of the runtime or the standard library."""
    return Raised({"message": message, "tags": list(tags), **more})


def expression_of(value: object) -> str | None:
    """The expression that a string is; None for any other value."""
    found = _WHOLE.fullmatch(value) if isinstance(value, str) else None
    return found[1].strip() if found else None


def parse(text: str) -> ast.expr:
    """Read an expression. Raises Malformed and NotEmulated."""
    # `if` is a function there.
    readable = re.sub(r"\bif\s*\(", "if_(", text)
    try:
        found = ast.parse(readable, mode="eval").body
    except SyntaxError as problem:
        raise Malformed(f"the expression ${{{text}}} cannot be read: {problem.msg}") from problem
    for node in ast.walk(found):
        if not isinstance(node, _NODES) or (isinstance(node, ast.Compare) and len(node.ops) != 1):
            raise Malformed(f"the expression ${{{text}}} has what Workflows does not know: {ast.unparse(node)}")
        if isinstance(node, ast.Call):
            name = dotted(node.func)
            if name is None or name not in FUNCTIONS or node.keywords:
                raise NotEmulated(f"the function {name or ast.unparse(node.func)}")
    return found


def dotted(node: ast.expr) -> str | None:
    """The name that a node is, such as `json.decode`."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        before = dotted(node.value)
        return f"{before}.{node.attr}" if before else None
    return None


def evaluate(node: ast.expr, scope: Scope) -> Any:
    """An expression's value. Raises Raised."""
    match node:
        case ast.Constant():
            return node.value
        case ast.Name():
            if node.id in scope.variables:
                return scope.variables[node.id]
            if node.id in _CONSTANTS:
                return _CONSTANTS[node.id]
            raise error(f'could not resolve variable "{node.id}"', "NameError")
        case ast.Attribute():
            name = dotted(node)
            if name in POLICIES and name.partition(".")[0] not in scope.variables:
                return POLICIES[name]
            return member(evaluate(node.value, scope), node.attr)
        case ast.Subscript():
            return member(evaluate(node.value, scope), evaluate(node.slice, scope))
        case ast.List():
            return [evaluate(one, scope) for one in node.elts]
        case ast.Dict():
            return {
                evaluate(key, scope): evaluate(value, scope)
                for key, value in zip(node.keys, node.values, strict=True)
                if key is not None
            }
        case ast.BoolOp():
            return _logical(node, scope)
        case ast.UnaryOp():
            value = evaluate(node.operand, scope)
            if isinstance(node.op, ast.Not):
                return not truth(value)
            return _number(value, "-") * (-1 if isinstance(node.op, ast.USub) else 1)
        case ast.Compare():
            return _compare(node.ops[0], evaluate(node.left, scope), evaluate(node.comparators[0], scope))
        case ast.BinOp():
            return _calculate(node.op, evaluate(node.left, scope), evaluate(node.right, scope))
        case ast.Call():
            name = str(dotted(node.func))
            if name == "default":
                value = evaluate(node.args[0], scope)
                return evaluate(node.args[1], scope) if value is None else value
            given = [evaluate(one, scope) for one in node.args]
            try:
                return scope.functions[name](*given)
            except Raised:
                raise
            except (TypeError, ValueError, IndexError, AttributeError) as problem:
                raise error(f"{name}: {problem}", "TypeError") from problem
        case _:
            raise AssertionError(ast.unparse(node))


def member(value: Any, key: Any) -> Any:
    """What is under a key or index."""
    if isinstance(value, dict):
        if key not in value:
            raise error(f"key not found: {key}", "KeyError", "LookupError")
        return value[key]
    if isinstance(value, list) and isinstance(key, int) and not isinstance(key, bool):
        if not 0 <= key < len(value):
            raise error(f"index out of range: {key}", "IndexError", "LookupError")
        return value[key]
    raise error(f"{type(value).__name__} has no {key!r}", "TypeError")


def truth(value: Any) -> bool:
    """A condition's value, which must be true or false."""
    if not isinstance(value, bool):
        raise error(f"a condition must be true or false, not {value!r}", "TypeError")
    return value


def _logical(node: ast.BoolOp, scope: Scope) -> bool:
    wanted = isinstance(node.op, ast.Or)
    for one in node.values:
        if truth(evaluate(one, scope)) is wanted:
            return wanted
    return not wanted


def _number(value: Any, sign: str) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise error(f"{sign} needs numbers, not {value!r}", "TypeError")
    return value


def _calculate(sign: ast.operator, left: Any, right: Any) -> Any:
    if isinstance(sign, ast.Add) and isinstance(left, str) and isinstance(right, str):
        return left + right
    shown, function = _ARITHMETIC[type(sign)]
    try:
        return function(_number(left, shown), _number(right, shown))
    except ZeroDivisionError as problem:
        raise error("division by zero", "ZeroDivisionError") from problem


def _compare(sign: ast.cmpop, left: Any, right: Any) -> bool:
    if isinstance(sign, ast.Eq | ast.NotEq):
        return (left == right) is isinstance(sign, ast.Eq)
    if isinstance(sign, ast.In):
        return left in right
    shown, function = _ORDER[type(sign)]
    if isinstance(left, str) and isinstance(right, str):
        return bool(function(left, right))
    return bool(function(_number(left, shown), _number(right, shown)))


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str | int | float):
        return str(value)
    raise error(f"string: {type(value).__name__} cannot become a string", "TypeError")


def _decode_json(value: Any) -> Any:
    try:
        return json.loads(value)
    except ValueError as problem:
        raise error(f"json.decode: {problem}", "ValueError") from problem


def _decode_base64(value: Any) -> bytes:
    try:
        return base64.b64decode(value, validate=True)
    except ValueError as problem:
        raise error(f"base64.decode: {problem}", "ValueError") from problem


def _has_status(*codes: int) -> Callable[[Any], bool]:
    def of(problem: Any) -> bool:
        tags = problem.get("tags", []) if isinstance(problem, dict) else []
        lost = "ConnectionError" in tags or "TimeoutError" in tags
        return lost or ("HttpError" in tags and problem.get("code") in codes)

    return of


_BACKOFF = {"initial_delay": 1, "max_delay": 60, "multiplier": 1.25}
POLICIES: dict[str, Any] = {
    "http.default_retry": {
        "predicate": _has_status(429, 502, 503, 504),
        "max_retries": 5,
        "backoff": _BACKOFF,
    },
    "http.default_retry_non_idempotent": {
        "predicate": _has_status(429, 503),
        "max_retries": 5,
        "backoff": _BACKOFF,
    },
    "http.default_retry_predicate": _has_status(429, 502, 503, 504),
    "http.default_retry_predicate_non_idempotent": _has_status(429, 503),
    "retry.always": lambda problem: True,
    "retry.default_backoff": _BACKOFF,
}
"""What a `retry` may name. Source: "Standard library, http and retry"."""

_CONSTANTS: dict[str, Any] = {"true": True, "false": False, "null": None}
_ARITHMETIC: dict[type[ast.operator], tuple[str, Callable[[Any, Any], Any]]] = {
    ast.Add: ("+", operator.add),
    ast.Sub: ("-", operator.sub),
    ast.Mult: ("*", operator.mul),
    ast.Div: ("/", operator.truediv),
    ast.FloorDiv: ("//", operator.floordiv),
    ast.Mod: ("%", operator.mod),
}
_ORDER: dict[type[ast.cmpop], tuple[str, Callable[[Any, Any], Any]]] = {
    ast.Lt: ("<", operator.lt),
    ast.LtE: ("<=", operator.le),
    ast.Gt: (">", operator.gt),
    ast.GtE: (">=", operator.ge),
}
_NODES = (
    ast.Constant,
    ast.Name,
    ast.Attribute,
    ast.Subscript,
    ast.List,
    ast.Dict,
    ast.BoolOp,
    ast.UnaryOp,
    ast.Compare,
    ast.BinOp,
    ast.Call,
    ast.Load,
    ast.And,
    ast.Or,
    ast.Not,
    ast.USub,
    ast.UAdd,
    ast.Eq,
    ast.NotEq,
    ast.In,
    *_ARITHMETIC,
    *_ORDER,
)
FUNCTIONS: dict[str, Callable[..., Any]] = {
    "base64.decode": _decode_base64,
    "base64.encode": lambda value: base64.b64encode(value).decode(),
    "default": lambda value, other: other if value is None else value,
    "double": float,
    "if_": lambda condition, one, other: one if truth(condition) else other,
    "int": int,
    "json.decode": _decode_json,
    "json.encode": lambda value: json.dumps(value, separators=(",", ":")).encode(),
    "json.encode_to_string": lambda value: json.dumps(value, separators=(",", ":")),
    "keys": lambda value: list(value.keys()),
    "len": len,
    "list.concat": lambda value, one: [*value, one],
    "map.get": lambda value, key: value.get(key),
    "map.merge": lambda one, other: {**one, **other},
    "string": _text,
    "sys.get_env": lambda name, *other: other[0] if other else None,
    "sys.now": time.time,
    "text.decode": lambda value: value.decode(),
    "text.encode": lambda value: value.encode(),
    "text.match_regex": lambda value, pattern: re.search(pattern, value) is not None,
    "text.replace_all": lambda value, old, new: value.replace(old, new),
    "text.split": lambda value, separator: value.split(separator),
    "text.to_lower": lambda value: value.lower(),
    "text.to_upper": lambda value: value.upper(),
    "uuid.generate": lambda: str(uuid.uuid4()),
}
"""The functions that an expression may call; an execution has its own `sys.get_env`."""
