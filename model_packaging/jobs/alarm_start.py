"""`modelberth start-on-alarm`: starts what a CronJob starts, once for each time that an alarm begins to fire."""

from __future__ import annotations

import os

from model_packaging.errors import ModelberthError
from model_packaging.jobs.cluster import Api

_VARIABLES = ("MODELBERTH_ALARM", "MODELBERTH_CRON_JOB", "MODELBERTH_PROMETHEUS")


def job_name(cron_job: str, since: int) -> str:
    """The Job's name: the same one for the same firing, so that a second look starts nothing.

    A CronJob's name of 52 characters leaves 11 of a Job's 63.
    """
    return f"{cron_job}-a{since:x}"


def start_on_alarm() -> None:
    """Start the CronJob MODELBERTH_CRON_JOB if the alarm MODELBERTH_ALARM fires in MODELBERTH_PROMETHEUS.

    Runs in a pod of a Kubernetes cluster, every few minutes. A run is started once for each time that the alarm
    begins to fire.

    Example: modelberth start-on-alarm
    """
    missing = [name for name in _VARIABLES if not os.environ.get(name, "").strip()]
    if missing:
        raise ModelberthError(*(f"{name} is not set" for name in missing))
    alarm, cron_job, prometheus = (os.environ[name].strip() for name in _VARIABLES)
    api = Api(prometheus.rstrip("/"))
    since = api.firing_since(alarm)
    if since is None:
        print(f"{alarm} does not fire", flush=True)
        return
    name = job_name(cron_job, since)
    started = api.start(cron_job, name)
    print(f"{alarm} fires: {name} {'is started' if started else 'was started before'}", flush=True)
