"""Labels joined to predictions: late, corrected, doubled, missing; each counted once, and what is made of them."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as sk

from model_packaging import pack
from model_packaging.errors import ModelberthError, StorageError
from model_packaging.jobs.monitor import joining, quality
from model_packaging.package import Package
from model_packaging.validation.run import validate

from .conftest import NOW, Case, customers
from .labelled import Labelled, truth

HOUR = timedelta(hours=1)


@pytest.fixture
def case(churn: Package, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Labelled:
    return Labelled(churn, tmp_path, capsys)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quality, "BOOTSTRAP_ROUNDS", 40)


@pytest.mark.parametrize("name", ["labels.jsonl", "labels.csv", "labels.parquet"])
def test_labels_of_every_form_give_the_metrics(case: Labelled, name: str) -> None:
    said = case.ask(customers(200, seed=3))
    labels = truth(said, wrong=20)
    case.label(name, labels)
    found = case.watch()
    assert (found["files"], found["rows"], found["joined"]) == (1, 200, 200)
    given = np.array([labels[f"r{number}"] == "stays" for number in range(200)])
    guess = np.array([one["label"] == "stays" for one in said])
    chance = np.array([one["probabilities"]["stays"] for one in said])
    expected = {
        "accuracy": 0.9,
        "precision": sk.precision_score(given, guess),
        "recall": sk.recall_score(given, guess),
        "f1": sk.f1_score(given, guess),
        "roc_auc": sk.roc_auc_score(given, chance),
        "average_precision": sk.average_precision_score(given, chance),
        "log_loss": sk.log_loss(given, chance),
        "brier": sk.brier_score_loss(given, chance),
    }
    for metric, value in expected.items():
        assert found["metrics"][metric] == pytest.approx(value, abs=1e-6), metric
        low, high = found["point"]["metrics"][metric]["interval"]
        assert low < value < high
    assert found["metrics"]["labels.rows"] == 200
    assert "accuracy 0.9 (" in found["report"]["verdict"]["sentence"]


def test_a_label_that_comes_days_later_is_joined_by_a_later_run(case: Labelled) -> None:
    early, late = NOW - 60 * HOUR, NOW
    said = case.ask(customers(150, seed=3), when=early - HOUR)
    first = case.watch(early)
    assert first["point"] is None
    assert first["reason"] == "0 of at least 100 labels to be counted have come"
    assert first["waiting"]["predictions"] == 150
    case.label("a.csv", truth(said))
    # The capture is long out of the window, and need not even be there any more.
    for path in case.capture.rglob("*.jsonl"):
        path.unlink()
    second = case.watch(late)
    assert second["report"]["rows"] == 0
    assert (second["joined"], second["metrics"]["accuracy"]) == (150, 1.0)


def test_a_first_run_reads_back_as_far_as_labels_may_be_late(case: Labelled) -> None:
    said = case.ask(customers(110, seed=3), when=NOW - 70 * HOUR)
    case.ask(customers(50, seed=4), first=500, when=NOW - 80 * HOUR)
    case.label("a.jsonl", truth(said) | {f"r{number}": "stays" for number in range(500, 550)})
    found = case.watch()
    assert (found["joined"], found["unmatched"]["count"]) == (110, 50)


def test_no_label_is_counted_twice(case: Labelled) -> None:
    said = case.ask(customers(250, seed=3), when=NOW - 3 * HOUR)
    labels = truth(said, wrong=10)
    case.label("a.csv", {key: labels[key] for key in list(labels)[:150]})
    first = case.watch(NOW - 2 * HOUR)
    assert (first["point"]["rows"], first["metrics"]["accuracy"]) == (150, pytest.approx(140 / 150))
    again = case.watch(NOW - HOUR)
    assert (again["files"], again["joined"], again["point"]) == (0, 0, None)
    assert "accuracy" not in again["metrics"] and "labels.rows" not in again["metrics"]
    # All labels once more in another file: only those that are new count.
    case.label("b.csv", labels)
    third = case.watch()
    assert (third["joined"], third["repeated"], third["point"]["rows"]) == (100, 150, 100)
    assert third["metrics"]["accuracy"] == 1.0
    assert [one["rows"] for one in third["over_time"]] == [150, 100]


def test_a_run_that_fails_at_the_end_counts_again(case: Labelled, monkeypatch: pytest.MonkeyPatch) -> None:
    said = case.ask(customers(120, seed=3))
    case.label("a.csv", truth(said))

    def fails(*_: Any) -> None:
        raise StorageError("no metrics today")

    monkeypatch.setattr("model_packaging.jobs.monitor.sinks._stdout", fails)
    monkeypatch.setitem(
        __import__("model_packaging.jobs.monitor.sinks", fromlist=["SINKS"]).SINKS, "stdout", ("", fails)
    )
    with pytest.raises(StorageError, match="no metrics today"):
        case.watch()
    monkeypatch.undo()
    found = case.watch(NOW + HOUR)
    assert (found["point"]["rows"], len(found["over_time"])) == (120, 1)


def test_few_labels_wait_and_give_no_number(case: Labelled) -> None:
    said = case.ask(customers(150, seed=3), when=NOW - 3 * HOUR)
    labels = truth(said)
    case.label("a.csv", {key: labels[key] for key in list(labels)[:60]})
    first = case.watch(NOW - HOUR)
    assert first["reason"] == "60 of at least 100 labels to be counted have come"
    assert "60 of at least 100 labels" in first["report"]["verdict"]["sentence"]
    assert (
        not {"accuracy", "f1", "labels.rows", "drift.target_psi", "labels.suspicious_ratio"} & first["metrics"].keys()
    )
    case.label("b.csv", {key: labels[key] for key in list(labels)[60:100]})
    assert case.watch()["point"]["rows"] == 100


def test_labels_that_wait_to_be_counted_are_not_forgotten(case: Labelled) -> None:
    said = case.ask(customers(150, seed=3), when=NOW - 70 * HOUR)
    labels = truth(said)
    case.label("a.csv", {key: labels[key] for key in list(labels)[:99]})
    assert case.watch(NOW - 69 * HOUR)["waiting"]["to_be_counted"] == 99
    assert case.watch(NOW + 30 * HOUR)["waiting"] == {"predictions": 51, "labels": 0, "to_be_counted": 99}
    said = case.ask(customers(1, seed=4), first=900, when=NOW + 30 * HOUR)
    case.label("b.csv", truth(said, first=900))
    assert case.watch(NOW + 31 * HOUR)["point"]["rows"] == 100


def test_a_corrected_label_replaces_the_one_that_was_counted(case: Labelled) -> None:
    said = case.ask(customers(120, seed=3), when=NOW - 3 * HOUR)
    labels = truth(said, wrong=30)
    case.label("a.csv", labels)
    assert case.watch(NOW - 2 * HOUR)["metrics"]["accuracy"] == pytest.approx(0.75)
    right = truth(said)
    case.label("b.csv", {key: right[key] for key in list(right)[:30]})
    found = case.watch(NOW - HOUR)
    assert (found["corrected"], found["joined"], found["repeated"]) == (30, 0, 0)
    # The verdict on the newest point has changed, so it is sent again; it is still one point of 120 labels.
    assert (found["point"]["rows"], found["metrics"]["accuracy"]) == (120, 1.0)
    assert [(one["rows"], one["recounted"], one["metrics"]["accuracy"]["value"]) for one in found["over_time"]] == [
        (120, True, 1.0)
    ]
    assert case.watch()["point"] is None


def test_an_older_point_is_counted_anew_where_its_rows_are_kept(case: Labelled) -> None:
    said = case.ask(customers(220, seed=3), when=NOW - 5 * HOUR)
    labels, right = truth(said, wrong=11), truth(said)
    case.label("a.csv", {key: labels[key] for key in list(labels)[:110]})
    case.watch(NOW - 4 * HOUR)
    case.label("b.csv", {key: labels[key] for key in list(labels)[110:]})
    case.watch(NOW - 3 * HOUR)
    case.label("c.csv", {"r0": right["r0"]})
    found = case.watch(NOW - 2 * HOUR)
    assert found["point"] is None and "accuracy" not in found["metrics"]
    values = [one["metrics"]["accuracy"]["value"] for one in found["over_time"]]
    assert values == [pytest.approx(100 / 110), 1.0]
    # 60 hours on, the predictions are forgotten: a correction finds nothing to correct.
    case.watch(NOW + 70 * HOUR)
    case.label("d.csv", {"r1": right["r1"]})
    late = case.watch(NOW + 71 * HOUR)
    assert (late["corrected"], late["unmatched"]["count"]) == (0, 1)


def test_the_later_of_two_labels_counts_by_its_time(case: Labelled) -> None:
    said = case.ask(customers(100, seed=3))
    right, wrong = truth(said), truth(said, wrong=100)
    rows = [{"id": key, "label": right[key], "time": "2026-03-04T09:00:00Z"} for key in right]
    rows += [{"id": key, "label": wrong[key], "time": "2026-03-03T09:00:00+00:00"} for key in wrong]
    case.label("a.jsonl", rows)
    found = case.watch()
    assert (found["metrics"]["accuracy"], found["corrected"], found["contradicting"]) == (1.0, 100, 0)
    case.label("b.jsonl", [{"id": "r0", "label": wrong["r0"], "time": "2026-03-02T09:00:00Z"}])
    assert case.watch(NOW + HOUR)["corrected"] == 0


def test_two_labels_at_once_contradict_each_other_and_the_last_counts(case: Labelled) -> None:
    said = case.ask(customers(100, seed=3))
    right, wrong = truth(said), truth(said, wrong=4)
    case.label("a.csv", wrong)
    case.label("b.csv", {key: right[key] for key in list(right)[:4]})
    case.label("c.jsonl", [{"id": "r9", "label": wrong["r9"]}] * 3)
    found = case.watch()
    assert (found["contradicting"], found["repeated"], found["corrected"]) == (4, 3, 0)
    assert found["metrics"]["accuracy"] == 1.0
    assert found["metrics"]["labels.contradicting_ratio"] == pytest.approx(4 / 107)


def test_what_is_no_label_is_counted_and_shown(case: Labelled) -> None:
    said = case.ask(customers(100, seed=3))
    case.label("a.csv", truth(said))
    (case.folder / "b.jsonl").write_text(
        '{"id": "r1", "label": "maybe"}\n{"id": "r2", "label": null}\n{"id": "r3"}\nnot json\n{"label": "stays"}\n'
        '{"id": "r4", "label": "stays", "row": -1}\n{"id": "nobody", "label": "stays"}\n'
    )
    case.label("c.csv", [{"identifier": "r1", "label": "stays"}])
    (case.folder / "d.parquet").write_text("no parquet")
    found = case.watch()
    assert found["missing"] == 2
    assert found["unknown"] == {"count": 1, "examples": ["'maybe': the model knows leaves, stays"]}
    assert found["unmatched"] == {"count": 1, "examples": [{"id": "nobody", "row": 0}]}
    told = found["ill_formed"]["examples"]
    assert found["ill_formed"]["count"] == len(told) == 5
    for text in ("b.jsonl:4: not JSON", "b.jsonl:5: no object with an id", "b.jsonl: id 'r4', row -1", "c.csv: has no "
                 "column id", "d.parquet: "):  # fmt: skip
        assert any(one.startswith(text) for one in told), text
    assert found["metrics"]["labels.unknown_class_ratio"] == pytest.approx(1 / found["rows"])
    assert found["metrics"]["labels.missing_ratio"] == pytest.approx(2 / found["rows"])
    # What could not be read is told until it is mended; the rest is not read again.
    assert case.watch(NOW + HOUR)["files"] == 2


def test_a_label_may_come_before_its_prediction_is_written(case: Labelled) -> None:
    frame = customers(100, seed=3)
    case.label("a.csv", {f"r{number}": "stays" for number in range(100)})
    first = case.watch(NOW - HOUR)
    assert (first["joined"], first["unmatched"]["count"], first["waiting"]["labels"]) == (0, 100, 100)
    case.ask(frame, when=NOW - HOUR)  # within the hour before the last run, and written after it
    assert case.watch()["joined"] == 100


def test_rows_of_one_request_have_labels_of_their_own(case: Labelled) -> None:
    said = case.ask(customers(200, seed=3), rows=2)
    rows = [{"id": f"r{n // 2}", "row": n % 2, "label": one["label"]} for n, one in enumerate(said)]
    case.label("a.parquet", rows)
    found = case.watch()
    assert (found["joined"], found["metrics"]["accuracy"]) == (200, 1.0)


def test_rows_of_a_request_that_was_captured_as_parquet(case: Labelled) -> None:
    when = NOW - HOUR
    folder = case.capture / "blue" / f"{when:%Y/%m/%d/%H}"
    folder.mkdir(parents=True)
    said = ["stays", "leaves"] * 60
    table = {"eventId": [f"r{n // 2}" for n in range(120)], "row": [n % 2 for n in range(120)], "time": [when] * 120}
    pd.DataFrame(table | {"prediction.label": said}).to_parquet(folder / "a.parquet")
    case.label("a.jsonl", [{"id": f"r{n // 2}", "row": n % 2, "label": said[n]} for n in range(120)])
    found = case.watch()
    assert (found["joined"], found["metrics"]["accuracy"]) == (120, 1.0)


def test_labels_of_truth_values_are_read_however_they_are_written(left: Package, case: Labelled) -> None:
    case.package = left
    said = case.ask(customers(120, seed=3))
    ways = [str, lambda one: str(one).lower(), lambda one: str(int(one))]
    case.label("a.csv", {f"r{n}": ways[n % 3](one["label"]) for n, one in enumerate(said)})
    found = case.watch()
    assert (found["joined"], found["metrics"]["accuracy"]) == (120, 1.0)


def test_a_regression(spend: Package, case: Labelled) -> None:
    case.package = spend
    said = np.array(case.ask(customers(150, seed=3)))
    true = said + np.random.default_rng(1).normal(3, 5, 150)
    case.label("a.jsonl", {f"r{n}": value for n, value in enumerate(true)} | {"r150": "much"})
    found = case.watch()
    assert found["metrics"]["mean_absolute_error"] == pytest.approx(np.abs(true - said).mean())
    assert found["metrics"]["root_mean_squared_error"] == pytest.approx(np.sqrt(np.square(true - said).mean()))
    assert found["metrics"]["r2"] == pytest.approx(sk.r2_score(true, said))
    expected = sk.mean_absolute_percentage_error(true, said)
    assert found["metrics"]["mean_absolute_percentage_error"] == pytest.approx(expected)
    assert found["unknown"]["examples"] == ["'much': a number is predicted"]
    assert found["suspicious"]["reason"] == "a regression has no classes to confuse"


def test_what_is_not_defined_is_said_and_not_sent(case: Labelled) -> None:
    case.ask(customers(100, seed=3))
    case.label("a.csv", {f"r{number}": "stays" for number in range(100)})
    found = case.watch()
    assert {"roc_auc", "average_precision", "log_loss"} <= set(found["point"]["not_defined"])
    assert "roc_auc" not in found["metrics"] and "accuracy" in found["metrics"]


@pytest.fixture(scope="module")
def validated(tmp_path_factory: pytest.TempPathFactory) -> Package:
    from sklearn.linear_model import LogisticRegression

    from .conftest import _left, _model

    frame, left = _left()
    target = np.where(left, "leaves", "stays")
    model = _model(LogisticRegression(max_iter=1000)).fit(frame[:1500], target[:1500])
    found = validate(
        model,
        (frame[:1500], target[:1500]),
        (frame[1500:], target[1500:]),
        folds=0,
        segments=["plan"],
        importance=False,
    )
    folder = tmp_path_factory.mktemp("packages") / "churn"
    return pack(model, name="churn", inputs=frame[:1500], output=folder, validation=found)


def test_segments_that_the_package_names(validated: Package, case: Labelled) -> None:
    case.package = validated
    frame = customers(400, seed=3)
    said = case.ask(frame)
    labels = truth(said)
    turned = {"leaves": "stays", "stays": "leaves"}
    for number in np.flatnonzero(frame["plan"] == "pro")[:40]:
        labels[f"r{number}"] = turned[labels[f"r{number}"]]
    case.label("a.csv", labels)
    point = case.watch()["point"]
    counts = frame["plan"].value_counts()
    assert {name: one["rows"] for name, one in point["segments"]["plan"].items()} == counts.to_dict()
    assert point["segments"]["plan"]["basic"]["metrics"]["accuracy"] == 1
    worst = point["worst_segments"]["plan"]["accuracy"]
    assert (worst["segment"], worst["value"]) == ("pro", pytest.approx(1 - 40 / counts["pro"]))


def test_drift_of_the_target(validated: Package, case: Labelled) -> None:
    case.package = validated
    case.ask(customers(300, seed=3), when=NOW - 3 * HOUR)
    holdout = validated.documents["holdout.json"]
    share = np.mean(holdout["target"])  # of the second class, stays
    many = round(150 * share)
    case.label("a.csv", {f"r{n}": "stays" if n < many else "leaves" for n in range(150)})
    same = case.watch(NOW - HOUR)
    assert same["metrics"]["drift.target_psi"] == same["target"]["psi"] < 0.01
    case.label("b.csv", {f"r{n}": "leaves" for n in range(150, 300)})
    assert case.watch()["metrics"]["drift.target_psi"] > 0.25


def test_without_a_holdout_target_drift_has_a_reason(case: Labelled) -> None:
    said = case.ask(customers(100, seed=3))
    case.label("a.csv", truth(said))
    found = case.watch()
    assert found["target"] == {"psi": None, "reason": "the package has no holdout.json: pack it with a validation"}
    assert "drift.target_psi" not in found["metrics"]


def test_labels_turned_round_are_suspicious(case: Labelled) -> None:
    said = case.ask(customers(600, seed=3))
    sure = [n for n, one in enumerate(said) if max(one["probabilities"].values()) > 0.85]
    turned = {"leaves": "stays", "stays": "leaves"}
    generator = np.random.default_rng(5)
    labels = {
        f"r{n}": "stays" if generator.random() < one["probabilities"]["stays"] else "leaves"
        for n, one in enumerate(said)
    }
    wrong = [f"r{n}" for n in sure[:25]]
    for key in wrong:
        labels[key] = turned[said[int(key[1:])]["label"]]
    case.label("a.csv", labels)
    found = case.watch()["suspicious"]
    assert found["ratio"] > 0.04
    listed = [one["id"] for one in found["top"]]
    assert set(wrong) <= set(listed)
    first = found["top"][0]
    assert first["suggested"] == turned[first["label"]]
    assert first["probability_of_suggested"] > 0.85 > first["probability_of_label"]


def test_metrics_of_the_users_own(case: Labelled, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "shop_metrics.py").write_text(
        "def cost(target, predicted, probability):\n"
        "    return float(((target == 'leaves') & (predicted == 'stays')).sum())\n\n\n"
        "def broken(target, predicted, probability):\n    return 1 / 0\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    said = case.ask(customers(240, seed=3), when=NOW - 3 * HOUR)
    labels = truth(said, wrong=20)
    case.label("a.csv", {key: labels[key] for key in list(labels)[:120]})
    missed = sum(labels[f"r{n}"] == "leaves" for n in range(20))
    found = case.watch(NOW - HOUR, MODELBERTH_OWN_METRICS="shop_metrics:cost")
    assert found["metrics"]["custom.cost"] == missed
    case.label("b.csv", {key: labels[key] for key in list(labels)[120:]})
    found = case.watch(MODELBERTH_OWN_METRICS="shop_metrics:cost, shop_metrics:broken")
    assert found["point"]["problems"] == ['the metric "broken" failed: ZeroDivisionError: division by zero']
    assert found["metrics"]["accuracy"] == 1.0
    with pytest.raises(ModelberthError, match="shop_metrics has no absent"):
        case.watch(MODELBERTH_OWN_METRICS="shop_metrics:absent")


def test_a_new_package_begins_where_the_last_run_ended(case: Labelled, left: Package, validated: Package) -> None:
    said = case.ask(customers(150, seed=3), when=NOW - 5 * HOUR)
    case.label("a.csv", truth(said))
    assert case.watch(NOW - 2 * HOUR)["point"]["rows"] == 150
    case.package = validated
    case.ask(customers(100, seed=4), first=300, when=NOW - HOUR)
    found = case.watch()
    assert (found["waiting"]["predictions"], len(found["over_time"])) == (100, 1)
    # Another model altogether: nothing of the table fits, and nothing breaks.
    case.package = left
    assert case.watch(NOW + HOUR)["waiting"]["predictions"] == 0


def test_beyond_the_bound_whole_requests_are_sampled(case: Labelled, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joining, "MOST_ROWS", 300)
    said = case.ask(customers(800, seed=3), rows=2)
    labels = [{"id": f"r{n // 2}", "row": n % 2, "label": one["label"]} for n, one in enumerate(said)]
    case.label("a.jsonl", labels)
    found = case.watch()
    assert found["share_kept"] in (0.25, 0.125)
    assert 100 <= found["point"]["rows"] <= 300 and found["point"]["rows"] % 2 == 0
    assert (found["unmatched"]["count"], found["metrics"]["accuracy"]) == (0, 1.0)


def test_a_damaged_state_is_named_with_what_to_do(case: Labelled) -> None:
    case.ask(customers(10, seed=3))
    case.label("a.csv", {"r1": "stays"})
    case.watch()
    (state,) = case.bucket.rglob("state.parquet")
    state.write_bytes(state.read_bytes()[:100])
    with pytest.raises(StorageError, match=r"state\.parquet: it is not what an earlier run kept .* delete it"):
        case.watch()


def test_wrong_settings_are_told_at_once(case: Labelled) -> None:
    with pytest.raises(ModelberthError) as raised:
        case.watch(MODELBERTH_LABELS="", MODELBERTH_OWN_METRICS="a:b", MODELBERTH_LABEL_DELAY_HOURS="soon")
    assert str(raised.value).splitlines() == [
        'MODELBERTH_LABEL_DELAY_HOURS is "soon": it must be a number of hours above 0 and below 100,000',
        "MODELBERTH_OWN_METRICS is set, but MODELBERTH_LABELS, which it judges by, is not",
    ]


def test_without_labels_nothing_is_said_of_them(case: Labelled) -> None:
    case.ask(customers(100, seed=3))
    report = Case.run(case)
    assert report["labels"] is None
    assert not list(case.bucket.rglob("state.parquet"))
    assert json.dumps(report["metrics"]).count("label") == 0
