"""An emulator in a process of its own, and the usual resources in it, for plain boto3."""

from __future__ import annotations

import json
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeVar

import pytest
from botocore.exceptions import ClientError

from sandbox.aws.server import Handle, start

IMAGE = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/test:1"
PROGRAM = Path(__file__).with_name("container.py")
T = TypeVar("T")


def wait_for(probe: Callable[[], T], seconds: float = 30) -> T:
    """Poll until the probe gives something true; fails after some seconds."""
    deadline = time.monotonic() + seconds
    while not (found := probe()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)
    return found


def refused(function: Callable[..., Any], **arguments: Any) -> tuple[str, str]:
    """The code and message with which a call is refused."""
    with pytest.raises(ClientError) as caught:
        function(**arguments)
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


class Account:
    """One emulator's account with a bucket, a role and a test image."""

    def __init__(self, handle: Handle) -> None:
        self.handle = handle
        self.clients: dict[str, Any] = {}
        handle.post("images", reference=IMAGE, entrypoint=[sys.executable, str(PROGRAM)])
        self("s3").create_bucket(Bucket="bucket", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
        self.role = self.make_role("r", "sagemaker.amazonaws.com", "scheduler.amazonaws.com", "events.amazonaws.com")
        self.number = 0

    def __call__(self, service: str) -> Any:
        if service not in self.clients:
            self.clients[service] = self.handle.client(service)
        return self.clients[service]

    def make_role(self, name: str, *services: str) -> str:
        statement = {"Effect": "Allow", "Principal": {"Service": list(services)}, "Action": "sts:AssumeRole"}
        policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        return str(self("iam").create_role(RoleName=name, AssumeRolePolicyDocument=policy)["Role"]["Arn"])

    def name(self, prefix: str) -> str:
        self.number += 1
        return f"{prefix}-{self.number}"

    def model(self, weights: str = "1", **environment: str) -> str:
        name = self.name("model")
        self("s3").put_object(Bucket="bucket", Key=f"{name}/weights.txt", Body=weights)
        source = {"S3Uri": f"s3://bucket/{name}/", "S3DataType": "S3Prefix", "CompressionType": "None"}
        self("sagemaker").create_model(
            ModelName=name,
            ExecutionRoleArn=self.role,
            PrimaryContainer={
                "Image": IMAGE,
                "ModelDataSource": {"S3DataSource": source},
                "Environment": environment,
            },
        )
        return name

    def config(self, *variants: dict[str, Any], **more: Any) -> str:
        name = self.name("config")
        self("sagemaker").create_endpoint_config(EndpointConfigName=name, ProductionVariants=list(variants), **more)
        return name

    def endpoint(self, config: str) -> str:
        name = self.name("endpoint")
        self("sagemaker").create_endpoint(EndpointName=name, EndpointConfigName=config)
        return name

    def settled(self, endpoint: str, *statuses: str) -> dict[str, Any]:
        def probe() -> dict[str, Any] | None:
            found = self("sagemaker").describe_endpoint(EndpointName=endpoint)
            return found if found["EndpointStatus"] in (statuses or ("InService", "Failed")) else None

        return wait_for(probe)

    def invoke(self, endpoint: str, body: str = "x", **more: Any) -> str:
        answer = self("sagemaker-runtime").invoke_endpoint(EndpointName=endpoint, Body=body, **more)
        return str(answer["Body"].read().decode())


def variant(model: str, name: str = "main", weight: float = 1.0, count: int = 1, **more: Any) -> dict[str, Any]:
    return {
        "VariantName": name,
        "ModelName": model,
        "InstanceType": "ml.m7i.large",
        "InitialInstanceCount": count,
        "InitialVariantWeight": weight,
        **more,
    }


class Listener:
    """An http server that subscribes to topics: what it was sent, with the headers in lower case."""

    def __init__(self) -> None:
        received: list[tuple[dict[str, str], dict[str, Any]]] = []

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, format: str, *args: object) -> None: ...

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                received.append(({key.lower(): value for key, value in self.headers.items()}, json.loads(body)))
                self.send_response(200)
                self.end_headers()

        self.received = received
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def confirm(self) -> None:
        """Wait for the confirmation's request and visit its link, as a subscriber does."""
        _, body = wait_for(lambda: self.received[:1])[0]
        urllib.request.urlopen(body["SubscribeURL"], timeout=10).close()

    def notifications(self) -> list[dict[str, Any]]:
        return [body for _, body in self.received if body.get("Type") == "Notification"]


@pytest.fixture
def listener() -> Iterator[Listener]:
    listening = Listener()
    yield listening
    listening.server.shutdown()
    listening.server.server_close()


@pytest.fixture(scope="session")
def account() -> Iterator[Account]:
    """Real time."""
    handle = start()
    try:
        yield Account(handle)
    finally:
        handle.stop()


@pytest.fixture(scope="session")
def fast() -> Iterator[Account]:
    """A minute of the control plane takes a second."""
    handle = start(speed=60)
    try:
        yield Account(handle)
    finally:
        handle.stop()
