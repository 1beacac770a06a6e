"""Model monitors: their resources and their jobs' states; nothing is computed.

Sources: Vertex AI API reference, v1 projects.locations.modelDeploymentMonitoringJobs (create, patch, pause, resume) and
v1beta1 projects.locations.modelMonitors with modelMonitoringJobs, which v1 does not have (ids of 63 characters, `force`
deletes with schedules). A job succeeds after the time of an operation. Not published, and so ours: the refusals' texts.
"""

from __future__ import annotations

import copy
import random
import re
from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from sandbox.google import api as standard
from sandbox.google.api import Api, Call, Collection, Resource, asked_id
from sandbox.google.errors import GoogleError, precondition
from sandbox.google.operations import Operation, timestamp
from sandbox.google.vertex.api import api, beta, check_common, found_errors
from sandbox.google.vertex.models import resolve

if TYPE_CHECKING:
    from sandbox.google.emulator import Emulator

DEPLOYMENT_JOBS = "projects.locations.modelDeploymentMonitoringJobs"
MONITORS = "projects.locations.modelMonitors"
JOBS = f"{MONITORS}.modelMonitoringJobs"
_ENDPOINTS = "projects.locations.endpoints"
_SCHEDULES = "aiplatform.projects.locations.schedules"
_ID = re.compile(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?")
_ENDED = {"JOB_STATE_SUCCEEDED", "JOB_STATE_FAILED", "JOB_STATE_CANCELLED"}


def _patched(call: Call, kind: str) -> Resource:
    """Update a resource as the standard method does, within an operation."""
    changed = standard.patch(call)
    schema = (call.method.request or "").removeprefix(call.api.prefix)

    def work(operation: Operation) -> dict[str, Any]:
        return call.any(schema, changed)

    return call.operation(changed["name"], kind, work)


# Monitoring of an endpoint, v1


def _check_deployment_job(call: Call, job: Resource) -> None:
    check_common(call, job, "model_deployment_monitoring_job")
    at = "model_deployment_monitoring_job"
    with call.emulator.store.lock:
        endpoint = call.find(_ENDPOINTS, job["endpoint"])
        deployed = {one["id"] for one in endpoint.get("deployedModels", [])}
        others = call.table(DEPLOYMENT_JOBS).values()
        taken = [
            one["name"] for one in others if one["endpoint"] == endpoint["name"] and one["name"] != job.get("name")
        ]
    problems: list[tuple[str, str]] = []
    if taken:
        problems.append((f"{at}.endpoint", f"The Endpoint has a monitoring job already: {taken[0]}."))
    for number, one in enumerate(job.get("modelDeploymentMonitoringObjectiveConfigs", [])):
        if one.get("deployedModelId") not in deployed:
            problems.append(
                (
                    f"{at}.model_deployment_monitoring_objective_configs[{number}].deployed_model_id",
                    f"{one.get('deployedModelId')} is no DeployedModel of the Endpoint.",
                )
            )
    rate = job["loggingSamplingStrategy"].get("randomSampleConfig", {}).get("sampleRate", 0)
    if not 0 < rate <= 1:
        problems.append((f"{at}.logging_sampling_strategy.random_sample_config.sample_rate", "must be in (0, 1]."))
    if problems:
        raise found_errors(problems)


def _complete_deployment_job(call: Call, job: Resource) -> None:
    job["endpoint"] = call.canonical(job["endpoint"])
    if call.method.verb == "create":
        job |= {"state": "JOB_STATE_RUNNING", "scheduleState": "PENDING"}
        with call.emulator.store.lock:
            call.find(_ENDPOINTS, job["endpoint"])["modelDeploymentMonitoringJob"] = job["name"]
    interval = float(job["modelDeploymentMonitoringScheduleConfig"]["monitorInterval"].removesuffix("s"))
    if job["state"] == "JOB_STATE_RUNNING":
        job["nextScheduleTime"] = timestamp(call.emulator.clock.now() + timedelta(seconds=interval))


def _forget_deployment_job(call: Call, job: Resource) -> None:
    with call.emulator.store.lock:
        endpoint = call.table(_ENDPOINTS).get(job["endpoint"], {})
        if endpoint.get("modelDeploymentMonitoringJob") == job["name"]:
            del endpoint["modelDeploymentMonitoringJob"]


api.add(
    Collection(
        DEPLOYMENT_JOBS,
        "ModelDeploymentMonitoringJob",
        check=_check_deployment_job,
        complete=_complete_deployment_job,
        delete=_forget_deployment_job,
    )
)


@api.method(f"{DEPLOYMENT_JOBS}.patch")
def patch_deployment_job(call: Call) -> Resource:
    return _patched(call, "UpdateModelDeploymentMonitoringJobOperationMetadata")


@api.method(f"{DEPLOYMENT_JOBS}.pause", f"{DEPLOYMENT_JOBS}.resume")
def pause_deployment_job(call: Call) -> Resource:
    before, after = ("RUNNING", "PAUSED") if call.method.verb == "pause" else ("PAUSED", "RUNNING")
    with call.emulator.store.lock:
        job = call.find(DEPLOYMENT_JOBS)
        if job["state"] != f"JOB_STATE_{before}":
            raise precondition(f"The job {job['name']} is in state {job['state']}, not JOB_STATE_{before}.")
        job |= {"state": f"JOB_STATE_{after}", "updateTime": call.now}
        if after == "PAUSED":
            job.pop("nextScheduleTime", None)
        else:
            _complete_deployment_job(call, job)
    return {}


# Monitors of a model, v1beta1


def _check_id(call: Call, resource: Resource, field: str) -> None:
    wanted = asked_id(call, resource) if call.method.verb == "create" else None
    if wanted is not None and not _ID.fullmatch(wanted):
        raise found_errors([(field, f'"{wanted}" must be at most 63 characters: ^[a-z]([a-z0-9-]{{0,61}}[a-z0-9])?$.')])


def _check_monitor(call: Call, monitor: Resource) -> None:
    check_common(call, monitor, "model_monitor")
    _check_id(call, monitor, "model_monitor_id")
    target = monitor.get("modelMonitoringTarget", {}).get("vertexModel", {})
    if not target.get("model"):
        raise found_errors([("model_monitor.model_monitoring_target.vertex_model.model", "Required field is not set.")])
    version = target.get("modelVersionId")
    with call.emulator.store.lock:
        resolve(call, f"{target['model'].partition('@')[0]}@{version}" if version else target["model"])


def _schedules_of(emulator: Emulator, monitor: str) -> list[str]:
    return [
        name
        for name, one in emulator.store.table(_SCHEDULES).items()
        if one.get("createModelMonitoringJobRequest", {}).get("parent") == monitor
    ]


def _monitor_deletable(call: Call, monitor: Resource) -> None:
    if (schedules := _schedules_of(call.emulator, monitor["name"])) and not call.query.get("force"):
        raise precondition(
            f"The ModelMonitor {monitor['name']} has schedules: {', '.join(schedules)}. Delete them, or set force."
        )


def _forget_monitor(call: Call, monitor: Resource) -> None:
    with call.emulator.store.lock:
        for one in _schedules_of(call.emulator, monitor["name"]):
            del call.emulator.store.table(_SCHEDULES)[one]
        jobs = call.table(JOBS)
        for one in [name for name in jobs if name.startswith(f"{monitor['name']}/")]:
            del jobs[one]


beta.add(
    Collection(
        MONITORS,
        "ModelMonitor",
        check=_check_monitor,
        deletable=_monitor_deletable,
        delete=_forget_monitor,
    )
)


@beta.method(f"{MONITORS}.patch")
def patch_monitor(call: Call) -> Resource:
    return _patched(call, "UpdateModelMonitorOperationMetadata")


def _job_deletable(call: Call, job: Resource) -> None:
    if job["state"] not in _ENDED:
        raise precondition(f"The ModelMonitoringJob {job['name']} is in state {job['state']}.")


beta.add(Collection(JOBS, "ModelMonitoringJob", deletable=_job_deletable))


@beta.method(f"{JOBS}.create")
def create_job(call: Call) -> Resource:
    _check_id(call, call.body, "model_monitoring_job_id")
    with call.emulator.store.lock:
        monitor = call.find(MONITORS)
    return start_job(call.emulator, beta, monitor["name"], call.body, {}, asked_id(call, call.body))


def start_job(
    emulator: Emulator,
    of: Api,
    monitor: str,
    given: Resource,
    more: Mapping[str, str],
    wanted: str | None = None,
) -> Resource:
    """Create a monitor's job and let it run; raises NOT_FOUND for the monitor, ALREADY_EXISTS."""
    name = f"{monitor}/modelMonitoringJobs/{wanted or random.randrange(10**17, 9 * 10**18)}"
    now = timestamp(emulator.clock.now())
    job = {**copy.deepcopy(given), **more, "name": name, "createTime": now, "updateTime": now}
    job["state"] = "JOB_STATE_RUNNING"
    table = emulator.store.table(f"aiplatform.{JOBS}")
    with emulator.store.lock:
        if monitor not in emulator.store.table(f"aiplatform.{MONITORS}"):
            raise GoogleError("NOT_FOUND", of.not_found("ModelMonitor", monitor))
        if name in table:
            raise GoogleError("ALREADY_EXISTS", f"The ModelMonitoringJob {name} already exists.")
        table[name] = job
        created = copy.deepcopy(job)

    def work(operation: Operation) -> dict[str, Any]:
        with emulator.store.lock:
            job.update(state="JOB_STATE_SUCCEEDED", updateTime=timestamp(emulator.clock.now()))
        return {}

    emulator.operations.start("aiplatform", f"{JOBS}.create", name, work, dict)
    return created
