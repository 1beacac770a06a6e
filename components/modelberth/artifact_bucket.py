"""The component for a bucket of packages, captured traffic and reports."""

from collections.abc import Mapping
from typing import Any

import pulumi

from . import registry
from .args import ArtifactBucketArgs
from .component import parsed, refuse


class ArtifactBucket(pulumi.ComponentResource):
    """A bucket that is versioned, encrypted and private, and protected unless it is for development."""

    url: pulumi.Output[str]
    """Its address for fsspec, such as `s3://name`."""
    name: pulumi.Output[str]
    """Its name on its platform."""

    def __init__(
        self, name: str, args: ArtifactBucketArgs | Mapping[str, Any], opts: pulumi.ResourceOptions | None = None
    ) -> None:
        """Make the bucket.

        Raises:
            SpecificationError: the arguments are wrong, or ask for what the platform lacks; nothing is made then.
        """
        args = parsed(ArtifactBucketArgs, name, args)
        platform = registry.load(args.platform, "bucket")
        refuse(platform.check(args, name))
        super().__init__("modelberth:index:ArtifactBucket", name, None, opts)
        outputs = platform.provision(self, name, args)
        self.url, self.name = outputs.url, outputs.name
        self.register_outputs({"url": self.url, "name": self.name})
