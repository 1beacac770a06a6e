"""What all objects of a stack bear in the cluster: a name, the namespace, labels and annotations."""

from typing import Literal

import pulumi
import pulumi_kubernetes as kubernetes
from pydantic import Field

from ...args import CommonArgs
from ...spec import Spec
from . import values

INSTANCE = "app.kubernetes.io/instance"
"""The label that tells one capability's objects from another's."""
SKIP_AWAIT = {"pulumi.com/skipAwait": "true"}
"""The annotation by which Pulumi's provider does not wait for an object to become ready."""


class NamespaceOptions(Spec):
    """What every capability may be told on Kubernetes."""

    namespace: values.NamespaceInput | None = None
    """An existing namespace for its objects. A model's deployment makes one of its own if this is left out; a
    component by itself uses the provider's default, `kubernetes:namespace`."""
    prometheus_url: values.Url | None = None
    """The Prometheus that scrapes the endpoint's pods, as pods reach it. An update that is watched by alarms, and
    retraining on drift, ask it which of them fire."""
    pushgateway_url: values.Url | None = None
    """The Prometheus Pushgateway that the monitor job leaves its numbers at."""


class StoreOptions(NamespaceOptions):
    """What a capability that reads or writes the bucket may be told."""

    bucket_secret: values.ObjectNameInput | None = None
    """The Secret by which the bucket is reached, with the keys that `ArtifactBucket` writes; the one that bears the
    bucket's name if left out."""
    store_port: int | None = Field(default=None, ge=1, le=65535)
    """The port of the object store, which its pods may open connections to; any if left out."""


def check_tags(args: CommonArgs, where: str) -> list[str]:
    """Return which tags can't be labels or annotations."""
    return [
        f"{where}.tags.{key}: is no key of a Kubernetes label: letters, digits, `-`, `_` and `.`, at most 63, after an "
        "optional prefix such as example.org/"
        for key in args.tags
        if not values.is_label_key(_label_key(key))
    ]


def metadata(
    args: CommonArgs,
    options: NamespaceOptions,
    name: pulumi.Input[str],
    component: str,
    instance: str,
    annotations: dict[str, str] | None = None,
) -> kubernetes.meta.v1.ObjectMetaArgsDict:
    """Return an object's metadata, with the recommended labels and the user's tags.

    A tag whose value is no label's becomes an annotation. Source: Kubernetes documentation, "Recommended Labels" and
    "Labels and Selectors".

    Args:
        args: The component's arguments.
        options: Where the object belongs.
        name: Its name.
        component: What it is for: endpoint, monitor, retraining, bucket.
        instance: Which one.
        annotations: Further ones.
    """
    tags = {_label_key(key): value for key, value in args.tags.items()}
    fitting = {key: value for key, value in tags.items() if values.is_label_value(value)}
    notes = {key: value for key, value in tags.items() if key not in fitting} | (annotations or {})
    made: kubernetes.meta.v1.ObjectMetaArgsDict = {"name": name, "labels": fitting | labels(component, instance)}
    if options.namespace is not None:
        made["namespace"] = options.namespace
    if notes:
        made["annotations"] = notes
    return made


def annotated(
    metadata: kubernetes.meta.v1.ObjectMetaArgsDict, annotations: dict[str, str]
) -> kubernetes.meta.v1.ObjectMetaArgsDict:
    """Return metadata with further annotations."""
    return {**metadata, "annotations": {**metadata.get("annotations", {}), **annotations}}  # pyright: ignore


def labelled(
    metadata: kubernetes.meta.v1.ObjectMetaArgsDict, further: dict[str, str]
) -> kubernetes.meta.v1.ObjectMetaArgsDict:
    """Return metadata with further labels."""
    return {**metadata, "labels": {**metadata.get("labels", {}), **further}}  # pyright: ignore


def labels(component: str, instance: str) -> dict[str, str]:
    """Return the labels by which one capability's pods are selected."""
    return {
        "app.kubernetes.io/name": "modelberth",
        "app.kubernetes.io/component": component,
        INSTANCE: instance,
        "app.kubernetes.io/managed-by": "pulumi",
    }


def _label_key(key: str) -> str:
    """Our own tags are written `modelberth:stack`; a label's prefix ends in a slash."""
    return key.replace(":", "/", 1)


def settled(
    metadata: pulumi.Output[kubernetes.meta.v1.outputs.ObjectMeta], key: Literal["name", "namespace"]
) -> pulumi.Output[str]:
    """Return the name of an object that is there, or the namespace that it really is in."""

    def read(found: kubernetes.meta.v1.outputs.ObjectMeta) -> str:
        return str(found.name if key == "name" else found.namespace)

    return metadata.apply(read)
