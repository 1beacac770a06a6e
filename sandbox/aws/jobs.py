"""Jobs: what training and processing jobs have in common.

Sources: SageMaker API reference (StopTrainingJob: SIGTERM, then 120 seconds; StoppingCondition), and what a container
finds below /opt/ml in the developer guide. The program works in real time, whatever the clock's speed; only the
120 seconds are the clock's.
"""

from __future__ import annotations

import re
import shutil
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sandbox.aws.api import ACCOUNT, ApiError, Call, validation_error
from sandbox.aws.tagging import tag_map

if TYPE_CHECKING:
    from sandbox.aws.emulator import Emulator

STOP_SECONDS = 120.0
LONGEST_REASON = 1024
"""Characters kept of the text that a container leaves about its end."""

_OPT_ML = re.compile(r"(?<![\w./-])/opt/ml(?=/|$)")


class JobFailure(Exception):
    """A job cannot go on; the message is its FailureReason."""


@dataclass
class Job:
    """One training or processing job. `request` is what it was created with, without tags."""

    kind: str
    name: str
    arn: str
    region: str
    request: dict[str, Any]
    created: datetime
    modified: datetime
    status: str = "InProgress"
    reason: str | None = None
    started: datetime | None = None
    ended: datetime | None = None
    exit_message: str | None = None
    seconds: int = 0
    transitions: list[dict[str, Any]] = field(default_factory=list)
    stop_asked: threading.Event = field(default_factory=threading.Event)
    done: threading.Event = field(default_factory=threading.Event)
    folder: Path = Path()


@dataclass(frozen=True)
class Ended:
    """How a program ended: its exit code, and whether it was stopped and why (`asked` or `runtime`)."""

    code: int
    stopped: str | None


class Jobs:
    """The jobs of the account, by ARN."""

    def __init__(self, emulator: Emulator) -> None:
        self.emulator = emulator
        self.jobs: dict[str, Job] = {}
        self.lock = threading.RLock()

    def has_arn(self, arn: str) -> bool:
        return arn in self.jobs

    def find(self, region: str, kind: str, name: str) -> Job | None:
        return self.jobs.get(f"arn:aws:sagemaker:{region}:{ACCOUNT}:{kind}/{name}")

    def in_region(self, region: str, kind: str) -> list[Job]:
        return [job for job in list(self.jobs.values()) if (job.region, job.kind) == (region, kind)]

    def start(self, call: Call, kind: str, name: str, body: Callable[[Job], str]) -> Job:
        """Register a job and run it in the background. `body` returns the final status or raises JobFailure."""
        arn, now = call.arn("sagemaker", f"{kind}/{name}"), self.emulator.clock.now()
        request = {key: value for key, value in call.params.items() if key != "Tags" and value is not None}
        job = Job(kind, name, arn, call.region, request, now, now)
        with self.lock:
            if arn in self.jobs:
                what = "Training job names" if kind == "training-job" else "Job names"
                raise ApiError(
                    "ResourceInUse",
                    f"{what} must be unique within an AWS account and region, "
                    f"and a job with this name already exists ({arn})",
                )
            self.jobs[arn] = job
            self.emulator.tags[arn] = tag_map(call.params.get("Tags"))
        job.folder = self.emulator.runtime.new_folder(f"{kind}-{name}")
        threading.Thread(target=self._run, args=(job, body), daemon=True, name=f"{kind} {name}").start()
        return job

    def _run(self, job: Job, body: Callable[[Job], str]) -> None:
        try:
            status, reason = body(job), job.reason
        except JobFailure as failure:
            status, reason = "Failed", str(failure)
        except Exception:
            if self.emulator.stopping.is_set():
                return
            traceback.print_exc(file=sys.stderr)
            status, reason = "Failed", "InternalServerError: We encountered an internal error. Please try again."
        finally:
            shutil.rmtree(job.folder, ignore_errors=True)
        with self.lock:
            job.reason = reason
            job.ended = job.modified = self.emulator.clock.now()
            job.status = status
        job.done.set()

    def stop(self, job: Job) -> None:
        """Ask a job to stop; raises what the service answers for a job that has ended."""
        with self.lock:
            if job.status not in {"InProgress", "Stopping"}:
                what = job.kind.replace("-", " ")
                raise validation_error(f"The request was rejected because the {what} is in status {job.status}.")
            job.status, job.modified = "Stopping", self.emulator.clock.now()
        job.stop_asked.set()

    def run_program(
        self, job: Job, image: str, command: Callable[[list[str]], Sequence[str]], environment: Mapping[str, str]
    ) -> Ended:
        """Run the image's program to its end, to the asked stop or to the runtime's limit.

        `command` makes the command line from the image's own program.
        """
        _, _, program = self.emulator.find_image(image)
        if program is None:
            raise JobFailure(f"ClientError: The image {image} cannot be run.")
        group = "/aws/sagemaker/" + ("TrainingJobs" if job.kind == "training-job" else "ProcessingJobs")
        stream = f"{job.name}/algo-1-{int(job.created.timestamp())}"
        limit = job.request.get("StoppingCondition", {}).get("MaxRuntimeInSeconds", 86400)
        job.started, began = self.emulator.clock.now(), time.monotonic()
        container = self.emulator.runtime.start(
            f"{job.kind} {job.name}",
            [self._inside(job, part) for part in command(program)],
            job.folder,
            {
                **{str(key): self._inside(job, str(value)) for key, value in environment.items()},
                "AWS_REGION": job.region,
                "AWS_DEFAULT_REGION": job.region,
                "SAGEMAKER_BASE_DIR": str(job.folder),
            },
            lambda line: self.emulator.log(job.region, group, stream, line),
        )
        stopped = None
        while container.running and stopped is None:
            if job.stop_asked.wait(0.05):
                stopped = "asked"
            elif time.monotonic() - began > limit:
                stopped = "runtime"
        if stopped is not None:
            container.terminate()
            clock = self.emulator.clock
            deadline = clock.time() + STOP_SECONDS
            while container.running and clock.time() < deadline and not self.emulator.stopping.wait(0.05):
                pass
            container.stop()
        code = container.wait()
        job.seconds = round(time.monotonic() - began)
        return Ended(code, stopped)

    def _inside(self, job: Job, text: str) -> str:
        """A path below /opt/ml, as a command or variable names it, in the folder that stands for /opt/ml."""
        return _OPT_ML.sub(lambda _: str(job.folder), text)


def left_text(path: Path) -> str:
    """What a container left in its failure or message file, cut as the service cuts it."""
    try:
        return path.read_bytes()[: 4 * LONGEST_REASON].decode("utf-8", "replace")[:LONGEST_REASON]
    except OSError:
        return ""
