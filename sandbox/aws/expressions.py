"""Metric math. Source: CloudWatch user guide, "Using math expressions with CloudWatch metrics".

An expression is parsed by Python's own grammar, of which metric math is nearly a subset, and evaluated over time
series node by node. Known: + - * / ^ comparisons AND OR, METRICS, IF, FILL, SUM, AVG, MIN, MAX, ABS, CEIL, FLOOR,
DIFF, RATE, PERIOD. Any other function is refused by name.
"""

from __future__ import annotations

import ast
import itertools
import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Series = dict[int, float]
"""Values by the start of their period, in seconds since the epoch."""
Value = Series | float | list[Series]


class ExpressionError(Exception):
    """An expression that cannot be read or computed."""


_BINARY: dict[type[ast.AST], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.BitXor: operator.pow,
    ast.Pow: operator.pow,
    ast.Lt: lambda a, b: float(a < b),
    ast.LtE: lambda a, b: float(a <= b),
    ast.Gt: lambda a, b: float(a > b),
    ast.GtE: lambda a, b: float(a >= b),
    ast.Eq: lambda a, b: float(a == b),
    ast.NotEq: lambda a, b: float(a != b),
    ast.And: lambda a, b: float(bool(a) and bool(b)),
    ast.Or: lambda a, b: float(bool(a) or bool(b)),
}
FUNCTIONS = ("METRICS", "IF", "FILL", "SUM", "AVG", "MIN", "MAX", "ABS", "CEIL", "FLOOR", "DIFF", "RATE", "PERIOD")


def parse(expression: str) -> ast.expr:
    """The expression's tree; raises ExpressionError."""
    text = expression.replace("&&", " and ").replace("||", " or ")
    text = re.sub(r"\bAND\b", "and", text)
    text = re.sub(r"\bOR\b", "or", text)
    text = re.sub(r"(?<![=<>!])=(?!=)", "==", text)
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except SyntaxError as error:
        raise ExpressionError(f"Error in expression '{expression}': {error.msg}") from error
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = node.func.id if isinstance(node.func, ast.Name) else "?"
            if name not in FUNCTIONS:
                raise ExpressionError(f"Error in expression '{expression}': unsupported function {name}")
    return tree


def names(expression: str) -> set[str]:
    """The ids of the metrics that an expression uses."""
    tree = parse(expression)
    functions = {
        node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    found = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    return found - functions - {"REPEAT", "LINEAR"}


def evaluate(expression: str, series: Mapping[str, Series], times: Sequence[int], period: int) -> Series:
    """Compute an expression over series; `times` are all the periods of the range."""
    value = _Evaluator(series, times, period).visit(parse(expression))
    if isinstance(value, list):
        raise ExpressionError(f"Error in expression '{expression}': it yields several time series")
    if isinstance(value, float):
        return dict.fromkeys(times, value)
    return value


class _Evaluator:
    def __init__(self, series: Mapping[str, Series], times: Sequence[int], period: int) -> None:
        self.series, self.times, self.period = series, times, period

    def visit(self, node: ast.expr) -> Value:
        match node:
            case ast.Constant(value=int() | float() as number):
                return float(number)
            case ast.Name(id=name) if name in self.series:
                return self.series[name]
            case ast.Name(id=name):
                raise ExpressionError(f"the expression uses {name}, which is no id of a metric")
            case ast.List(elts=items):
                return [self.one(item) for item in items]
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return self.combine(operator.mul, -1.0, self.visit(operand))
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
                return self.combine(_BINARY[type(op)], self.visit(left), self.visit(right))
            case ast.Compare(left=left, ops=[op], comparators=[right]):
                return self.combine(_BINARY[type(op)], self.visit(left), self.visit(right))
            case ast.BoolOp(op=op, values=values):
                result = self.visit(values[0])
                for item in values[1:]:
                    result = self.combine(_BINARY[type(op)], result, self.visit(item))
                return result
            case ast.Call(func=ast.Name(id=name), args=arguments):
                return self.call(name, arguments)
            case _:
                raise ExpressionError(f"cannot compute {ast.unparse(node)}")

    def one(self, node: ast.expr) -> Series:
        value = self.visit(node)
        if isinstance(value, list):
            raise ExpressionError("a list inside a list")
        return dict.fromkeys(self.times, value) if isinstance(value, float) else value

    def combine(self, function: Callable[[float, float], float], left: Value, right: Value) -> Value:
        """Point by point; a point missing on either side, or divided by zero, is missing in the result."""
        if isinstance(left, list) or isinstance(right, list):
            lefts = left if isinstance(left, list) else None
            rights = right if isinstance(right, list) else None
            count = len(lefts or rights or [])
            pairs = [(lefts[i] if lefts else left, rights[i] if rights else right) for i in range(count)]
            return [self.combine(function, a, b) for a, b in pairs]  # type: ignore[misc]
        if isinstance(left, float) and isinstance(right, float):
            return function(left, right)
        times = (
            (set(left) if isinstance(left, dict) else set(right))
            if not (isinstance(left, dict) and isinstance(right, dict))
            else set(left) & set(right)
        )
        result: Series = {}
        for moment in sorted(times):
            a = left[moment] if isinstance(left, dict) else left
            b = right[moment] if isinstance(right, dict) else right
            try:
                result[moment] = function(a, b)
            except (ZeroDivisionError, OverflowError):
                continue
        return result

    def call(self, name: str, arguments: list[ast.expr]) -> Value:
        match name:
            case "METRICS":
                return list(self.series.values())
            case "PERIOD":
                return float(self.period)
            case "IF":
                condition = self.one(arguments[0])
                then = self.visit(arguments[1])
                other: Value = self.visit(arguments[2]) if len(arguments) > 2 else {}
                result: Series = {}
                for moment, holds in condition.items():
                    chosen = then if holds else other
                    if isinstance(chosen, float):
                        result[moment] = chosen
                    elif isinstance(chosen, dict) and moment in chosen:
                        result[moment] = chosen[moment]
                return result
            case "FILL":
                return self.fill(self.one(arguments[0]), arguments[1])
            case "ABS" | "CEIL" | "FLOOR":
                function: Any = {"ABS": abs, "CEIL": math.ceil, "FLOOR": math.floor}[name]
                return {moment: float(function(value)) for moment, value in self.one(arguments[0]).items()}
            case "DIFF" | "RATE":
                points = sorted(self.one(arguments[0]).items())
                divide = (lambda a, b: float(b - a)) if name == "RATE" else (lambda a, b: 1.0)
                return {b: (y - x) / divide(a, b) for (a, x), (b, y) in itertools.pairwise(points)}
            case _:
                return self.reduce(name, self.visit(arguments[0]))

    def reduce(self, name: str, value: Value) -> Value:
        function: Any = {"SUM": sum, "MIN": min, "MAX": max, "AVG": lambda items: sum(items) / len(items)}[name]
        if isinstance(value, float):
            return value
        if isinstance(value, dict):
            return float(function(list(value.values()))) if value else {}
        moments = sorted({moment for one in value for moment in one})
        return {moment: float(function([one[moment] for one in value if moment in one])) for moment in moments}

    def fill(self, series: Series, argument: ast.expr) -> Series:
        if isinstance(argument, ast.Name) and argument.id in {"REPEAT", "LINEAR"}:
            filled: Series = {}
            last: float | None = None
            for moment in self.times:
                last = series.get(moment, last)
                if last is not None:
                    filled[moment] = last
            return filled
        other = self.visit(argument)
        return {
            moment: series[moment] if moment in series else other[moment] if isinstance(other, dict) else float(other)  # type: ignore[arg-type]
            for moment in self.times
            if moment in series or not isinstance(other, dict) or moment in other
        }
