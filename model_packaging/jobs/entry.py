"""`python -m model_packaging.jobs.entry module:function --data … --output …`: a training function as a process.

The function gets `data` and `output` as paths, `name` (None where the job gives none) and `parameters`.
"""

from __future__ import annotations

import argparse
import json
from importlib import import_module
from pathlib import Path
from typing import Any


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("entrypoint")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--name")
    parser.add_argument("--parameters", type=json.loads, default={})
    given = parser.parse_args()
    module, _, function = str(given.entrypoint).partition(":")
    train: Any = getattr(import_module(module), function)
    train(data=given.data, output=given.output, name=given.name, parameters=given.parameters)


if __name__ == "__main__":
    main()
