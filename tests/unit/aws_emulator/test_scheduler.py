"""EventBridge Scheduler, and rules of EventBridge that start pipelines, driven by plain boto3.

Sources stand in sandbox/aws/scheduler.py, schedule_expressions.py and deliveries.py.
"""

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from sandbox.aws.schedule_expressions import parse
from tests.unit.aws_emulator.conftest import Account, refused, wait_for
from tests.unit.aws_emulator.test_pipelines import definition, ended, fail_step, make

START = datetime(2026, 1, 1, tzinfo=UTC)


def following(expression: str, count: int, zone: str = "UTC", after: datetime = START) -> list[str]:
    parsed = parse(expression, ZoneInfo(zone), START)
    found: list[str] = []
    while len(found) < count and (moment := parsed.next_after(after)) is not None:
        found.append(moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M"))
        after = moment
    return found


@pytest.mark.parametrize(
    ("expression", "moments"),
    [
        ("rate(5 minutes)", ["2026-01-01T00:05", "2026-01-01T00:10"]),
        ("rate(1 day)", ["2026-01-02T00:00", "2026-01-03T00:00"]),
        ("at(2026-02-03T04:05:06)", ["2026-02-03T04:05"]),
        ("at(2025-02-03T04:05:06)", []),
        ("cron(15 10 ? * 6L 2026-2027)", ["2026-01-30T10:15", "2026-02-27T10:15"]),  # the guide's last Friday
        ("cron(0 3 ? * 2 *)", ["2026-01-05T03:00", "2026-01-12T03:00"]),  # 2 is Monday
        ("cron(0 3 ? * MON#2 *)", ["2026-01-12T03:00", "2026-02-09T03:00"]),
        ("cron(0 0 ? * FRI-MON *)", ["2026-01-02T00:00", "2026-01-03T00:00", "2026-01-04T00:00", "2026-01-05T00:00"]),
        ("cron(0/30 8 L * ? *)", ["2026-01-31T08:00", "2026-01-31T08:30", "2026-02-28T08:00"]),
        ("cron(0 0 1 JAN ? 2027)", ["2027-01-01T00:00"]),
        ("cron(0 0 30 2 ? *)", []),
    ],
)
def test_expressions_stand_for_their_moments(expression: str, moments: list[str]) -> None:
    assert following(expression, max(2, len(moments))) == moments


def test_daylight_saving_skips_what_does_not_exist_and_does_not_repeat() -> None:
    # Prague springs forward on 29 March 2026 at 2:00 and falls back on 25 October at 3:00.
    spring = datetime(2026, 3, 27, 12, tzinfo=UTC)
    assert following("cron(30 2 * * ? *)", 2, "Europe/Prague", spring) == ["2026-03-28T01:30", "2026-03-30T00:30"]
    autumn = datetime(2026, 10, 24, 12, tzinfo=UTC)
    assert following("cron(30 2 * * ? *)", 2, "Europe/Prague", autumn) == ["2026-10-25T00:30", "2026-10-26T01:30"]


@pytest.mark.parametrize(
    "expression",
    [
        "every tuesday",
        "cron(0 3 * * 1)",
        "cron(0 3 * * 1 *)",
        "cron(0 3 ? * ? *)",
        "cron(60 3 * * ? *)",
        "cron(0 3 ? * 8 *)",
        "cron(0 3 ? * XYZ *)",
        "cron(? 3 * * ? *)",
        "cron(0 3 * * ? * ; x)",
        "rate(0 minutes)",
        "rate(5 weeks)",
        "at(tomorrow)",
        "at(2026-13-01T00:00:00)",
    ],
)
def test_expressions_that_mean_nothing_are_refused(expression: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        parse(expression, ZoneInfo("UTC"), START)


def queue(account: Account) -> tuple[str, str]:
    url = account("sqs").create_queue(QueueName=account.name("letters"))["QueueUrl"]
    found = account("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
    return url, str(found["Attributes"]["QueueArn"])


def letter(account: Account, url: str) -> tuple[str, dict[str, str]]:
    """The next dead letter: its body and attributes."""

    def probe() -> Any:
        return account("sqs").receive_message(QueueUrl=url, MessageAttributeNames=["All"]).get("Messages")

    message = wait_for(probe)[0]
    return message["Body"], {key: one["StringValue"] for key, one in message["MessageAttributes"].items()}


def pipeline(account: Account) -> tuple[str, str]:
    """A pipeline that fails at once with the parameter that it was given."""
    name = make(
        account,
        definition(
            fail_step("Say", {"Get": "Parameters.Word"}),
            parameters=[{"Name": "Word", "Type": "String", "DefaultValue": "default"}],
        ),
    )
    return name, str(account("sagemaker").describe_pipeline(PipelineName=name)["PipelineArn"])


def schedule(account: Account, expression: str, arn: str, **more: Any) -> str:
    name = account.name("schedule")
    target = {"Arn": arn, "RoleArn": account.role, **more.pop("target", {})}
    given = {
        "Name": name,
        "ScheduleExpression": expression,
        "FlexibleTimeWindow": {"Mode": "OFF"},
        "Target": target,
        **more,
    }
    account("scheduler").create_schedule(**given)
    return name


def executions(account: Account, name: str) -> list[dict[str, Any]]:
    return list(account("sagemaker").list_pipeline_executions(PipelineName=name)["PipelineExecutionSummaries"])


def now(account: Account) -> datetime:
    return datetime.fromisoformat(account.handle.get("health")["time"])


def test_a_cron_schedule_starts_its_pipeline_with_parameters_every_minute(fast: Account) -> None:
    name, arn = pipeline(fast)
    parameters = {"PipelineParameterList": [{"Name": "Word", "Value": "hello"}]}
    made = schedule(fast, "cron(* * * * ? *)", arn, target={"SageMakerPipelineParameters": parameters})
    wait_for(lambda: len(executions(fast, name)) >= 2)
    fast("scheduler").delete_schedule(Name=made)
    first, second = sorted(executions(fast, name), key=lambda one: one["StartTime"])[:2]
    assert timedelta(seconds=30) < second["StartTime"] - first["StartTime"] < timedelta(seconds=90)
    _, steps = ended(fast, first["PipelineExecutionArn"])
    assert steps["Say"]["FailureReason"] == "hello"
    count = len(executions(fast, name))
    moment = now(fast)
    wait_for(lambda: now(fast) > moment + timedelta(minutes=2))
    assert len(executions(fast, name)) <= count + 1


def test_at_fires_once_in_its_time_zone_and_is_deleted_when_asked(fast: Account) -> None:
    name, arn = pipeline(fast)
    local = (now(fast) + timedelta(minutes=2)).astimezone(ZoneInfo("Asia/Tokyo"))
    made = schedule(
        fast,
        f"at({local:%Y-%m-%dT%H:%M:%S})",
        arn,
        ScheduleExpressionTimezone="Asia/Tokyo",
        ActionAfterCompletion="DELETE",
    )
    assert not executions(fast, name)
    wait_for(lambda: executions(fast, name))
    wait_for(lambda: refused_to_get(fast, made))
    moment = now(fast)
    wait_for(lambda: now(fast) > moment + timedelta(minutes=2))
    assert len(executions(fast, name)) == 1
    assert abs(executions(fast, name)[0]["StartTime"] - local) < timedelta(seconds=60)


def refused_to_get(account: Account, name: str) -> bool:
    return name not in [one["Name"] for one in account("scheduler").list_schedules()["Schedules"]]


def test_a_flexible_window_delays_and_a_rate_begins_at_once(fast: Account) -> None:
    name, arn = pipeline(fast)
    began = now(fast)
    window = {"Mode": "FLEXIBLE", "MaximumWindowInMinutes": 5}
    schedule(fast, "rate(30 days)", arn, FlexibleTimeWindow=window)
    wait_for(lambda: executions(fast, name))
    assert began <= executions(fast, name)[0]["StartTime"] < began + timedelta(minutes=6)


def test_disabled_and_ended_schedules_do_not_fire(fast: Account) -> None:
    disabled, ended_one, later = pipeline(fast), pipeline(fast), pipeline(fast)
    schedule(fast, "rate(1 minute)", disabled[1], State="DISABLED")
    past = now(fast) - timedelta(minutes=1)
    schedule(fast, "rate(1 minute)", ended_one[1], EndDate=past)
    schedule(fast, "rate(30 days)", later[1], StartDate=now(fast) + timedelta(minutes=2))
    wait_for(lambda: executions(fast, later[0]))
    assert not executions(fast, disabled[0]) and not executions(fast, ended_one[0])


def test_a_missing_target_goes_to_the_dead_letter_queue_at_once(fast: Account) -> None:
    url, queue_arn = queue(fast)
    absent = "arn:aws:sagemaker:eu-central-1:123456789012:pipeline/absent"
    name = schedule(fast, "rate(30 days)", absent, target={"DeadLetterConfig": {"Arn": queue_arn}})
    text, attributes = letter(fast, url)
    assert text == "{}"
    assert attributes["ERROR_CODE"] == "ResourceNotFound" and "absent" in attributes["ERROR_MESSAGE"]
    assert attributes["SCHEDULE_ARN"].endswith(f"schedule/default/{name}")
    assert (attributes["TARGET_ARN"], attributes["RETRY_ATTEMPTS"]) == (absent, "0")
    assert "EXHAUSTED_RETRY_CONDITION" not in attributes


def test_a_failing_call_is_retried_by_the_policy(fast: Account) -> None:
    url, queue_arn = queue(fast)
    name, arn = pipeline(fast)
    # A client of the SDK itself tries a call three times.
    fast.handle.post("faults", service="sagemaker", operation="StartPipelineExecution", kind="throttle", times=3)
    target = {"DeadLetterConfig": {"Arn": queue_arn}, "RetryPolicy": {"MaximumRetryAttempts": 2}}
    schedule(fast, "rate(30 days)", arn, target=target)
    wait_for(lambda: executions(fast, name))

    fast.handle.post("faults", service="sagemaker", operation="StartPipelineExecution", kind="throttle", times=6)
    target["RetryPolicy"] = {"MaximumRetryAttempts": 1}
    schedule(fast, "rate(30 days)", arn, target=target)
    _, attributes = letter(fast, url)
    assert (attributes["ERROR_CODE"], attributes["RETRY_ATTEMPTS"]) == ("ThrottlingException", "1")
    assert attributes["EXHAUSTED_RETRY_CONDITION"] == "MaximumRetryAttempts"
    assert len(executions(fast, name)) == 1


def test_schedules_are_checked_when_they_are_made(account: Account) -> None:
    _, arn = pipeline(account)
    create = account("scheduler").create_schedule
    good: dict[str, Any] = {
        "Name": "checked",
        "ScheduleExpression": "rate(1 day)",
        "FlexibleTimeWindow": {"Mode": "OFF"},
        "Target": {"Arn": arn, "RoleArn": account.role},
    }
    stranger = account.make_role(account.name("stranger"), "sagemaker.amazonaws.com")
    for change, text in (
        ({"ScheduleExpression": "every tuesday"}, "Invalid Schedule Expression every tuesday"),
        ({"ScheduleExpression": "cron(0 3 * * 1)"}, "needs 6 fields"),
        ({"ScheduleExpressionTimezone": "Mars/Olympus"}, "Invalid ScheduleExpressionTimezone Mars/Olympus."),
        ({"FlexibleTimeWindow": {"Mode": "FLEXIBLE"}}, "MaximumWindowInMinutes is required"),
        ({"FlexibleTimeWindow": {"Mode": "SOMETIMES"}}, "enum value set: [OFF, FLEXIBLE]"),
        ({"Target": {"Arn": arn, "RoleArn": stranger}}, "must allow AWS EventBridge Scheduler to assume the role."),
        ({"Target": {"Arn": "pipeline", "RoleArn": account.role}}, "not in correct format"),
        ({"Name": "no spaces"}, "regular expression pattern"),
        (
            {"StartDate": datetime(2030, 1, 2, tzinfo=UTC), "EndDate": datetime(2030, 1, 1, tzinfo=UTC)},
            "before the EndDate",
        ),
    ):
        code, message = refused(create, **{**good, **change})
        assert (code, text in message) == ("ValidationException", True), message
    assert refused(create, **good, GroupName="absent")[0] == "ResourceNotFoundException"
    create(**good)
    assert refused(create, **good)[0] == "ConflictException"
    update = account("scheduler").update_schedule
    assert refused(update, **{**good, "ScheduleExpression": "rate(0 days)"})[0] == "ValidationException"
    update(**{**good, "ScheduleExpression": "rate(2 days)"})
    assert account("scheduler").get_schedule(Name="checked")["ScheduleExpression"] == "rate(2 days)"
    account("scheduler").delete_schedule(Name="checked")
    assert refused(account("scheduler").get_schedule, Name="checked")[0] == "ResourceNotFoundException"


def test_groups_hold_schedules(account: Account) -> None:
    scheduler, group = account("scheduler"), account.name("group")
    scheduler.create_schedule_group(Name=group)
    assert refused(scheduler.create_schedule_group, Name=group)[0] == "ConflictException"
    made = schedule(account, "rate(30 days)", pipeline(account)[1], GroupName=group, State="DISABLED")
    assert [one["Name"] for one in scheduler.list_schedules(GroupName=group)["Schedules"]] == [made]
    scheduler.delete_schedule_group(Name=group)
    assert refused(scheduler.get_schedule, Name=made, GroupName=group)[0] == "ResourceNotFoundException"
    assert refused(scheduler.delete_schedule_group, Name=group)[0] == "ResourceNotFoundException"
    assert refused(scheduler.delete_schedule_group, Name="default")[0] == "ValidationException"


def test_an_event_starts_the_pipeline_that_a_rule_targets(account: Account) -> None:
    name, arn = pipeline(account)
    url, queue_arn = queue(account)
    events, rule = account("events"), account.name("rule")
    events.put_rule(Name=rule, EventPattern=json.dumps({"source": ["mine"], "detail": {"kind": ["drift"]}}))
    parameters = {"PipelineParameterList": [{"Name": "Word", "Value": "drift"}]}
    stranger = account.make_role(account.name("stranger"), "sagemaker.amazonaws.com")
    events.put_targets(
        Rule=rule,
        Targets=[
            {"Id": "good", "Arn": arn, "RoleArn": account.role, "SageMakerPipelineParameters": parameters},
            {"Id": "bad", "Arn": arn, "RoleArn": stranger, "DeadLetterConfig": {"Arn": queue_arn}},
        ],
    )
    for kind in ("other", "drift"):
        entry = {"Source": "mine", "DetailType": "t", "Detail": json.dumps({"kind": kind})}
        assert events.put_events(Entries=[entry])["FailedEntryCount"] == 0
    wait_for(lambda: executions(account, name))
    _, steps = ended(account, executions(account, name)[0]["PipelineExecutionArn"])
    assert steps["Say"]["FailureReason"] == "drift"
    text, attributes = letter(account, url)
    assert json.loads(text)["detail"] == {"kind": "drift"}
    assert attributes["ERROR_CODE"] == "FAILED_TO_ASSUME_ROLE"
    assert attributes["RULE_ARN"].endswith(f"rule/{rule}") and attributes["TARGET_ARN"] == arn
    assert len(executions(account, name)) == 1


def test_an_alarm_that_fires_starts_the_pipeline(account: Account) -> None:
    name, arn = pipeline(account)
    alarm, rule = account.name("alarm"), account.name("rule")
    account("cloudwatch").put_metric_alarm(
        AlarmName=alarm,
        Namespace="n",
        MetricName="drift",
        Statistic="Maximum",
        Period=60,
        EvaluationPeriods=1,
        Threshold=0.2,
        ComparisonOperator="GreaterThanThreshold",
    )
    # The pattern is the one in the CloudWatch user guide, "Alarm events and EventBridge".
    pattern = {
        "source": ["aws.cloudwatch"],
        "detail-type": ["CloudWatch Alarm State Change"],
        "detail": {"alarmName": [alarm], "state": {"value": ["ALARM"]}},
    }
    account("events").put_rule(Name=rule, EventPattern=json.dumps(pattern))
    account("events").put_targets(Rule=rule, Targets=[{"Id": "1", "Arn": arn, "RoleArn": account.role}])
    for state in ("OK", "ALARM"):
        account("cloudwatch").set_alarm_state(AlarmName=alarm, StateValue=state, StateReason="test")
    wait_for(lambda: executions(account, name))
    assert len(executions(account, name)) == 1
