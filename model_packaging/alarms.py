"""What each alarm watches, what it means when it fires, and what a person then does.

The one home of these texts: the card, the alarms' own descriptions on every platform and the documentation read them
here. A name means the same everywhere.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class AlarmText:
    """What people are told about one alarm."""

    watches: str
    """What is measured."""

    means: str
    """What it says about the model when it fires."""

    action: str
    """What to do then."""


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
}
"""By the alarm's name, in the order in which people read them."""
