"""`python -m model_packaging.jobs.reproduce <folder>`: loads a package in a fresh interpreter.

Prints one JSON line: the seconds that loading and predicting took, and the differences from the recorded
predictions. What the packaging process had imported or registered cannot help here.
"""

from __future__ import annotations

import json
import sys
import time


def main(folder: str) -> None:
    from model_packaging import formats
    from model_packaging.package import open_package
    from model_packaging.serving.examples import unreproduced

    began = time.perf_counter()
    package = open_package(folder)
    model = formats.load(package)
    loaded = time.perf_counter()
    found = unreproduced(package.examples, model.predict)
    print(
        json.dumps(
            {
                "load_seconds": round(loaded - began, 3),
                "predict_seconds": round(time.perf_counter() - loaded, 3),
                "examples": len(package.examples["inputs"]),
                "differences": found[:10],
            }
        )
    )


if __name__ == "__main__":
    main(sys.argv[1])
