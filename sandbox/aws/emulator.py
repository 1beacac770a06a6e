"""Everything the emulator holds, in one object that every operation reaches."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import threading
import time
import tomllib
import uuid
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from sandbox.aws.alarms import Alarms
from sandbox.aws.api import ACCOUNT, ApiError
from sandbox.aws.cloudwatch import Metrics
from sandbox.aws.faults import Faults
from sandbox.aws.hosting import Hosting
from sandbox.aws.jobs import Jobs
from sandbox.aws.notifications import Notifications
from sandbox.aws.pipelines import Pipelines
from sandbox.aws.scheduler import Schedules
from sandbox.clock import Clock
from sandbox.containers import PROJECT_PROGRAM, Images, ProcessRuntime

_ROOT = Path(__file__).parents[2]
_ECR = re.compile(
    r"^(\d{12})\.dkr\.ecr\.([a-z0-9-]+)\.amazonaws\.com(?:\.cn)?/([^:@]+)(?::([^@]+))?(?:@(sha256:\w+))?$"
)


def project_version() -> str:
    """The version in pyproject.toml: the tag of the project's image."""
    return str(tomllib.loads((_ROOT / "pyproject.toml").read_text())["project"]["version"])


class Emulator:
    """The state of the emulated account, beside what moto keeps."""

    def __init__(self, url: str, folder: Path, speed: float = 1.0) -> None:
        self.url = url
        self.instance_id = uuid.uuid4().hex
        self.clock = Clock(speed)
        self.stopping = threading.Event()
        self.tags: dict[str, dict[str, str]] = defaultdict(dict)
        self.images = Images()
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        self.runtime = ProcessRuntime(
            folder,
            {
                "AWS_ENDPOINT_URL": url,
                "AWS_ACCESS_KEY_ID": "AKIASANDBOX000000000",
                "AWS_SECRET_ACCESS_KEY": "sandbox",
                "PYTHONPATH": os.pathsep.join(filter(None, [str(_ROOT), os.environ.get("PYTHONPATH", "")])),
            },
        )
        self.faults = Faults()
        self.metrics = Metrics(self.clock)
        self.notifications = Notifications(self)
        self.alarms = Alarms(self)
        self.hosting = Hosting(self)
        self.jobs = Jobs(self)
        self.pipelines = Pipelines(self)
        self.schedules = Schedules(self)
        self._clients: dict[tuple[str, str], Any] = {}
        self._client_lock = threading.Lock()
        self._regions: set[str] = set()
        self._log_lock = threading.Lock()

    def start(self) -> None:
        """Start the threads that watch alarms, schedules and machines."""
        for target in (self.alarms.run, self.schedules.run, self.hosting.watch):
            threading.Thread(target=target, daemon=True).start()

    def stop(self) -> None:
        """Stop the threads and end every container."""
        self.stopping.set()
        self.runtime.stop_all()

    def client(self, service: str, region: str) -> Any:
        """A boto3 client of this emulator, for what one service does through another."""
        with self._client_lock:
            if (service, region) not in self._clients:
                self._clients[service, region] = boto3.session.Session(
                    aws_access_key_id="AKIASANDBOX000000000",
                    aws_secret_access_key="sandbox",
                    region_name=region,
                ).client(
                    service,
                    endpoint_url=self.url,
                    config=Config(
                        s3={"addressing_style": "path"}, retries={"max_attempts": 2}, max_pool_connections=20
                    ),
                )
            return self._clients[service, region]

    def visit(self, region: str) -> None:
        """Put the project's image into a region's ECR when the region is first used."""
        if region in self._regions:
            return
        self._regions.add(region)
        self.push_image(region, "modelberth", project_version(), PROJECT_PROGRAM)

    def push_image(self, region: str, repository: str, tag: str, program: Sequence[str]) -> str:
        """Make an image in the emulated ECR that runs a program of this machine; gives its digest."""
        from moto.ecr.exceptions import ImageAlreadyExistsException
        from moto.ecr.models import ecr_backends

        registry = ecr_backends[ACCOUNT][region]
        if repository not in registry.repositories:
            registry.create_repository(
                repository_name=repository,
                registry_id=ACCOUNT,
                encryption_config={"encryptionType": "AES256"},
                image_scan_config=None,
                image_tag_mutability="MUTABLE",
                tags=[],
            )
        config = hashlib.sha256(json.dumps([repository, tag, list(program)]).encode()).hexdigest()
        media = "application/vnd.docker.distribution.manifest.v2+json"
        manifest = json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": media,
                "config": {
                    "mediaType": "application/vnd.docker.container.image.v1+json",
                    "size": 2,
                    "digest": f"sha256:{config}",
                },
                "layers": [],
            }
        )
        # An image's digest is that of its manifest (OCI image specification); moto's is one for all without layers.
        digest = "sha256:" + hashlib.sha256(manifest.encode()).hexdigest()
        # What is there already may be pushed again.
        with contextlib.suppress(ImageAlreadyExistsException):
            registry.put_image(
                repository_name=repository,
                image_manifest=manifest,
                image_tag=tag,
                image_manifest_mediatype=media,
                digest=digest,
            )
        self.images.add(digest, program)
        return digest

    def register_image(self, reference: str, program: Sequence[str]) -> None:
        """Let an image reference run a program, as the administration route asks."""
        match = _ECR.match(reference)
        if match is None:
            self.images.add_reference(reference, program)
            return
        _, region, repository, tag, _ = match.groups()
        self.visit(region)
        self.push_image(region, repository, tag or "latest", program)

    def find_image(self, reference: str) -> tuple[str, str | None, list[str] | None]:
        """The reference with its digest, the digest, and the program; None where it is not to be found."""
        from moto.ecr.models import ecr_backends

        match = _ECR.match(reference)
        if match is None:
            return reference, None, self.images.program(reference, None)
        _, region, repository, tag, digest = match.groups()
        self.visit(region)
        found = ecr_backends[ACCOUNT][region].repositories.get(repository)
        for image in found.images if found else []:
            if image.get_image_digest() == digest or (not digest and (tag or "latest") in image.image_tags):
                actual = str(image.get_image_digest())
                return reference.split("@")[0], actual, self.images.program(reference, actual)
        return reference, None, None

    def require_image(self, reference: str) -> None:
        """Refuse an image that is in no registry."""
        _, digest, program = self.find_image(reference)
        if digest is None and program is None:
            raise ApiError("ValidationException", f"Requested image {reference} not found.")

    def require_role(self, arn: str, service: str = "sagemaker.amazonaws.com") -> None:
        """Refuse a role that does not exist or that the service may not assume.

        Source: the errors of SageMaker's CreateModel, CreateTrainingJob and CreatePipeline.
        """
        from moto.iam.models import iam_backends

        for role in iam_backends[ACCOUNT]["aws"].roles.values():
            if role.arn == arn:
                break
        else:
            raise ApiError(
                "ValidationException",
                f"Could not assume role {arn}. Please ensure that the role exists and allows principal "
                f"'{service}' to assume the role.",
            )
        document = role.assume_role_policy_document
        policy: dict[str, Any] = json.loads(document) if isinstance(document, str) else document
        statements = policy.get("Statement", [])
        for statement in statements if isinstance(statements, list) else [statements]:
            principal: Any = statement.get("Principal", {})
            services: Any = principal.get("Service", []) if isinstance(principal, Mapping) else principal
            names: list[str] = [services] if isinstance(services, str) else list(services)
            if statement.get("Effect") == "Allow" and (service in names or "*" in names):
                return
        raise ApiError(
            "ValidationException",
            f"Could not assume role {arn}. Please ensure that the role exists and allows principal "
            f"'{service}' to assume the role.",
        )

    def log(self, region: str, group: str, stream: str, line: str) -> None:
        """Add one line to CloudWatch Logs, making group and stream as the services do."""
        from moto.logs.models import logs_backends

        backend = logs_backends[ACCOUNT][region]
        with self._log_lock:
            if group not in backend.groups:
                backend.create_log_group(group, {})
            if stream not in backend.groups[group].streams:
                backend.create_log_stream(group, stream)
            backend.put_log_events(group, stream, [{"timestamp": int(time.time() * 1000), "message": line or " "}])
