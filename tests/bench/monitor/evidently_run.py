"""One run of Evidently in a process and an environment of its own: what it took, its memory, and its numbers.

It is run by Evidently's own interpreter, so it imports nothing of this project.
"""

import json
import resource
import sys
import time

import numpy as np
import pandas as pd
from evidently import DataDefinition, Dataset, Report
from evidently.metrics import ValueDrift
from scipy import stats


def main(reference: str, traffic: str, page: str, numeric: str, categorical: str, methods: str, edges: str) -> None:
    numbers, categories = numeric.split(","), categorical.split(",")
    definition = DataDefinition(numerical_columns=numbers, categorical_columns=categories)
    training = pd.read_parquet(reference)
    before = Dataset.from_pandas(training, data_definition=definition)
    began, used = time.perf_counter(), time.process_time()
    rows = pd.read_parquet(traffic, columns=[*numbers, *categories])
    kinds = {"number": numbers, "category": categories}
    metrics = [
        ValueDrift(column=column, method=method)
        for kind, listed in json.loads(methods).items()
        for column in kinds[kind]
        for method in listed
    ]
    done = Report(metrics).run(Dataset.from_pandas(rows, data_definition=definition), before)
    done.save_html(page)
    found = done.dict()["metrics"]
    seconds, processor = time.perf_counter() - began, time.process_time() - used
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    values = {f"{one['config']['column']} {one['config']['method']}": float(one["value"]) for one in found}
    more = _same_bins(training, rows, json.loads(edges), definition) if edges != "{}" else {}
    print(json.dumps({"seconds": seconds, "processor": processor, "peak": peak, "values": values, **more}))


def _same_bins(training: pd.DataFrame, rows: pd.DataFrame, edges: dict, definition: DataDefinition) -> dict:
    """Not timed: its PSI over given bins, and the statistics that its p-values are of."""
    cut = [
        pd.DataFrame({name: np.searchsorted(inner, data[name], "right").astype(str) for name, inner in edges.items()})
        for data in (training, rows)
    ]
    as_categories = DataDefinition(categorical_columns=list(edges))
    before, after = (Dataset.from_pandas(data, data_definition=as_categories) for data in cut)
    found = Report([ValueDrift(column=name, method="psi") for name in edges]).run(after, before).dict()["metrics"]
    return {
        "same_bins": {one["config"]["column"]: float(one["value"]) for one in found},
        "ks": {name: float(stats.ks_2samp(training[name], rows[name]).statistic) for name in edges},
    }


if __name__ == "__main__":
    main(*sys.argv[1:])
