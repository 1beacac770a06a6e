"""Names of images, and logging in to Amazon ECR."""

from __future__ import annotations

import base64
import re
from importlib import import_module
from typing import Any

from model_packaging.errors import ModelberthError

# "Private registry authentication" in the ECR user guide: the registry's address, and the user name AWS.
_ECR = re.compile(r"\d{12}\.dkr\.ecr(?:-fips)?\.(?P<region>[a-z0-9-]+)\.amazonaws\.com(?:\.cn)?")

# The grammar of the distribution project (github.com/distribution/reference).
_REPOSITORY = re.compile(
    r"(?:[A-Za-z0-9.-]+(?::\d+)?/)?[a-z0-9]+(?:[._-]+[a-z0-9]+)*(?:/[a-z0-9]+(?:[._-]+[a-z0-9]+)*)*"
)
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")


def reference(repository: str, tag: str) -> str:
    """`repository:tag`. ModelberthError where either cannot be one."""
    problems: list[str] = []
    if not _REPOSITORY.fullmatch(repository):
        problems.append(
            f'--repository is "{repository}": it must be a registry and a path in lower case, without tag and digest, '
            "such as 123456789012.dkr.ecr.eu-central-1.amazonaws.com/modelberth"
        )
    if not _TAG.fullmatch(tag):
        problems.append(f'--tag is "{tag}": it must be at most 128 letters, digits, dots, dashes and underscores')
    if problems:
        raise ModelberthError(*problems)
    return f"{repository}:{tag}"


def ecr_login(repository: str) -> tuple[str, str, str] | None:
    """Registry, user and password for a repository in Amazon ECR, by the credentials of the environment;
    None for any other registry. ModelberthError where AWS gives no token."""
    registry = repository.partition("/")[0]
    match = _ECR.fullmatch(registry)
    if match is None:
        return None
    boto3: Any = import_module("boto3")  # boto3 and botocore carry no types
    errors: Any = import_module("botocore.exceptions")
    try:
        answer = boto3.client("ecr", region_name=match["region"]).get_authorization_token()
    except (errors.BotoCoreError, errors.ClientError) as error:
        raise ModelberthError(
            f"cannot log in to {registry}: {error}",
            "check the AWS credentials of this shell, and that they allow ecr:GetAuthorizationToken",
        ) from None
    user, _, password = base64.b64decode(answer["authorizationData"][0]["authorizationToken"]).decode().partition(":")
    return registry, user, password
