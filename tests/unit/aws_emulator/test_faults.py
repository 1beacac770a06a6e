"""Injected failures, as clients meet them."""

import time
import urllib.error

import boto3
import pytest
from botocore.config import Config

from tests.unit.aws_emulator.conftest import Account, refused


def test_each_kind_of_fault_meets_the_next_calls_and_no_more(account: Account) -> None:
    session = boto3.session.Session(aws_access_key_id="a", aws_secret_access_key="b", region_name="eu-central-1")
    client = session.client("sqs", endpoint_url=account.handle.url, config=Config(retries={"max_attempts": 0}))
    account.handle.post("faults", service="sqs", kind="throttle")
    assert refused(client.list_queues) == ("ThrottlingException", "Rate exceeded")
    account.handle.post("faults", service="sqs", operation="ListQueues", kind="error", times=2)
    assert refused(client.list_queues)[0] == "InternalFailure"
    client.create_queue(QueueName="other-operation")
    assert refused(client.list_queues)[0] == "InternalFailure"
    account.handle.post("faults", service="sqs", kind="error", code="OverLimit")
    assert refused(client.list_queues)[0] == "OverLimit"
    account.handle.post("faults", service="sqs", kind="delay", seconds=1)
    began = time.monotonic()
    client.list_queues()
    assert time.monotonic() - began >= 1
    client.list_queues()
    assert time.monotonic() - began < 2


def test_a_fault_that_cannot_be_is_refused(account: Account) -> None:
    for given in ({"kind": "explode"}, {"kind": "error", "colour": "red"}, {}):
        with pytest.raises(urllib.error.HTTPError) as caught:
            account.handle.post("faults", **given)
        assert caught.value.code == 400
        assert b"kind is one of error, throttle, delay" in caught.value.read()
