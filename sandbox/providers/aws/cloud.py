"""Calls to AWS: the provider's configuration, one client for each service, errors for people."""

from __future__ import annotations

import os
import re
import threading
import time
from dataclasses import dataclass, field
from typing import Any

from sandbox.providers.check import parsed
from sandbox.providers.resource import Cancelled, CloudError

SERVICES = {
    # boto3's name: the names under which `aws:endpoints` may hold it.
    "application-autoscaling": ("applicationautoscaling", "appautoscaling"),
    "cloudwatch": ("cloudwatch",),
    "ecr": ("ecr",),
    "events": ("events", "eventbridge", "cloudwatchevents"),
    "iam": ("iam",),
    "kms": ("kms",),
    "logs": ("logs", "cloudwatchlogs", "cloudwatchlog"),
    "s3": ("s3", "s3api"),
    "sagemaker": ("sagemaker",),
    "scheduler": ("scheduler",),
    "sns": ("sns",),
    "sqs": ("sqs",),
    "sts": ("sts",),
}

_NAMES = {
    "application-autoscaling": "Application Auto Scaling",
    "cloudwatch": "CloudWatch",
    "ecr": "ECR",
    "events": "EventBridge",
    "iam": "IAM",
    "kms": "KMS",
    "logs": "CloudWatch Logs",
    "s3": "S3",
    "sagemaker": "SageMaker AI",
    "scheduler": "EventBridge Scheduler",
    "sns": "SNS",
    "sqs": "SQS",
    "sts": "STS",
}


@dataclass
class Settings:
    """The provider's own configuration, from `aws:*` or an explicit `aws.Provider`."""

    region: str = ""
    access_key: str | None = None
    secret_key: str | None = None
    token: str | None = None
    profile: str | None = None
    endpoints: dict[str, str] = field(default_factory=dict)
    default_tags: dict[str, str] = field(default_factory=dict)
    ignored_tags: tuple[frozenset[str], tuple[str, ...]] = (frozenset(), ())
    max_retries: int = 25
    path_style: bool = False
    skip_credentials_validation: bool = True
    assume_role: dict[str, Any] | None = None

    @classmethod
    def parse(cls, values: dict[str, Any]) -> Settings:
        """From the wire's properties. Nested ones arrive as JSON text."""
        config = {key: parsed(value) for key, value in values.items() if value is not None}
        endpoints: dict[str, str] = {}
        for entry in config.get("endpoints") or []:
            endpoints |= {name: url for name, url in entry.items() if url}
        default_tags = {
            key.removeprefix("TF_AWS_DEFAULT_TAGS_"): value
            for key, value in os.environ.items()
            if key.startswith("TF_AWS_DEFAULT_TAGS_")
        }
        ignored = config.get("ignoreTags") or {}
        roles = config.get("assumeRoles") or []
        return cls(
            region=str(
                config.get("region") or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or ""
            ),
            access_key=config.get("accessKey"),
            secret_key=config.get("secretKey"),
            token=config.get("token"),
            profile=config.get("profile"),
            endpoints=endpoints,
            default_tags=default_tags | ((config.get("defaultTags") or {}).get("tags") or {}),
            ignored_tags=(frozenset(ignored.get("keys") or []), tuple(ignored.get("keyPrefixes") or [])),
            max_retries=int(config.get("maxRetries") or 25),
            path_style=_true(config.get("s3UsePathStyle")),
            skip_credentials_validation=_true(config.get("skipCredentialsValidation", True)),
            assume_role=roles[0] if roles else None,
        )

    def ignores(self, tag: str) -> bool:
        """Whether a tag is none of the provider's business."""
        keys, prefixes = self.ignored_tags
        return tag.startswith("aws:") or tag in keys or tag.startswith(prefixes or ("\0",))


def _true(value: Any) -> bool:
    return value is True or str(value).lower() == "true"


class Cloud:
    """The clients of one configured provider, made on first use and shared by all threads."""

    def __init__(self, settings: Settings, cancelled: threading.Event) -> None:
        self.settings = settings
        self.cancelled = cancelled
        self._clients: dict[tuple[str, str], Any] = {}
        self._lock = threading.Lock()
        self._session: Any = None
        self._account: str | None = None

    def client(self, service: str, region: str = "") -> Any:
        """The boto3 client of a service."""
        region = region or self.settings.region
        with self._lock:
            if (service, region) not in self._clients:
                self._clients[service, region] = self._new_client(service, region)
            return self._clients[service, region]

    def _new_client(self, service: str, region: str) -> Any:
        import boto3
        from botocore.config import Config

        settings = self.settings
        if self._session is None:
            self._session = boto3.Session(
                aws_access_key_id=settings.access_key,
                aws_secret_access_key=settings.secret_key,
                aws_session_token=settings.token,
                profile_name=settings.profile,
                region_name=settings.region,
            )
            if settings.assume_role:
                self._session = self._assumed(boto3, settings.assume_role)
        endpoint = next(
            (url for name in SERVICES.get(service, (service,)) if (url := settings.endpoints.get(name))), None
        )
        options: dict[str, Any] = {"addressing_style": "path"} if settings.path_style else {}
        config = Config(
            retries={"mode": "standard", "max_attempts": min(settings.max_retries, 6)},
            max_pool_connections=32,
            s3=options,
            user_agent_appid="modelberth-sandbox",
        )
        return self._session.client(service, region_name=region, endpoint_url=endpoint, config=config)

    def _assumed(self, boto3: Any, role: dict[str, Any]) -> Any:
        url = self.settings.endpoints.get("sts")
        answer = self._session.client("sts", endpoint_url=url).assume_role(
            RoleArn=role["roleArn"], RoleSessionName=role.get("sessionName") or "pulumi"
        )["Credentials"]
        return boto3.Session(
            aws_access_key_id=answer["AccessKeyId"],
            aws_secret_access_key=answer["SecretAccessKey"],
            aws_session_token=answer["SessionToken"],
            region_name=self.settings.region,
        )

    def account(self) -> str:
        """The account's number, asked once."""
        if self._account is None:
            call = Call(self, "sts", "caller identity")
            self._account = str(call.do("get_caller_identity")["Account"])
        return self._account


class Call:
    """One operation on one resource: its service, its region, and what to call it in an error."""

    def __init__(self, cloud: Cloud, service: str, thing: str, region: str = "") -> None:
        self.cloud = cloud
        self.service = service
        self.thing = thing
        self.region = region or cloud.settings.region
        self.timeout_seconds: float | None = None
        """How long it may wait, where the program says so (`custom_timeouts`)."""

    def client(self, service: str = "") -> Any:
        return self.cloud.client(service or self.service, self.region)

    def shape(self, operation: str, output: bool = False, service: str = "") -> Any:
        """Botocore's published shape of an operation's parameters or answer."""
        model = self.client(service).meta.service_model.operation_model(operation)
        return model.output_shape if output else model.input_shape

    def do(self, operation: str, service: str = "", **parameters: Any) -> dict[str, Any]:
        """Call AWS. Raises CloudError."""
        from botocore.exceptions import BotoCoreError, ClientError

        self.check_cancelled()
        try:
            return getattr(self.client(service), operation)(**parameters)
        except ClientError as error:
            details = error.response.get("Error", {})
            code, message = str(details.get("Code", "")), _one_line(str(details.get("Message", "")))
            raise CloudError(f"{self._action(operation, service)}: {code}: {message}", code) from error
        except BotoCoreError as error:
            text = " ".join(str(error).split())
            hint = ""
            if type(error).__name__ == "NoCredentialsError":
                hint = ": set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
            raise CloudError(f"{self._action(operation, service)}: {text}{hint}", type(error).__name__) from error

    def find(self, operation: str, missing: tuple[str, ...], service: str = "", **parameters: Any) -> Any:
        """Call AWS, and answer None where it says that the thing is not there."""
        try:
            return self.do(operation, service, **parameters)
        except CloudError as error:
            if error.code in missing or (error.code == "ValidationException" and _says_missing(str(error))):
                return None
            raise

    def remove(self, operation: str, missing: tuple[str, ...], service: str = "", **parameters: Any) -> None:
        """Call AWS to delete something; gone already is as good."""
        self.find(operation, missing, service, **parameters)

    def retry(
        self,
        operation: str,
        messages: tuple[str, ...],
        service: str = "",
        seconds: float = 120,
        **parameters: Any,
    ) -> dict[str, Any]:
        """Call AWS again while it says one of the messages: what IAM knows takes a while to get about."""
        deadline = time.monotonic() + seconds
        pause = 0.5
        while True:
            try:
                return self.do(operation, service, **parameters)
            except CloudError as error:
                text = str(error).lower()
                if time.monotonic() > deadline or not any(message in text for message in messages):
                    raise
            self.wait(pause)
            pause = min(pause * 1.5, 10)

    def wait(self, seconds: float) -> None:
        """Wait, unless the update is interrupted. Raises Cancelled."""
        if self.cloud.cancelled.wait(seconds):
            raise Cancelled(f"interrupted while waiting for {self.thing}")

    def check_cancelled(self) -> None:
        if self.cloud.cancelled.is_set():
            raise Cancelled(f"interrupted before work on {self.thing}")

    def _action(self, operation: str, service: str) -> str:
        name = _NAMES.get(service or self.service, service or self.service)
        return f"{operation} on {name} {self.thing}"


def _one_line(message: str) -> str:
    """A message in one line. A gateway's error may come as a page of HTML."""
    return " ".join(re.sub(r"<[^>]+>", " ", message).split())


def _says_missing(text: str) -> bool:
    text = text.lower()
    return any(word in text for word in ("could not find", "not found", "does not exist", "cannot find"))


# What the services say while a new role is not known everywhere yet.
ROLE_NOT_READY = (
    "could not assume role",
    "cannot assume role",
    "unable to assume",
    "must allow aws eventbridge scheduler to assume the role",
    "assume the role",
    "invalid principal",
    "does not have permission to assume",
)


def tag_list(tags: dict[str, str], key: str = "Key", value: str = "Value") -> list[dict[str, str]]:
    """Tags as most services take them."""
    return [{key: name, value: text} for name, text in sorted(tags.items())]


def tag_map(tags: list[dict[str, str]] | None, key: str = "Key", value: str = "Value") -> dict[str, str]:
    """Tags as most services give them."""
    return {tag[key]: tag[value] for tag in tags or []}
