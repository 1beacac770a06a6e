"""CloudWatch alarms. Sources stand in sandbox/aws/alarms.py."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from sandbox.aws.alarms import Alarm, evaluate_rule, judge
from tests.unit.aws_emulator.conftest import Account, Listener, refused, wait_for

KEEP = "retain the current state"


def alarm(**more: Any) -> dict[str, Any]:
    return {
        "Namespace": "n",
        "MetricName": "m",
        "Statistic": "Average",
        "Period": 60,
        "EvaluationPeriods": 1,
        "Threshold": 10.0,
        "ComparisonOperator": "GreaterThanThreshold",
        **more,
    }


# User guide, "How alarm state is evaluated when data is missing": the five newest points, oldest first (0 within the
# threshold, X beyond it, - missing), then the state for missing, ignore, breaching and notBreaching, of 3 periods.
@pytest.mark.parametrize(
    ("needed", "points", "states"),
    [
        (3, "0-X-X", ["OK", "OK", "OK", "OK"]),
        (3, "----0", ["OK", "OK", "OK", "OK"]),
        (3, "-----", ["INSUFFICIENT_DATA", KEEP, "ALARM", "OK"]),
        (3, "0XX-X", ["ALARM", "ALARM", "ALARM", "ALARM"]),
        (3, "--X--", ["ALARM", KEEP, "ALARM", "OK"]),
        (2, "0-X-X", ["ALARM", "ALARM", "ALARM", "ALARM"]),
        (2, "00X0X", ["ALARM", "ALARM", "ALARM", "ALARM"]),
        (2, "0-X--", ["OK", "OK", "ALARM", "OK"]),
        (2, "----0", ["OK", "OK", "ALARM", "OK"]),
    ],
)
def test_missing_data_are_treated_as_the_users_guide_tabulates(needed: int, points: str, states: list[str]) -> None:
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    start = int(moment.timestamp())
    values = {"0": 1.0, "X": 99.0}
    series = {start + 60 * index: values[point] for index, point in enumerate(points) if point in values}
    for treatment, state in zip(("missing", "ignore", "breaching", "notBreaching"), states, strict=True):
        definition = alarm(AlarmName="a", EvaluationPeriods=3, DatapointsToAlarm=needed, TreatMissingData=treatment)
        found = judge(Alarm(definition, "arn", "eu-central-1", moment), series, start + 5 * 60 + 1)
        assert (found[0] if found else KEEP) == state, treatment


def test_composite_rules_bind_not_before_and_before_or() -> None:
    states = {"a": "ALARM", "b": "OK", "c": "INSUFFICIENT_DATA"}
    for rule, holds in (
        ("ALARM(a)", True),
        ('ALARM("b") OR ALARM(a) AND NOT OK(a)', True),
        ("(ALARM(b) OR ALARM(a)) AND OK(a)", False),
        ("INSUFFICIENT_DATA(c) AND TRUE", True),
        ("ALARM(arn:aws:cloudwatch:eu-central-1:123456789012:alarm:a)", True),
    ):
        assert evaluate_rule(rule, states.get) is holds, rule
    for rule in ("", "ALARM(a) AND", "(ALARM(a)", "WRONG(a)", "ALARM(a) ALARM(b)"):
        with pytest.raises(ValueError, match=r"\w"):
            evaluate_rule(rule, states.get)


def state(account: Account, name: str) -> str:
    found = account("cloudwatch").describe_alarms(AlarmNames=[name])
    return str((found["MetricAlarms"] + found["CompositeAlarms"])[0]["StateValue"])


def test_an_alarm_over_metric_math_fires_and_recovers_and_tells_its_subscribers(
    fast: Account, listener: Listener
) -> None:
    cloudwatch, sns = fast("cloudwatch"), fast("sns")
    topic = sns.create_topic(Name=fast.name("topic"))["TopicArn"]
    sns.subscribe(TopicArn=topic, Protocol="http", Endpoint=listener.url)
    listener.confirm()
    sns.subscribe(TopicArn=topic, Protocol="email", Endpoint="ml@example.org")
    name, composite = fast.name("rate"), fast.name("composite")
    queries: list[dict[str, Any]] = [{"Id": "rate", "Expression": "IF(all > 0, 100 * bad / all, 0)"}]
    for key in ("all", "bad"):
        stat = {"Metric": {"Namespace": name, "MetricName": key}, "Period": 60, "Stat": "Sum"}
        queries.append({"Id": key, "MetricStat": stat, "ReturnData": False})
    cloudwatch.put_metric_alarm(
        AlarmName=name,
        Metrics=queries,
        EvaluationPeriods=1,
        Threshold=5,
        ComparisonOperator="GreaterThanThreshold",
        TreatMissingData="notBreaching",
        AlarmActions=[topic],
        OKActions=[topic],
    )
    cloudwatch.put_composite_alarm(AlarmName=composite, AlarmRule=f"ALARM({name})")
    assert state(fast, name) == "INSUFFICIENT_DATA"
    wait_for(lambda: state(fast, name) == "OK")
    data = [{"MetricName": "all", "Value": 10}, {"MetricName": "bad", "Value": 1}]
    cloudwatch.put_metric_data(Namespace=name, MetricData=data)
    wait_for(lambda: state(fast, name) == "ALARM" and state(fast, composite) == "ALARM")
    wait_for(lambda: state(fast, name) == "OK" and state(fast, composite) == "OK")

    def told(one: dict[str, Any]) -> tuple[str, str]:
        return one["OldStateValue"], one["NewStateValue"]

    changes = [("INSUFFICIENT_DATA", "OK"), ("OK", "ALARM"), ("ALARM", "OK")]
    posted = wait_for(lambda: [one for one in listener.notifications() if len(listener.notifications()) == 3])
    assert sorted(told(json.loads(one["Message"])) for one in posted) == sorted(changes)
    mail = [one for one in fast.handle.get("outbox") if one["topic"] == topic]
    assert [told(json.loads(one["message"])) for one in mail] == changes
    assert mail[1]["endpoint"] == "ml@example.org" and mail[1]["subject"] == f'ALARM: "{name}" in eu-central-1'
    message = json.loads(mail[1]["message"])
    assert message["AlarmName"] == name and message["Trigger"]["Metrics"][0]["Expression"].startswith("IF")
    history = cloudwatch.describe_alarm_history(AlarmName=name, ScanBy="TimestampAscending")["AlarmHistoryItems"]
    kinds = [one["HistoryItemType"] for one in history]
    assert kinds == ["ConfigurationUpdate"] + ["StateUpdate", "Action"] * 3
    assert history[3]["HistorySummary"] == "Alarm updated from OK to ALARM"


def test_a_set_state_runs_its_actions_unless_they_are_disabled(account: Account) -> None:
    cloudwatch, name = account("cloudwatch"), account.name("set")
    topic = account("sns").create_topic(Name=account.name("topic"))["TopicArn"]
    account("sns").subscribe(TopicArn=topic, Protocol="email", Endpoint="ml@example.org")
    cloudwatch.put_metric_alarm(AlarmName=name, AlarmActions=[topic, f"{topic}-absent"], **alarm())

    def mails() -> int:
        return len([one for one in account.handle.get("outbox") if one["topic"] == topic])

    cloudwatch.disable_alarm_actions(AlarmNames=[name])
    cloudwatch.set_alarm_state(AlarmName=name, StateValue="ALARM", StateReason="test")
    assert mails() == 0
    cloudwatch.enable_alarm_actions(AlarmNames=[name])
    cloudwatch.set_alarm_state(AlarmName=name, StateValue="OK", StateReason="test")
    cloudwatch.set_alarm_state(AlarmName=name, StateValue="ALARM", StateReason="test")
    cloudwatch.set_alarm_state(AlarmName=name, StateValue="ALARM", StateReason="again")
    assert mails() == 1
    actions = cloudwatch.describe_alarm_history(AlarmName=name, HistoryItemType="Action")["AlarmHistoryItems"]
    assert sorted(one["HistorySummary"] for one in actions) == [
        f"Failed to execute action {topic}-absent",
        f"Successfully executed action {topic}",
    ]
    cloudwatch.delete_alarms(AlarmNames=[name])
    assert refused(cloudwatch.set_alarm_state, AlarmName=name, StateValue="OK", StateReason="x")[0] == (
        "ResourceNotFound"
    )


def test_what_alarms_cannot_be_is_refused(account: Account) -> None:
    put = account("cloudwatch").put_metric_alarm
    for change, text in (
        ({"Period": 37}, "Period must be 10, 20, 30 or a multiple of 60; it is 37"),
        ({"DatapointsToAlarm": 2}, "DatapointsToAlarm must be less than or equal to EvaluationPeriods"),
        ({"TreatMissingData": "guess"}, "TreatMissingData is invalid"),
        ({"ExtendedStatistic": "p99"}, "Exactly one of Statistic and ExtendedStatistic"),
        ({"ComparisonOperator": "Above"}, "enum value set"),
        ({"EvaluationPeriods": 200, "Period": 3600}, "more than seven days"),
        ({"Metrics": [{"Id": "a", "Expression": "1"}]}, "Metrics cannot be combined with"),
    ):
        _, message = refused(put, AlarmName="wrong", **alarm(**change))
        assert text in message, message
    math = {"EvaluationPeriods": 1, "Threshold": 1, "ComparisonOperator": "GreaterThanThreshold"}
    for expression, text in (
        ("ANOMALY(a)", "unsupported function ANOMALY"),
        ("b + 1", "unknown ids: b"),
        ("1 +", "Error"),
    ):
        _, message = refused(put, AlarmName="wrong", Metrics=[{"Id": "a", "Expression": expression}], **math)
        assert text in message, message
    composite = account("cloudwatch").put_composite_alarm
    assert "do not exist: absent" in refused(composite, AlarmName="wrong", AlarmRule="ALARM(absent)")[1]
    assert "AlarmRule is invalid" in refused(composite, AlarmName="wrong", AlarmRule="ALARM(")[1]
    assert not account("cloudwatch").describe_alarms(AlarmNames=["wrong"])["MetricAlarms"]
