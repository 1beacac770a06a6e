"""A workflow's program: its steps are checked when it is made, and run by its executions.

Sources: "Workflows syntax overview" and the pages of the syntax reference (Steps, Assign, Call, Switch, Jumps, Try and
retry, Raise, For, Subworkflows); "Standard library, http" (arguments, answer, HttpError). Not emulated, and refused
when a workflow is made: parallel steps, connectors (`googleapis.…`), callbacks, experimental functions.
"""

from __future__ import annotations

import ast
import copy
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import yaml

from sandbox.google.workflows.expressions import (
    FUNCTIONS,
    Malformed,
    NotEmulated,
    Raised,
    Scope,
    error,
    evaluate,
    expression_of,
    member,
    parse,
    truth,
)

HTTP_CALLS = {f"http.{verb}" for verb in ("get", "post", "put", "patch", "delete", "request")}
CALLS = {*HTTP_CALLS, "sys.log", "sys.sleep"}
_STEP = {
    "assign",
    "call",
    "args",
    "result",
    "switch",
    "next",
    "return",
    "raise",
    "try",
    "retry",
    "except",
    "for",
    "steps",
}
_BRANCH = _STEP - {"try", "retry", "except", "for"} | {"condition"}
_JUMPS = {"end", "break", "continue"}
MOST_SECONDS = 31_536_000.0

Step = dict[str, Any]
Send = Callable[[str, str, dict[str, str], bytes | None, dict[str, Any], float], tuple[int, dict[str, str], bytes]]
"""How a request is sent: method, URL, headers, body, the step's `auth`, seconds."""


@dataclass(frozen=True)
class Routine:
    """`main` or a subworkflow. A parameter is a name, or a name with its default."""

    parameters: list[Any]
    steps: list[Any]


def read(source: str) -> dict[str, Routine]:
    """The routines of a program in YAML or JSON. Raises Malformed and NotEmulated, with the step."""
    try:
        found = yaml.safe_load(source)
    except yaml.YAMLError as problem:
        raise Malformed(f"it is neither YAML nor JSON: {problem}") from problem
    if isinstance(found, list):
        found = {"main": {"steps": found}}
    if not isinstance(found, dict) or "main" not in found:
        raise Malformed('it has no "main"')
    routines: dict[str, Routine] = {}
    for name, given in found.items():
        given = {"steps": given} if isinstance(given, list) else given
        if not isinstance(given, dict) or set(given) - {"params", "steps"}:
            raise Malformed(f'"{name}" must have "steps", and may have "params"')
        routines[name] = Routine(given.get("params") or [], given.get("steps") or [])
    for name, routine in routines.items():
        if not routine.steps:
            raise Malformed(f'"{name}" has no steps')
        _check_steps(name, routine.steps, set(routines))
    return routines


def _check_steps(at: str, steps: Any, routines: set[str]) -> None:
    if not isinstance(steps, list):
        raise Malformed(f"{at}: steps must be a list")
    for one in steps:
        if not isinstance(one, dict) or len(one) != 1:
            raise Malformed(f"{at}: each step must have exactly one name")
        name, step = next(iter(one.items()))
        _check(f"{at}.{name}", step, routines, _STEP)


def _check(at: str, step: Any, routines: set[str], allowed: set[str]) -> None:
    if not isinstance(step, dict) or not step:
        raise Malformed(f"{at}: a step must say what it does")
    if "parallel" in step:
        raise NotEmulated(f"{at}: parallel")
    if unknown := set(step) - allowed:
        raise Malformed(f"{at}: unknown field {', '.join(sorted(unknown))}")
    if "call" in step and step["call"] not in CALLS | routines:
        raise NotEmulated(f"{at}: call of {step['call']}")
    for key, value in step.items():
        if key in ("steps",):
            _check_steps(at, value, routines)
        elif key == "switch":
            for number, branch in enumerate(value):
                if "condition" not in branch:
                    raise Malformed(f"{at}.switch[{number}]: it has no condition")
                _check(f"{at}.switch[{number}]", branch, routines, _BRANCH)
        elif key in ("try", "for"):
            inner = {one: found for one, found in value.items() if one in ("steps",)} if key == "for" else value
            _check(f"{at}.{key}", inner, routines, _STEP)
            _check_values(at, [value.get("in"), value.get("range")] if key == "for" else [])
        elif key == "except":
            _check_steps(at, value.get("steps"), routines)
        else:
            _check_values(at, value)


def _check_values(at: str, value: Any) -> None:
    for text in _expressions(value):
        try:
            parse(text)
        except (Malformed, NotEmulated) as problem:
            raise type(problem)(f"{at}: {problem}") from problem


def _expressions(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for one in value:
            yield from _expressions(one)
    elif (text := expression_of(value)) is not None:
        yield text


class _Jump(Exception):
    """The next step is another one."""

    def __init__(self, target: str) -> None:
        super().__init__(target)
        self.target = target


class _Return(Exception):
    """A routine ends with a value."""

    def __init__(self, value: Any) -> None:
        super().__init__()
        self.value = value


class Cancelled(Exception):
    """The execution was cancelled."""


@dataclass
class Run:
    """One execution of a program."""

    routines: dict[str, Routine]
    send: Send
    environment: dict[str, str]
    wait: Callable[[threading.Event, float], bool]
    cancelled: threading.Event = field(default_factory=threading.Event)
    logged: list[Any] = field(default_factory=list)
    at: tuple[str, str] = ("main", "")
    """The routine and step that run."""

    def main(self, argument: Any) -> Any:
        """Run with an argument. Raises Raised and Cancelled."""
        parameters = self.routines["main"].parameters
        return self._routine("main", dict.fromkeys([str(one) for one in parameters[:1]], argument))

    def _routine(self, name: str, variables: dict[str, Any]) -> Any:
        try:
            self._steps(name, self.routines[name].steps, variables)
        except _Return as ended:
            return ended.value
        except _Jump as jump:
            if jump.target != "end":
                raise error(f"step {jump.target} is not in {name}", "NameError") from jump
        return None

    def _steps(self, routine: str, steps: list[Any], variables: dict[str, Any]) -> None:
        names = [next(iter(one)) for one in steps]
        position = 0
        while position < len(steps):
            if self.cancelled.is_set():
                raise Cancelled
            self.at = (routine, str(names[position]))
            try:
                self._step(routine, steps[position][names[position]], variables)
                position += 1
            except _Jump as jump:
                if jump.target not in names:
                    raise
                position = names.index(jump.target)

    def _step(self, routine: str, step: Step, variables: dict[str, Any]) -> None:
        for assignment in step.get("assign", []):
            for target, value in assignment.items():
                _assign(str(target), self._value(value, variables), variables)
        if "switch" in step:
            for branch in step["switch"]:
                if truth(self._value(branch["condition"], variables)):
                    self._step(routine, branch, variables)
                    # What a branch does may jump; else the step's own `next` holds.
                    break
        if "call" in step:
            self._call(step, variables)
        if "try" in step:
            self._try(routine, step, variables)
        if "for" in step:
            self._for(routine, step["for"], variables)
        if "steps" in step:
            self._steps(routine, step["steps"], variables)
        if "raise" in step:
            raise Raised(self._value(step["raise"], variables))
        if "return" in step:
            raise _Return(self._value(step["return"], variables))
        if "next" in step:
            raise _Jump(str(step["next"]))

    def _value(self, value: Any, variables: dict[str, Any]) -> Any:
        if (text := expression_of(value)) is not None:
            return evaluate(parse(text), Scope(variables, {**FUNCTIONS, "sys.get_env": self._environment}))
        if isinstance(value, dict):
            return {key: self._value(one, variables) for key, one in value.items()}
        return [self._value(one, variables) for one in value] if isinstance(value, list) else value

    def _environment(self, name: str, *other: str) -> str:
        if name not in self.environment and not other:
            raise error(f"environment variable {name} is not set", "KeyError", "LookupError")
        return self.environment.get(name, *other)

    def _call(self, step: Step, variables: dict[str, Any]) -> None:
        name, given = step["call"], self._value(step.get("args", {}), variables)
        if name in HTTP_CALLS:
            result: Any = self._http(name.removeprefix("http."), given)
        elif name == "sys.log":
            self.logged.append(given)
            result = None
        elif name == "sys.sleep":
            self._pause(min(float(given.get("seconds", 0)), MOST_SECONDS))
            result = None
        else:
            inner: dict[str, Any] = {}
            for one in self.routines[name].parameters:
                parameter, default = next(iter(one.items())) if isinstance(one, dict) else (one, None)
                if parameter not in given and not isinstance(one, dict):
                    raise error(f"{name} needs the argument {parameter}", "TypeError")
                inner[parameter] = given.get(parameter, default)
            result = self._routine(name, inner)
        if "result" in step:
            variables[step["result"]] = result

    def _pause(self, seconds: float) -> None:
        if self.wait(self.cancelled, seconds):
            raise Cancelled

    def _http(self, verb: str, given: dict[str, Any]) -> dict[str, Any]:
        method = str(given.get("method", "GET")).upper() if verb == "request" else verb.upper()
        url = str(given.get("url", ""))
        if given.get("query"):
            url += ("&" if "?" in url else "?") + urlencode(given["query"], doseq=True)
        headers = {str(key): str(value) for key, value in given.get("headers", {}).items()}
        body = given.get("body")
        if isinstance(body, str):
            body = body.encode()
        elif body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
            if not any(key.lower() == "content-type" for key in headers):
                headers["Content-Type"] = "application/json; charset=utf-8"
        status, answered, content = self.send(
            method, url, headers, body, given.get("auth", {}), float(given.get("timeout", 300))
        )
        kind = answered.get("content-type", "")
        told: Any = content.decode(errors="replace")
        if "json" in kind and content:
            told = json.loads(content)
        answer = {"code": status, "headers": answered, "body": told}
        if not 200 <= status <= 299:
            raise error(f"HTTP server responded with error code {status}", "HttpError", **answer)
        return answer

    def _try(self, routine: str, step: Step, variables: dict[str, Any]) -> None:
        policy = self._value(step.get("retry"), variables) if "retry" in step else None
        backoff = (policy or {}).get("backoff", {})
        pause, retries = float(backoff.get("initial_delay", 1)), 0
        while True:
            try:
                self._step(routine, step["try"], variables)
                return
            except Raised as problem:
                if policy and retries < int(policy.get("max_retries", 5)) and self._retries(policy, problem):
                    retries += 1
                    self._pause(pause)
                    pause = min(pause * float(backoff.get("multiplier", 1)), float(backoff.get("max_delay", 60)))
                    continue
                if "except" not in step:
                    raise
                if "as" in step["except"]:
                    variables[step["except"]["as"]] = copy.deepcopy(problem.value)
                self._steps(routine, step["except"]["steps"], variables)
                return

    def _retries(self, policy: dict[str, Any], problem: Raised) -> bool:
        predicate = policy.get("predicate")
        if callable(predicate):
            return bool(predicate(problem.value))
        if isinstance(predicate, str) and predicate in self.routines:
            parameter = str(self.routines[predicate].parameters[0])
            return truth(self._routine(predicate, {parameter: problem.value}))
        raise error(f"the predicate {predicate!r} of a retry is no subworkflow", "TypeError")

    def _for(self, routine: str, loop: dict[str, Any], variables: dict[str, Any]) -> None:
        if "range" in loop:
            low, high = self._value(loop["range"], variables)
            values: list[Any] = list(range(low, high + 1))
        else:
            found = self._value(loop["in"], variables)
            values = list(found)
        for index, value in enumerate(values):
            variables[loop["value"]] = value
            if "index" in loop:
                variables[loop["index"]] = index
            try:
                self._steps(routine, loop["steps"], variables)
            except _Jump as jump:
                if jump.target == "break":
                    break
                if jump.target != "continue":
                    raise
        variables.pop(loop["value"], None)


def _assign(target: str, value: Any, variables: dict[str, Any]) -> None:
    """Set a variable, or what is under a key of one; maps on the way come into being."""
    try:
        node = ast.parse(target, mode="eval").body
    except SyntaxError as problem:
        raise error(f"{target} cannot be assigned to", "TypeError") from problem
    path: list[Any] = []
    while not isinstance(node, ast.Name):
        if isinstance(node, ast.Attribute):
            path.insert(0, node.attr)
        elif isinstance(node, ast.Subscript):
            path.insert(0, evaluate(node.slice, Scope(variables, FUNCTIONS)))
        else:
            raise error(f"{target} cannot be assigned to", "TypeError")
        node = node.value
    if not path:
        variables[node.id] = value
        return
    holder: Any = variables.setdefault(node.id, {})
    for key in path[:-1]:
        holder = holder.setdefault(key, {}) if isinstance(holder, dict) else member(holder, key)
    if isinstance(holder, list):
        member(holder, path[-1])
    holder[path[-1]] = value
