"""Resources of the plugin: Replica.

Written by `python -m modelberth_provider.sdk` from the plugin's schema: change it there.
"""

# Pulumi's functions for properties carry no types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

from typing import cast

import pulumi

__all__ = ["Replica"]


@pulumi.input_type
class _ReplicaArgs:
    """Inputs."""

    source: pulumi.Input[str] = pulumi.property("source")
    """The package's address with its digest: `s3://…`, `gs://…` or another that fsspec knows, and `@sha256:…`."""
    destination: pulumi.Input[str] = pulumi.property("destination")
    """Where to, without the package's name: `gs://bucket/prefix`. It lies in `packages/<name>/<hex>` below that."""

    def __init__(
        self,
        *,
        source: pulumi.Input[str],
        destination: pulumi.Input[str],
    ) -> None:
        pulumi.set(self, "source", source)
        pulumi.set(self, "destination", destination)


class Replica(pulumi.CustomResource):
    """A published package, copied into another store by its digest and verified there.

    A changed source or destination makes another copy and deletes the old one after it.
    """

    def __init__(
        self,
        resource_name: str,
        *,
        source: pulumi.Input[str],
        destination: pulumi.Input[str],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        args = _ReplicaArgs(source=source, destination=destination)
        args.__dict__["address"] = None
        args.__dict__["digest"] = None
        args.__dict__["name"] = None
        args.__dict__["kept"] = None
        super().__init__("modelberth:package:Replica", resource_name, cast("pulumi.Inputs", args), opts)

    @property
    @pulumi.getter(name="source")
    def source(self) -> pulumi.Output[str]:
        """The package's address with its digest: `s3://…`, `gs://…` or another that fsspec knows, and `@sha256:…`."""
        return pulumi.get(self, "source")

    @property
    @pulumi.getter(name="destination")
    def destination(self) -> pulumi.Output[str]:
        """Where to, without the package's name: `gs://bucket/prefix`. It lies in `packages/<name>/<hex>` below
        that.
        """
        return pulumi.get(self, "destination")

    @property
    @pulumi.getter(name="address")
    def address(self) -> pulumi.Output[str]:
        """The copy's address with its digest."""
        return pulumi.get(self, "address")

    @property
    @pulumi.getter(name="digest")
    def digest(self) -> pulumi.Output[str]:
        """The package's digest."""
        return pulumi.get(self, "digest")

    @property
    @pulumi.getter(name="name")
    def name(self) -> pulumi.Output[str]:
        """The package's name."""
        return pulumi.get(self, "name")

    @property
    @pulumi.getter(name="kept")
    def kept(self) -> pulumi.Output[bool]:
        """Whether the package was there before, or was imported, so that it is left there when this resource is
        deleted.
        """
        return pulumi.get(self, "kept")
