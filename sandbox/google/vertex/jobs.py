"""Custom jobs: programs that run to their end, each replica a process.

Sources: Vertex AI API reference, projects.locations.customJobs (create, cancel, delete) and CustomJobSpec
(AIP_MODEL_DIR and the like); "Understand the custom training service" (states, the primary replica's end is the job's,
which exit codes are tried again, the text of a failure); "Distributed training" (CLUSTER_SPEC); "Use Google Cloud
services in your training code" (CLOUD_ML_PROJECT_ID). Not published, and so ours: the texts of cancellations, of
time-outs and of images that cannot be pulled, and the 30 seconds between SIGTERM and the end of a cancelled job.
"""

from __future__ import annotations

import copy
import json
import random
import shutil
import sys
import threading
import time
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote
from weakref import WeakKeyDictionary

from sandbox.containers import Container
from sandbox.google.api import Call, Collection, Resource
from sandbox.google.errors import GoogleError, precondition
from sandbox.google.logs import write_text
from sandbox.google.operations import timestamp
from sandbox.google.vertex import machines, mounts
from sandbox.google.vertex.api import api, check_common, found_errors, location_of
from sandbox.google.vertex.images import command_of, environment_of, is_training_image, program_of, pull_failure

if TYPE_CHECKING:
    from sandbox.google.emulator import Emulator

PATH = "projects.locations.customJobs"
TABLE = f"aiplatform.{PATH}"
ENDED = {"JOB_STATE_SUCCEEDED", "JOB_STATE_FAILED", "JOB_STATE_CANCELLED"}
_WEEK = 7 * 86400.0
_GRACE_SECONDS = 30.0
_ATTEMPTS = 4
# SIGABRT and SIGSEGV, as a program or a container tells them.
_TRANSIENT = {6, 134, 11, 139}


@dataclass
class _Run:
    """What is asked of a job that runs."""

    cancelled: threading.Event = field(default_factory=threading.Event)
    done: threading.Event = field(default_factory=threading.Event)


@dataclass(frozen=True)
class _Replica:
    name: str
    pool: int
    index: int
    spec: Resource


class Jobs:
    """The custom jobs of one emulator that run, by name."""

    def __init__(self, emulator: Emulator) -> None:
        self.emulator = emulator
        self._runs: dict[str, _Run] = {}

    def launch(self, parent: str, given: Resource) -> Resource:
        """Create a job under a location and run it in the background; gives it as it was created."""
        emulator = self.emulator
        now = timestamp(emulator.clock.now())
        job: Resource = {
            **copy.deepcopy(given),
            "name": f"{parent}/customJobs/{random.randrange(10**17, 9 * 10**18)}",
            "state": "JOB_STATE_PENDING",
            "createTime": now,
            "updateTime": now,
        }
        run = _Run()
        with emulator.store.lock:
            emulator.store.table(TABLE)[job["name"]] = job
            self._runs[job["name"]] = run
            created = copy.deepcopy(job)
        threading.Thread(target=self._run, args=(job["name"], run), daemon=True, name=job["name"]).start()
        return created

    def wait(self, name: str) -> Resource:
        """A job once it has ended."""
        self._runs[name].done.wait()
        with self.emulator.store.lock:
            return copy.deepcopy(self.emulator.store.table(TABLE)[name])

    def cancel(self, name: str) -> None:
        """Ask a job to end; what has ended stays as it is."""
        with self.emulator.store.lock:
            job = self.emulator.store.table(TABLE)[name]
            if job["state"] in ENDED:
                return
            self._set(name, "JOB_STATE_CANCELLING")
            self._runs[name].cancelled.set()

    def _set(self, name: str, state: str, error: GoogleError | None = None) -> None:
        with self.emulator.store.lock:
            job = self.emulator.store.table(TABLE)[name]
            job["state"], job["updateTime"] = state, timestamp(self.emulator.clock.now())
            if state == "JOB_STATE_RUNNING":
                job.setdefault("startTime", job["updateTime"])
            if state in ENDED:
                job["endTime"] = job["updateTime"]
            if error is not None:
                job["error"] = error.rpc

    def _run(self, name: str, run: _Run) -> None:
        emulator = self.emulator
        with emulator.store.lock:
            job = copy.deepcopy(emulator.store.table(TABLE)[name])
        try:
            emulator.clock.wait(run.cancelled, emulator.operations.seconds)
            failure, slower = emulator.faults.of_operation("aiplatform", f"{PATH}.create")
            if slower:
                run.cancelled.wait(slower)
            if failure is not None:
                raise failure
            self._attempt(job, run)
            self._set(name, "JOB_STATE_SUCCEEDED")
        except GoogleError as error:
            self._set(name, "JOB_STATE_CANCELLED" if error.status == "CANCELLED" else "JOB_STATE_FAILED", error)
        except Exception as error:
            if not emulator.stopping.is_set():
                traceback.print_exc(file=sys.stderr)
                emulator.failures.append(f"{name}: {error!r}")
            self._set(name, "JOB_STATE_FAILED", GoogleError("INTERNAL", "Internal error occurred."))
        finally:
            run.done.set()

    def _attempt(self, job: Resource, run: _Run) -> None:
        """Run a job's replicas until they end well; raises the job's error."""
        retries = not job["jobSpec"].get("scheduling", {}).get("disableRetries")
        for attempt in range(1, _ATTEMPTS + 1):
            failed = self._replicas(job, run)
            if failed is None:
                return
            replica, container, code = failed
            if code not in _TRANSIENT or not retries or attempt == _ATTEMPTS:
                raise _failure(self.emulator, job["name"], replica, container, code)

    def _replicas(self, job: Resource, run: _Run) -> tuple[_Replica, Container, int] | None:
        """Run every replica once; gives the one that failed. Raises CANCELLED, and what keeps one from starting."""
        emulator, name = self.emulator, job["name"]
        replicas = [
            _Replica(f"workerpool{pool}-{index}", pool, index, spec)
            for pool, spec in enumerate(job["jobSpec"]["workerPoolSpecs"])
            if spec.get("containerSpec")
            for index in range(int(spec.get("replicaCount", 1)))
        ]
        timeout = float(str(job["jobSpec"].get("scheduling", {}).get("timeout", f"{_WEEK}s")).removesuffix("s"))
        started: list[tuple[_Replica, Container]] = []
        mounted: list[tuple[Path, mounts.Seen]] = []
        try:
            for replica in replicas:
                if run.cancelled.is_set():
                    raise _cancelled()
                container, seen = self._start(job, replica, replicas)
                started.append((replica, container))
                mounted.append((container.folder, seen))
            with emulator.store.lock:
                if not run.cancelled.is_set():
                    self._set(name, "JOB_STATE_RUNNING")
            deadline = time.monotonic() + timeout
            while True:
                for replica, container in started:
                    if not container.running and (code := container.wait()):
                        return replica, container, code
                if not started[0][1].running:
                    return None
                if run.cancelled.wait(0.05):
                    raise _cancelled()
                if time.monotonic() > deadline:
                    raise GoogleError("CANCELLED", f"The job ran longer than its timeout of {timeout:g} s.")
        except GoogleError:
            self._terminate([container for _, container in started])
            raise
        finally:
            for _, container in started:
                container.stop()
            for folder, seen in mounted:
                mounts.store(emulator, folder, seen)
                shutil.rmtree(folder, ignore_errors=True)

    def _start(self, job: Resource, replica: _Replica, replicas: list[_Replica]) -> tuple[Container, mounts.Seen]:
        emulator, spec = self.emulator, replica.spec["containerSpec"]
        project, job_id = job["name"].split("/")[1], job["name"].rpartition("/")[2]
        program = program_of(emulator, spec["imageUri"])
        if program is None:
            raise precondition(pull_failure(emulator, project, spec["imageUri"]))
        cluster: dict[str, list[str]] = {}
        for one in replicas:
            cluster.setdefault(f"workerpool{one.pool}", []).append(f"cmle-training-{one.name}-{job_id[:10]}:2222")
        environment = {
            "CLOUD_ML_JOB_ID": job_id,
            "CLOUD_ML_PROJECT_ID": project,
            "CLOUD_ML_REGION": location_of(job["name"]),
            "CLUSTER_SPEC": json.dumps(
                {
                    "cluster": cluster,
                    "environment": "cloud",
                    "task": {"type": f"workerpool{replica.pool}", "index": replica.index},
                    "job": json.dumps({"worker_pool_specs": len(cluster)}),
                }
            ),
            **_directories(job["jobSpec"]),
            **environment_of(spec),
        }
        label = f"customJob {job_id} {replica.name}"
        folder = emulator.runtime.new_folder(label)
        # A container has an /opt/ml of its own, where the project's jobs keep their files.
        environment.setdefault("SAGEMAKER_BASE_DIR", str(folder))
        log = emulator.folder / "logs" / f"{job_id}-{replica.name}.log"
        log.parent.mkdir(exist_ok=True)

        def keep(line: str) -> None:
            with log.open("a", encoding="utf-8") as sink:
                sink.write(line + "\n")
            labels = {"job_id": job_id, "task_name": replica.name}
            write_text(emulator, emulator.projects.id(project), replica.name, "ml_job", labels, line)

        command = command_of(spec, program)
        seen = mounts.fetch(emulator, [*command, *environment.values()], folder)
        container = emulator.runtime.start(
            label,
            [mounts.inside(part, folder) for part in command],
            folder,
            {key: mounts.inside(value, folder) for key, value in environment.items()},
            keep,
        )
        return container, seen

    def _terminate(self, containers: list[Container]) -> None:
        """Let programs end by themselves, for a while."""
        for container in containers:
            container.terminate()
        clock = self.emulator.clock
        deadline = clock.time() + _GRACE_SECONDS
        while any(one.running for one in containers) and clock.time() < deadline:
            if self.emulator.stopping.wait(0.05):
                break


def _directories(spec: Resource) -> dict[str, str]:
    base = str(spec.get("baseOutputDirectory", {}).get("outputUriPrefix", "")).rstrip("/")
    if not base:
        return {}
    return {
        "AIP_MODEL_DIR": f"{base}/model/",
        "AIP_CHECKPOINT_DIR": f"{base}/checkpoints/",
        "AIP_TENSORBOARD_LOG_DIR": f"{base}/logs/",
    }


def _cancelled() -> GoogleError:
    return GoogleError("CANCELLED", "CANCELED")


def _failure(emulator: Emulator, name: str, replica: _Replica, container: Container, code: int) -> GoogleError:
    number, job_id = emulator.projects.number(name.split("/")[1]), name.rpartition("/")[2]
    chosen = quote(f'resource.type="ml_job"\nresource.labels.job_id="{job_id}"', safe="")
    logs = "\n".join(container.tail)
    return GoogleError(
        "INVALID_ARGUMENT",
        f"The replica {replica.name} exited with a non-zero status of {code}. Termination reason: Error. \n{logs}\n\n"
        "To find out more about why your job exited please check the logs: "
        f"https://console.cloud.google.com/logs/viewer?project={number}&resource=ml_job%2Fjob_id%2F{job_id}"
        f"&advancedFilter={chosen}",
    )


_all: WeakKeyDictionary[Emulator, Jobs] = WeakKeyDictionary()


def jobs_of(emulator: Emulator) -> Jobs:
    """The custom jobs of an emulator."""
    if emulator not in _all:
        _all[emulator] = Jobs(emulator)
    return _all[emulator]


def check(call: Call, job: Resource) -> None:
    """Refuse a job that cannot be."""
    check_common(call, job, "custom_job")
    at, problems = "custom_job.job_spec", list[tuple[str, str]]()
    spec = job["jobSpec"]
    base = spec.get("baseOutputDirectory", {}).get("outputUriPrefix")
    if base is not None and not base.startswith("gs://"):
        problems.append((f"{at}.base_output_directory", f'"{base}" must be a Cloud Storage location, gs://bucket/…'))
    account = spec.get("serviceAccount", "")
    if account and "@" not in account:
        problems.append((f"{at}.service_account", f'"{account}" must be the email address of a service account.'))
    for number, pool in enumerate(spec["workerPoolSpecs"]):
        where = f"{at}.worker_pool_specs[{number}]"
        if not pool and number > 0:
            continue
        if pool.get("pythonPackageSpec"):
            raise GoogleError("UNIMPLEMENTED", "The sandbox does not emulate python_package_spec: use container_spec.")
        if not pool.get("containerSpec"):
            problems.append((f"{where}.container_spec", "Required field is not set."))
        if not pool.get("machineSpec", {}).get("machineType"):
            problems.append((f"{where}.machine_spec.machine_type", "Required field is not set."))
        else:
            problems += machines.problems(
                pool["machineSpec"], f"{where}.machine_spec", location_of(call.name), training=True
            )
        image = pool.get("containerSpec", {}).get("imageUri", "")
        if image and not is_training_image(image):
            problems.append(
                (
                    f"{where}.container_spec.image_uri",
                    f'"{image}" must be the URI of an image in Artifact Registry, Container Registry or Docker Hub.',
                )
            )
        if number == 0 and int(pool.get("replicaCount", 1)) != 1:
            problems.append((f"{where}.replica_count", "The first worker pool must have exactly one replica."))
        if len(pool.get("containerSpec", {}).get("env", [])) > 100:
            problems.append((f"{where}.container_spec.env", "At most 100 environment variables can be set."))
    if problems:
        raise found_errors(problems)


def _deletable(call: Call, job: Resource) -> None:
    if job["state"] not in ENDED:
        raise precondition(f'The CustomJob "{job["name"]}" is in state {job["state"]}: cancel it before it is deleted.')


api.add(Collection(PATH, "CustomJob", check=check, deletable=_deletable))


@api.method(f"{PATH}.create")
def create(call: Call) -> Resource:
    check(call, call.body)
    return jobs_of(call.emulator).launch(call.canonical(call.name), call.body)


@api.method(f"{PATH}.cancel")
def cancel(call: Call) -> Resource:
    with call.emulator.store.lock:
        name = call.find(PATH)["name"]
    jobs_of(call.emulator).cancel(name)
    return {}
