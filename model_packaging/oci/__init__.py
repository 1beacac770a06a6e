"""Packages in a container registry: as an artifact by the CNCF ModelPack specification, or as an image.

Read in this order: `reference` (addresses), `client` (the OCI distribution protocol), `credentials` (Docker's
configuration), `content` (what is made of a package), `transfer` (push and pull).
"""

from .reference import SCHEME, Reference
from .transfer import pull, push

__all__ = ["SCHEME", "Reference", "pull", "push"]
