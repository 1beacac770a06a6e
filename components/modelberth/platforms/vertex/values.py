"""Values as Google Cloud writes them, checked when a configuration is read.

Sources: "Naming" and "Labels" in the references of Resource Manager, Cloud Storage, Vertex AI (projects.locations.
endpoints) and Cloud KMS.
"""

import hashlib
import re
from typing import Annotated

import pulumi
from pydantic import AfterValidator

from ...names import physical_name, shortened

_MOST_LABELS = 60
"""Of the 64 that a resource takes; the plugin and the provider add theirs."""
_ENDPOINT_ID = re.compile(r"[1-9][0-9]{0,8}")
_KEY = re.compile(r"projects/[^/]+/locations/([^/]+)/keyRings/[^/]+/cryptoKeys/[^/]+")


def check_project(text: str) -> str:
    """Return a project's id. ValueError if it is none."""
    if re.fullmatch(r"([a-z0-9.-]+:)?[a-z][a-z0-9-]{4,28}[a-z0-9]", text):
        return text
    raise ValueError("is no project's id: 6 to 30 lower-case letters, digits and hyphens, a letter first")


def check_location(text: str) -> str:
    """Return a region's name. ValueError if it is none."""
    if re.fullmatch(r"[a-z]+-[a-z]+[0-9]+", text):
        return text
    raise ValueError("is no region: write one such as europe-west4, without a zone")


def check_bucket_location(text: str) -> str:
    """Return a bucket's location in capitals, as Cloud Storage keeps it. ValueError if it is none."""
    if re.fullmatch(r"[a-zA-Z]+(-[a-zA-Z]+[0-9]+)?|[a-zA-Z]+[0-9]", text):
        return text.upper()
    raise ValueError("is no location of a bucket: write a region such as europe-west4, or EU, US or ASIA")


Project = Annotated[str, AfterValidator(check_project)]
Location = Annotated[str, AfterValidator(check_location)]
BucketLocation = Annotated[str, AfterValidator(check_bucket_location)]


def is_endpoint_id(text: str) -> bool:
    """Whether a text of digits is an endpoint's id: at most 9 of them and no 0 first."""
    return _ENDPOINT_ID.fullmatch(text) is not None


def endpoint_id(name: str) -> str:
    """Return the id of the endpoint of a name: the name itself where it is one, else nine digits made of it.

    Vertex AI takes no other: an id that begins with a digit has at most 9 of them (REST reference v1,
    endpoints.create), and Pulumi's resource takes digits only.
    """
    if is_endpoint_id(name):
        return name
    return str(10**8 + int(hashlib.sha256(name.encode()).hexdigest(), 16) % (9 * 10**8))


def account_id(name: str) -> str:
    """Return the id of the service account of a purpose: 6 to 30 characters, a letter first."""
    return shortened(_letter_first(physical_name(name)), 30)


def role_id(name: str) -> str:
    """Return the id of a custom role: letters, digits and underscores, at most 64."""
    return shortened(_letter_first(physical_name(name)), 64).replace("-", "_")


def _letter_first(name: str) -> str:
    return name if name[0].isalpha() else f"m-{name}"


def labels(tags: dict[str, str]) -> dict[str, str]:
    """Return tags as labels: in lower case, with a hyphen for each character that labels do not take."""
    return {label(key): label(value) for key, value in tags.items()}


def label(text: str) -> str:
    """Return a text as a label's key or value."""
    return re.sub(r"[^a-z0-9_-]", "-", text.lower())


def check_tags(tags: dict[str, str], where: str) -> list[str]:
    """Say which tags can't be labels."""
    problems: list[str] = []
    seen: dict[str, str] = {}
    for key, value in tags.items():
        name = label(key)
        if not re.match("[a-z]", name) or len(name) > 63:
            problems.append(f"{where}.tags.{key}: is no key of a label: a letter first, at most 63 characters")
        if len(value) > 63:
            problems.append(f"{where}.tags.{key}: {len(value)} characters are more than the 63 of a label's value")
        if name in seen:
            problems.append(f"{where}.tags.{key}: is the same label as {seen[name]}, {name}: rename one of them")
        seen[name] = key
    if len(tags) > _MOST_LABELS:
        problems.append(f"{where}.tags: {len(tags)} tags are more than the {_MOST_LABELS} labels of a resource")
    return problems


def check_key(key: object, where: str, location: str | None = None) -> list[str]:
    """Say what is wrong with a customer's key that is known already; it must lie where what it encrypts lies."""
    if not isinstance(key, str):
        return []
    found = _KEY.fullmatch(key)
    if found is None:
        return [
            f"{where}: {key!r} is no Cloud KMS key: write projects/<project>/locations/<location>/keyRings/<ring>/"
            "cryptoKeys/<key>"
        ]
    if location is not None and found[1] != location.lower():
        return [f"{where}: {key!r} lies in {found[1]}, but what it would encrypt lies in {location}: use a key there"]
    return []


def check_bucket(address: object, where: str) -> list[str]:
    """Say what is wrong with a bucket's address that is known already."""
    if not isinstance(address, str) or not address or address.startswith("gs://"):
        return []
    return [
        f"{where}: {address!r} is no bucket of Cloud Storage: write gs://<name>, such as the output url of "
        "ArtifactBucket"
    ]


def check_image(image: object, where: str) -> list[str]:
    """Say what is wrong with an image that is known already. Source: "Custom container requirements" of Vertex AI."""
    if not isinstance(image, str) or not image:
        return []
    if re.match(r"([a-z0-9-]+-docker\.pkg\.dev|([a-z]+\.)?gcr\.io)/", image):
        return []
    return [
        f"{where}: {image!r} lies in a registry that Vertex AI cannot read: push it to Artifact Registry, "
        "<region>-docker.pkg.dev/<project>/<repository>/…"
    ]


def bucket_name(address: pulumi.Input[str]) -> pulumi.Output[str]:
    """Return the name in a bucket's address, `gs://name`."""
    return pulumi.Output.from_input(address).apply(lambda text: text.removeprefix("gs://").strip("/"))
