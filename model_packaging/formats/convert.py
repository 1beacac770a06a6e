# pyright: basic
# (pandas, scikit-learn and skl2onnx carry no types)
"""Converts a scikit-learn estimator to ONNX, and keeps the result only when it predicts the same.

https://onnx.ai/sklearn-onnx/ says which estimators can be converted; whether this one really gives the same is
measured, because a conversion may compute in single precision or treat a missing value differently.
"""

from dataclasses import replace
from typing import Any

from ..datasets import records
from ..errors import ModelberthError
from ..serving.examples import differences, largest_difference
from . import onnx
from .predictor import Predictor
from .sklearn_skops import Estimator
from .store import Source
from .stored import Stored

ROWS = 10_000
"""At most so many rows are compared, evenly over what is given."""


def to_onnx(source: Source, signature: dict[str, Any], frame: Any, tolerance: float) -> Stored:
    """The model in ONNX when each prediction on `frame` is the same within `tolerance`, else as it is; `how` says
    which and why. Raises ModelberthError when skl2onnx is not installed."""
    stored = source.stored
    if not stored.format.startswith("sklearn-"):
        return stored
    try:
        import skl2onnx  # noqa: F401 (only whether it is there)
    except ModuleNotFoundError as error:
        raise ModelberthError('converting to ONNX needs skl2onnx: pip install "modelberth[onnx]"') from error
    rows = records(frame.iloc[:: max(1, len(frame) // ROWS)])
    expected = Predictor(signature, Estimator(source.estimator)).predict(rows)
    reasons: list[str] = []
    for attempt in (_one_input_per_column, _one_matrix):
        try:
            content = attempt(source.estimator, signature, frame)
            given = Predictor(signature, onnx.backend(content, signature)).predict(rows)
            found = differences(expected, given, tolerance)
        except Exception as error:  # converters raise many kinds on what they do not know
            reasons.append(f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error) else ''}")
            continue
        if not found:
            largest = largest_difference(expected, given)
            how = (
                f"converted to ONNX, the same within {tolerance:g} on {len(rows):,} rows, "
                f"the largest difference is {largest:.2g}"
            )
            return Stored("onnx", {onnx.MODEL_FILE: content}, how, stored.task, stored.classes)
        reasons.append(f"{len(found):,} of {len(rows):,} predictions would differ by more than {tolerance:g}")
    return replace(stored, how=f"{stored.how}; not in ONNX, because {reasons[0][:200]}")


def _one_input_per_column(estimator: Any, signature: dict[str, Any], frame: Any) -> bytes:
    from skl2onnx.common import data_types as kinds

    types = {
        "number": kinds.DoubleTensorType,
        "integer": kinds.Int64TensorType,
        "boolean": kinds.BooleanTensorType,
        "string": kinds.StringTensorType,
    }
    return _convert(
        estimator, signature, [(item["name"], types[item["type"]]([None, 1])) for item in signature["inputs"]]
    )


def _one_matrix(estimator: Any, signature: dict[str, Any], frame: Any) -> bytes:
    from skl2onnx.common.data_types import DoubleTensorType

    return _convert(estimator, signature, [("input", DoubleTensorType([None, len(signature["inputs"])]))])


def _convert(estimator: Any, signature: dict[str, Any], inputs: list[Any]) -> bytes:
    from skl2onnx import convert_sklearn

    classifier = signature["outputs"]["task"] == "classification"
    options = {id(estimator): {"zipmap": False}} if classifier else None
    model: Any = convert_sklearn(estimator, name="model", initial_types=inputs, options=options)
    _rename(model.graph, {item.name: name for item, (name, _) in zip(model.graph.input, inputs, strict=True)})
    return model.SerializeToString(deterministic=True)


def _rename(graph: Any, names: dict[str, str]) -> None:
    """Give the inputs the columns' own names, which the converter writes with letters and digits alone."""
    for item in graph.input:
        item.name = names[item.name]
    for node in graph.node:
        for index, name in enumerate(node.input):
            node.input[index] = names.get(name, name)
