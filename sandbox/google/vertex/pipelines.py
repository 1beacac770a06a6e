"""Pipeline jobs: a pipeline's tasks in the order of their dependencies, each container a custom job.

Sources: Vertex AI API reference, projects.locations.pipelineJobs (ids, failure policies, output directories, states of
jobs and tasks); pipeline_spec.proto of Kubeflow Pipelines (trigger policies, retries); "Configure execution caching".
Not published, and so ours: the texts of refusals and of what keeps a task from running. The text of a failed pipeline
is the one that Vertex AI shows.
"""

from __future__ import annotations

import copy
import hashlib
import json
import random
import re
import sys
import threading
import traceback
from collections.abc import Iterable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from sandbox.google import storage
from sandbox.google.api import Call, Collection, Resource, listed
from sandbox.google.errors import GoogleError, invalid, precondition
from sandbox.google.operations import Operation, timestamp
from sandbox.google.vertex import pipeline_spec
from sandbox.google.vertex.api import api, check_common, found_errors
from sandbox.google.vertex.jobs import jobs_of
from sandbox.google.vertex.pipeline_spec import Artifact, Placeholders, Values

if TYPE_CHECKING:
    from sandbox.google.emulator import Emulator

PATH = "projects.locations.pipelineJobs"
TABLE = f"aiplatform.{PATH}"
ENDED = {"PIPELINE_STATE_SUCCEEDED", "PIPELINE_STATE_FAILED", "PIPELINE_STATE_CANCELLED"}
_ID = re.compile(r"[a-z][-a-z0-9]{0,127}")
_MACHINE = "e2-standard-4"
_PARALLEL_TASKS = 8


@dataclass
class _Run:
    """What is asked of a pipeline job that runs."""

    cancelled: threading.Event = field(default_factory=threading.Event)
    done: threading.Event = field(default_factory=threading.Event)
    custom_jobs: set[str] = field(default_factory=set)


class Pipelines:
    """The pipeline jobs of one emulator, and what their tasks gave, by what went into them."""

    def __init__(self, emulator: Emulator) -> None:
        self.emulator = emulator
        self.cache: dict[str, Values] = {}
        self._runs: dict[str, _Run] = {}

    def launch(self, parent: str, given: Resource, wanted: str = "", schedule: str = "") -> Resource:
        """Create a pipeline job under a location and run it; gives it as it was created. Raises ALREADY_EXISTS."""
        emulator, now = self.emulator, timestamp(self.emulator.clock.now())
        name = given["pipelineSpec"].get("pipelineInfo", {}).get("name", "pipeline")
        job_id = wanted or f"{name}-{emulator.clock.now():%Y%m%d%H%M%S}-{random.randrange(10**6)}"
        job: Resource = {
            **copy.deepcopy(given),
            "name": f"{parent}/pipelineJobs/{job_id}",
            "displayName": given.get("displayName") or job_id,
            "state": "PIPELINE_STATE_PENDING",
            "createTime": now,
            "updateTime": now,
            "jobDetail": {"taskDetails": []},
            **({"scheduleName": schedule} if schedule else {}),
        }
        job["labels"] = {
            **given.get("labels", {}),
            "vertex-ai-pipelines-run-billing-id": str(random.randrange(10**17, 9 * 10**18)),
        }
        run = _Run()
        with emulator.store.lock:
            if job["name"] in emulator.store.table(TABLE):
                raise GoogleError("ALREADY_EXISTS", f"The PipelineJob {job['name']} already exists.")
            emulator.store.table(TABLE)[job["name"]] = job
            self._runs[job["name"]] = run
            created = copy.deepcopy(job)
        threading.Thread(target=self._run, args=(job["name"], run), daemon=True, name=job["name"]).start()
        return created

    def cancel(self, name: str) -> None:
        """Ask a job to end; what has ended stays as it is."""
        with self.emulator.store.lock:
            job, run = self.emulator.store.table(TABLE)[name], self._runs[name]
            if job["state"] in ENDED:
                return
            job["state"] = "PIPELINE_STATE_CANCELLING"
            run.cancelled.set()
            running = list(run.custom_jobs)
        for one in running:
            jobs_of(self.emulator).cancel(one)

    def wait(self, name: str) -> None:
        """Wait for a job's end."""
        self._runs[name].done.wait()

    def _run(self, name: str, run: _Run) -> None:
        emulator = self.emulator
        emulator.clock.wait(run.cancelled, emulator.operations.seconds)
        runner = _Runner(self, name, run)
        error: GoogleError | None
        try:
            error = runner.run()
        except GoogleError as failure:
            error = failure
        except Exception as failure:
            if not emulator.stopping.is_set():
                traceback.print_exc(file=sys.stderr)
                emulator.failures.append(f"{name}: {failure!r}")
            error = GoogleError("INTERNAL", "Internal error occurred.")
        if run.cancelled.is_set():
            error = GoogleError("CANCELLED", "The pipeline job was cancelled.")
        states = {None: "PIPELINE_STATE_SUCCEEDED", "CANCELLED": "PIPELINE_STATE_CANCELLED"}
        runner.enter(states.get(error.status if error else None, "PIPELINE_STATE_FAILED"), error)
        run.done.set()


class _Runner:
    """One run of one pipeline job."""

    def __init__(self, pipelines: Pipelines, name: str, run: _Run) -> None:
        self.pipelines, self.emulator, self.name, self.asked = pipelines, pipelines.emulator, name, run
        self.job = self.emulator.store.table(TABLE)[name]
        self.spec: Resource = self.job["pipelineSpec"]
        self.config: Resource = self.job["runtimeConfig"]
        self.failed: list[str] = []

    # States

    def enter(self, state: str, error: GoogleError | None = None) -> None:
        """Let the job enter a state."""
        with self.emulator.store.lock:
            now = timestamp(self.emulator.clock.now())
            self.job["state"], self.job["updateTime"] = state, now
            if state == "PIPELINE_STATE_RUNNING":
                self.job["startTime"] = now
            if state in ENDED:
                self.job["endTime"] = now
            if error is not None:
                self.job["error"] = error.rpc

    def _begin(self, key: str, parent: Resource | None) -> Resource:
        now = timestamp(self.emulator.clock.now())
        task_id = str(random.randrange(10**17, 9 * 10**18))
        detail: Resource = {
            "taskId": task_id,
            "taskName": key,
            "createTime": now,
            "startTime": now,
            "state": "PENDING",
            "pipelineTaskStatus": [{"state": "PENDING", "updateTime": now}],
            "execution": {
                "name": f"{'/'.join(self.name.split('/')[:4])}/metadataStores/default/executions/{task_id}",
                "displayName": key,
                "schemaTitle": "system.ContainerExecution" if parent else "system.DagExecution",
                "metadata": {},
            },
        }
        if parent is not None:
            detail["parentTaskId"] = parent["taskId"]
        with self.emulator.store.lock:
            self.job["jobDetail"]["taskDetails"].append(detail)
        return detail

    def _set(self, detail: Resource, state: str, error: GoogleError | None = None) -> None:
        with self.emulator.store.lock:
            now = timestamp(self.emulator.clock.now())
            status: Resource = {"state": state, "updateTime": now}
            if error is not None:
                status["error"] = detail["error"] = error.rpc
            detail["state"] = state
            detail["pipelineTaskStatus"].append(status)
            if state not in ("PENDING", "RUNNING"):
                detail["endTime"] = now

    # Tasks

    def run(self) -> GoogleError | None:
        """Run the pipeline to its end; gives its error."""
        if self.asked.cancelled.is_set():
            return None
        self.enter("PIPELINE_STATE_RUNNING")
        given = given_parameters(self.config)
        values = Values(pipeline_spec.defaults(self.spec["root"], given))
        detail = self._begin(self.spec.get("pipelineInfo", {}).get("name", "pipeline"), None)
        self._set(detail, "RUNNING")
        state, _ = self._dag(self.spec["root"], values, detail)
        error = None
        if state == "FAILED":
            project, job_id = self.name.split("/")[1], self.name.rpartition("/")[2]
            error = precondition(
                f"The DAG failed because some tasks failed. The failed tasks are: [{', '.join(self.failed)}].; "
                f"Job (project_id = {self.emulator.projects.id(project)}, job_id = {job_id}) is failed due to the "
                f"above error.; Failed to handle the job: {{project_number = {project}, job_id = {job_id}}}"
            )
        self._set(detail, state, error)
        return error

    def _dag(self, component: Resource, values: Values, parent: Resource) -> tuple[str, Values]:
        """Run the tasks of a DAG; gives its state and what comes out of it."""
        tasks: dict[str, Resource] = component["dag"].get("tasks", {})
        states: dict[str, str] = {}
        outputs: dict[str, Values] = {}
        waiting, running = dict(tasks), dict[Future[tuple[str, Values]], str]()
        with ThreadPoolExecutor(_PARALLEL_TASKS) as pool:
            while waiting or running:
                for key, task in list(waiting.items()):
                    needs = pipeline_spec.dependencies(task)
                    if not needs <= states.keys():
                        continue
                    del waiting[key]
                    state = self._verdict(task, [states[one] for one in needs], values, outputs)
                    if state is None:
                        running[pool.submit(self._task, key, task, values, states, outputs, parent)] = key
                    else:
                        states[key], outputs[key] = state, Values()
                        if state == "NOT_TRIGGERED":
                            self._set(self._begin(key, parent), state)
                        break
                else:
                    done, _ = wait(running, return_when=FIRST_COMPLETED)
                    for one in done:
                        key = running.pop(one)
                        states[key], outputs[key] = one.result()
        if self.asked.cancelled.is_set():
            return "CANCELLED", Values()
        state = "FAILED" if "FAILED" in states.values() else "SUCCEEDED"
        return state, _dag_outputs(component["dag"], outputs)

    def _verdict(self, task: Resource, before: list[str], values: Values, outputs: Mapping[str, Values]) -> str | None:
        """The state of a task that is not to run; None for one that is."""
        if self.asked.cancelled.is_set():
            return "CANCELLED"
        if self.failed and self.config.get("failurePolicy") == "PIPELINE_FAILURE_POLICY_FAIL_FAST":
            return "NOT_TRIGGERED"
        policy = task.get("triggerPolicy", {})
        if policy.get("strategy") != "ALL_UPSTREAM_TASKS_COMPLETED" and set(before) - {"SUCCEEDED", "SKIPPED"}:
            return "NOT_TRIGGERED"
        if policy.get("condition"):
            given = self._parameters(task, values, outputs, {})
            if not pipeline_spec.holds(policy["condition"], given):
                return "NOT_TRIGGERED"
        return None

    def _task(
        self,
        key: str,
        task: Resource,
        values: Values,
        states: Mapping[str, str],
        outputs: Mapping[str, Values],
        parent: Resource,
    ) -> tuple[str, Values]:
        component = self.spec["components"][task["componentRef"]["name"]]
        detail = self._begin(key, parent)
        try:
            given = self._parameters(task, values, outputs, states)
            inputs = Values(pipeline_spec.defaults(component, given), _artifacts(task, values, outputs))
            with self.emulator.store.lock:
                detail["execution"]["metadata"] |= {
                    f"input:{name}": value for name, value in inputs.parameters.items() if value is not None
                }
                if inputs.artifacts:
                    detail["inputs"] = _shown(inputs.artifacts)
            if "dag" in component:
                self._set(detail, "RUNNING")
                state, found = self._dag(component, inputs, detail)
            else:
                state, found = self._container(key, task, component, inputs, detail)
            self._set(detail, state)
        except GoogleError as error:
            state, found = "CANCELLED" if error.status == "CANCELLED" else "FAILED", Values()
            self._set(detail, state, error)
        with self.emulator.store.lock:
            if state == "FAILED" and "dag" not in component:
                self.failed.append(key)
            detail["execution"]["metadata"] |= {f"output:{name}": one for name, one in found.parameters.items()}
            if found.artifacts:
                detail["outputs"] = _shown(found.artifacts)
        return state, found

    def _parameters(
        self, task: Resource, values: Values, outputs: Mapping[str, Values], states: Mapping[str, str]
    ) -> dict[str, Any]:
        """What a task's inputs say its parameters are."""
        found: dict[str, Any] = {}
        scope = Placeholders({"inputs": {"parameterValues": values.parameters, "artifacts": {}}}, self._words())
        for name, source in task.get("inputs", {}).get("parameters", {}).items():
            if "componentInputParameter" in source:
                value = values.parameters.get(source["componentInputParameter"])
            elif "taskOutputParameter" in source:
                one = source["taskOutputParameter"]
                value = outputs[one["producerTask"]].parameters.get(one["outputParameterKey"])
            elif "taskFinalStatus" in source:
                producer = source["taskFinalStatus"]["producerTask"]
                value = {
                    "state": states.get(producer, ""),
                    "pipelineJobResourceName": self.name,
                    "pipelineTaskName": producer,
                }
            else:
                value = pipeline_spec.constant(source.get("runtimeValue", {}))
                if isinstance(value, str):
                    value = scope.fill(value)
            if value is not None:
                found[name] = value
        return found

    def _words(self) -> dict[str, str]:
        """The placeholders that stand for one word."""
        job_id = self.name.rpartition("/")[2]
        return {
            "pipeline_job_name": job_id,
            "pipeline_job_resource_name": self.name,
            "pipeline_job_uuid": job_id,
            "pipeline_root": str(self.config["gcsOutputDirectory"]),
            "pipeline_service_account": str(self.job.get("serviceAccount", "")),
            "pipeline_job_create_time_utc": self.job["createTime"],
        }

    # Containers

    def _container(
        self, key: str, task: Resource, component: Resource, inputs: Values, detail: Resource
    ) -> tuple[str, Values]:
        container = self.spec["deploymentSpec"]["executors"][component["executorLabel"]]["container"]
        definitions = component.get("outputDefinitions", {})
        print_ = _fingerprint(container, inputs, definitions)
        if task.get("cachingOptions", {}).get("enableCache") and print_ in self.pipelines.cache:
            return "SKIPPED", copy.deepcopy(self.pipelines.cache[print_])
        job_id = self.name.rpartition("/")[2]
        base = f"{str(self.config['gcsOutputDirectory']).rstrip('/')}/{job_id}/{detail['taskId']}"
        executor_input = self._executor_input(inputs, definitions, base)
        words = self._words() | {"pipeline_task_name": key, "pipeline_task_uuid": detail["taskId"]}
        placeholders = Placeholders(executor_input, words)
        spec = {
            "imageUri": placeholders.fill(container["image"]),
            "command": list(placeholders.command(container.get("command", []))),
            "args": list(placeholders.command(container.get("args", []))),
            "env": [
                {"name": one["name"], "value": placeholders.fill(one.get("value", ""))}
                for one in container.get("env", [])
            ],
        }
        self._attempts(key, task, {name: one for name, one in spec.items() if one}, detail)
        found = self._outputs(definitions, executor_input["outputs"], base)
        self.pipelines.cache[print_] = copy.deepcopy(found)
        return "SUCCEEDED", found

    def _executor_input(self, inputs: Values, definitions: Resource, base: str) -> Resource:
        artifacts: dict[str, Resource] = {}
        for name, one in definitions.get("artifacts", {}).items():
            made = {
                "name": f"{'/'.join(self.name.split('/')[:4])}/metadataStores/default/artifacts/"
                f"{random.randrange(10**17, 9 * 10**18)}",
                "type": one.get("artifactType", {"schemaTitle": "system.Artifact"}),
                "uri": f"{base}/{name}",
                "metadata": one.get("metadata", {}),
            }
            artifacts[name] = {"artifacts": [made]}
        return {
            "inputs": {
                "parameterValues": inputs.parameters,
                "artifacts": {name: {"artifacts": one} for name, one in inputs.artifacts.items()},
            },
            "outputs": {
                "parameters": {
                    name: {"outputFile": pipeline_spec.path_of(f"{base}/output_parameters/{name}")}
                    for name in definitions.get("parameters", {})
                },
                "artifacts": artifacts,
                "outputFile": pipeline_spec.path_of(f"{base}/executor_output.json"),
            },
        }

    def _attempts(self, key: str, task: Resource, spec: Resource, detail: Resource) -> None:
        """Run a task's custom job, again as often as its retry policy says; raises its error."""
        jobs, policy = jobs_of(self.emulator), task.get("retryPolicy", {})
        job_spec: Resource = {
            "workerPoolSpecs": [{"machineSpec": {"machineType": _MACHINE}, "replicaCount": "1", "containerSpec": spec}]
        }
        for name in ("serviceAccount", "network", "reservedIpRanges"):
            if self.job.get(name):
                job_spec[name] = self.job[name]
        pause = _seconds(policy.get("backoffDuration", "0s"))
        for attempt in range(int(policy.get("maxRetryCount", 0)) + 1):
            if attempt:
                self.emulator.clock.wait(self.asked.cancelled, pause)
                pause = min(
                    pause * float(policy.get("backoffFactor") or 2),
                    _seconds(policy.get("backoffMaxDuration", "3600s")),
                )
            with self.emulator.store.lock:
                if self.asked.cancelled.is_set():
                    raise GoogleError("CANCELLED", "The task was cancelled.")
                parent = "/".join(self.name.split("/")[:4])
                made = jobs.launch(parent, {"displayName": key, "jobSpec": job_spec})
                self.asked.custom_jobs.add(made["name"])
                executor = detail.setdefault("executorDetail", {"containerDetail": {}})["containerDetail"]
                executor["mainJob"] = made["name"]
            self._set(detail, "RUNNING")
            ended = jobs.wait(made["name"])
            with self.emulator.store.lock:
                self.asked.custom_jobs.discard(made["name"])
            if ended["state"] == "JOB_STATE_SUCCEEDED":
                return
            if ended["state"] == "JOB_STATE_CANCELLED" and self.asked.cancelled.is_set():
                raise GoogleError("CANCELLED", "The task was cancelled.")
            with self.emulator.store.lock:
                executor.setdefault("failedMainJobs", []).append(made["name"])
        raise precondition(ended["error"]["message"])

    def _outputs(self, definitions: Resource, planned: Resource, base: str) -> Values:
        """What a task's program left."""
        found = Values(artifacts={name: one["artifacts"] for name, one in planned["artifacts"].items()})
        try:
            told = json.loads(storage.read(self.emulator, f"{base}/executor_output.json"))
        except (FileNotFoundError, ValueError):
            told = {}
        for name, one in told.get("artifacts", {}).items():
            for artifact, more in zip(found.artifacts.get(name, []), one.get("artifacts", []), strict=False):
                artifact |= {key: more[key] for key in ("uri", "metadata") if key in more}
        for name, definition in definitions.get("parameters", {}).items():
            if name in told.get("parameterValues", {}):
                found.parameters[name] = pipeline_spec.typed(definition, told["parameterValues"][name])
                continue
            address = f"{base}/output_parameters/{name}"
            try:
                found.parameters[name] = pipeline_spec.read(
                    definition, storage.read(self.emulator, address).decode("utf-8", "replace")
                )
            except FileNotFoundError:
                if not definition.get("isOptional"):
                    raise precondition(f"The task did not write its output parameter {name}.") from None
            except ValueError as error:
                raise precondition(f"The output parameter {name} in {address} is not of its type: {error}.") from None
        return found


def _fingerprint(container: Resource, inputs: Values, definitions: Resource) -> str:
    """What two executions share that do the same: the component, its inputs and its outputs' definitions."""
    artifacts = {name: [one["uri"] for one in found] for name, found in inputs.artifacts.items()}
    content = json.dumps([container, inputs.parameters, artifacts, definitions], sort_keys=True, default=str)
    return hashlib.sha256(content.encode()).hexdigest()


def _artifacts(task: Resource, values: Values, outputs: Mapping[str, Values]) -> dict[str, list[Artifact]]:
    found: dict[str, list[Artifact]] = {}
    for name, source in task.get("inputs", {}).get("artifacts", {}).items():
        if "componentInputArtifact" in source:
            one = values.artifacts.get(source["componentInputArtifact"])
        else:
            given = source["taskOutputArtifact"]
            one = outputs[given["producerTask"]].artifacts.get(given["outputArtifactKey"])
        if one:
            found[name] = one
    return found


def _dag_outputs(dag: Resource, outputs: Mapping[str, Values]) -> Values:
    found = Values()
    for name, source in dag.get("outputs", {}).get("parameters", {}).items():
        for one in source.get("valueFromOneof", {}).get("parameterSelectors") or [source.get("valueFromParameter", {})]:
            given = outputs.get(one.get("producerSubtask", ""), Values()).parameters
            if one.get("outputParameterKey") in given:
                found.parameters[name] = given[one["outputParameterKey"]]
                break
    for name, source in dag.get("outputs", {}).get("artifacts", {}).items():
        for one in source.get("artifactSelectors", []):
            given_artifacts = outputs.get(one["producerSubtask"], Values()).artifacts
            found.artifacts.setdefault(name, []).extend(given_artifacts.get(one["outputArtifactKey"], []))
    return found


def _shown(artifacts: Mapping[str, Iterable[Artifact]]) -> Resource:
    """Artifacts as a task's details have them."""
    return {
        name: {
            "artifacts": [
                {
                    "name": one["name"],
                    "displayName": name,
                    "uri": one["uri"],
                    "metadata": one.get("metadata", {}),
                    "schemaTitle": one.get("type", {}).get("schemaTitle", "system.Artifact"),
                    "state": "LIVE",
                }
                for one in found
            ]
        }
        for name, found in artifacts.items()
    }


def _seconds(text: str) -> float:
    return float(str(text).removesuffix("s"))


def given_parameters(config: Resource) -> dict[str, Any]:
    """The parameters of a runtime configuration, in its present or its older form."""
    if "parameterValues" in config:
        return dict(config["parameterValues"])
    return {name: next(iter(value.values())) for name, value in config.get("parameters", {}).items()}


_all: WeakKeyDictionary[Emulator, Pipelines] = WeakKeyDictionary()


def pipelines_of(emulator: Emulator) -> Pipelines:
    """The pipeline jobs of an emulator."""
    if emulator not in _all:
        _all[emulator] = Pipelines(emulator)
    return _all[emulator]


def check(call: Call, job: Resource, wanted: str = "") -> None:
    """Refuse a pipeline job that cannot be."""
    check_common(call, job, "pipeline_job")
    if wanted and not _ID.fullmatch(wanted):
        raise found_errors([("pipeline_job_id", f'"{wanted}" must match [a-z][-a-z0-9]{{0,127}}.')])
    if not job.get("pipelineSpec"):
        if job.get("templateUri"):
            raise GoogleError("UNIMPLEMENTED", "The sandbox does not emulate template registries: set pipeline_spec.")
        raise found_errors([("pipeline_job.pipeline_spec", "Required field is not set.")])
    config = job.get("runtimeConfig", {})
    if not str(config.get("gcsOutputDirectory", "")).startswith("gs://"):
        raise found_errors(
            [
                (
                    "pipeline_job.runtime_config.gcs_output_directory",
                    f'"{config.get("gcsOutputDirectory", "")}" must be a Cloud Storage location, gs://bucket/folder.',
                )
            ]
        )
    if config.get("inputArtifacts"):
        raise GoogleError("UNIMPLEMENTED", "The sandbox does not emulate input artifacts: there is no metadata store.")
    pipeline_spec.check(job["pipelineSpec"], given_parameters(config))


def _deletable(call: Call, job: Resource) -> None:
    if job["state"] not in ENDED:
        raise precondition(f'The PipelineJob "{job["name"]}" is in state {job["state"]}: cancel it before.')


api.add(Collection(PATH, "PipelineJob", deletable=_deletable))


@api.method(f"{PATH}.create")
def create(call: Call) -> Resource:
    wanted = str(call.query.get("pipelineJobId") or "")
    check(call, call.body, wanted)
    return pipelines_of(call.emulator).launch(call.canonical(call.name), call.body, wanted)


@api.method(f"{PATH}.list")
def list_jobs(call: Call) -> Resource:
    found = call.emulator.store.below(TABLE, call.canonical(call.name))
    # Source: the reference of jobDetail, "Not available in the list view".
    return listed(call, [{key: one for key, one in job.items() if key != "jobDetail"} for job in found])


@api.method(f"{PATH}.cancel")
def cancel(call: Call) -> Resource:
    with call.emulator.store.lock:
        name = call.find(PATH)["name"]
    pipelines_of(call.emulator).cancel(name)
    return {}


@api.method(f"{PATH}.batchCancel", f"{PATH}.batchDelete")
def batch(call: Call) -> Resource:
    names = [call.canonical(one) for one in call.body["names"]]
    deleting = call.method.verb == "batchDelete"
    with call.emulator.store.lock:
        for name in names:
            job = call.find(PATH, name)
            if deleting:
                _deletable(call, job)
    if len(names) > 32:
        raise invalid(f"At most 32 PipelineJobs can be named, not {len(names)}.")

    def work(operation: Operation) -> dict[str, Any]:
        pipelines, jobs = pipelines_of(call.emulator), list[Resource]()
        for name in names:
            if not deleting:
                pipelines.cancel(name)
                pipelines.wait(name)
            with call.emulator.store.lock:
                table = call.table(PATH)
                jobs.append(copy.deepcopy(table.pop(name) if deleting else table[name]))
        return call.any(
            "BatchDeletePipelineJobsResponse" if deleting else "BatchCancelPipelineJobsResponse", {"pipelineJobs": jobs}
        )

    kind = "DeleteOperationMetadata" if deleting else "BatchCancelPipelineJobsOperationMetadata"
    return call.operation(call.canonical(call.name), kind, work)
