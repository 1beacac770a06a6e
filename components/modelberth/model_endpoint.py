"""The component for a live model."""

from collections.abc import Mapping
from typing import Any, cast

import pulumi

from model_packaging.package import Package

from . import registry
from .args import ModelEndpointArgs
from .component import parsed, refuse
from .judging import judge
from .spec import ModelSpec


class ModelEndpoint(pulumi.ComponentResource):
    """A model behind one stable address. The gate judges its package before anything is made."""

    name: pulumi.Output[str]
    """The endpoint's name, known once it serves what was asked for."""
    url: pulumi.Output[str]
    """Where predictions are asked for."""
    platform: str
    """What it runs on."""
    package_digest: str
    """The digest of the package that it serves."""
    invoke_command: pulumi.Output[str]
    """How to call it from a shell."""

    def __init__(
        self, name: str, args: ModelEndpointArgs | Mapping[str, Any], opts: pulumi.ResourceOptions | None = None
    ) -> None:
        """Make the endpoint.

        Raises:
            SpecificationError: the arguments are wrong or ask for what the platform lacks, the package is damaged, or
                the gate refuses it; nothing is made then.
        """
        args = parsed(ModelEndpointArgs, name, args)
        platform = registry.load(args.platform, "endpoint")
        judged = judge(args.package, args.champion, args, args.gate, name, name)
        problems = judged.problems + platform.check(args, name)
        if args.package == ModelSpec.NO_PACKAGE:
            problems.append(f"{name}.package: an endpoint needs a package: write a path, or an address with @sha256:…")
        refuse(problems)
        package = cast(Package, judged.package)
        super().__init__("modelberth:index:ModelEndpoint", name, None, opts)
        outputs = platform.provision(self, name, judged.endpoint.model_copy(update={"package": package}))
        self.name, self.url, self.invoke_command = outputs.name, outputs.url, outputs.invoke_command
        self.platform, self.package_digest = args.platform, package.digest
        self.register_outputs(
            {
                "name": self.name,
                "url": self.url,
                "platform": self.platform,
                "package_digest": self.package_digest,
                "invoke_command": self.invoke_command,
            }
        )
