"""The AWS provider's stand-in: checking, names, differences and previews, and calls against moto."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from typing import Any

import boto3
import grpc
import pytest
from modelberth_provider.stubs import provider_pb2
from modelberth_provider.wire import UNKNOWN, Asset, decode, encode

from sandbox.providers import compare, schema
from sandbox.providers.aws.resources import RESOURCES

CONFIGURATION = "aws:sagemaker/endpointConfiguration:EndpointConfiguration"
ENDPOINT = "aws:sagemaker/endpoint:Endpoint"
MODEL = "aws:sagemaker/model:Model"
BUCKET = "aws:s3/bucket:Bucket"
OBJECT = "aws:s3/bucketObjectv2:BucketObjectv2"
ROLE = "aws:iam/role:Role"
QUEUE = "aws:sqs/queue:Queue"
ALARM = "aws:cloudwatch/metricAlarm:MetricAlarm"
TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Principal": {"Service": ["sagemaker.amazonaws.com"]}, "Action": "sts:AssumeRole"}
        ],
    }
)


def text_asset(text: str) -> Asset:
    wire = {"4dabf18193072939515e22adb298388d": "c44067f5952c0a294b673a41bacd8c17", "text": text}
    return decode(encode({"asset": wire}))["asset"]


def configuration(**variant: Any) -> dict[str, Any]:
    base = {"modelName": "m", "initialInstanceCount": 1, "instanceType": "ml.m5.large", "variantName": "main"}
    return {"productionVariants": [base | variant]}


# Schema


@pytest.mark.parametrize("token", sorted(RESOURCES))
def test_rules_name_only_published_properties(token: str) -> None:
    rules, published = RESOURCES[token], schema.resource(token)
    named = rules.computed | rules.policies | rules.json | rules.sets | rules.defaults.keys() | rules.unsupported
    named |= rules.force_new - {"*", "expectedBucketOwner"}
    assert named <= published.inputs.keys()


def test_unknown_nested_property_names_path_and_nearest(bare_engine: Any) -> None:
    _, problems = bare_engine.check(CONFIGURATION, configuration(instanceTyp="ml.m5.large"))
    assert problems == {
        "productionVariants[0].instanceTyp": 'unknown property "instanceTyp": did you mean instanceType?'
    }


def test_missing_and_mistyped_properties_are_all_told_at_once(bare_engine: Any) -> None:
    _, problems = bare_engine.check(ENDPOINT, {"tags": "none", "nam": "x"})
    assert problems["endpointConfigName"] == 'missing required property "endpointConfigName"'
    assert problems["tags"] == 'expected a map, got "none"'
    assert "did you mean name?" in problems["nam"]


def test_numbers_in_text_are_converted_and_other_text_refused(bare_engine: Any) -> None:
    inputs, problems = bare_engine.check(CONFIGURATION, configuration(initialInstanceCount="2"))
    assert not problems
    assert inputs["productionVariants"][0]["initialInstanceCount"] == 2
    _, problems = bare_engine.check(CONFIGURATION, configuration(initialInstanceCount="two"))
    assert problems == {"productionVariants[0].initialInstanceCount": 'expected a whole number, got "two"'}


def test_unknown_values_pass_the_check(bare_engine: Any) -> None:
    inputs, problems = bare_engine.check(CONFIGURATION, {"productionVariants": UNKNOWN})
    assert not problems
    assert inputs["productionVariants"] is UNKNOWN


def test_instance_type_that_sagemaker_does_not_have_is_refused_at_preview(bare_engine: Any) -> None:
    _, problems = bare_engine.check(CONFIGURATION, configuration(instanceType="ml.m5.larg"))
    assert problems == {
        "productionVariants[0].instanceType": '"ml.m5.larg" is not one of SageMaker\'s '
        "ProductionVariantInstanceType values: did you mean ml.m5.large?"
    }
    _, problems = bare_engine.check(CONFIGURATION, configuration(instanceType="ml.m7i.large"))
    assert not problems


def test_policy_given_as_an_object_becomes_text(bare_engine: Any) -> None:
    inputs, problems = bare_engine.check(ROLE, {"assumeRolePolicy": json.loads(TRUST)})
    assert not problems
    assert json.loads(inputs["assumeRolePolicy"]) == json.loads(TRUST)


def test_resource_that_is_not_provided_is_named(bare_engine: Any) -> None:
    with pytest.raises(grpc.RpcError, match="does not have the resource aws:ec2/instance:Instance"):
        bare_engine.check("aws:ec2/instance:Instance", {})


# Names


def test_name_is_kept_over_updates_and_new_for_a_new_resource(bare_engine: Any) -> None:
    first, _ = bare_engine.check(BUCKET, {}, name="Data")
    assert first["bucket"].startswith("data-")
    assert len(first["bucket"]) == len("data-") + 7
    again, _ = bare_engine.check(BUCKET, {}, olds=first | {"bucket": "data-0000000"}, name="Data")
    assert again["bucket"] == "data-0000000"


def test_fifo_queue_name_ends_as_sqs_wants(bare_engine: Any) -> None:
    inputs, _ = bare_engine.check(QUEUE, {"fifoQueue": True})
    assert inputs["name"].endswith(".fifo")


def test_too_long_a_name_is_refused_with_its_length(bare_engine: Any) -> None:
    _, problems = bare_engine.check(BUCKET, {}, name="x" * 60)
    assert "68 characters, of which 63 are allowed" in problems["bucket"]


# Differences


def test_endpoint_takes_a_new_configuration_in_place(bare_engine: Any) -> None:
    diff = bare_engine.diff(
        ENDPOINT, {"name": "e", "endpointConfigName": "a"}, {"name": "e", "endpointConfigName": "b"}
    )
    assert diff.changes == provider_pb2.DiffResponse.DIFF_SOME
    assert list(diff.diffs) == ["endpointConfigName"]
    assert not diff.replaces


def test_explicit_name_is_deleted_before_its_replacement(bare_engine: Any) -> None:
    base = {"endpointConfigName": "a"}
    diff = bare_engine.diff(ENDPOINT, base | {"name": "e"}, base | {"name": "f", "__defaults": []})
    assert list(diff.replaces) == ["name"]
    assert diff.deleteBeforeReplace
    assert diff.detailedDiff["name"].kind == provider_pb2.PropertyDiff.UPDATE_REPLACE


def test_configuration_is_replaced_for_any_change_but_tags(bare_engine: Any) -> None:
    old = configuration() | {"name": "c-1234567", "__defaults": ["name"]}
    new = configuration(modelName="other") | {"name": "c-1234567", "__defaults": ["name"]}
    diff = bare_engine.diff(CONFIGURATION, old, new)
    assert list(diff.detailedDiff) == ["productionVariants[0].modelName"]
    assert list(diff.replaces) == ["productionVariants"]
    assert not diff.deleteBeforeReplace
    assert not bare_engine.diff(CONFIGURATION, old, old | {"tags": {"a": "b"}}).replaces


def test_rollback_block_forces_replacement_only_when_it_comes_or_goes(bare_engine: Any) -> None:
    def endpoint(*alarms: str) -> dict[str, Any]:
        rollback = {"autoRollbackConfiguration": {"alarms": [{"alarmName": name} for name in alarms]}}
        return {"endpointConfigName": "c", "deploymentConfig": rollback if alarms else {}}

    assert bare_engine.diff(ENDPOINT, endpoint(), endpoint("a")).replaces
    assert not bare_engine.diff(ENDPOINT, endpoint("a"), endpoint("b")).replaces


def test_policy_differs_by_meaning_not_by_form(bare_engine: Any) -> None:
    other = json.loads(TRUST)
    other["Statement"][0]["Action"] = ["sts:AssumeRole"]
    other["Statement"][0]["Principal"]["Service"] = "sagemaker.amazonaws.com"
    old, new = {"assumeRolePolicy": TRUST}, {"assumeRolePolicy": json.dumps(other, indent=3)}
    assert bare_engine.diff(ROLE, old, new).changes == provider_pb2.DiffResponse.DIFF_NONE
    new["assumeRolePolicy"] = TRUST.replace("Allow", "Deny")
    assert bare_engine.diff(ROLE, old, new).changes == provider_pb2.DiffResponse.DIFF_SOME


def test_order_of_actions_means_nothing(bare_engine: Any) -> None:
    old, new = {"alarmActions": ["a", "b"]}, {"alarmActions": ["b", "a"]}
    assert bare_engine.diff(ALARM, old, new).changes == provider_pb2.DiffResponse.DIFF_NONE


def test_projection_keeps_what_was_asked_and_shows_what_drifted() -> None:
    asked = {"mode": "A", "list": [{"name": "x"}]}
    actual = {"mode": "B", "list": [{"name": "x", "filled": 1}], "other": 2}
    assert compare.project(asked, actual) == {"mode": "B", "list": [{"name": "x"}]}


# Previews without a cloud


def test_preview_of_a_creation_needs_no_cloud(bare_engine: Any) -> None:
    bare_engine.configure(region="eu-central-1")
    identifier, state, _ = bare_engine.create(BUCKET, {"tags": {"a": "b"}}, preview=True)
    assert identifier == ""
    assert state["arn"] is UNKNOWN
    assert state["bucket"].startswith("thing-")
    assert state["tagsAll"] == {"a": "b"}
    assert state["region"] == "eu-central-1"


def test_no_region_is_refused_with_the_way_to_set_one(bare_engine: Any) -> None:
    answer = bare_engine.stub.CheckConfig(provider_pb2.CheckRequest(urn="", news=encode({})))
    assert "pulumi config set aws:region" in answer.failures[0].reason


def test_unknown_provider_setting_gets_the_nearest(bare_engine: Any) -> None:
    news = encode({"region": "eu-central-1", "acessKey": "x"})
    answer = bare_engine.stub.CheckConfig(provider_pb2.CheckRequest(urn="", news=news))
    assert "did you mean accessKey?" in answer.failures[0].reason


def test_missing_credentials_are_told_in_one_line(bare_engine: Any) -> None:
    bare_engine.configure(region="eu-central-1")
    with pytest.raises(grpc.RpcError) as caught:
        bare_engine.create(QUEUE, {})
    assert "set AWS_PROFILE" in str(caught.value.details())
    assert "\n" not in str(caught.value.details())


# Against moto


def test_bucket_with_versions_lives_and_dies(engine: Any, cloud_url: str) -> None:
    bucket, state, inputs = engine.create(BUCKET, {"forceDestroy": True, "tags": {"a": "b"}})
    assert state["arn"] == f"arn:aws:s3:::{bucket}"
    assert state["tags"] == {"a": "b"}
    assert state["tagsAll"] == {"a": "b", "project": "flights"}
    assert engine.diff(BUCKET, inputs, inputs, state).changes == provider_pb2.DiffResponse.DIFF_NONE
    _, after, inputs_after = engine.read(BUCKET, bucket, state, inputs)
    assert (after, inputs_after) == (state, inputs)
    engine.create(
        "aws:s3/bucketVersioning:BucketVersioning",
        {"bucket": bucket, "versioningConfiguration": {"status": "Enabled"}},
    )
    for text in ("one", "two"):
        engine.create(OBJECT, {"bucket": bucket, "key": "k", "source": text_asset(text)})
    engine.delete(BUCKET, bucket, state)
    assert engine.read(BUCKET, bucket, state, inputs)[0] == ""
    engine.delete(BUCKET, bucket, state)


def test_changed_content_is_uploaded_again(engine: Any, cloud_url: str) -> None:
    bucket, _, _ = engine.create(BUCKET, {"bucket": "content", "forceDestroy": True})
    news = {"bucket": bucket, "key": "k", "source": text_asset("one")}
    identifier, state, inputs = engine.create(OBJECT, news)
    assert identifier == "content/k"
    changed = inputs | {"source": text_asset("two")}
    assert list(engine.diff(OBJECT, inputs, changed, state).diffs) == ["source"]
    after = engine.update(OBJECT, identifier, state, inputs, changed)
    assert after["etag"] != state["etag"]
    client = boto3.client(
        "s3", endpoint_url=cloud_url, region_name="eu-central-1", aws_access_key_id="a", aws_secret_access_key="b"
    )
    assert client.get_object(Bucket="content", Key="k")["Body"].read() == b"two"


def test_default_tags_that_change_are_an_update(engine: Any) -> None:
    _, state, inputs = engine.create(QUEUE, {})
    engine.configure(region="eu-central-1", defaultTags=json.dumps({"tags": {"project": "other"}}))
    assert list(engine.diff(QUEUE, inputs, inputs, state).diffs) == ["tagsAll"]


def test_import_reads_inputs_from_the_cloud_alone(engine: Any) -> None:
    name, _, inputs = engine.create(ROLE, {"assumeRolePolicy": TRUST, "description": "d", "name": "imported"})
    _, state, found = engine.read(ROLE, name)
    assert found["description"] == "d"
    assert engine.diff(ROLE, found, inputs, state).changes == provider_pb2.DiffResponse.DIFF_NONE


def test_drift_is_read_and_then_repaired(engine: Any, cloud_url: str) -> None:
    url, state, inputs = engine.create(QUEUE, {"name": "drift", "visibilityTimeoutSeconds": 60})
    client = boto3.client(
        "sqs", endpoint_url=cloud_url, region_name="eu-central-1", aws_access_key_id="a", aws_secret_access_key="b"
    )
    client.set_queue_attributes(QueueUrl=url, Attributes={"VisibilityTimeout": "5"})
    _, drifted, drifted_inputs = engine.read(QUEUE, url, state, inputs)
    assert drifted_inputs["visibilityTimeoutSeconds"] == 5
    assert list(engine.diff(QUEUE, drifted_inputs, inputs, drifted).diffs) == ["visibilityTimeoutSeconds"]
    assert engine.update(QUEUE, url, drifted, drifted_inputs, inputs)["visibilityTimeoutSeconds"] == 60


def test_refused_call_names_operation_thing_and_code(engine: Any) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        engine.create(CONFIGURATION, configuration(modelName="nobody"))
    assert "create_endpoint_config on SageMaker AI EndpointConfiguration (thing-" in caught.value.details()
    assert "ValidationException" in caught.value.details()


def test_endpoint_that_fails_is_recorded_with_its_reason(engine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from moto.sagemaker.models import FakeEndpoint

    engine.create(MODEL, {"name": "m", "executionRoleArn": "arn:aws:iam::123456789012:role/r"})
    name, _, _ = engine.create(CONFIGURATION, configuration())
    original = FakeEndpoint.__init__

    def failing(self: Any, *arguments: Any, **named: Any) -> None:
        original(self, *arguments, **named)
        self.endpoint_status, self.failure_reason = "Failed", "no answer to /ping"

    monkeypatch.setattr(FakeEndpoint, "__init__", failing)
    with pytest.raises(grpc.RpcError) as caught:
        engine.create(ENDPOINT, {"name": "broken", "endpointConfigName": name})
    assert "unexpected state 'Failed', wanted target 'InService'. last error: no answer" in caught.value.details()
    status = dict(caught.value.trailing_metadata())["grpc-status-details-bin"]
    assert b"pulumirpc.ErrorResourceInitFailed" in status
    assert b"broken" in status


def test_an_endpoint_is_waited_for_as_long_as_the_program_says(engine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from moto.sagemaker.models import FakeEndpoint

    engine.create(MODEL, {"name": "patient", "executionRoleArn": "arn:aws:iam::123456789012:role/r"})
    name, _, _ = engine.create(CONFIGURATION, configuration(modelName="patient"))
    original = FakeEndpoint.__init__

    def lasting(self: Any, *arguments: Any, **named: Any) -> None:
        original(self, *arguments, **named)
        self.endpoint_status = "Creating"

    monkeypatch.setattr(FakeEndpoint, "__init__", lasting)
    with pytest.raises(grpc.RpcError) as caught:
        engine.create(ENDPOINT, {"name": "lasting", "endpointConfigName": name}, timeout=1)
    assert "(last state: 'Creating', timeout: 0:00:01)" in caught.value.details()
    assert b"lasting" in dict(caught.value.trailing_metadata())["grpc-status-details-bin"]


def test_what_was_made_but_cannot_be_read_is_recorded(engine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from moto.sqs.models import SQSBackend

    def refusing(*arguments: Any, **named: Any) -> None:
        raise RuntimeError("no attributes today")

    monkeypatch.setattr(SQSBackend, "get_queue_attributes", refusing)
    with pytest.raises(grpc.RpcError) as caught:
        engine.create(QUEUE, {"name": "unread"})
    status = dict(caught.value.trailing_metadata())["grpc-status-details-bin"]
    assert b"pulumirpc.ErrorResourceInitFailed" in status
    assert b"unread" in status


def test_policy_document_is_built(engine: Any) -> None:
    answer = engine.invoke(
        "aws:iam/getPolicyDocument:getPolicyDocument",
        statements=[{"actions": ["s3:GetObject"], "resources": ["*"], "effect": "Deny"}],
    )
    assert json.loads(answer["json"]) == {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Deny", "Action": "s3:GetObject", "Resource": "*"}],
    }
    assert engine.invoke("aws:index/getCallerIdentity:getCallerIdentity")["accountId"] == "123456789012"
    assert engine.invoke("aws:index/getRegion:getRegion")["region"] == "eu-central-1"


def test_a_cancelled_provider_starts_nothing(engine: Any) -> None:
    from google.protobuf import empty_pb2

    engine.stub.Cancel(empty_pb2.Empty())
    with pytest.raises(grpc.RpcError, match="interrupted"):
        engine.create(QUEUE, {})


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_plugin_prints_its_port_first_and_ends_when_told(number: signal.Signals) -> None:
    command = [sys.executable, "-m", "sandbox.providers.aws", "127.0.0.1:1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            grpc.channel_ready_future(channel).result(timeout=10)
        process.send_signal(number)
        assert process.wait(timeout=3) == 0
