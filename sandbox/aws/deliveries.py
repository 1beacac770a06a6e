"""Deliveries of EventBridge and EventBridge Scheduler to a SageMaker pipeline: role, retries, dead-letter queue.

Sources: EventBridge user guide, "Debugging event delivery" (24 hours and 185 attempts with exponential back-off; errors
of permission or of a missing resource are not retried; the attributes and error codes of a dead letter); EventBridge
Scheduler user guide, "Configuring a schedule's dead-letter queue".
"""

from __future__ import annotations

import sys
import threading
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from sandbox.aws.api import ApiError

if TYPE_CHECKING:
    from sandbox.aws.emulator import Emulator

RETRY_SECONDS = (1.0, 60.0)
"""The first pause between attempts, which doubles, and the longest."""
_TRANSIENT = {"ThrottlingException", "RequestLimitExceeded"}


@dataclass
class Delivery:
    """One call of a target. `letter` and `attributes` are what a dead letter holds beside the error."""

    service: str
    region: str
    target: dict[str, Any]
    letter: str
    attributes: dict[str, str] = field(default_factory=dict)


class DeliveryFailure(Exception):
    """A target did not take a delivery."""

    def __init__(self, code: str, message: str, transient: bool) -> None:
        super().__init__(message)
        self.code, self.message, self.transient = code, message, transient


def deliver(emulator: Emulator, delivery: Delivery) -> None:
    """Call the target until it takes the delivery or the retry policy ends; then leave a dead letter."""
    policy = delivery.target.get("RetryPolicy") or {}
    most = int(policy.get("MaximumRetryAttempts", 185))
    deadline = emulator.clock.time() + float(policy.get("MaximumEventAgeInSeconds", 86400))
    retries, pause = 0, RETRY_SECONDS[0]
    while not emulator.stopping.is_set():
        try:
            _start(emulator, delivery)
            return
        except DeliveryFailure as failure:
            exhausted = None
            if failure.transient:
                if retries >= most:
                    exhausted = "MaximumRetryAttempts"
                elif emulator.clock.time() + pause > deadline:
                    exhausted = "MaximumEventAgeInSeconds"
            if exhausted or not failure.transient:
                _leave(emulator, delivery, failure, retries, exhausted)
                return
        emulator.clock.wait(emulator.stopping, pause)
        retries, pause = retries + 1, min(2 * pause, RETRY_SECONDS[1])


def in_background(emulator: Emulator, delivery: Delivery) -> None:
    """Deliver without holding up the caller."""
    threading.Thread(target=deliver, args=(emulator, delivery), daemon=True).start()


def _start(emulator: Emulator, delivery: Delivery) -> None:
    """Start the pipeline once; raises DeliveryFailure."""
    target = delivery.target
    scheduled = delivery.service == "scheduler.amazonaws.com"
    arn = str(target["Arn"])
    if ":pipeline/" not in arn:
        raise DeliveryFailure("NotEmulated", f"The sandbox does not call {arn}: only SageMaker pipelines.", False)
    try:
        emulator.require_role(str(target.get("RoleArn")), delivery.service)
    except ApiError as error:
        code = "AccessDeniedException" if scheduled else "FAILED_TO_ASSUME_ROLE"
        raise DeliveryFailure(code, error.message, False) from error
    parameters = (target.get("SageMakerPipelineParameters") or {}).get("PipelineParameterList") or []
    try:
        emulator.client("sagemaker", arn.split(":")[3]).start_pipeline_execution(
            PipelineName=arn, PipelineParameters=parameters, ClientRequestToken=str(uuid.uuid4())
        )
    except ClientError as error:
        code, message = str(error.response["Error"]["Code"]), str(error.response["Error"]["Message"])
        transient = code in _TRANSIENT or error.response["ResponseMetadata"]["HTTPStatusCode"] >= 500
        if not scheduled:
            known = {"ResourceNotFound": "NO_RESOURCE", "ValidationException": "INVALID_PARAMETER"}
            code = "THROTTLING" if code in _TRANSIENT else known.get(code, "ERROR_FROM_TARGET")
        raise DeliveryFailure(code, message, transient) from error
    except BotoCoreError as error:
        raise DeliveryFailure("SDK_CLIENT_ERROR", str(error), False) from error


def _leave(
    emulator: Emulator, delivery: Delivery, failure: DeliveryFailure, retries: int, exhausted: str | None
) -> None:
    """Send what was not delivered to the dead-letter queue, or say on stderr that it is dropped."""
    queue = (delivery.target.get("DeadLetterConfig") or {}).get("Arn")
    attributes = {
        **delivery.attributes,
        "TARGET_ARN": str(delivery.target["Arn"]),
        "ERROR_CODE": failure.code,
        "ERROR_MESSAGE": failure.message,
        "RETRY_ATTEMPTS": str(retries),
        **({"EXHAUSTED_RETRY_CONDITION": exhausted} if exhausted else {}),
    }
    problem = "there is no dead-letter queue"
    if queue:
        client = emulator.client("sqs", queue.split(":")[3])
        try:
            client.send_message(
                QueueUrl=client.get_queue_url(QueueName=queue.rsplit(":", 1)[-1])["QueueUrl"],
                MessageBody=delivery.letter,
                MessageAttributes={
                    key: {"DataType": "String", "StringValue": value} for key, value in attributes.items()
                },
            )
            return
        except (ClientError, BotoCoreError) as error:
            problem = str(error)
    print(f"dropped a delivery ({problem}): {attributes}", file=sys.stderr, flush=True)
