"""SageMaker pipelines: definitions, and executions whose steps are real jobs.

Sources: SageMaker API reference (CreatePipeline, StartPipelineExecution, StopPipelineExecution,
ListPipelineExecutionSteps); developer guide, "Run a pipeline" and "IAM Access Management" (jobs are named
pipelines-<execution id>-<step>-<suffix>). A failed step keeps those that depend on it from starting.
"""

from __future__ import annotations

import contextlib
import json
import queue
import random
import string
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from sandbox.aws import objects
from sandbox.aws.api import ACCOUNT, ApiError, Call, listed, operation, page, validation_error
from sandbox.aws.pipeline_definition import Context, Definition, Step, Unresolved, parse, walk
from sandbox.aws.tagging import tag_map

if TYPE_CHECKING:
    from sandbox.aws.emulator import Emulator

PARALLEL_STEPS = 50
LONGEST_JOB_NAME = 63
_STEP_REASON = 1024
_JOBS = {"Training": ("training_job", "TrainingJob"), "Processing": ("processing_job", "ProcessingJob")}


@dataclass
class Pipeline:
    """A pipeline and its present definition."""

    name: str
    arn: str
    region: str
    details: dict[str, Any]
    definition: Definition
    created: datetime
    modified: datetime
    last_run: datetime | None = None


@dataclass
class StepRun:
    """A step that has started in an execution."""

    step: Step
    started: datetime
    status: str = "Starting"
    ended: datetime | None = None
    reason: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    properties: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class Execution:
    """One run of a pipeline, by the definition that it had at the start."""

    id: str
    arn: str
    pipeline: Pipeline
    definition: Definition
    parameters: dict[str, Any]
    given: list[dict[str, str]]
    details: dict[str, Any]
    created: datetime
    modified: datetime
    status: str = "Executing"
    reason: str | None = None
    runs: dict[str, StepRun] = field(default_factory=dict)
    halted: threading.Event = field(default_factory=threading.Event)


class Pipelines:
    """The pipelines of the account and their executions."""

    def __init__(self, emulator: Emulator) -> None:
        self.emulator = emulator
        self.pipelines: dict[str, Pipeline] = {}
        self.executions: dict[str, Execution] = {}
        self.lock = threading.RLock()
        self._answers: dict[tuple[str, str, str], tuple[dict[str, Any], dict[str, Any]]] = {}

    def has_arn(self, arn: str) -> bool:
        return arn in self.pipelines

    def find(self, region: str, name_or_arn: str) -> Pipeline:
        arn = name_or_arn
        if not arn.startswith("arn:"):
            arn = f"arn:aws:sagemaker:{region}:{ACCOUNT}:pipeline/{name_or_arn}"
        pipeline = self.pipelines.get(arn)
        if pipeline is None:
            raise ApiError("ResourceNotFound", f"Pipeline '{arn}' does not exist.")
        return pipeline

    def execution(self, arn: str | None) -> Execution:
        execution = self.executions.get(arn or "")
        if execution is None:
            raise ApiError("ResourceNotFound", f"Pipeline execution '{arn}' does not exist.")
        return execution

    def once(self, call: Call, act: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Answer a repeated request with the same ClientRequestToken as the first one."""
        key = (call.region, call.name, str(call.params.get("ClientRequestToken")))
        with self.lock:
            if key not in self._answers:
                self._answers[key] = (dict(call.params), act())
            params, answer = self._answers[key]
            if params != call.params:
                raise ApiError("ConflictException", "The ClientRequestToken was used before with different parameters.")
            return answer

    def start(self, execution: Execution) -> None:
        """Register an execution and run it in the background."""
        with self.lock:
            self.executions[execution.arn] = execution
            execution.pipeline.last_run = execution.created
        threading.Thread(target=self._execute, args=(execution,), daemon=True, name=execution.arn).start()

    def _execute(self, execution: Execution) -> None:
        """Start each step when those before it are done, as many at a time as is allowed."""
        sorter = execution.definition.sorter()
        sorter.prepare()
        configuration = execution.details.get("ParallelismConfiguration") or {}
        limit = int(configuration.get("MaxParallelExecutionSteps") or PARALLEL_STEPS)
        ended: queue.Queue[str] = queue.Queue()
        ready: list[str] = []
        running = 0
        while sorter.is_active():
            ready += sorter.get_ready()
            while ready and running < limit:
                step = execution.definition.steps[ready.pop(0)]
                if not self._may_start(execution, step):
                    sorter.done(step.name)
                    continue
                run = StepRun(step, self.emulator.clock.now())
                with self.lock:
                    execution.runs[step.name] = run
                running += 1
                threading.Thread(target=self._run_step, args=(execution, run, ended), daemon=True).start()
            if running:
                sorter.done(ended.get())
                running -= 1
        failed = any(run.status == "Failed" for run in execution.runs.values())
        with self.lock:
            stopped = execution.status == "Stopping"
            execution.status = "Stopped" if stopped else "Failed" if failed else "Succeeded"
            execution.reason = "Step failure: One or multiple steps failed." if failed and not stopped else None
            execution.modified = self.emulator.clock.now()

    def _may_start(self, execution: Execution, step: Step) -> bool:
        if execution.halted.is_set():
            return False
        before = [execution.runs.get(name) for name in step.needs | set(step.guards)]
        if any(run is None or run.status != "Succeeded" for run in before):
            return False
        outcomes = {name: execution.runs[name].metadata["Condition"]["Outcome"] for name in step.guards}
        return all(outcomes[name] == str(wanted) for name, wanted in step.guards.items())

    def _run_step(self, execution: Execution, run: StepRun, ended: queue.Queue[str]) -> None:
        try:
            status, reason = self._perform(execution, run)
        except (Unresolved, ClientError, BotoCoreError) as error:
            status, reason = "Failed", f"ClientError: {_message(error)}"
        except Exception as error:
            if not self.emulator.stopping.is_set():
                traceback.print_exc(file=sys.stderr)
            status, reason = "Failed", f"InternalServerError: {error}"
        with self.lock:
            run.status, run.reason = status, reason[:_STEP_REASON] if reason else None
            run.ended = self.emulator.clock.now()
        ended.put(run.step.name)

    def _perform(self, execution: Execution, run: StepRun) -> tuple[str, str | None]:
        """Run one step: its status and the reason of a failure."""
        context = self._context(execution)
        step = run.step
        if step.kind == "Fail":
            message = str(context.resolve(step.arguments["ErrorMessage"]))
            run.metadata = {"Fail": {"ErrorMessage": message}}
            execution.halted.set()
            return "Failed", message
        if step.kind == "Condition":
            holds = all(context.holds(one) for one in step.arguments["Conditions"])
            run.metadata = {"Condition": {"Outcome": str(holds)}}
            return "Succeeded", None
        return self._run_job(execution, run, context.resolve(step.arguments))

    def _run_job(self, execution: Execution, run: StepRun, arguments: dict[str, Any]) -> tuple[str, str | None]:
        method, kind = _JOBS[run.step.kind]
        client = self.emulator.client("sagemaker", execution.pipeline.region)
        name = _job_name(execution.id, run.step.name)
        arn = str(getattr(client, f"create_{method}")(**{**arguments, f"{kind}Name": name})[f"{kind}Arn"])
        with self.lock:
            run.metadata = {kind: {"Arn": arn}}
            if run.status == "Starting":
                run.status = "Executing"
        if execution.halted.is_set() and execution.status == "Stopping":
            self._stop_job(execution, run)
        job = self.emulator.jobs.jobs[arn]
        while not job.done.wait(1.0) and not self.emulator.stopping.is_set():
            pass
        run.properties = getattr(client, f"describe_{method}")(**{f"{kind}Name": name})
        if job.status == "Completed":
            return "Succeeded", None
        if job.status == "Stopped":
            if execution.status == "Stopping":
                return "Stopped", None
            return "Failed", f"ClientError: The job {name} was stopped."
        return "Failed", f"ClientError: {job.reason}"

    def stop(self, execution: Execution) -> None:
        """Stop an execution: nothing more starts, running jobs are stopped."""
        with self.lock:
            if execution.status == "Stopping":
                return
            if execution.status != "Executing":
                raise validation_error(
                    f"Pipeline execution with ARN {execution.arn} is in status {execution.status}: "
                    "only an executing one can be stopped."
                )
            execution.status, execution.modified = "Stopping", self.emulator.clock.now()
            execution.halted.set()
            running = [run for run in execution.runs.values() if run.status in {"Starting", "Executing"}]
            for run in running:
                run.status = "Stopping"
        for run in running:
            self._stop_job(execution, run)

    def _stop_job(self, execution: Execution, run: StepRun) -> None:
        client = self.emulator.client("sagemaker", execution.pipeline.region)
        for method, kind in _JOBS.values():
            if kind in run.metadata:
                name = run.metadata[kind]["Arn"].rsplit("/", 1)[-1]
                # It may have ended at this moment.
                with contextlib.suppress(ClientError):
                    getattr(client, f"stop_{method}")(**{f"{kind}Name": name})

    def _context(self, execution: Execution) -> Context:
        variables = {
            "PipelineArn": execution.pipeline.arn,
            "PipelineName": execution.pipeline.name,
            "PipelineExecutionArn": execution.arn,
            "PipelineExecutionId": execution.id,
            "StartDateTime": execution.created.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z",
        }

        def variable(name: str) -> str:
            if name == "CurrentDateTime":
                return self.emulator.clock.now().strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
            return variables[name]

        def property_file(step: str, name: str) -> Any:
            run = execution.runs[step]
            files = run.step.body.get("PropertyFiles") or []
            found = next((one for one in files if one.get("PropertyFileName") == name), None)
            if found is None:
                raise Unresolved(f"step [{step}] has no property file {name}")
            path = f".ProcessingOutputConfig.Outputs['{found['OutputName']}'].S3Output.S3Uri"
            uri = walk(run.properties, path, f"the output of property file {name}")
            try:
                return json.loads(objects.read(f"{str(uri).rstrip('/')}/{found['FilePath']}"))
            except (FileNotFoundError, ValueError) as error:
                raise Unresolved(f"the property file {name} cannot be read: {error}") from error

        return Context(execution.parameters, variable, lambda step: execution.runs[step].properties, property_file)


def _message(error: Exception) -> str:
    if isinstance(error, ClientError):
        return str(error.response.get("Error", {}).get("Message", error))
    return str(error)


def _random(count: int) -> str:
    return "".join(random.choices(string.ascii_lowercase + string.digits, k=count))


def _job_name(execution: str, step: str) -> str:
    prefix, suffix = f"pipelines-{execution}-", f"-{_random(10)}"
    # The names of jobs know no underscore.
    middle = step.replace("_", "-")[: LONGEST_JOB_NAME - len(prefix) - len(suffix)].strip("-")
    return f"{prefix}{middle}{suffix}"


# Pipelines


def _definition(params: Mapping[str, Any]) -> Definition:
    """The definition that a request gives, in its text or in the bucket."""
    text, location = params.get("PipelineDefinition"), params.get("PipelineDefinitionS3Location")
    if bool(text) == bool(location):
        raise validation_error("Exactly one of PipelineDefinition and PipelineDefinitionS3Location must be given.")
    if location:
        uri = f"s3://{location['Bucket']}/{location['ObjectKey']}"
        try:
            text = objects.read(uri).decode("utf-8", "replace")
        except FileNotFoundError as error:
            raise validation_error(f"The pipeline definition {uri} does not exist.") from error
    return parse(str(text))


_DETAILS = ("PipelineDisplayName", "PipelineDescription", "RoleArn", "ParallelismConfiguration")


@operation("sagemaker", "CreatePipeline")
def create_pipeline(call: Call) -> dict[str, Any]:
    pipelines, params = call.emulator.pipelines, call.params

    def create() -> dict[str, Any]:
        name = params["PipelineName"]
        arn = call.arn("sagemaker", f"pipeline/{name}")
        if arn in pipelines.pipelines:
            raise validation_error(
                "Pipeline names must be unique within an AWS account and region. "
                f"Pipeline with name ({name}) already exists."
            )
        call.emulator.require_role(params["RoleArn"])
        definition, now = _definition(params), call.emulator.clock.now()
        details = {key: params[key] for key in _DETAILS if params.get(key) is not None}
        pipelines.pipelines[arn] = Pipeline(name, arn, call.region, details, definition, now, now)
        call.emulator.tags[arn] = tag_map(params.get("Tags"))
        return {"PipelineArn": arn}

    return pipelines.once(call, create)


@operation("sagemaker", "UpdatePipeline")
def update_pipeline(call: Call) -> dict[str, Any]:
    params = call.params
    pipeline = call.emulator.pipelines.find(call.region, params["PipelineName"])
    if params.get("RoleArn"):
        call.emulator.require_role(params["RoleArn"])
    if params.get("PipelineDefinition") or params.get("PipelineDefinitionS3Location"):
        pipeline.definition = _definition(params)
    pipeline.details.update({key: params[key] for key in _DETAILS if params.get(key) is not None})
    pipeline.modified = call.emulator.clock.now()
    return {"PipelineArn": pipeline.arn}


@operation("sagemaker", "DescribePipeline")
def describe_pipeline(call: Call) -> dict[str, Any]:
    pipeline = call.emulator.pipelines.find(call.region, call.params["PipelineName"])
    return {
        "PipelineArn": pipeline.arn,
        "PipelineName": pipeline.name,
        "PipelineDisplayName": pipeline.name,
        **pipeline.details,
        "PipelineDefinition": pipeline.definition.text,
        "PipelineStatus": "Active",
        "CreationTime": pipeline.created,
        "LastModifiedTime": pipeline.modified,
        "LastRunTime": pipeline.last_run,
    }


@operation("sagemaker", "DeletePipeline")
def delete_pipeline(call: Call) -> dict[str, Any]:
    pipelines = call.emulator.pipelines

    def delete() -> dict[str, Any]:
        pipeline = pipelines.find(call.region, call.params["PipelineName"])
        own = [one for one in pipelines.executions.values() if one.pipeline is pipeline]
        busy = [one.arn for one in own if one.status in {"Executing", "Stopping"}]
        if busy:
            raise ApiError("ConflictException", f"Pipeline '{pipeline.arn}' has running executions: {', '.join(busy)}.")
        for execution in own:
            del pipelines.executions[execution.arn]
        del pipelines.pipelines[pipeline.arn]
        call.emulator.tags.pop(pipeline.arn, None)
        return {"PipelineArn": pipeline.arn}

    return pipelines.once(call, delete)


@operation("sagemaker", "ListPipelines")
def list_pipelines(call: Call) -> dict[str, Any]:
    prefix = call.params.get("PipelineNamePrefix") or ""
    items = [
        {
            "PipelineArn": one.arn,
            "PipelineName": one.name,
            "PipelineDisplayName": one.details.get("PipelineDisplayName", one.name),
            "PipelineDescription": one.details.get("PipelineDescription"),
            "RoleArn": one.details["RoleArn"],
            "CreationTime": one.created,
            "LastModifiedTime": one.modified,
            "LastExecutionTime": one.last_run,
        }
        for one in list(call.emulator.pipelines.pipelines.values())
        if one.region == call.region and one.name.startswith(prefix)
    ]
    found, token = listed(call, items, "PipelineName")
    return {"PipelineSummaries": found, "NextToken": token}


# Executions


@operation("sagemaker", "StartPipelineExecution")
def start_pipeline_execution(call: Call) -> dict[str, Any]:
    pipelines, params = call.emulator.pipelines, call.params

    def start() -> dict[str, Any]:
        pipeline = pipelines.find(call.region, params["PipelineName"])
        if params.get("SelectiveExecutionConfig"):
            raise validation_error("SelectiveExecutionConfig is not emulated.")
        given = params.get("PipelineParameters") or []
        definition, now, number = pipeline.definition, call.emulator.clock.now(), _random(12)
        execution = Execution(
            number,
            f"{pipeline.arn}/execution/{number}",
            pipeline,
            definition,
            definition.given(given),
            given,
            {
                "PipelineExecutionDisplayName": params.get("PipelineExecutionDisplayName")
                or f"execution-{int(now.timestamp() * 1000)}",
                "PipelineExecutionDescription": params.get("PipelineExecutionDescription"),
                "ParallelismConfiguration": params.get("ParallelismConfiguration")
                or pipeline.details.get("ParallelismConfiguration"),
            },
            now,
            now,
        )
        pipelines.start(execution)
        return {"PipelineExecutionArn": execution.arn}

    return pipelines.once(call, start)


@operation("sagemaker", "StopPipelineExecution")
def stop_pipeline_execution(call: Call) -> dict[str, Any]:
    execution = call.emulator.pipelines.execution(call.params["PipelineExecutionArn"])
    call.emulator.pipelines.stop(execution)
    return {"PipelineExecutionArn": execution.arn}


@operation("sagemaker", "UpdatePipelineExecution")
def update_pipeline_execution(call: Call) -> dict[str, Any]:
    execution = call.emulator.pipelines.execution(call.params["PipelineExecutionArn"])
    for key in execution.details:
        if call.params.get(key) is not None:
            execution.details[key] = call.params[key]
    execution.modified = call.emulator.clock.now()
    return {"PipelineExecutionArn": execution.arn}


@operation("sagemaker", "DescribePipelineExecution")
def describe_pipeline_execution(call: Call) -> dict[str, Any]:
    execution = call.emulator.pipelines.execution(call.params["PipelineExecutionArn"])
    return {
        "PipelineArn": execution.pipeline.arn,
        "PipelineExecutionArn": execution.arn,
        **execution.details,
        "PipelineExecutionStatus": execution.status,
        "FailureReason": execution.reason,
        "CreationTime": execution.created,
        "LastModifiedTime": execution.modified,
    }


@operation("sagemaker", "DescribePipelineDefinitionForExecution")
def describe_pipeline_definition_for_execution(call: Call) -> dict[str, Any]:
    execution = call.emulator.pipelines.execution(call.params["PipelineExecutionArn"])
    return {"PipelineDefinition": execution.definition.text, "CreationTime": execution.created}


@operation("sagemaker", "ListPipelineParametersForExecution")
def list_pipeline_parameters_for_execution(call: Call) -> dict[str, Any]:
    execution = call.emulator.pipelines.execution(call.params["PipelineExecutionArn"])
    found, token = page(execution.given, call.params)
    return {"PipelineParameters": found, "NextToken": token}


@operation("sagemaker", "ListPipelineExecutions")
def list_pipeline_executions(call: Call) -> dict[str, Any]:
    pipelines = call.emulator.pipelines
    pipeline = pipelines.find(call.region, call.params["PipelineName"])
    items = [
        {
            "PipelineExecutionArn": one.arn,
            "CreationTime": one.created,
            "StartTime": one.created,
            "PipelineExecutionStatus": one.status,
            "PipelineExecutionDescription": one.details["PipelineExecutionDescription"],
            "PipelineExecutionDisplayName": one.details["PipelineExecutionDisplayName"],
            "PipelineExecutionFailureReason": one.reason,
        }
        for one in list(pipelines.executions.values())
        if one.pipeline is pipeline
    ]
    found, token = listed(call, items, "PipelineExecutionArn")
    return {"PipelineExecutionSummaries": found, "NextToken": token}


@operation("sagemaker", "ListPipelineExecutionSteps")
def list_pipeline_execution_steps(call: Call) -> dict[str, Any]:
    pipelines = call.emulator.pipelines
    execution = pipelines.execution(call.params.get("PipelineExecutionArn"))
    with pipelines.lock:
        steps = [
            {
                "StepName": run.step.name,
                "StepDisplayName": run.step.body.get("DisplayName"),
                "StepDescription": run.step.body.get("Description"),
                "StartTime": run.started,
                "EndTime": run.ended,
                "StepStatus": run.status,
                "FailureReason": run.reason,
                "Metadata": run.metadata,
                "AttemptCount": 1,
            }
            for run in execution.runs.values()
        ]
    if call.params.get("SortOrder") != "Ascending":
        steps.reverse()
    found, token = page(steps, call.params)
    return {"PipelineExecutionSteps": found, "NextToken": token}
