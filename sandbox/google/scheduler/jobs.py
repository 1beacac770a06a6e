"""Jobs: what they may be, pausing, resuming and running one at once.

Sources: Cloud Scheduler API v1, projects.locations.jobs (the fields' descriptions for defaults and limits), "Cron job
format and time zone". Schedules in English words and App Engine targets are not emulated. "Schedule or time zone is
invalid." is Google's text; those of the other refusals are not. The reference does not say whether a paused job can be
run at once; here it can.
"""

from __future__ import annotations

import copy
import re
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from croniter import croniter

from sandbox.cron import next_after
from sandbox.google import api as standard
from sandbox.google.api import Call, Collection, Resource
from sandbox.google.errors import GoogleError, Violation, invalid, precondition
from sandbox.google.iam.accounts import require_account
from sandbox.google.operations import timestamp
from sandbox.google.scheduler.api import JOBS, api
from sandbox.google.scheduler.firing import fire

_ID = re.compile(r"[A-Za-z0-9_-]{1,500}")
_WITH_BODY = {"POST", "PUT", "PATCH"}
_TARGETS = ("httpTarget", "pubsubTarget", "appEngineHttpTarget")
_RETRIES: Resource = {
    "maxRetryDuration": "0s",
    "minBackoffDuration": "5s",
    "maxBackoffDuration": "3600s",
    "maxDoublings": 5,
}


def zone_of(job: Resource) -> ZoneInfo:
    """The time zone of a job's schedule; raises INVALID_ARGUMENT."""
    name = str(job.get("timeZone") or "UTC")
    try:
        return ZoneInfo("UTC" if name.lower() == "utc" else name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise invalid("Schedule or time zone is invalid.", [("job.time_zone", f"{name} is no time zone.")]) from None


def _check(call: Call, job: Resource) -> None:
    problems: list[Violation] = []
    if call.method.verb == "create":
        given = str(job.get("name", "")).rpartition("/")[2]
        if given and not _ID.fullmatch(given):
            problems.append(("job.name", "Job IDs have letters, digits, hyphens and underscores, at most 500."))
        if job.get("name") and not str(job["name"]).startswith(f"{call.name}/jobs/"):
            problems.append(("job.name", f"The name {job['name']} is not below the parent {call.name}."))
    if len(job.get("description", "")) > 500:
        problems.append(("job.description", "The description has at most 500 characters."))
    schedule = str(job.get("schedule", ""))
    if re.match(r"\s*(every|[0-9]+(st|nd|rd|th)|first|second|third|fourth|fifth)\b", schedule, re.IGNORECASE):
        raise GoogleError("UNIMPLEMENTED", f'The sandbox reads cron schedules only, not "{schedule}".')
    zone_of(job)
    if len(schedule.split()) != 5 or not croniter.is_valid(schedule):
        raise invalid("Schedule or time zone is invalid.", [("job.schedule", f'"{schedule}" is no cron schedule.')])
    targets = [one for one in _TARGETS if one in job]
    if len(targets) != 1:
        problems.append(("job.target", f"A job has exactly one of {', '.join(_TARGETS)}; given: {len(targets)}."))
    if "appEngineHttpTarget" in job:
        raise GoogleError("UNIMPLEMENTED", "The sandbox does not emulate App Engine targets.")
    if "httpTarget" in job:
        problems += _http_problems(job["httpTarget"])
        for token in ("oauthToken", "oidcToken"):
            require_account(call, job["httpTarget"].get(token, {}).get("serviceAccountEmail", ""))
    if "pubsubTarget" in job:
        target = job["pubsubTarget"]
        if not re.fullmatch(r"projects/[^/]+/topics/[^/]+", str(target.get("topicName", ""))):
            problems.append(("job.pubsub_target.topic_name", "It must be projects/PROJECT/topics/TOPIC."))
        if not target.get("data") and not target.get("attributes"):
            problems.append(("job.pubsub_target", "A message needs data or at least one attribute."))
    if not 0 <= int(job.get("retryConfig", {}).get("retryCount", 0)) <= 5:
        problems.append(("job.retry_config.retry_count", "It must be from 0 to 5."))
    if "attemptDeadline" in job and not 15 <= float(job["attemptDeadline"].removesuffix("s")) <= 1800:
        problems.append(("job.attempt_deadline", "It must be from 15 seconds to 30 minutes."))
    if problems:
        raise invalid("; ".join(f"{field}: {why}" for field, why in problems), problems)


def _http_problems(target: Resource) -> list[Violation]:
    problems: list[Violation] = []
    uri, method = str(target.get("uri", "")), str(target.get("httpMethod", "POST"))
    if urlsplit(uri).scheme not in ("http", "https") or not urlsplit(uri).hostname:
        problems.append(("job.http_target.uri", f'"{uri}" must begin with http:// or https:// and have a host.'))
    if len(uri) > 2083:
        problems.append(("job.http_target.uri", "It has at most 2083 characters."))
    if target.get("body") and method not in _WITH_BODY:
        problems.append(("job.http_target.body", f"A {method} has no body."))
    tokens = [one for one in ("oauthToken", "oidcToken") if one in target]
    if len(tokens) > 1:
        problems.append(("job.http_target", "oauthToken and oidcToken exclude each other."))
    for one in tokens:
        if not target[one].get("serviceAccountEmail"):
            problems.append((f"job.http_target.{one}.service_account_email", "A token needs a service account."))
    return problems


def _complete(call: Call, job: Resource) -> None:
    now = call.emulator.clock.now()
    job["state"] = job.get("state", "ENABLED")
    job.setdefault("timeZone", "UTC")
    job["userUpdateTime"] = call.now
    job["retryConfig"] = {**_RETRIES, **job.get("retryConfig", {})}
    if target := job.get("httpTarget"):
        target["httpMethod"] = target.get("httpMethod", "POST")
        job.setdefault("attemptDeadline", "180s")
        headers = target.setdefault("headers", {})
        headers.setdefault("User-Agent", "Google-Cloud-Scheduler")
        if target.get("body") and not any(key.lower() == "content-type" for key in headers):
            headers["Content-Type"] = "application/octet-stream"
        if "oauthToken" in target:
            target["oauthToken"].setdefault("scope", "https://www.googleapis.com/auth/cloud-platform")
        if "oidcToken" in target:
            target["oidcToken"].setdefault("audience", target["uri"])
    if following := next_after(job["schedule"], zone_of(job), now):
        job["scheduleTime"] = timestamp(following)


api.add(Collection(JOBS, "job", check=_check, complete=_complete, times=None))


@api.method(f"{JOBS}.create")
def create(call: Call) -> Resource:
    try:
        return standard.create(call)
    except GoogleError as error:
        if error.status != "ALREADY_EXISTS":
            raise
        name = str(call.body.get("name", "")).rpartition("/")[2]
        raise GoogleError("ALREADY_EXISTS", f"Job {name} already exists.") from error


@api.method(f"{JOBS}.patch")
def patch(call: Call) -> Resource:
    with call.emulator.store.lock:
        job = call.find()
        before = copy.deepcopy(job)
        if any(one in call.body for one in _TARGETS):
            # The targets are one field: a new one takes the place of another.
            for one in _TARGETS:
                if one not in call.body:
                    job.pop(one, None)
        try:
            return standard.patch(call)
        except GoogleError:
            job.clear()
            job.update(before)
            raise


def _set_state(call: Call, before: str, after: str) -> Resource:
    with call.emulator.store.lock:
        job = call.find(JOBS)
        if job["state"] != before:
            raise precondition(f"The job must be in the state {before}; it is {job['state']}.")
        job["state"] = after
        if following := next_after(job["schedule"], zone_of(job), call.emulator.clock.now()):
            job["scheduleTime"] = timestamp(following)
        return copy.deepcopy(job)


@api.method(f"{JOBS}.pause")
def pause(call: Call) -> Resource:
    return _set_state(call, "ENABLED", "PAUSED")


@api.method(f"{JOBS}.resume")
def resume(call: Call) -> Resource:
    return _set_state(call, "PAUSED", "ENABLED")


@api.method(f"{JOBS}.run")
def run(call: Call) -> Resource:
    with call.emulator.store.lock:
        job = copy.deepcopy(call.find(JOBS))
    fire(call.emulator, job["name"], call.emulator.clock.now())
    return job
