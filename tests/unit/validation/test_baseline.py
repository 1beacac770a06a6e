"""What the baseline keeps of a column must let the monitor see that the column changed."""

import numpy as np
import pandas as pd
import pytest

from model_packaging.baseline import numeric
from model_packaging.jobs.monitor.summaries import column


def drift(training: list[float], traffic: list[float]) -> float:
    counted = column("features.x", numeric(pd.Series(training)))
    for value in traffic:
        counted.add(value)
    found = counted.drift(1)
    assert found is not None
    return found[0]


@pytest.mark.parametrize("values", [[0, 1], [1, 2, 3], [-5.5, 0.0, 2.0, 100.0], list(range(10))])
def test_each_of_few_values_has_a_bin(values: list[float]) -> None:
    shares = np.arange(1, len(values) + 1)
    summary = numeric(pd.Series(np.repeat(values, shares)))
    assert summary["counts"] == shares.tolist()
    assert (summary["edges"][0], summary["edges"][-1]) == (values[0], values[-1])


def test_a_flag_that_turns_over_is_seen() -> None:
    training = [0] * 90 + [1] * 10
    assert drift(training, training) == pytest.approx(0)
    # (0.1 - 0.9) ln(0.1 / 0.9) + (0.9 - 0.1) ln(0.9 / 0.1)
    assert drift(training, [1 - value for value in training]) == pytest.approx(1.6 * np.log(9))


def test_more_values_are_binned_by_deciles() -> None:
    summary = numeric(pd.Series(range(1000)))
    assert summary["counts"] == [100] * 10
    assert numeric(pd.Series([7, 7]))["edges"] == [6.5, 7.5]


def test_neighbouring_floats_are_apart() -> None:
    low = 1.0
    summary = numeric(pd.Series([low, np.nextafter(low, 2), 3.0]))
    assert sum(summary["counts"]) == 3
