"""Container images: which addresses Vertex AI reads, and the program that an image runs here.

Sources: "Use a custom container for inference" (Artifact Registry, Container Registry), "Configure container settings
for custom training" (Docker Hub as well).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sandbox.containers import PROJECT_PROGRAM, resolve_entrypoint

if TYPE_CHECKING:
    from sandbox.google.emulator import Emulator

Program = tuple[list[str], list[str]]
"""An image's ENTRYPOINT and CMD."""

GOOGLE_REGISTRY = re.compile(
    r"(?:[a-z0-9-]+-docker\.pkg\.dev|(?:[a-z]+\.)?gcr\.io)/[^\s:@]+/[^\s:@]+(?::[\w.-]+)?(?:@sha256:\w{64})?"
)


_DOCKER_HUB = re.compile(r"(?:docker\.io/)?[a-z0-9][\w./-]*(?::[\w.-]+)?(?:@sha256:\w{64})?")


def is_training_image(image: str) -> bool:
    """Whether custom training can read an image: Google's registries, and Docker Hub's names."""
    if GOOGLE_REGISTRY.fullmatch(image):
        return True
    host, slash, _ = image.partition("/")
    # As Docker reads it: a first part with a dot or a port, or localhost, is another registry.
    elsewhere = bool(slash) and host != "docker.io" and ("." in host or ":" in host or host == "localhost")
    return not elsewhere and _DOCKER_HUB.fullmatch(image) is not None


def program_of(emulator: Emulator, image: str) -> Program | None:
    """An image's program; None for one that is not there."""
    name, _, digest = image.partition("@")
    given = emulator.images.program(image, digest or None)
    if given is not None:
        return given, []
    path = name.rpartition("/")[2].partition(":")[0]
    # The project's own image is in every repository.
    return (list(PROJECT_PROGRAM), ["serve"]) if path == "modelberth" else None


def command_of(spec: Mapping[str, Any], program: Program) -> list[str]:
    """The command line of a container: a container spec's `command` and `args` go before what the image says."""
    entrypoint, arguments = program
    command = resolve_entrypoint(spec.get("command"), entrypoint)
    # As in Docker, a command of one's own does without the image's arguments.
    return command + [str(one) for one in spec.get("args") or ([] if spec.get("command") else arguments)]


def environment_of(spec: Mapping[str, Any]) -> dict[str, str]:
    """A container spec's variables."""
    return {one["name"]: str(one.get("value", "")) for one in spec.get("env", [])}


def pull_failure(emulator: Emulator, project: str, image: str) -> str:
    """What is said of an image that is not there. The words are ours."""
    agent = f"service-{emulator.projects.number(project)}@gcp-sa-aiplatform.iam.gserviceaccount.com"
    return (
        f'Failed to pull the image "{image}": it does not exist, or the Vertex AI Service Agent {agent} does not have '
        "artifactregistry.repositories.downloadArtifacts on its repository."
    )
