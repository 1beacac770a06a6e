"""Tags of the resources that the emulator keeps itself; moto keeps the others'.

Source: SageMaker API reference, AddTags, DeleteTags, ListTags.
"""

from typing import Any

from sandbox.aws.api import Call, PassOn, operation, validation_error

_OURS = ("model/", "endpoint/", "endpoint-config/", "pipeline/", "training-job/", "processing-job/")


def tag_list(tags: dict[str, str]) -> list[dict[str, str]]:
    """Tags in the form of the API."""
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def tag_map(tags: list[dict[str, str]] | None) -> dict[str, str]:
    """Tags of a request, by key."""
    return {tag["Key"]: tag.get("Value", "") for tag in tags or []}


def _store(call: Call) -> dict[str, str]:
    arn: str = call.params["ResourceArn"]
    resource = arn.split(":", 5)[-1].lower()
    if not resource.startswith(_OURS):
        raise PassOn
    if not (
        call.emulator.hosting.has_arn(arn) or call.emulator.jobs.has_arn(arn) or call.emulator.pipelines.has_arn(arn)
    ):
        raise validation_error(f"Could not find resource {arn}.")
    return call.emulator.tags[arn]


@operation("sagemaker", "AddTags")
def add_tags(call: Call) -> dict[str, Any]:
    store = _store(call)
    store.update(tag_map(call.params["Tags"]))
    return {"Tags": tag_list(store)}


@operation("sagemaker", "DeleteTags")
def delete_tags(call: Call) -> None:
    store = _store(call)
    for key in call.params["TagKeys"]:
        store.pop(key, None)


@operation("sagemaker", "ListTags")
def list_tags(call: Call) -> dict[str, Any]:
    return {"Tags": tag_list(_store(call))}
