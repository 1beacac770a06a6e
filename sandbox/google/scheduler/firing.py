"""When jobs run, what is sent, and how a failed attempt is tried again.

Sources: Cloud Scheduler API v1, Job (two executions are never at the same time; status, lastAttemptTime, scheduleTime),
HttpTarget (headers, success is 200 to 299) and RetryConfig (doublings, then linear growth); "Retry jobs".
"""

from __future__ import annotations

import base64
import copy
import sys
import threading
import traceback
from datetime import datetime
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary
from zoneinfo import ZoneInfo

from sandbox.cron import next_after
from sandbox.google.errors import RPC_CODE, GoogleError
from sandbox.google.operations import timestamp
from sandbox.google.outbound import Unreachable, access_token, identity_token, send
from sandbox.google.pubsub.delivery import delivery_of
from sandbox.google.scheduler.api import JOBS

if TYPE_CHECKING:
    from sandbox.google.emulator import Emulator

TICK_SECONDS = 0.1
_BY_STATUS = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ABORTED",
    429: "RESOURCE_EXHAUSTED",
    501: "UNIMPLEMENTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}

Resource = dict[str, Any]


class Firing:
    """The jobs that are being executed."""

    def __init__(self, emulator: Emulator) -> None:
        self.emulator = emulator
        self._running: set[str] = set()
        self._lock = threading.Lock()

    def run(self) -> None:
        """Execute each job when it is due, until the emulator stops."""
        store = self.emulator.store
        while not self.emulator.stopping.wait(TICK_SECONDS):
            now = timestamp(self.emulator.clock.now())
            with store.lock:
                due = [
                    (one["name"], one["scheduleTime"])
                    for one in store.table(f"cloudscheduler.{JOBS}").values()
                    if one["state"] == "ENABLED" and one.get("scheduleTime", "9") <= now
                ]
            for name, moment in due:
                with self._lock:
                    if name in self._running:
                        continue
                    self._running.add(name)
                scheduled = datetime.fromisoformat(moment.replace("Z", "+00:00"))
                threading.Thread(target=self._in_turn, args=(name, scheduled), daemon=True).start()

    def _in_turn(self, name: str, scheduled: datetime) -> None:
        try:
            self._execute(name, scheduled)
            with self.emulator.store.lock:
                job = self._job(name)
                if job is not None:
                    following = next_after(job["schedule"], ZoneInfo(job["timeZone"]), scheduled)
                    if following is not None:
                        job["scheduleTime"] = timestamp(following)
        except Exception as error:
            traceback.print_exc(file=sys.stderr)
            self.emulator.failures.append(f"{name}: {error!r}")
        finally:
            with self._lock:
                self._running.discard(name)

    def at_once(self, name: str, scheduled: datetime) -> None:
        """Execute a job beside its schedule."""
        threading.Thread(target=self._execute, args=(name, scheduled), daemon=True).start()

    def _job(self, name: str) -> Resource | None:
        return self.emulator.store.table(f"cloudscheduler.{JOBS}").get(name)

    def _execute(self, name: str, scheduled: datetime) -> None:
        clock, attempt, first = self.emulator.clock, 0, self.emulator.clock.time()
        while True:
            with self.emulator.store.lock:
                stored = self._job(name)
                if stored is None:
                    return
                stored["lastAttemptTime"] = timestamp(clock.now())
                job = copy.deepcopy(stored)
            status, problem = _attempt(self.emulator, job, scheduled)
            with self.emulator.store.lock:
                stored = self._job(name)
                if stored is None:
                    return
                stored["status"] = {"code": RPC_CODE[status], "message": problem} if problem else {}
            if problem is None:
                return
            self.emulator.outbox.append(
                {
                    "channel": name,
                    "type": "schedule",
                    "to": job.get("httpTarget", {}).get("uri") or job["pubsubTarget"]["topicName"],
                    "error": problem,
                    "time": timestamp(clock.now()),
                }
            )
            attempt += 1
            pause = _pause(job["retryConfig"], attempt, clock.time() - first)
            if pause is None or clock.wait(self.emulator.stopping, pause):
                return


def _pause(config: Resource, attempt: int, elapsed: float) -> float | None:
    """The pause before the next attempt, in seconds; None after the last one."""

    def seconds(name: str) -> float:
        return float(str(config[name]).removesuffix("s"))

    most, limit = int(config.get("retryCount", 0)), seconds("maxRetryDuration")
    # With both limits set, attempts go on until both are reached.
    if attempt > most and not elapsed < limit:
        return None
    least, doublings = seconds("minBackoffDuration"), int(config["maxDoublings"])
    doubled = least * 2.0 ** min(attempt - 1, doublings)
    further = max(0, attempt - 1 - doublings) * least * 2.0**doublings
    return min(doubled + further, seconds("maxBackoffDuration"))


def _attempt(emulator: Emulator, job: Resource, scheduled: datetime) -> tuple[str, str | None]:
    """The status of an attempt, and what went wrong, if anything did."""
    if target := job.get("pubsubTarget"):
        topic = emulator.projects.named(target["topicName"])
        data = base64.b64decode(target.get("data", "").replace("-", "+").replace("_", "/"))
        try:
            delivery_of(emulator).publish(topic, data, target.get("attributes"))
        except GoogleError as error:
            return error.status, error.message
        return "OK", None
    target = job["httpTarget"]
    headers = {
        **{str(key): str(value) for key, value in target.get("headers", {}).items()},
        "User-Agent": "Google-Cloud-Scheduler",
        "X-CloudScheduler": "true",
        "X-CloudScheduler-JobName": job["name"].rpartition("/")[2],
        "X-CloudScheduler-ScheduleTime": timestamp(scheduled),
    }
    if token := target.get("oauthToken"):
        headers["Authorization"] = f"Bearer {access_token(token['serviceAccountEmail'])}"
    elif token := target.get("oidcToken"):
        identity = identity_token(emulator, token["serviceAccountEmail"], token["audience"])
        headers["Authorization"] = f"Bearer {identity}"
    body = base64.b64decode(target.get("body", "").replace("-", "+").replace("_", "/")) or None
    seconds = float(job["attemptDeadline"].removesuffix("s"))
    try:
        status, _, answer = send(emulator, target["httpMethod"], target["uri"], headers, body, seconds)
    except Unreachable as error:
        return "UNAVAILABLE", str(error)
    if 200 <= status <= 299:
        return "OK", None
    told = f"{target['uri']} answered {status}: {answer[:1000].decode(errors='replace')}"
    return _BY_STATUS.get(status, "UNKNOWN"), told


_all: WeakKeyDictionary[Emulator, Firing] = WeakKeyDictionary()


def fire(emulator: Emulator, name: str, scheduled: datetime) -> None:
    """Execute a job at once."""
    _all[emulator].at_once(name, scheduled)


def prepare(emulator: Emulator) -> None:
    """Follow an emulator's schedules from its start."""
    _all[emulator] = Firing(emulator)
    emulator.in_background(_all[emulator].run)
