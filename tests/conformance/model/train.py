"""Train a small real model: tumours of scikit-learn's breast cancer data, benign or malignant.

`--parameters` choose its kind: trees (how many), depth, and `noise`, a share of wrong labels that makes it worse.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import RandomForestClassifier

from model_packaging import data_version, pack, validate

FEATURES = 6


def write_data(folder: Path) -> None:
    """Write the training file, the first features and the diagnosis."""
    table = load_breast_cancer(as_frame=True).frame
    names = [name.replace(" ", "_") for name in table.columns]
    table.columns = names
    folder.mkdir(parents=True, exist_ok=True)
    table[[*names[:FEATURES], "target"]].to_csv(folder / "tumours.csv", index=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--name", default="tumours")
    parser.add_argument("--parameters", type=json.loads, default={})
    options = parser.parse_args()
    settings = {"trees": 20, "depth": 4, "noise": 0.0, **options.parameters}

    table = pd.read_csv(options.data / "tumours.csv")
    inputs, target = table.iloc[:, :FEATURES], table["target"].map({0: "malignant", 1: "benign"})
    held = np.arange(len(table)) % 4 == 0
    learnt = target[~held].copy()
    wrong = np.random.default_rng(0).random(len(learnt)) < settings["noise"]
    learnt[wrong] = learnt[wrong].map({"malignant": "benign", "benign": "malignant"})
    model = RandomForestClassifier(n_estimators=settings["trees"], max_depth=settings["depth"], random_state=0).fit(
        inputs[~held], learnt
    )
    validation = validate(
        model, (inputs[~held], learnt), (inputs[held], target[held]), folds=2, bootstrap=20, importance=False
    )
    package = pack(
        model,
        name=options.name,
        inputs=inputs[~held],
        data=data_version([options.data / "tumours.csv"], name="tumours"),
        validation=validation,
        output=options.output,
        description="Whether a tumour is benign, from six measures of its cells.",
    )
    print(package.digest)


if __name__ == "__main__":
    main()
