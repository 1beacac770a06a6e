"""The schema, and the classes that are made of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import modelberth
import pytest
from modelberth_provider import sdk
from modelberth_provider.resources import RESOURCES
from modelberth_provider.schema import schema


@pytest.mark.parametrize("name", sdk.modules())
def test_the_classes_are_those_of_the_schema(name: str) -> None:
    written = Path(modelberth.__file__).with_name(f"{name}.py").read_text()
    done = subprocess.run(
        [sys.executable, "-m", "ruff", "format", "-"],
        input=sdk.modules()[name],
        capture_output=True,
        text=True,
        check=True,
    )
    assert written == done.stdout, "run `python -m modelberth_provider.sdk`"


def test_each_property_is_described_and_each_type_is_there() -> None:
    found = schema(RESOURCES, "1.0.0")
    described = [*found["resources"].values(), *found["types"].values()]
    assert all(one["description"] for one in described)
    properties = [one for kind in described for one in kind["properties"].items()]
    assert not [name for name, one in properties if not one.get("description")]
    text = str(found)
    assert not [name for name in found["types"] if f"#/types/{name}" not in text]
