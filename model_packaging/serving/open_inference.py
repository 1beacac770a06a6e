"""What the Open Inference Protocol says of a package, whether over HTTP or gRPC.

Each column of the signature is an input tensor of shape [rows] or [rows, 1]. Where one datatype suits all
columns, one tensor of shape [rows, columns], of any name, may hold them all in the signature's order.
The outputs are "prediction" of a regression, "label" and "probabilities" of a classification.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from model_packaging.formats.predictor import Columns, Numbers, Predictions, class_key
from model_packaging.serving import tensors
from model_packaging.serving.problems import RequestProblem, quoted
from model_packaging.serving.tensors import Tensor

if TYPE_CHECKING:
    from model_packaging.package import Package
    from model_packaging.serving.service import Service

SERVER = "modelberth"
EXTENSIONS = ["binary_tensor_data"]

_UNSUPPORTED = ("classification", "shared_memory_region")
"""Parameters of Triton's other extensions, which change what is asked and so cannot be passed over."""

_LONGEST_NAME = 200
"""Of a column, by the package format; messages repeat names."""

_NUMBERS = (*tensors.FLOATS, *tensors.INTEGERS)
_SUITABLE: dict[str, tuple[str, ...]] = {
    "number": _NUMBERS,
    "integer": _NUMBERS,
    "boolean": (tensors.BOOL,),
    "string": (tensors.BYTES,),
}
_PREFERRED = {"number": "FP64", "integer": "INT64", "boolean": tensors.BOOL, "string": tensors.BYTES}
_PLURAL = {"number": "numbers", "integer": "integers", "boolean": "booleans", "string": "strings"}


def served(service: Service, name: str, version: str | None = None) -> Package:
    """The package, if that is its name and its digest the version. RequestProblem: 404 otherwise, 503 while
    nothing is loaded."""
    package = service.package
    if name != package.name:
        raise RequestProblem(404, f'there is no model {quoted(name)}: this server has "{package.name}"')
    if version and version != package.digest:
        raise RequestProblem(
            404, f'model "{name}" has no version {quoted(version)}: its only version is "{package.digest}"'
        )
    return package


def server_version() -> str:
    """The version of the server."""
    from importlib.metadata import version

    return version("modelberth")


def metadata(package: Package) -> dict[str, Any]:
    """The model's metadata object. `properties` holds the classes as JSON, in the order of "probabilities"."""
    outputs = package.signature["outputs"]
    classes = cast("list[Any]", outputs.get("classes") or [])
    described = [("prediction", "FP64", [-1])]
    if outputs["task"] == "classification":
        described = [("label", _label_datatype(classes), [-1])]
        if "probabilities" in package.examples["predictions"][0]:
            described.append(("probabilities", "FP64", [-1, len(classes)]))
    return {
        "name": package.name,
        "versions": [package.digest],
        "platform": package.format,
        "inputs": [
            {"name": field["name"], "datatype": _input_datatype(field), "shape": [-1]}
            for field in package.signature["inputs"]
        ],
        "outputs": [{"name": name, "datatype": datatype, "shape": shape} for name, datatype, shape in described],
        **({"properties": {"classes": json.dumps(classes)}} if classes else {}),
    }


def tensor_name(name: object, where: str) -> str:
    """The name. RequestProblem (400) where it is none."""
    if not isinstance(name, str) or not name:
        raise RequestProblem(400, f'{where} has no "name"')
    if len(name) > _LONGEST_NAME:
        raise RequestProblem(400, f"{where} has a name of {len(name)} characters: {quoted(name)}")
    return name


def refuse_parameters(parameters: Mapping[str, Any], where: str) -> None:
    """RequestProblem (400) where a parameter asks for what this server has not."""
    refused = [name for name in _UNSUPPORTED if name in parameters]
    if refused:
        raise RequestProblem(400, f'{where}: parameter "{refused[0]}" is of an extension that this server has not')


def columns(given: Sequence[Tensor], signature: Mapping[str, Any]) -> Columns:
    """The columns that the input tensors hold, for `Service.check`. RequestProblem (400) with all that is wrong
    about the tensors."""
    fields = cast("list[dict[str, Any]]", signature["inputs"])
    names = [str(field["name"]) for field in fields]
    if len(given) == 1 and given[0].name not in names and len(given[0].shape) == 2:
        return _split(given[0], fields)
    return _by_name(given, fields)


def outputs(predictions: Predictions, package: Package, wanted: Sequence[str]) -> list[Tensor]:
    """The wanted output tensors, all where none is named. RequestProblem (400) for an unknown one; InputError where
    the model gave no finite number."""
    predictions.check()
    count = len(predictions)
    made: dict[str, Tensor] = {}
    if predictions.classifies:
        classes = cast("list[Any]", package.signature["outputs"].get("classes") or [])
        made["label"] = _labels(predictions.outputs, classes)
        if predictions.probabilities is not None:
            shape = (count, len(predictions.keys))
            made["probabilities"] = Tensor("probabilities", "FP64", shape, predictions.probabilities.ravel())
    else:
        made["prediction"] = Tensor("prediction", "FP64", (count,), np.array(predictions.outputs, dtype=np.float64))
    unknown = [name for name in wanted if name not in made]
    if unknown:
        known = " or ".join(made)
        raise RequestProblem(400, [f"there is no output {quoted(name)}: choose {known}" for name in unknown])
    return [made[name] for name in wanted or made]


def _split(tensor: Tensor, fields: Sequence[Mapping[str, Any]]) -> Columns:
    names = [str(field["name"]) for field in fields]
    if tensor.shape[1] != len(names):
        raise RequestProblem(
            400,
            f'input "{tensor.name}" has shape {list(tensor.shape)}: one tensor of all columns has shape '
            f"[rows, {len(names)}] ({', '.join(names)})",
        )
    problems = [problem for field in fields if (problem := _unsuitable(tensor, field))]
    if problems:
        raise RequestProblem(400, problems)
    matrix = tensor.values.reshape(tensor.shape)
    return Numbers(names, matrix) if tensor.datatype in _NUMBERS else dict(zip(names, matrix.T, strict=True))


def _by_name(given: Sequence[Tensor], fields: Sequence[Mapping[str, Any]]) -> Columns:
    named: dict[str, Tensor] = {}
    problems: list[str] = []
    known = {str(field["name"]): field for field in fields}
    for tensor in given:
        if tensor.name in named:
            problems.append(f"input {quoted(tensor.name)} is given twice")
        elif tensor.name not in known:
            near = difflib.get_close_matches(tensor.name, known, n=1)
            hint = f' (did you mean "{near[0]}"?)' if near else f": the inputs are {', '.join(known)}"
            problems.append(f"there is no input {quoted(tensor.name)}{hint}")
        elif len(tensor.shape) != 1 and tensor.shape[1:] != (1,):
            problems.append(f'input "{tensor.name}" has shape {list(tensor.shape)}: it must be [rows] or [rows, 1]')
        elif problem := _unsuitable(tensor, known[tensor.name]):
            problems.append(problem)
        named[tensor.name] = tensor
    problems += [f'input "{name}" is missing' for name in known if name not in named]
    if not problems:
        first = named[next(iter(known))]
        problems = [
            f'input "{tensor.name}" has {tensor.shape[0]} rows where "{first.name}" has {first.shape[0]}'
            for tensor in named.values()
            if tensor.shape[0] != first.shape[0]
        ]
    if problems:
        raise RequestProblem(400, problems)
    return {name: named[name].values for name in known}


def _unsuitable(tensor: Tensor, field: Mapping[str, Any]) -> str | None:
    if tensor.datatype in _SUITABLE[field["type"]]:
        return None
    what = f'input "{tensor.name}" has datatype {tensor.datatype}'
    column = "it" if tensor.name == field["name"] else f'column "{field["name"]}"'
    return f"{what}: {column} holds {_PLURAL[field['type']]}, send {_input_datatype(field)}"


def _input_datatype(field: Mapping[str, Any]) -> str:
    return "FP32" if field.get("dtype") == "float32" else _PREFERRED[field["type"]]


def _labels(labels: Sequence[Any], classes: Sequence[Any]) -> Tensor:
    datatype = _label_datatype(classes)
    if datatype == tensors.BYTES:
        return tensors.from_values("label", datatype, (len(labels),), [class_key(label) for label in labels])
    return tensors.from_values("label", datatype, (len(labels),), labels)


def _label_datatype(classes: Sequence[Any]) -> str:
    kinds: set[type] = {type(label) for label in classes}
    if kinds == {bool}:
        return tensors.BOOL
    if kinds == {int}:
        return "INT64"
    return "FP64" if kinds and kinds <= {int, float} else tensors.BYTES
