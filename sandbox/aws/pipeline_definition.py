"""Pipeline definitions: checked as CreatePipeline does, and their references resolved as an execution goes on.

Source: the published JSON schema of pipeline definitions, version 2020-12-01, and SageMaker developer guide,
"Define a pipeline". Known step types: Training, Processing, Condition, Fail.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from typing import Any

from sandbox.aws.api import ApiError, validation_error

VERSION = "2020-12-01"
STEP_TYPES = ("Condition", "Fail", "Processing", "Training")
PARAMETER_TYPES: dict[str, type | tuple[type, ...]] = {
    "String": str,
    "Integer": int,
    "Float": (int, float),
    "Boolean": bool,
}
EXECUTION_VARIABLES = (
    "CurrentDateTime",
    "PipelineArn",
    "PipelineExecutionArn",
    "PipelineExecutionId",
    "PipelineName",
    "StartDateTime",
)
_STEP = re.compile(r"Steps\.([A-Za-z0-9_-]+)(.*)", re.DOTALL)
_ACCESS = re.compile(r"\.([A-Za-z_]\w*)|\['([^']*)'\]|\[(\d+)\]")
_NAME_KEYS = ("OutputName", "InputName", "ChannelName")
_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "Equals": lambda left, right: left == right,
    "GreaterThan": lambda left, right: left > right,
    "GreaterThanOrEqualTo": lambda left, right: left >= right,
    "LessThan": lambda left, right: left < right,
    "LessThanOrEqualTo": lambda left, right: left <= right,
}


class Unresolved(Exception):
    """A reference that yields nothing; the message says which."""


@dataclass
class Step:
    """One step. `guards` are the conditions around it: a condition step and the outcome that lets it run."""

    name: str
    kind: str
    body: dict[str, Any]
    needs: set[str]
    guards: dict[str, bool] = field(default_factory=dict)

    @property
    def arguments(self) -> dict[str, Any]:
        return dict(self.body["Arguments"])


@dataclass
class Definition:
    """A checked definition: parameters and steps by name."""

    text: str
    parameters: dict[str, dict[str, Any]]
    steps: dict[str, Step]

    def sorter(self) -> TopologicalSorter[str]:
        """The steps in the order of their dependencies; those of a condition follow it."""
        return TopologicalSorter({step.name: step.needs | set(step.guards) for step in self.steps.values()})

    def given(self, parameters: list[dict[str, str]]) -> dict[str, Any]:
        """The parameters of an execution: the given ones in their types, and defaults. Raises ApiError."""
        values = {name: one["DefaultValue"] for name, one in self.parameters.items() if "DefaultValue" in one}
        problems: list[str] = []
        for one in parameters:
            declared = self.parameters.get(one["Name"])
            if declared is None:
                problems.append(f"unknown parameter [{one['Name']}]")
                continue
            try:
                value = _typed(declared["Type"], one["Value"])
            except ValueError:
                problems.append(f"parameter [{one['Name']}] is no {declared['Type']}: {one['Value']}")
                continue
            if declared.get("EnumValues") and value not in declared["EnumValues"]:
                problems.append(f"parameter [{one['Name']}] is none of {declared['EnumValues']}: {value}")
            values[one["Name"]] = value
        missing = sorted(set(self.parameters) - set(values) - {one["Name"] for one in parameters})
        problems += [f"parameter [{name}] has neither a value nor a default" for name in missing]
        if problems:
            raise validation_error(f"Invalid pipeline parameters: {'; '.join(problems)}.")
        return values


def _typed(kind: str, text: str) -> Any:
    match kind:
        case "Integer":
            return int(text)
        case "Float":
            return float(text)
        case "Boolean":
            if text.lower() not in {"true", "false"}:
                raise ValueError(text)
            return text.lower() == "true"
        case _:
            return text


def parse(text: str) -> Definition:
    """Read and check a definition; raises ApiError that lists every problem."""
    try:
        given = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _refusal([f"it is not JSON: {error}"]) from error
    if not isinstance(given, dict):
        raise _refusal(["it is no JSON object"])
    if given.get("Version") != VERSION:
        raise _refusal([f"Version must be {VERSION}, it is {given.get('Version')!r}"])
    problems: list[str] = []
    parameters = _parameters(given.get("Parameters"), problems)
    steps: dict[str, Step] = {}
    _collect(given.get("Steps"), {}, steps, problems)
    if not problems:
        for step in steps.values():
            _check_references(step, steps, parameters, problems)
    definition = Definition(text, parameters, steps)
    if not problems:
        try:
            definition.sorter().prepare()
        except CycleError as error:
            problems.append(f"the steps depend on each other in a cycle: {' -> '.join(error.args[1])}")
    if problems:
        raise _refusal(problems)
    return definition


def _refusal(problems: list[str]) -> ApiError:
    return validation_error(f"Unable to parse pipeline definition: {'; '.join(problems)}.")


def _parameters(given: Any, problems: list[str]) -> dict[str, dict[str, Any]]:
    if given is None:
        return {}
    if not isinstance(given, list):
        problems.append("Parameters is no list")
        return {}
    found: dict[str, dict[str, Any]] = {}
    for index, one in enumerate(given):
        name = one.get("Name") if isinstance(one, dict) else None
        if not isinstance(name, str) or not name:
            problems.append(f"Parameters[{index}] has no Name")
        elif name in found:
            problems.append(f"parameter [{name}] is declared twice")
        elif one.get("Type") not in PARAMETER_TYPES:
            problems.append(f"parameter [{name}]: Type must be one of {', '.join(PARAMETER_TYPES)}")
        elif "DefaultValue" in one and not _fits(one["DefaultValue"], one["Type"]):
            problems.append(f"parameter [{name}]: DefaultValue {one['DefaultValue']!r} is no {one['Type']}")
        else:
            found[name] = one
    return found


def _fits(value: Any, kind: str) -> bool:
    return isinstance(value, PARAMETER_TYPES[kind]) and (kind == "Boolean" or not isinstance(value, bool))


def _collect(given: Any, guards: dict[str, bool], steps: dict[str, Step], problems: list[str]) -> None:
    """Take a list of steps, and those inside its conditions, into `steps`."""
    if not isinstance(given, list):
        problems.append("Steps is no list")
        return
    for index, one in enumerate(given):
        name = one.get("Name") if isinstance(one, dict) else None
        if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", name):
            problems.append(f"Steps[{index}]: Name must be 1 to 64 of A-Z, a-z, 0-9, - and _, it is {name!r}")
            continue
        if name in steps:
            problems.append(f"step names must be unique, [{name}] is not")
            continue
        kind = one.get("Type")
        if kind not in STEP_TYPES:
            problems.append(f"step [{name}]: Type {kind!r} is not one of {', '.join(STEP_TYPES)}")
            continue
        if not isinstance(one.get("Arguments"), dict):
            problems.append(f"step [{name}] has no Arguments")
            continue
        depends = one.get("DependsOn") or []
        if not isinstance(depends, list) or not all(isinstance(item, str) for item in depends):
            problems.append(f"step [{name}]: DependsOn is no list of step names")
            continue
        steps[name] = Step(name, kind, one, set(depends), guards)
        if kind == "Condition":
            arguments = one["Arguments"]
            if not isinstance(arguments.get("Conditions"), list) or not arguments["Conditions"]:
                problems.append(f"step [{name}] has no Conditions")
            for branch, outcome in (("IfSteps", True), ("ElseSteps", False)):
                _collect(arguments.get(branch) or [], {**guards, name: outcome}, steps, problems)
        elif kind == "Fail" and "ErrorMessage" not in one["Arguments"]:
            problems.append(f"step [{name}] has no ErrorMessage")


def _own(step: Step) -> Any:
    """What a step itself refers with: a condition without the steps inside it."""
    if step.kind == "Condition":
        return step.arguments.get("Conditions")
    return step.arguments


def _references(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        if set(value) == {"Get"}:
            yield value["Get"]
            return
        for item in value.values():
            yield from _references(item)
    elif isinstance(value, list):
        for item in value:
            yield from _references(item)


def _check_references(
    step: Step, steps: Mapping[str, Step], parameters: Mapping[str, Any], problems: list[str]
) -> None:
    for reference in _references(_own(step)):
        text = str(reference)
        found = _STEP.fullmatch(text)
        if found:
            step.needs.add(found.group(1))
        elif text.startswith("Parameters."):
            if text.removeprefix("Parameters.") not in parameters:
                problems.append(f"step [{step.name}] uses an undeclared parameter: {text}")
        elif not text.startswith("Execution.") or text.removeprefix("Execution.") not in EXECUTION_VARIABLES:
            problems.append(f"step [{step.name}] uses an unknown reference: {text}")
    for name in sorted(step.needs - set(steps)):
        problems.append(f"step [{step.name}] depends on [{name}], which is no step")
    if step.name in step.needs:
        problems.append(f"step [{step.name}] depends on itself")


@dataclass
class Context:
    """What references yield in an execution."""

    parameters: Mapping[str, Any]
    execution: Callable[[str], Any]
    properties: Callable[[str], Mapping[str, Any]]
    """What Describe… tells about a finished step's job."""
    property_file: Callable[[str, str], Any]
    """The JSON of a step's property file, by the names of both."""

    def resolve(self, value: Any) -> Any:
        """The value with every reference and function replaced; raises Unresolved."""
        if isinstance(value, list):
            return [self.resolve(item) for item in value]
        if not isinstance(value, dict):
            return value
        if set(value) == {"Get"}:
            return self._get(str(value["Get"]))
        if set(value) == {"Std:Join"}:
            joined = value["Std:Join"]
            if not isinstance(joined, dict) or not isinstance(joined.get("Values"), list):
                raise Unresolved("Std:Join needs On and a list of Values")
            return str(joined.get("On", "")).join(_text(self.resolve(item)) for item in joined["Values"])
        if set(value) == {"Std:JsonGet"}:
            return self._json(value["Std:JsonGet"])
        return {key: self.resolve(item) for key, item in value.items()}

    def _get(self, reference: str) -> Any:
        scope, _, rest = reference.partition(".")
        if scope == "Parameters":
            return self.parameters[rest]
        if scope == "Execution":
            return self.execution(rest)
        found = _STEP.fullmatch(reference)
        assert found is not None  # checked when the pipeline was made
        return walk(self.properties(found.group(1)), found.group(2), reference)

    def _json(self, function: Any) -> Any:
        try:
            reference, path = str(function["PropertyFile"]["Get"]), str(self.resolve(function["Path"]))
        except (KeyError, TypeError) as error:
            raise Unresolved("Std:JsonGet needs PropertyFile, a reference, and Path") from error
        found = re.fullmatch(r"Steps\.([A-Za-z0-9_-]+)\.PropertyFiles\.(\w+)", reference)
        if found is None:
            raise Unresolved(f"{reference} is no property file")
        return walk(self.property_file(*found.groups()), f".{path}", f"{reference} {path}")

    def holds(self, condition: Mapping[str, Any]) -> bool:
        """Whether a condition of a Condition step holds; raises Unresolved."""
        try:
            return self._holds(condition)
        except (AttributeError, KeyError, TypeError) as error:
            raise Unresolved(f"the condition {json.dumps(condition)} cannot be judged: {error!r}") from error

    def _holds(self, condition: Mapping[str, Any]) -> bool:
        kind = condition.get("Type")
        if kind == "Not":
            return not self.holds(condition["Expression"])
        if kind == "Or":
            return any(self.holds(one) for one in condition["Conditions"])
        if kind == "In":
            return self.resolve(condition["QueryValue"]) in self.resolve(condition["Values"])
        compare = _COMPARISONS.get(str(kind))
        if compare is None:
            raise Unresolved(f"the condition type {kind!r} is not known")
        return compare(self.resolve(condition["LeftValue"]), self.resolve(condition["RightValue"]))


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def walk(value: Any, path: str, reference: str) -> Any:
    """Follow `.Member`, `['name']` (also of a named element of a list) and `[index]`; raises Unresolved."""
    position = 0
    while position < len(path):
        access = _ACCESS.match(path, position)
        if access is None:
            raise Unresolved(f"{reference} cannot be read after {path[:position]!r}")
        member, name, index = access.groups()
        key = member or name
        if index is not None and isinstance(value, list) and int(index) < len(value):
            value = value[int(index)]
        elif key is not None and isinstance(value, Mapping) and key in value:
            value = value[key]
        elif key is not None and isinstance(value, list):
            named = [one for one in value if isinstance(one, Mapping) and key in [one.get(k) for k in _NAME_KEYS]]
            if not named:
                raise Unresolved(f"{reference} is not found")
            value = named[0]
        else:
            raise Unresolved(f"{reference} is not found")
        position = access.end()
    return value
