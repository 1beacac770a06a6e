"""EventBridge Scheduler: schedules are checked when made, and fire by the emulator's clock. moto keeps them.

Sources: EventBridge Scheduler API reference (CreateSchedule, UpdateSchedule) and user guide ("Schedule types",
"Configuring flexible time windows", "Set up the execution role"). Only SageMaker pipelines are called; for other
targets the dead-letter queue says so.
"""

from __future__ import annotations

import json
import random
import sys
import threading
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from moto.scheduler.models import Schedule, scheduler_backends

from sandbox.aws.api import ACCOUNT, ApiError, Call, PassOn, operation, validation_error
from sandbox.aws.deliveries import Delivery, deliver, in_background
from sandbox.aws.schedule_expressions import Expression, parse

if TYPE_CHECKING:
    from sandbox.aws.emulator import Emulator

TICK_SECONDS = 0.1


class Schedules:
    """Fires the account's schedules, and starts what EventBridge's rules target."""

    def __init__(self, emulator: Emulator) -> None:
        self.emulator = emulator
        self._due: dict[str, tuple[tuple[Any, ...], Expression, datetime | None]] = {}

    def run(self) -> None:
        """Fire each schedule when it is due, until the emulator stops."""
        while not self.emulator.stopping.wait(TICK_SECONDS):
            now = self.emulator.clock.now()
            known = list(_all())
            for region, schedule in known:
                try:
                    self._look_at(region, schedule, now)
                except Exception:
                    # One schedule that cannot be followed must not end the others.
                    traceback.print_exc(file=sys.stderr)
            arns = {schedule.arn for _, schedule in known}
            self._due = {arn: due for arn, due in self._due.items() if arn in arns}

    def _look_at(self, region: str, schedule: Schedule, now: datetime) -> None:
        stamp = (
            id(schedule),
            schedule.last_modified_date,
            schedule.schedule_expression,
            schedule.schedule_expression_timezone,
            schedule.start_date,
            schedule.end_date,
        )
        start, end = _moment(schedule.start_date), _moment(schedule.end_date)
        entry = self._due.get(schedule.arn)
        if entry is None or entry[0] != stamp:
            # A rate without a start date begins at once.
            anchor = start or now
            expression = parse(schedule.schedule_expression, ZoneInfo(schedule.schedule_expression_timezone), anchor)
            after = max(start, now) if start else now
            if expression.is_rate or (start and start >= now):
                after -= timedelta(microseconds=1)
            entry = (stamp, expression, expression.next_after(after))
        _, expression, due = entry
        while due is not None and due <= now and (end is None or due <= end):
            if schedule.state == "ENABLED":
                self._fire(region, schedule, due)
            due = expression.next_after(due)
        self._due[schedule.arn] = (stamp, expression, due)
        if (due is None or (end is not None and due > end)) and schedule.action_after_completion == "DELETE":
            _group(region, schedule).pop(schedule.name, None)

    def _fire(self, region: str, schedule: Schedule, due: datetime) -> None:
        window = schedule.flexible_time_window
        minutes = float(window.get("MaximumWindowInMinutes") or 0) if window["Mode"] == "FLEXIBLE" else 0.0
        delivery = Delivery(
            "scheduler.amazonaws.com",
            region,
            dict(schedule.target),
            schedule.target.get("Input") or "{}",
            {
                "SCHEDULE_ARN": schedule.arn,
                "SCHEDULED_TIME": due.strftime("%Y-%m-%dT%H:%M:%SZ"),
                "IS_PAYLOAD_TRUNCATED": "false",
            },
        )
        delay = (due - self.emulator.clock.now()).total_seconds() + random.uniform(0.0, 60.0 * minutes)

        def later() -> None:
            if not self.emulator.clock.wait(self.emulator.stopping, delay):
                deliver(self.emulator, delivery)

        threading.Thread(target=later, daemon=True, name=f"schedule {schedule.name}").start()

    def start_target(self, region: str, target: dict[str, Any], rule_arn: str, event: dict[str, Any]) -> None:
        """Start the pipeline that a rule of EventBridge targets, as an event asks."""
        letter = target.get("Input") or json.dumps(event)
        in_background(self.emulator, Delivery("events.amazonaws.com", region, target, letter, {"RULE_ARN": rule_arn}))


def _all() -> Iterator[tuple[str, Schedule]]:
    for region, backend in list(scheduler_backends[ACCOUNT].items()):
        for group in list(backend.schedule_groups.values()):
            for schedule in list(group.schedules.values()):
                yield region, schedule


def _group(region: str, schedule: Schedule) -> dict[str, Schedule]:
    return scheduler_backends[ACCOUNT][region].schedule_groups[schedule.group_name].schedules


def _moment(value: Any) -> datetime | None:
    """A date as moto keeps it: seconds since the epoch, or ISO 8601."""
    if value is None:
        return None
    try:
        return datetime.fromtimestamp(float(value), UTC)
    except ValueError:
        moment = datetime.fromisoformat(str(value).replace("Z", "+00:00"))
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


@operation("scheduler", "CreateSchedule", "UpdateSchedule")
def put_schedule(call: Call) -> None:
    params = call.params
    name = params.get("GroupName") or "default"
    if name not in scheduler_backends[ACCOUNT][call.region].schedule_groups:
        raise ApiError("ResourceNotFoundException", f"Schedule group {name} does not exist.", 404)
    zone = params.get("ScheduleExpressionTimezone") or "UTC"
    try:
        parse(params["ScheduleExpression"], ZoneInfo(zone), datetime.now(UTC))
    except (ZoneInfoNotFoundError, OSError):
        raise validation_error(f"Invalid ScheduleExpressionTimezone {zone}.") from None
    except ValueError as error:
        raise validation_error(f"Invalid Schedule Expression {params['ScheduleExpression']}: {error}.") from error
    window = params["FlexibleTimeWindow"]
    if (window["Mode"] == "FLEXIBLE") != bool(window.get("MaximumWindowInMinutes")):
        raise validation_error(
            "MaximumWindowInMinutes is required for a FlexibleTimeWindow with Mode FLEXIBLE, and only for it."
        )
    start, end = params.get("StartDate"), params.get("EndDate")
    if start and end and start >= end:
        raise validation_error("The StartDate you specify must be before the EndDate.")
    target = params["Target"]
    if len(target["Arn"].split(":")) < 6 or not target["Arn"].startswith("arn:"):
        raise validation_error(f"Provided Arn is not in correct format: {target['Arn']}.")
    queue = (target.get("DeadLetterConfig") or {}).get("Arn")
    if queue and queue.endswith(".fifo"):
        raise validation_error(f"The dead-letter queue {queue} is a FIFO queue; only standard queues are supported.")
    try:
        call.emulator.require_role(target["RoleArn"], "scheduler.amazonaws.com")
    except ApiError as error:
        raise validation_error(
            "The execution role you provide must allow AWS EventBridge Scheduler to assume the role."
        ) from error
    raise PassOn


@operation("scheduler", "CreateScheduleGroup")
def create_schedule_group(call: Call) -> None:
    name = call.params["Name"]
    if name in scheduler_backends[ACCOUNT][call.region].schedule_groups:
        raise ApiError("ConflictException", f"Schedule group {name} already exists.", 409)
    raise PassOn


@operation("scheduler", "DeleteScheduleGroup")
def delete_schedule_group(call: Call) -> None:
    name = call.params["Name"]
    if name == "default":
        raise validation_error("The default schedule group cannot be deleted.")
    if name not in scheduler_backends[ACCOUNT][call.region].schedule_groups:
        raise ApiError("ResourceNotFoundException", f"Schedule group {name} does not exist.", 404)
    raise PassOn
