"""What each alarm watches, what it means when it fires, and what a person then does.

The one home of these texts: the card, the alarms' own descriptions on every platform and the documentation read them
here. A name means the same everywhere.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

Task = Literal["binary", "multiclass", "regression"]

_ANY: tuple[Task, ...] = ("binary", "multiclass", "regression")


@dataclass(frozen=True)
class AlarmText:
    """What people are told about one alarm."""

    watches: str
    """What is measured."""

    means: str
    """What it says about the model when it fires."""

    action: str
    """What to do then."""

    tasks: tuple[Task, ...] = _ANY
    """The models that it is measured of, by the shape of their predictions."""


def task_of(outputs: Mapping[str, Any]) -> Task:
    """The shape of predictions that a signature's `outputs` describe."""
    if outputs["task"] == "regression":
        return "regression"
    return "binary" if len(cast("list[Any]", outputs.get("classes") or [])) == 2 else "multiclass"


def _quality(watches: str, *tasks: Task, means: str = "The model is right less often than it was.") -> AlarmText:
    action = "Look for drift, for a segment that fails and for wrong labels in the monitor's report; then retrain."
    return AlarmText(watches, means, action, tasks)


_FAR = "The model's numbers are further from what came true than they were."
_UNSURE = "The model's probabilities no longer say how sure it may be."

QUALITY: dict[str, AlarmText] = {
    "accuracy": _quality("share of predictions that the labels confirm", "binary", "multiclass"),
    "precision": _quality("share of predictions of the second class that the labels confirm", "binary"),
    "recall": _quality("share of labels of the second class that were predicted", "binary"),
    "f1": _quality("harmonic mean of precision and recall of the second class", "binary"),
    "roc_auc": _quality("area under the ROC curve of the second class", "binary"),
    "average_precision": _quality("area under the precision-recall curve of the second class", "binary"),
    "precision_macro": _quality("precision, the mean over the classes", "multiclass"),
    "recall_macro": _quality("recall, the mean over the classes", "multiclass"),
    "f1_macro": _quality("harmonic mean of precision and recall, the mean over the classes", "multiclass"),
    "roc_auc_ovr": _quality("area under the ROC curve of a class against the rest, the mean over them", "multiclass"),
    "log_loss": _quality(
        "mean of −ln of the probability that was given to what came true", "binary", "multiclass", means=_UNSURE
    ),
    "brier": _quality(
        "mean square of the second class's probability less 1 or 0, as came true", "binary", means=_UNSURE
    ),
    "calibration_error": _quality(
        "mean distance of stated probability from observed share", "binary", "multiclass", means=_UNSURE
    ),
    "mean_absolute_error": _quality(
        "mean distance of predictions from labels, in the target's unit", "regression", means=_FAR
    ),
    "root_mean_squared_error": _quality(
        "root of the mean squared distance of predictions from labels, in the target's unit", "regression", means=_FAR
    ),
    "mean_absolute_percentage_error": _quality(
        "mean distance of predictions from labels, as a share of the label", "regression", means=_FAR
    ),
    "r2": _quality("share of the labels' variance that the predictions explain", "regression", means=_FAR),
}
"""How good the predictions are, by the labels that arrived: the metrics of validation, under the same names."""

ALARM_TEXTS: dict[str, AlarmText] = {
    "latency_p95": AlarmText(
        "time the model takes to answer, 95th percentile",
        "One answer in twenty is slow.",
        "Look at saturation first; then scale out, or roll back the last package.",
    ),
    "latency_p99": AlarmText(
        "time the model takes to answer, 99th percentile",
        "One answer in a hundred is slow, often because of a large request.",
        "Look at saturation first; then scale out, or roll back the last package.",
    ),
    "error_rate": AlarmText(
        "share of requests that the model failed to answer (5xx)",
        "Callers get errors that are not their own.",
        "Read the endpoint's log; roll back if it began with the last package.",
    ),
    "invocations": AlarmText(
        "requests that reached the endpoint",
        "Fewer ask than should, or nobody at all.",
        "Ask the callers: the endpoint answers, but nobody asks.",
    ),
    "cpu_utilization": AlarmText(
        "share of the processors in use, the mean over the endpoint's replicas",
        "The processors are busy; answers become slow next.",
        "Scale out, or choose a larger machine.",
    ),
    "memory_utilization": AlarmText(
        "share of memory in use, the mean over the endpoint's replicas",
        "Memory runs out; the container is killed next.",
        "Choose a machine with more memory; look for a leak if it only grows.",
    ),
    "disk_utilization": AlarmText(
        "share of disk space in use, the mean over the endpoint's replicas",
        "Disk space runs out.",
        "Look for files that the container leaves; choose a larger volume.",
    ),
    "drift.psi": AlarmText(
        "population stability index of the input that drifted most, against the training data",
        "An input is distributed differently from training; the metrics of this card may no longer hold.",
        "Read the drift report: a broken source is mended there, a changed world by retraining.",
    ),
    "drift.prediction_psi": AlarmText(
        "population stability index of the predictions, against those on the training data",
        "The model says other things than it did.",
        "Read the drift report; compare with the inputs' drift before retraining.",
    ),
    "drift.target_psi": AlarmText(
        "population stability index of the labels, against the target on the hold-out",
        "What is predicted has itself changed, whatever the model says.",
        "Find out whether the world changed or the way labels are made; then retrain.",
    ),
    "data.missing_ratio": AlarmText(
        "share of missing values in the input where it is highest",
        "Values stopped coming.",
        "Find the source that stopped sending; the model answers from what is left.",
    ),
    "data.out_of_range_ratio": AlarmText(
        "share of values outside the range of the training data, in the input where it is highest",
        "Numbers lie where the model has learnt nothing.",
        "Check units and encodings at the source.",
    ),
    "data.unseen_category_ratio": AlarmText(
        "share of categories never seen in training, in the input where it is highest",
        "Texts come that the model does not know.",
        "Check the source; if the category is real, retrain with it.",
    ),
    "labels.suspicious_ratio": AlarmText(
        "estimated share of labels that are wrong, by confident learning",
        "Labels contradict a model that is sure of itself: they are wrong, or the world is no longer the same.",
        "Look at the suspicious labels in the monitor's report; send those that are wrong again, corrected.",
        ("binary", "multiclass"),
    ),
    **QUALITY,
    "monitor.runs": AlarmText(
        "runs of the monitor that reached their end",
        "Nobody looks: drift and the labels' metrics are as old as the last run.",
        "Read the log of the monitor's last run, and what its schedule could not start.",
    ),
}
"""By the alarm's name, in the order in which people read them."""


def alarm_texts(outputs: Mapping[str, Any]) -> dict[str, AlarmText]:
    """Those that are measured of a model with these `outputs` in its signature."""
    task = task_of(outputs)
    return {name: text for name, text in ALARM_TEXTS.items() if task in text.tasks}
