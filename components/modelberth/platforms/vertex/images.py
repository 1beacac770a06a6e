"""A repository of Artifact Registry for the container image, unless the configuration names an image elsewhere."""

import pulumi
import pulumi_gcp as gcp

from ...names import physical_name
from ...spec import StackSpec
from . import values
from .place import Place, PlaceOptions, here

_KEPT_IMAGES = 20


def is_own(image: object) -> bool:
    """Whether an image lies in the repository that `provision` makes, so that the stack must keep it."""
    return isinstance(image, str) and f"/{_name()}/" in image and image.split("/")[0].endswith("-docker.pkg.dev")


def _name() -> str:
    return physical_name("modelberth")


def provision(name: str, spec: StackSpec) -> pulumi.Output[str]:
    """Make the repository and return its address, for `modelberth image build --push --repository`."""
    stack = pulumi.runtime.get_root_resource()
    assert stack is not None
    place = here(stack, PlaceOptions())
    repository = gcp.artifactregistry.Repository(
        name,
        repository_id=_name(),
        project=place.apply(lambda at: at.project),
        location=place.apply(lambda at: at.location),
        format="DOCKER",
        description="The image that serves, trains and monitors.",
        # A tag always means the same image, so that what was deployed can be told from its reference.
        docker_config={"immutable_tags": True},
        cleanup_policies=[
            {
                "id": "keep-newest",
                "action": "KEEP",
                "most_recent_versions": {"keep_count": _KEPT_IMAGES},
            },
            {"id": "delete-older", "action": "DELETE", "condition": {"older_than": "2592000s"}},
        ],
        labels=values.labels(spec.tags),
        opts=pulumi.ResourceOptions(protect=not spec.development),
    )
    return pulumi.Output.all(place, repository.repository_id).apply(lambda known: _address(known[0], known[1]))


def _address(place: Place, repository: str) -> str:
    return f"{place.location}-docker.pkg.dev/{place.project}/{repository}/modelberth"
