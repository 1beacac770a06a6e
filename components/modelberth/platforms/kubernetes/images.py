"""The container image: a cluster has no registry of its own that a stack could make."""

import pulumi

from ...spec import StackSpec


def is_own(image: object) -> bool:
    """Whether an image lies in a registry of the stack's: never."""
    return False


def provision(name: str, spec: StackSpec) -> pulumi.Output[str] | None:
    """Make no registry: the image is pushed to one that the cluster's nodes can pull from."""
    return None
