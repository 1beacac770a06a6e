"""The definition of a pipeline: Kubeflow Pipelines' intermediate representation, as far as it is emulated.

Sources: Kubeflow Pipelines, pipeline_spec.proto (PipelineSpec, ComponentSpec, DagSpec, PipelineTaskSpec, ExecutorInput
and the placeholders in a container's command); "Build a pipeline" of Vertex AI (paths below /gcs/).
"""

from __future__ import annotations

import ast
import json
import operator
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from sandbox.google.errors import GoogleError, Violation, invalid

Spec = Mapping[str, Any]
Artifact = dict[str, Any]
_PLACEHOLDER = re.compile(r"\{\{\$(.*?)\}\}")
_NUMBERS = {"NUMBER_INTEGER", "INT"}
_JSON = {"BOOLEAN", "LIST", "STRUCT", "NUMBER_DOUBLE", "DOUBLE"} | _NUMBERS


@dataclass
class Values:
    """Parameters and artifacts, by name: what goes into a component, or comes out of it."""

    parameters: dict[str, Any] = field(default_factory=dict)
    artifacts: dict[str, list[Artifact]] = field(default_factory=dict)


def check(spec: Spec, given: Mapping[str, Any]) -> None:
    """Refuse a pipeline that cannot run, or not here, with the parameters that are given for it."""
    if "root" not in spec or "deploymentSpec" not in spec:
        raise invalid("The pipeline spec is invalid: root and deploymentSpec are required.")
    problems: list[Violation] = []
    components = spec.get("components", {})
    executors = spec["deploymentSpec"].get("executors", {})
    for name, component in [("root", spec["root"]), *components.items()]:
        at = f"pipeline_job.pipeline_spec.{name}"
        if "dag" in component:
            tasks = component["dag"].get("tasks", {})
            for key, task in tasks.items():
                if "parameterIterator" in task or "artifactIterator" in task:
                    raise GoogleError("UNIMPLEMENTED", f"The sandbox does not emulate loops: task {key}.")
                if task.get("componentRef", {}).get("name") not in components:
                    problems.append((f"{at}.dag.tasks.{key}", "Its component is not in the spec."))
                problems += [
                    (f"{at}.dag.tasks.{key}", f"It depends on {one}, which is no task of the same DAG.")
                    for one in sorted(dependencies(task) - set(tasks))
                ]
            if cycle := _cycle({key: dependencies(task) for key, task in tasks.items()}):
                problems.append((f"{at}.dag", f"The tasks {', '.join(cycle)} depend on each other."))
        else:
            executor = executors.get(component.get("executorLabel"))
            if executor is None:
                problems.append((at, f"Its executor {component.get('executorLabel')} is not in the spec."))
            elif "container" not in executor:
                kind = ", ".join(executor)
                raise GoogleError("UNIMPLEMENTED", f"The sandbox does not emulate executors of the kind {kind}.")
    definitions = spec["root"].get("inputDefinitions", {}).get("parameters", {})
    for name in sorted(set(given) - set(definitions)):
        problems.append(("pipeline_job.runtime_config.parameter_values", f"The pipeline has no parameter {name}."))
    for name, definition in definitions.items():
        needed = not ({"defaultValue", "isOptional"} & definition.keys())
        if needed and name not in given:
            problems.append(("pipeline_job.runtime_config.parameter_values", f"The parameter {name} is required."))
    if problems:
        raise invalid("Invalid pipeline: " + " ".join(f"{path}: {text}" for path, text in problems), problems)


def dependencies(task: Spec) -> set[str]:
    """The tasks of the same DAG that come before a task."""
    found = set(task.get("dependentTasks", []))
    for kind in ("parameters", "artifacts"):
        for source in task.get("inputs", {}).get(kind, {}).values():
            for key in ("taskOutputParameter", "taskOutputArtifact", "taskFinalStatus"):
                if key in source:
                    found.add(source[key]["producerTask"])
    return found


def _cycle(graph: Mapping[str, set[str]]) -> list[str]:
    left = dict(graph)
    while ready := [key for key, needs in left.items() if not needs & left.keys()]:
        for key in ready:
            del left[key]
    return sorted(left)


def defaults(component: Spec, given: Mapping[str, Any]) -> dict[str, Any]:
    """A component's parameters with their default values."""
    found: dict[str, Any] = {}
    for name, definition in component.get("inputDefinitions", {}).get("parameters", {}).items():
        if name in given:
            found[name] = typed(definition, given[name])
        elif "defaultValue" in definition:
            found[name] = typed(definition, definition["defaultValue"])
    return found


def typed(definition: Spec, value: Any) -> Any:
    """A parameter's value by its definition: JSON has no whole numbers of its own."""
    kind = definition.get("parameterType") or definition.get("type")
    return int(value) if kind in _NUMBERS and value is not None else value


def read(definition: Spec, text: str) -> Any:
    """A parameter that a program wrote as text; raises ValueError for one that is not of its type."""
    kind = definition.get("parameterType") or definition.get("type")
    return typed(definition, json.loads(text)) if kind in _JSON else text


def constant(source: Spec) -> Any:
    """The value of a runtimeValue."""
    if "constantValue" in source:
        return next(iter(source["constantValue"].values()))
    return source.get("constant")


# Placeholders


class Placeholders:
    """What stands for the placeholders of one task's command. `inputs` are ExecutorInput's, as JSON."""

    def __init__(self, executor_input: Spec, words: Mapping[str, str]) -> None:
        self._input = executor_input
        self._words = words

    def fill(self, text: str) -> str:
        """A text with values for its placeholders; raises INVALID_ARGUMENT for an unknown one."""
        return _PLACEHOLDER.sub(lambda found: self._value(found[1]), text)

    def command(self, parts: list[str]) -> Iterator[str]:
        """A command's parts, with those that depend on an input's presence."""
        for part in parts:
            if part.startswith(('{"IfPresent"', '{"Concat"')):
                yield from self._structured(json.loads(part))
            else:
                yield self.fill(part)

    def _structured(self, part: Any) -> Iterator[str]:
        if isinstance(part, str):
            yield from self.command([part])
        elif isinstance(part, list):
            for one in part:
                yield from self._structured(one)
        elif "Concat" in part:
            yield "".join(text for one in part["Concat"] for text in self._structured(one))
        else:
            choice = part["IfPresent"]
            name, inputs = choice["InputName"], self._input["inputs"]
            there = inputs["parameterValues"].get(name) is not None or name in inputs["artifacts"]
            yield from self._structured(choice.get("Then" if there else "Else", []))

    def _value(self, path: str) -> str:
        if path == "":
            return json.dumps(self._input)
        if path.removeprefix(".") in self._words:
            return self._words[path.removeprefix(".")]
        found = re.fullmatch(r"\.(inputs|outputs)\.(parameters|artifacts)\[['\"](.+?)['\"]\](.*)", path)
        if found is None:
            raise invalid(f"The placeholder {{{{${path}}}}} is unknown.")
        side, kind, name, rest = found.groups()
        try:
            if kind == "artifacts":
                return _artifact(self._input[side]["artifacts"][name]["artifacts"][0], rest)
            if side == "outputs":
                return str(self._input["outputs"]["parameters"][name]["outputFile"])
            return shown(self._input["inputs"]["parameterValues"].get(name))
        except (KeyError, IndexError):
            raise invalid(f"The placeholder {{{{${path}}}}} names nothing that the task has.") from None


def _artifact(artifact: Artifact, rest: str) -> str:
    if rest == ".uri":
        return str(artifact["uri"])
    if rest == ".path":
        return path_of(artifact["uri"])
    if rest == ".name":
        return str(artifact["name"])
    found = re.fullmatch(r"\.metadata\[['\"](.+?)['\"]\]", rest)
    if found is None:
        raise KeyError(rest)
    return shown(artifact.get("metadata", {})[found[1]])


def path_of(uri: str) -> str:
    """Where a program finds an object as a file."""
    return re.sub(r"^gs://", "/gcs/", uri)


def shown(value: Any) -> str:
    """A parameter as a command gets it."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value)


# Conditions

_OPERATORS: dict[type, Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
_CASTS: dict[str, Callable[[Any], Any]] = {"int": int, "double": float, "string": str, "bool": bool}


def holds(condition: str, parameters: Mapping[str, Any]) -> bool:
    """Whether a triggerPolicy's condition, in the Common Expression Language, holds; raises INVALID_ARGUMENT."""
    text = condition.replace("&&", " and ").replace("||", " or ")
    text = re.sub(r"!(?!=)", " not ", text)
    try:
        return bool(_evaluate(ast.parse(text.strip(), mode="eval").body, parameters))
    except (SyntaxError, KeyError, TypeError, ValueError) as error:
        raise invalid(f'The condition "{condition}" cannot be evaluated: {error}.') from error


def _evaluate(node: ast.expr, parameters: Mapping[str, Any]) -> Any:
    match node:
        case ast.Constant():
            return node.value
        case ast.Name(id="true" | "false"):
            return node.id == "true"
        case ast.BoolOp():
            return (all if isinstance(node.op, ast.And) else any)(_evaluate(one, parameters) for one in node.values)
        case ast.UnaryOp(op=ast.Not()):
            return not _evaluate(node.operand, parameters)
        case ast.UnaryOp(op=ast.USub()):
            return -_evaluate(node.operand, parameters)
        case ast.Compare(ops=[one], comparators=[right]):
            return _OPERATORS[type(one)](_evaluate(node.left, parameters), _evaluate(right, parameters))
        case ast.Call(func=ast.Name(id=name), args=[argument]) if name in _CASTS:
            return _CASTS[name](_evaluate(argument, parameters))
        case ast.Subscript(
            value=ast.Attribute(value=ast.Name(id="inputs"), attr="parameter_values"),
            slice=ast.Constant(value=str(name)),
        ):
            return parameters[name]
        case _:
            raise ValueError(f"{ast.unparse(node)} is not emulated")
