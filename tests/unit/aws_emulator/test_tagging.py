"""Tags of SageMaker's resources: SageMaker API reference, AddTags, DeleteTags, ListTags."""

import pytest

from tests.unit.aws_emulator.conftest import Account, refused
from tests.unit.aws_emulator.test_pipelines import definition, fail_step, make

ARN = "arn:aws:sagemaker:eu-central-1:123456789012"


def tags(account: Account, arn: str) -> dict[str, str]:
    return {one["Key"]: one["Value"] for one in account("sagemaker").list_tags(ResourceArn=arn)["Tags"]}


def test_tags_are_added_replaced_removed_and_gone_with_their_resource(account: Account) -> None:
    name = make(account, definition(fail_step("No")), Tags=[{"Key": "team", "Value": "ml"}])
    arn = f"{ARN}:pipeline/{name}"
    new = [{"Key": "team", "Value": "ops"}, {"Key": "stage", "Value": "dev"}]
    account("sagemaker").add_tags(ResourceArn=arn, Tags=new)
    assert tags(account, arn) == {"team": "ops", "stage": "dev"}
    account("sagemaker").delete_tags(ResourceArn=arn, TagKeys=["stage", "absent"])
    assert tags(account, arn) == {"team": "ops"}
    account("sagemaker").delete_pipeline(PipelineName=name)
    assert refused(account("sagemaker").list_tags, ResourceArn=arn)[0] == "ValidationException"


@pytest.mark.parametrize("resource", ["model/absent", "endpoint/absent", "pipeline/absent", "training-job/absent"])
def test_resources_that_do_not_exist_have_no_tags(account: Account, resource: str) -> None:
    code, message = refused(account("sagemaker").list_tags, ResourceArn=f"{ARN}:{resource}")
    assert (code, resource in message) == ("ValidationException", True)


def test_what_moto_keeps_is_tagged_by_moto(account: Account) -> None:
    name = account.name("group")
    arn = account("sagemaker").create_model_package_group(ModelPackageGroupName=name)["ModelPackageGroupArn"]
    account("sagemaker").add_tags(ResourceArn=arn, Tags=[{"Key": "a", "Value": "1"}])
    assert tags(account, arn) == {"a": "1"}
