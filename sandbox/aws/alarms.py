"""CloudWatch alarms: their definition, evaluation, history and actions.

Sources: CloudWatch API reference (PutMetricAlarm, PutCompositeAlarm, SetAlarmState, DescribeAlarmHistory); user guide,
"Using Amazon CloudWatch alarms", "Configuring how CloudWatch alarms treat missing data" and "Alarm events and
EventBridge".
"""

from __future__ import annotations

import json
import re
import sys
import threading
import traceback
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sandbox.aws.api import ACCOUNT, ApiError, Call, PassOn, operation, page
from sandbox.aws.cloudwatch import is_extended, metric_key, query
from sandbox.aws.expressions import ExpressionError, Series, names, parse
from sandbox.aws.tagging import tag_list, tag_map

if TYPE_CHECKING:
    from sandbox.aws.emulator import Emulator

HISTORY = 500
EXTRA_PERIODS = 2
"""How many periods before the evaluated ones may fill in for missing data (user guide's table: 3 of 5)."""

_STATES = {"ALARM": "AlarmActions", "OK": "OKActions", "INSUFFICIENT_DATA": "InsufficientDataActions"}
_COMPARE = {
    "GreaterThanThreshold": lambda value, limit: value > limit,
    "GreaterThanOrEqualToThreshold": lambda value, limit: value >= limit,
    "LessThanThreshold": lambda value, limit: value < limit,
    "LessThanOrEqualToThreshold": lambda value, limit: value <= limit,
}
_RULE_TERM = re.compile(
    r'\s*(?:(ALARM|OK|INSUFFICIENT_DATA)\s*\(\s*"?([^")]+)"?\s*\)|(TRUE|FALSE)|(AND|OR|NOT)\b|([()]))'
)


@dataclass
class Alarm:
    """One metric or composite alarm."""

    definition: dict[str, Any]
    arn: str
    region: str
    updated: datetime
    state: str = "INSUFFICIENT_DATA"
    reason: str = "Unchecked: Initial alarm creation"
    reason_data: str = ""
    changed: datetime = field(default_factory=lambda: datetime.now(UTC))
    due: float = 0.0
    history: list[dict[str, Any]] = field(default_factory=list)

    @property
    def name(self) -> str:
        return str(self.definition["AlarmName"])

    @property
    def composite(self) -> bool:
        return "AlarmRule" in self.definition

    @property
    def period(self) -> int:
        if "Metrics" in self.definition:
            return max(
                [int(one["MetricStat"]["Period"]) for one in self.definition["Metrics"] if "MetricStat" in one] or [60]
            )
        return int(self.definition.get("Period", 60))

    def described(self) -> dict[str, Any]:
        return {
            **self.definition,
            "AlarmArn": self.arn,
            "AlarmConfigurationUpdatedTimestamp": self.updated,
            "StateValue": self.state,
            "StateReason": self.reason,
            "StateReasonData": self.reason_data or None,
            "StateUpdatedTimestamp": self.changed,
            "StateTransitionedTimestamp": self.changed,
        }


class Alarms:
    """The alarms of the account, evaluated by the clock."""

    def __init__(self, emulator: Emulator) -> None:
        self.emulator = emulator
        self.alarms: dict[tuple[str, str], Alarm] = {}
        self.lock = threading.RLock()

    def state(self, region: str, name: str) -> str | None:
        """An alarm's state; None for an alarm that does not exist."""
        alarm = self.alarms.get((region, name))
        return alarm.state if alarm else None

    def in_region(self, region: str) -> list[Alarm]:
        return [alarm for (where, _), alarm in sorted(self.alarms.items()) if where == region]

    def run(self) -> None:
        """Evaluate each alarm when it is due, until the emulator stops."""
        while not self.emulator.stopping.wait(0.25):
            now = self.emulator.clock.time()
            for alarm in list(self.alarms.values()):
                try:
                    self._evaluate(alarm, now)
                except Exception:
                    # One alarm that cannot be evaluated must not end the others.
                    traceback.print_exc(file=sys.stderr)

    def _evaluate(self, alarm: Alarm, now: float) -> None:
        if alarm.composite:
            truth = evaluate_rule(alarm.definition["AlarmRule"], lambda name: self.state(alarm.region, name))
            state = "ALARM" if truth else "OK"
            self.change(alarm, state, f"{alarm.arn} transitioned to {state} by its rule", "")
            return
        if now < alarm.due:
            return
        # Alarms with periods of a minute or more are evaluated every minute, others every ten seconds.
        step = 60 if alarm.period >= 60 else 10
        alarm.due = (now // step + 1) * step
        with self.lock:
            found = judge(alarm, self._series(alarm, now), now)
        if found is not None:
            self.change(alarm, *found)

    def _series(self, alarm: Alarm, now: float) -> Series:
        definition, period = alarm.definition, alarm.period
        end = now // period * period
        start = end - (int(definition["EvaluationPeriods"]) + EXTRA_PERIODS) * period
        if "Metrics" in definition:
            returned = next(one["Id"] for one in definition["Metrics"] if one.get("ReturnData", True))
            try:
                return query(self.emulator.metrics, alarm.region, definition["Metrics"], start, end)[returned][0]
            except ExpressionError:
                return {}
        statistic = definition.get("Statistic") or definition["ExtendedStatistic"]
        return self.emulator.metrics.series(metric_key(alarm.region, definition), statistic, start, end, period)

    def change(self, alarm: Alarm, state: str, reason: str, reason_data: str) -> None:
        """Move an alarm to a state; on a real change, note it and run the actions."""
        with self.lock:
            if state == alarm.state or self.alarms.get((alarm.region, alarm.name)) is not alarm:
                return
            old = {"stateValue": alarm.state, "stateReason": alarm.reason}
            before = alarm.state
            alarm.state, alarm.reason, alarm.reason_data = state, reason, reason_data
            alarm.changed = self.emulator.clock.now()
            new = {"stateValue": state, "stateReason": reason}
            self.note(
                alarm, "StateUpdate", f"Alarm updated from {before} to {state}", {"oldState": old, "newState": new}
            )
        self._send_event(alarm, old, new)
        if alarm.definition.get("ActionsEnabled", True):
            for action in alarm.definition.get(_STATES[state]) or []:
                self._act(alarm, action, before)

    def note(self, alarm: Alarm, kind: str, summary: str, data: dict[str, Any]) -> None:
        """Add an item to an alarm's history."""
        alarm.history.append(
            {
                "AlarmName": alarm.name,
                "AlarmType": "CompositeAlarm" if alarm.composite else "MetricAlarm",
                "Timestamp": self.emulator.clock.now(),
                "HistoryItemType": kind,
                "HistorySummary": summary,
                "HistoryData": json.dumps({"version": "1.0", **data}),
            }
        )
        del alarm.history[:-HISTORY]

    def _act(self, alarm: Alarm, action: str, before: str) -> None:
        if action.split(":")[2] != "sns":
            self.note(alarm, "Action", f"Action {action} is not emulated", {})
            return
        subject = f'{alarm.state}: "{alarm.name}" in {alarm.region}'
        problem = self.emulator.notifications.publish(action, subject, json.dumps(_message(alarm, before)))
        summary = f"Failed to execute action {action}" if problem else f"Successfully executed action {action}"
        self.note(alarm, "Action", summary, {"notificationResource": action, "error": problem})

    def _send_event(self, alarm: Alarm, old: dict[str, str], new: dict[str, str]) -> None:
        moment = alarm.changed.strftime("%Y-%m-%dT%H:%M:%S.000+0000")
        definition = alarm.definition
        configuration: dict[str, Any] = {"description": definition.get("AlarmDescription", "")}
        if alarm.composite:
            configuration["alarmRule"] = definition["AlarmRule"]
        elif "Metrics" in definition:
            configuration["metrics"] = [
                {"id": one["Id"], "returnData": one.get("ReturnData", True)} for one in definition["Metrics"]
            ]
        else:
            configuration["metrics"] = [
                {
                    "id": "m1",
                    "metricStat": {
                        "metric": {
                            "namespace": definition["Namespace"],
                            "name": definition["MetricName"],
                            "dimensions": {one["Name"]: one["Value"] for one in definition.get("Dimensions") or []},
                        },
                        "period": alarm.period,
                        "stat": definition.get("Statistic") or definition.get("ExtendedStatistic"),
                    },
                    "returnData": True,
                }
            ]
        state = {"value": new["stateValue"], "reason": new["stateReason"], "timestamp": moment}
        detail = {
            "alarmName": alarm.name,
            "state": state,
            "previousState": {"value": old["stateValue"], "reason": old["stateReason"]},
            "configuration": configuration,
        }
        self.emulator.notifications.send_event(
            alarm.region, "aws.cloudwatch", "CloudWatch Alarm State Change", detail, [alarm.arn]
        )


def judge(alarm: Alarm, series: Series, now: float) -> tuple[str, str, str] | None:
    """The state, reason and reason data that a metric alarm's data call for; None to keep what is.

    Source: user guide, "Configuring how CloudWatch alarms treat missing data", with its table of examples.
    """
    definition, period = alarm.definition, alarm.period
    count = int(definition["EvaluationPeriods"])
    needed = int(definition.get("DatapointsToAlarm") or count)
    treatment = definition.get("TreatMissingData") or "missing"
    threshold = float(definition.get("Threshold") or 0.0)
    compare = _COMPARE.get(definition["ComparisonOperator"])
    if compare is None:
        return None  # anomaly detection bands are not emulated
    newest = int(now // period) - 1
    real = [
        (age, series[(newest - age) * period])
        for age in range(count + EXTRA_PERIODS)
        if (newest - age) * period in series
    ]
    breaching = [age for age, value in real if compare(value, threshold)]
    data = json.dumps(
        {"version": "1.0", "period": period, "threshold": threshold, "recentDatapoints": [v for _, v in real]}
    )
    shown = ", ".join(f"{value:g}" for _, value in real[:count]) or "no data"

    def told(state: str) -> tuple[str, str, str]:
        crossed = (
            f"{len(breaching)} out of the last {count} datapoints [{shown}] breached the threshold ({threshold:g})"
        )
        if state == "INSUFFICIENT_DATA":
            return state, f"Insufficient Data: {count} datapoints were unknown.", data
        verb = "Threshold Crossed: " + crossed
        ending = "(minimum 1 datapoint for OK -> ALARM transition)." if state == "ALARM" else "."
        return state, f"{verb} {ending}", data

    if len(real) >= count:
        recent = [age for age, _ in real[:count]]
        return told("ALARM" if len([age for age in breaching if age in recent]) >= needed else "OK")
    missing = count - len(real)
    if treatment == "breaching":
        return told("ALARM" if len(breaching) + missing >= needed else "OK")
    if treatment == "notBreaching":
        return told("ALARM" if len(breaching) >= needed else "OK")
    if not real:
        return told("INSUFFICIENT_DATA") if treatment == "missing" else None
    if len(breaching) >= needed:
        return told("ALARM")
    if len(breaching) < len(real):
        return told("OK")
    # Only breaching points, but too few: in ALARM once the oldest is as old as DatapointsToAlarm.
    return told("ALARM") if treatment == "missing" and breaching[-1] + 1 >= needed else None


def _message(alarm: Alarm, before: str) -> dict[str, Any]:
    """The JSON that CloudWatch sends to a topic."""
    definition = alarm.definition
    message: dict[str, Any] = {
        "AlarmName": alarm.name,
        "AlarmDescription": definition.get("AlarmDescription"),
        "AWSAccountId": ACCOUNT,
        "NewStateValue": alarm.state,
        "NewStateReason": alarm.reason,
        "StateChangeTime": alarm.changed.strftime("%Y-%m-%dT%H:%M:%S.000+0000"),
        "Region": alarm.region,
        "AlarmArn": alarm.arn,
        "OldStateValue": before,
        "OKActions": definition.get("OKActions") or [],
        "AlarmActions": definition.get("AlarmActions") or [],
        "InsufficientDataActions": definition.get("InsufficientDataActions") or [],
    }
    if alarm.composite:
        return {**message, "AlarmRule": definition["AlarmRule"]}
    trigger = {
        key: definition.get(key)
        for key in (
            "Period",
            "EvaluationPeriods",
            "DatapointsToAlarm",
            "Threshold",
            "ComparisonOperator",
            "TreatMissingData",
        )
    }
    if "Metrics" in definition:
        trigger["Metrics"] = definition["Metrics"]
    else:
        trigger.update(
            MetricName=definition["MetricName"],
            Namespace=definition["Namespace"],
            Statistic=(definition.get("Statistic") or definition.get("ExtendedStatistic") or "").upper(),
            Dimensions=[{"name": one["Name"], "value": one["Value"]} for one in definition.get("Dimensions") or []],
        )
    return {**message, "Trigger": trigger}


def rule_tokens(rule: str) -> list[tuple[str, str]]:
    """The terms of a composite alarm's rule; raises ValueError."""
    found: list[tuple[str, str]] = []
    position = 0
    while rule[position:].strip():
        match = _RULE_TERM.match(rule, position)
        if match is None:
            raise ValueError(f"unexpected text at position {position}: {rule[position : position + 20]!r}")
        state, name, constant, word, bracket = match.groups()
        found.append((state, name) if state else ("constant", constant) if constant else ("op", word or bracket))
        position = match.end()
    return found


def evaluate_rule(rule: str, state_of: Any) -> bool:
    """Whether a rule holds: NOT binds before AND, AND before OR. Raises ValueError for a broken rule."""
    tokens = rule_tokens(rule)

    def take(*words: str) -> bool:
        if tokens and tokens[0][0] == "op" and tokens[0][1] in words:
            tokens.pop(0)
            return True
        return False

    def either() -> bool:
        value = both()
        while take("OR"):
            value = both() or value
        return value

    def both() -> bool:
        value = term()
        while take("AND"):
            value = term() and value
        return value

    def term() -> bool:
        if take("NOT"):
            return not term()
        if take("("):
            value = either()
            if not take(")"):
                raise ValueError("a closing parenthesis is missing")
            return value
        if not tokens or tokens[0][0] == "op":
            raise ValueError("an alarm is missing")
        kind, name = tokens.pop(0)
        if kind == "constant":
            return name == "TRUE"
        return state_of(name.rsplit(":alarm:", 1)[-1].strip()) == kind

    value = either()
    if tokens:
        raise ValueError(f"unexpected {tokens[0][1]}")
    return value


def _refuse(message: str, code: str = "ValidationError") -> ApiError:
    return ApiError(code, message)


def _check_period(period: int, where: str = "Period") -> None:
    if period not in (10, 20, 30) and (period <= 0 or period % 60):
        raise _refuse(f"{where} must be 10, 20, 30 or a multiple of 60; it is {period}")


@operation("cloudwatch", "PutMetricAlarm")
def put_metric_alarm(call: Call) -> None:
    params = call.params
    if params.get("EvaluationPeriods") is None:
        raise _refuse("The parameter EvaluationPeriods is required.", "MissingRequiredParameter")
    if int(params.get("DatapointsToAlarm") or 1) > int(params["EvaluationPeriods"]):
        raise _refuse("DatapointsToAlarm must be less than or equal to EvaluationPeriods")
    if params.get("Threshold") is None and not params.get("ThresholdMetricId"):
        raise _refuse("The parameter Threshold is required.", "MissingRequiredParameter")
    if params.get("TreatMissingData") not in (None, "breaching", "notBreaching", "ignore", "missing"):
        raise _refuse(
            f"The value '{params['TreatMissingData']}' for parameter TreatMissingData is invalid: "
            "must be one of breaching, notBreaching, ignore, missing"
        )
    if params.get("Metrics"):
        _check_queries(params)
    else:
        _check_metric(params)
    put(call, {key: value for key, value in params.items() if key != "Tags" and value is not None})


def _check_metric(params: dict[str, Any]) -> None:
    for name in ("MetricName", "Namespace", "Period"):
        if not params.get(name):
            raise _refuse(f"The parameter {name} is required.", "MissingRequiredParameter")
    if bool(params.get("Statistic")) == bool(params.get("ExtendedStatistic")):
        raise _refuse(
            "Exactly one of Statistic and ExtendedStatistic must be specified.", "InvalidParameterCombination"
        )
    if params.get("ExtendedStatistic") and not is_extended(params["ExtendedStatistic"]):
        raise _refuse(f"The value {params['ExtendedStatistic']} for parameter ExtendedStatistic is not supported.")
    _check_period(int(params["Period"]))
    if int(params["Period"]) * int(params["EvaluationPeriods"]) > 7 * 86400:
        raise _refuse("Metrics cannot be checked across more than seven days (EvaluationPeriods * Period).")


def _check_queries(params: dict[str, Any]) -> None:
    given = [
        key
        for key in ("MetricName", "Namespace", "Statistic", "ExtendedStatistic", "Dimensions", "Period", "Unit")
        if params.get(key)
    ]
    if given:
        raise _refuse(f"Metrics cannot be combined with {', '.join(given)}.", "InvalidParameterCombination")
    queries = params["Metrics"]
    if len([one for one in queries if one.get("ReturnData", True)]) != 1:
        raise _refuse("Exactly one element of the metrics list should return data.")
    known = {one["Id"] for one in queries}
    if len(known) != len(queries):
        raise _refuse("The ids of the metrics list must be unique.")
    for one in queries:
        if bool(one.get("MetricStat")) == bool(one.get("Expression")):
            raise _refuse(f"The element {one['Id']} needs exactly one of MetricStat and Expression.")
        if one.get("MetricStat"):
            _check_period(int(one["MetricStat"]["Period"]), f"Metrics {one['Id']}: Period")
        else:
            try:
                parse(one["Expression"])
                missing = names(one["Expression"]) - known
            except ExpressionError as error:
                raise _refuse(str(error)) from error
            if missing:
                raise _refuse(f"The expression {one['Id']} uses unknown ids: {', '.join(sorted(missing))}")


@operation("cloudwatch", "PutCompositeAlarm")
def put_composite_alarm(call: Call) -> None:
    rule = call.params["AlarmRule"]
    try:
        evaluate_rule(rule, lambda _: "OK")
    except ValueError as error:
        raise _refuse(f"AlarmRule is invalid: {error}") from error
    missing = [
        name.rsplit(":alarm:", 1)[-1].strip()
        for kind, name in rule_tokens(rule)
        if kind in _STATES and call.emulator.alarms.state(call.region, name.rsplit(":alarm:", 1)[-1].strip()) is None
    ]
    if missing:
        raise _refuse(f"AlarmRule names alarms that do not exist: {', '.join(missing)}")
    put(call, {key: value for key, value in call.params.items() if key != "Tags" and value is not None})


def put(call: Call, definition: dict[str, Any]) -> None:
    """Make or change an alarm; a changed one keeps its state."""
    alarms = call.emulator.alarms
    definition.setdefault("ActionsEnabled", True)
    now = call.emulator.clock.now()
    with alarms.lock:
        key = (call.region, definition["AlarmName"])
        alarm = alarms.alarms.get(key)
        if alarm is None:
            arn = call.arn("cloudwatch", f"alarm:{definition['AlarmName']}")
            alarm = alarms.alarms[key] = Alarm(definition, arn, call.region, now, changed=now)
            call.emulator.tags[arn] = tag_map(call.params.get("Tags"))
            alarms.note(alarm, "ConfigurationUpdate", f'Alarm "{alarm.name}" created', {"type": "Create"})
        else:
            alarm.definition, alarm.updated = definition, now
            alarms.note(alarm, "ConfigurationUpdate", f'Alarm "{alarm.name}" updated', {"type": "Update"})
        step = 60 if alarm.period >= 60 else 10
        alarm.due = (now.timestamp() // step + 1) * step


@operation("cloudwatch", "DescribeAlarms")
def describe_alarms(call: Call) -> dict[str, Any]:
    params = call.params
    kinds = params.get("AlarmTypes") or ["MetricAlarm"]
    if params.get("AlarmNames") and not params.get("AlarmTypes"):
        kinds = ["MetricAlarm", "CompositeAlarm"]
    found = [
        alarm
        for alarm in call.emulator.alarms.in_region(call.region)
        if ("CompositeAlarm" if alarm.composite else "MetricAlarm") in kinds
        and (not params.get("AlarmNames") or alarm.name in params["AlarmNames"])
        and alarm.name.startswith(params.get("AlarmNamePrefix") or "")
        and params.get("StateValue") in (None, alarm.state)
        and (
            not params.get("ActionPrefix")
            or any(action.startswith(params["ActionPrefix"]) for action in alarm.definition.get("AlarmActions") or [])
        )
    ]
    shown, token = page(found, params)
    return {
        "MetricAlarms": [alarm.described() for alarm in shown if not alarm.composite],
        "CompositeAlarms": [alarm.described() for alarm in shown if alarm.composite],
        "NextToken": token,
    }


@operation("cloudwatch", "DescribeAlarmsForMetric")
def describe_alarms_for_metric(call: Call) -> dict[str, Any]:
    key = metric_key(call.region, call.params)
    return {
        "MetricAlarms": [
            alarm.described()
            for alarm in call.emulator.alarms.in_region(call.region)
            if "MetricName" in alarm.definition and metric_key(call.region, alarm.definition) == key
        ]
    }


@operation("cloudwatch", "DeleteAlarms")
def delete_alarms(call: Call) -> None:
    alarms = call.emulator.alarms
    missing = [name for name in call.params["AlarmNames"] if alarms.state(call.region, name) is None]
    if missing:
        raise ApiError("ResourceNotFound", f"Alarms {', '.join(missing)} do not exist", 404)
    for name in call.params["AlarmNames"]:
        alarm = alarms.alarms.pop((call.region, name), None)
        if alarm is not None:
            call.emulator.tags.pop(alarm.arn, None)


@operation("cloudwatch", "SetAlarmState")
def set_alarm_state(call: Call) -> None:
    params, alarms = call.params, call.emulator.alarms
    alarm = alarms.alarms.get((call.region, params["AlarmName"]))
    if alarm is None:
        raise ApiError("ResourceNotFound", f"Alarm {params['AlarmName']} does not exist", 404)
    # The state holds until the alarm is next evaluated.
    step = 60 if alarm.period >= 60 else 10
    alarm.due = (call.emulator.clock.time() // step + 1) * step
    alarms.change(alarm, params["StateValue"], params["StateReason"], params.get("StateReasonData") or "")


@operation("cloudwatch", "EnableAlarmActions", "DisableAlarmActions")
def switch_alarm_actions(call: Call) -> None:
    for name in call.params["AlarmNames"]:
        alarm = call.emulator.alarms.alarms.get((call.region, name))
        if alarm is not None:
            alarm.definition["ActionsEnabled"] = call.name == "EnableAlarmActions"


@operation("cloudwatch", "DescribeAlarmHistory")
def describe_alarm_history(call: Call) -> dict[str, Any]:
    params = call.params
    items = [
        item
        for alarm in call.emulator.alarms.in_region(call.region)
        if params.get("AlarmName") in (None, alarm.name)
        for item in alarm.history
        if params.get("HistoryItemType") in (None, item["HistoryItemType"])
    ]
    items.sort(key=lambda item: item["Timestamp"], reverse=params.get("ScanBy") != "TimestampAscending")
    shown, token = page(items, params)
    return {"AlarmHistoryItems": shown, "NextToken": token}


def _tags(call: Call) -> dict[str, str]:
    arn = call.params["ResourceARN"]
    if ":alarm:" not in arn:
        raise PassOn
    if call.emulator.alarms.state(call.region, arn.rsplit(":alarm:", 1)[-1]) is None:
        raise ApiError("ResourceNotFoundException", f"{arn} does not exist", 404)
    return call.emulator.tags[arn]


@operation("cloudwatch", "TagResource")
def tag_resource(call: Call) -> None:
    _tags(call).update(tag_map(call.params["Tags"]))


@operation("cloudwatch", "UntagResource")
def untag_resource(call: Call) -> None:
    tags = _tags(call)
    for key in call.params["TagKeys"]:
        tags.pop(key, None)


@operation("cloudwatch", "ListTagsForResource")
def list_tags_for_resource(call: Call) -> dict[str, Any]:
    return {"Tags": tag_list(_tags(call))}
