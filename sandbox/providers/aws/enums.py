"""The values that AWS publishes for a setting, from botocore's service descriptions.

Read as data, without botocore: a preview needs no client, and importing one takes longer.
"""

from __future__ import annotations

import difflib
import functools
import gzip
import importlib.util
import json
from pathlib import Path
from typing import Any

_NAMES = {"cloudwatch": "CloudWatch", "sagemaker": "SageMaker"}


@functools.cache
def _shapes(service: str) -> dict[str, Any]:
    spec = importlib.util.find_spec("botocore")
    if spec is None or not spec.submodule_search_locations:
        return {}
    versions = sorted((Path(spec.submodule_search_locations[0]) / "data" / service).glob("*/service-2.json*"))
    if not versions:
        return {}
    content = versions[-1].read_bytes()
    text = gzip.decompress(content) if versions[-1].suffix == ".gz" else content
    return json.loads(text)["shapes"]


def check(path: str, value: Any, service: str, shape: str) -> list[tuple[str, str]]:
    """The problem, as (path, reason), of a text that is none of a shape's values."""
    if not isinstance(value, str):
        return []
    allowed = _shapes(service).get(shape, {}).get("enum")
    if not allowed or value in allowed:
        return []
    near = difflib.get_close_matches(value, allowed, n=1, cutoff=0.6)
    few = f"; known are {', '.join(allowed)}" if len(allowed) <= 12 else ""
    hint = f": did you mean {near[0]}?" if near else few
    return [(path, f'"{value}" is not one of {_NAMES[service]}\'s {shape} values{hint}')]
