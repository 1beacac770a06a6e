"""The table after `make up`: what was deployed, and a prediction asked for as an application would."""

import json
import math
import os
from typing import Any

from modelberth.schedules import next_run

from model_packaging.errors import ModelberthError
from model_packaging.package import open_package
from model_packaging.storage import is_remote
from sandbox import clouds
from sandbox.settings import DEFAULT_STACK, ROOT
from sandbox.stack_file import StackFile

Rows = list[tuple[str, str]]


def table(stack: StackFile, outputs: dict[str, Any]) -> str:
    """Return the table of every model of a stack.

    Args:
        stack: The stack's file.
        outputs: What the engine exports, by the model's name.

    Raises:
        ModelberthError: an endpoint gives another prediction than its package recorded.
    """
    parts = [_model(name, model, outputs[name], stack) for name, model in stack.models.items() if name in outputs]
    return "\n\n".join(parts)


def _model(name: str, model: dict[str, Any], outputs: dict[str, Any], stack: StackFile) -> str:
    rows: Rows = []
    endpoint = outputs.get("endpoint")
    if endpoint:
        address = str(model["package"])
        package = open_package(address if is_remote(address) else ROOT / address)
        example, recorded = package.examples["inputs"][0], package.examples["predictions"][0]
        predicted = clouds.of(stack).predict(endpoint, example, stack)
        agree = equal(predicted, recorded, float(package.examples["tolerance"]))
        rows += [
            ("endpoint", f"{endpoint['name']} on {endpoint['platform']}"),
            ("address", endpoint["url"]),
            ("package", endpoint["package_digest"]),
            ("prediction", f"{_short(predicted)} from the endpoint"),
            ("recorded", f"{_short(recorded)} in the package{'' if agree else ': NOT THE SAME'}"),
        ]
        if not agree:
            raise ModelberthError(f"{name}: the endpoint answers {predicted}, but its package recorded {recorded}")
    else:
        rows.append(("endpoint", "none yet: it waits for a package"))
    rows.append(("bucket", outputs["bucket"]["url"]))
    if "alarms" in outputs:
        states = clouds.of(stack).alarm_states(outputs["alarms"]["names"].values(), stack)
        for alarm, physical in sorted(outputs["alarms"]["names"].items()):
            rows.append((f"alarm {alarm}", states.get(physical, "missing")))
        rows.append(("dashboard", outputs["alarms"]["dashboard_url"]))
    retraining = model.get("retraining")
    if "retraining" in outputs and isinstance(retraining, dict):
        timezone = str(retraining.get("timezone") or "UTC")
        fires = next_run(str(retraining["schedule"]), timezone)
        rows.append(("retraining", f"next {fires:%a %Y-%m-%d %H:%M} {timezone}: {outputs['retraining']['job_name']}"))
    if endpoint:
        rows.append(("model card", os.path.relpath(package.path / "card.html", ROOT)))
        rows.append(("call it", _command(endpoint, example, stack)))
    width = max(len(label) for label, _ in rows)
    return "\n".join([name, *(f"  {label:<{width}}  {text}" for label, text in rows)])


def equal(left: Any, right: Any, tolerance: float) -> bool:
    """Whether two predictions are the same, their numbers to within `tolerance`."""
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(equal(left[key], right[key], tolerance) for key in left)
    if isinstance(left, int | float) and isinstance(right, int | float):
        return math.isclose(left, right, rel_tol=tolerance, abs_tol=tolerance)
    return left == right


def _short(prediction: Any) -> str:
    if isinstance(prediction, dict):
        return "{" + ", ".join(f"{key}: {_short(value)}" for key, value in prediction.items()) + "}"
    return f"{prediction:.6g}" if isinstance(prediction, float) else str(prediction)


def _command(endpoint: dict[str, Any], row: dict[str, Any], stack: StackFile) -> str:
    body = json.dumps({"instances": [row]}, separators=(",", ":"))
    made_ready = f'eval "$(make -s env STACK={stack.name})"' if stack.name != DEFAULT_STACK else 'eval "$(make -s env)"'
    return f"{made_ready}; {clouds.of(stack).command(endpoint, body)}"
