"""ECR: repositories and their lifecycle policies."""

from __future__ import annotations

from sandbox.providers.aws.cloud import Call, tag_list, tag_map
from sandbox.providers.aws.tags import sync_tags
from sandbox.providers.check import AutoName
from sandbox.providers.resource import Change, CloudError, Resource, Values

_GONE = ("RepositoryNotFoundException",)


def _create(call: Call, values: Values) -> str:
    parameters: Values = {
        "repositoryName": values["name"],
        "imageTagMutability": values["imageTagMutability"],
        "tags": tag_list(values.get("tagsAll") or {}),
    }
    scanning = values.get("imageScanningConfiguration")
    if scanning:
        parameters["imageScanningConfiguration"] = {"scanOnPush": scanning["scanOnPush"]}
    for encryption in values.get("encryptionConfigurations") or []:
        configuration = {"encryptionType": encryption.get("encryptionType") or "AES256"}
        if encryption.get("kmsKey"):
            configuration["kmsKey"] = encryption["kmsKey"]
        parameters["encryptionConfiguration"] = configuration
    filters = _filters(values)
    if filters:
        parameters["imageTagMutabilityExclusionFilters"] = filters
    call.do("create_repository", **parameters)
    return values["name"]


def _filters(values: Values) -> list[Values]:
    return [
        {"filterType": item["filterType"], "filter": item["filter"]}
        for item in values.get("imageTagMutabilityExclusionFilters") or []
    ]


def _read(call: Call, identifier: str, state: Values) -> Values | None:
    answer = call.find("describe_repositories", _GONE, repositoryNames=[identifier])
    if not answer or not answer.get("repositories"):
        return None
    repository = answer["repositories"][0]
    arn = repository["repositoryArn"]
    encryption = repository.get("encryptionConfiguration")
    scanning = repository.get("imageScanningConfiguration")
    return {
        "name": identifier,
        "arn": arn,
        "registryId": repository["registryId"],
        "repositoryUrl": repository["repositoryUri"],
        "imageTagMutability": repository.get("imageTagMutability") or "MUTABLE",
        "imageScanningConfiguration": {"scanOnPush": bool(scanning.get("scanOnPush"))} if scanning else None,
        "encryptionConfigurations": [
            {key: value for key, value in encryption.items() if key in ("encryptionType", "kmsKey") and value}
        ]
        if encryption
        else None,
        "tagsAll": tag_map(call.do("list_tags_for_resource", resourceArn=arn).get("tags")),
    }


def _update(call: Call, identifier: str, change: Change) -> None:
    if change.touches("imageTagMutability", "imageTagMutabilityExclusionFilters"):
        parameters: Values = {
            "repositoryName": identifier,
            "imageTagMutability": change.new["imageTagMutability"],
        }
        filters = _filters(change.new)
        if filters:
            parameters["imageTagMutabilityExclusionFilters"] = filters
        call.do("put_image_tag_mutability", **parameters)
    if change.touches("imageScanningConfiguration"):
        scanning = change.new.get("imageScanningConfiguration") or {"scanOnPush": False}
        call.do(
            "put_image_scanning_configuration",
            repositoryName=identifier,
            imageScanningConfiguration={"scanOnPush": scanning["scanOnPush"]},
        )
    arn = change.old["arn"]
    sync_tags(
        change,
        lambda tags: call.do("tag_resource", resourceArn=arn, tags=tag_list(tags)),
        lambda keys: call.do("untag_resource", resourceArn=arn, tagKeys=keys),
    )


def _delete(call: Call, identifier: str, state: Values) -> None:
    force = bool(state.get("forceDelete"))
    try:
        call.remove("delete_repository", _GONE, repositoryName=identifier, force=force)
    except CloudError as error:
        if error.code == "RepositoryNotEmptyException":
            raise CloudError(f"{error}: consider using forceDelete", error.code) from error
        raise


_NO_POLICY = (*_GONE, "LifecyclePolicyNotFoundException")


def _put_policy(call: Call, values: Values) -> str:
    call.do("put_lifecycle_policy", repositoryName=values["repository"], lifecyclePolicyText=values["policy"])
    return values["repository"]


def _read_policy(call: Call, identifier: str, state: Values) -> Values | None:
    answer = call.find("get_lifecycle_policy", _NO_POLICY, repositoryName=identifier)
    if answer is None:
        return None
    return {
        "repository": answer.get("repositoryName") or identifier,
        "registryId": answer.get("registryId"),
        "policy": answer["lifecyclePolicyText"],
    }


def _delete_policy(call: Call, identifier: str, state: Values) -> None:
    call.remove("delete_lifecycle_policy", _NO_POLICY, repositoryName=identifier)


RESOURCES = (
    Resource(
        token="aws:ecr/repository:Repository",
        service="ecr",
        create=_create,
        read=_read,
        update=_update,
        delete=_delete,
        force_new=frozenset({"name", "encryptionConfigurations"}),
        auto_name=AutoName(length=256, lower_case=True),
        defaults={"imageTagMutability": "MUTABLE"},
    ),
    Resource(
        token="aws:ecr/lifecyclePolicy:LifecyclePolicy",
        service="ecr",
        create=_put_policy,
        read=_read_policy,
        # Terraform makes a new one for any change.
        delete=_delete_policy,
        force_new=frozenset({"repository", "policy"}),
        json=frozenset({"policy"}),
    ),
)
