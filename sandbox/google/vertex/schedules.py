"""Schedules: pipeline jobs made by a cron expression, in the emulator's time.

Sources: Vertex AI API reference, projects.locations.schedules (cron with TZ=, the run counts, queueing, catchUp, what
pausing, resuming and patching do); "Schedule a pipeline run with scheduler API" (states). A run is started at once
here, so that maxConcurrentRunCount, the limit of runs that are being started, is never reached;
maxConcurrentActiveRunCount counts the jobs that have not ended. Not published, and so ours: the texts of refusals, that
a schedule which is not active has no nextRunTime, and that runResponse is the pipeline job's name, or why there is
none.
"""

from __future__ import annotations

import copy
import re
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from croniter import croniter

from sandbox.cron import next_after
from sandbox.google import api as standard
from sandbox.google.api import Call, Collection, Resource
from sandbox.google.errors import GoogleError, precondition
from sandbox.google.operations import timestamp
from sandbox.google.schema import snake
from sandbox.google.vertex import monitors, pipelines
from sandbox.google.vertex.api import api, beta, check_common, found_errors, location_of

if TYPE_CHECKING:
    from sandbox.google.emulator import Emulator

PATH = "projects.locations.schedules"
TABLE = f"aiplatform.{PATH}"
_CRON = re.compile(r"(?:(?:CRON_)?TZ=(\S+)\s+)?(\S+(?:\s+\S+){4})")
_TICK_SECONDS = 0.1
_PIPELINE, _MONITORING = "createPipelineJobRequest", "createModelMonitoringJobRequest"


def next_run(cron: str, after: datetime) -> datetime:
    """The first time of a cron expression after another time; raises ValueError for a bad expression."""
    found = _CRON.fullmatch(cron.strip())
    if found is None:
        raise ValueError("it is no cron expression of five fields, with TZ=… or CRON_TZ=… before them")
    try:
        zone = ZoneInfo(found[1] or "UTC")
    except (ZoneInfoNotFoundError, ValueError):
        raise ValueError(f"{found[1]} is no time zone of the IANA time zone database") from None
    if not croniter.is_valid(found[2]):
        raise ValueError("its fields are not those of cron")
    following = next_after(found[2], zone, after)
    if following is None:
        raise ValueError("it never comes")
    return following


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _check(call: Call, schedule: Resource) -> None:
    check_common(call, schedule, "schedule")
    if call.method.verb == "patch" and schedule["state"] == "COMPLETED":
        raise precondition(f"The Schedule {schedule['name']} is COMPLETED and cannot be updated.")
    problems: list[tuple[str, str]] = []
    if not schedule.get("cron"):
        problems.append(("schedule.cron", "Required field is not set."))
    else:
        try:
            next_run(schedule["cron"], call.emulator.clock.now())
        except ValueError as error:
            problems.append(("schedule.cron", f'"{schedule["cron"]}" is invalid: {error}.'))
    for key in ("maxConcurrentRunCount", "maxRunCount", "maxConcurrentActiveRunCount"):
        if key in schedule and int(schedule[key]) < 1:
            problems.append((f"schedule.{snake(key)}", "The value must be at least 1."))
    start, end = schedule.get("startTime"), schedule.get("endTime")
    if end and _time(end) <= (_time(start) if start else call.emulator.clock.now()):
        problems.append(("schedule.end_time", "The end time must be after the start time."))
    if "createNotebookExecutionJobRequest" in schedule:
        raise GoogleError("UNIMPLEMENTED", "The sandbox does not emulate notebook execution jobs.")
    kinds = [key for key in (_PIPELINE, _MONITORING) if key in schedule]
    if len(kinds) != 1:
        problems.append(("schedule.request", "Exactly one request must be set."))
    for key in kinds:
        if location_of(schedule[key]["parent"]) != location_of(call.name):
            text = f"{schedule[key]['parent']} is not in the location of the schedule, {location_of(call.name)}."
            problems.append((f"schedule.{snake(key)}.parent", text))
    if problems:
        raise found_errors(problems)
    if _PIPELINE in schedule:
        request = schedule[_PIPELINE]
        pipelines.check(call, request["pipelineJob"], str(request.get("pipelineJobId", "")))
    else:
        with call.emulator.store.lock:
            beta_call = replace(call, api=beta)
            beta_call.find(monitors.MONITORS, schedule[_MONITORING]["parent"])


def _complete(call: Call, schedule: Resource) -> None:
    now = call.emulator.clock.now()
    if call.method.verb == "create":
        schedule |= {"state": "ACTIVE", "startedRunCount": "0", "startTime": schedule.get("startTime", timestamp(now))}
        for key in (_PIPELINE, _MONITORING):
            if key in schedule:
                schedule[key]["parent"] = call.canonical(schedule[key]["parent"])
    if schedule["state"] == "ACTIVE":
        _plan(schedule, now)


def _plan(schedule: Resource, after: datetime) -> None:
    """Set when a schedule runs next, or complete it."""
    following = next_run(schedule["cron"], max(after, _time(schedule["startTime"])))
    ended = "endTime" in schedule and following > _time(schedule["endTime"])
    counted = "maxRunCount" in schedule and int(schedule["startedRunCount"]) >= int(schedule["maxRunCount"])
    if ended or counted:
        schedule["state"] = "COMPLETED"
        schedule.pop("nextRunTime", None)
    else:
        schedule["nextRunTime"] = timestamp(following)


for one in (api, beta):
    one.add(Collection(PATH, "Schedule", check=_check, complete=_complete))


@api.method(f"{PATH}.get", f"{PATH}.list")
def read(call: Call) -> Resource:
    """A schedule, or a list of them, without the request that v1 does not know."""
    found = standard.get(call) if call.method.verb == "get" else standard.list_resources(call)
    for one in [found, *found.get("schedules", [])]:
        one.pop(_MONITORING, None)
    return found


@api.method(f"{PATH}.pause")
@beta.method(f"{PATH}.pause")
def pause(call: Call) -> Resource:
    with call.emulator.store.lock:
        schedule = call.find(PATH)
        if schedule["state"] != "ACTIVE":
            raise precondition(f"The Schedule {schedule['name']} is {schedule['state']}: only an active one is paused.")
        schedule |= {"state": "PAUSED", "lastPauseTime": call.now, "updateTime": call.now}
        schedule.pop("nextRunTime", None)
    return {}


@api.method(f"{PATH}.resume")
@beta.method(f"{PATH}.resume")
def resume(call: Call) -> Resource:
    with call.emulator.store.lock:
        schedule = call.find(PATH)
        if schedule["state"] != "PAUSED":
            raise precondition(f"The Schedule {schedule['name']} is {schedule['state']}: only a paused one is resumed.")
        catch_up = bool(call.body.get("catchUp"))
        schedule |= {"state": "ACTIVE", "catchUp": catch_up, "lastResumeTime": call.now, "updateTime": call.now}
        _plan(schedule, _time(schedule["lastPauseTime"]) if catch_up else call.emulator.clock.now())
    return {}


def watch(emulator: Emulator) -> None:
    """Start what is due, while the emulator runs."""
    while not emulator.stopping.wait(_TICK_SECONDS):
        with emulator.store.lock:
            active = [one for one in emulator.store.table(TABLE).values() if one["state"] == "ACTIVE"]
            for schedule in active:
                _run_due(emulator, schedule)


def _run_due(emulator: Emulator, schedule: Resource) -> None:
    """Start, skip or leave waiting the runs whose time has come."""
    while schedule["state"] == "ACTIVE" and (due := _time(schedule["nextRunTime"])) <= emulator.clock.now():
        if _is_full(emulator, schedule):
            if schedule.get("allowQueueing"):
                return
        else:
            _start(emulator, schedule, due)
        _plan(schedule, due)


def _is_full(emulator: Emulator, schedule: Resource) -> bool:
    most = schedule.get("maxConcurrentActiveRunCount")
    if most is None:
        return False
    jobs = emulator.store.table(pipelines.TABLE).values()
    active = [
        one for one in jobs if one.get("scheduleName") == schedule["name"] and one["state"] not in pipelines.ENDED
    ]
    return len(active) >= int(most)


def _start(emulator: Emulator, schedule: Resource, due: datetime) -> None:
    try:
        if _PIPELINE in schedule:
            request: Resource = schedule[_PIPELINE]
            job = pipelines.pipelines_of(emulator).launch(
                request["parent"],
                copy.deepcopy(request["pipelineJob"]),
                str(request.get("pipelineJobId", "")),
                schedule["name"],
            )
        else:
            request = schedule[_MONITORING]
            told = {"schedule": schedule["name"], "scheduleTime": timestamp(due)}
            job = monitors.start_job(
                emulator,
                beta,
                request["parent"],
                request["modelMonitoringJob"],
                told,
                request.get("modelMonitoringJobId"),
            )
        answer: Any = job["name"]
        schedule["startedRunCount"] = str(int(schedule["startedRunCount"]) + 1)
    except GoogleError as error:
        answer = error.message
    schedule["lastScheduledRunResponse"] = {"scheduledRunTime": timestamp(due), "runResponse": answer}
