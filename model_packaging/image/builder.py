"""The programs that build and push images: docker, podman and buildah, by their command lines.

SageMaker takes images in Docker's format (schema 2) and refuses OCI manifests and indexes with "Unsupported
manifest media type" (github.com/aws/amazon-sagemaker-feedback, issue 180), so each builder is told to make that.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from model_packaging.errors import ModelberthError

BUILDERS = ("docker", "podman", "buildah")
_ANSWERS_SECONDS = 30
_ALIVE = {
    "docker": ("version", "--format", "{{.Server.Version}}"),
    "podman": ("info", "--format", "{{.Version.Version}}"),
    "buildah": ("version",),
}
_START = {
    "docker": "start Docker Desktop, or the service (systemctl start docker)",
    "podman": "start its machine (podman machine start)",
    "buildah": "look at its message above",
}


@dataclass(frozen=True)
class Builder:
    """A builder that was found and answers."""

    name: str
    program: str

    def build(self, context: Path, reference: str, platform: str, run_as: str) -> str:
        """Builds and names the image; its id (`sha256:…`), which is no registry digest."""
        with tempfile.TemporaryDirectory() as folder:
            identity = Path(folder) / "id"
            output = ("--output", "type=docker") if self.name == "docker" else ("--format", "docker")
            options = ("--platform", platform, "--build-arg", f"RUN_AS={run_as}", *output)
            names = ("--tag", reference, "--iidfile", str(identity))
            self._run("build the image", ["build", *options, *names, str(context)])
            found = identity.read_text().strip()
            return found if ":" in found else f"sha256:{found}"

    def login(self, registry: str, user: str, password: str) -> None:
        """Logs in to a registry; the password goes through standard input only."""
        self._run("log in to the registry", ["login", "--username", user, "--password-stdin", registry], password)

    def push(self, reference: str) -> str:
        """Pushes, and tells the digest that the registry now has."""
        advice = "where the tag is taken and the registry's tags are immutable, choose another --tag"
        if self.name == "docker":
            self._run("push the image", ["push", reference], advice=advice)
            return self._pushed_digest(reference)
        with tempfile.TemporaryDirectory() as folder:
            digest = Path(folder) / "digest"
            self._run("push the image", ["push", "--digestfile", str(digest), reference], advice=advice)
            return digest.read_text().strip()

    def _pushed_digest(self, reference: str) -> str:
        command = [self.program, "image", "inspect", "--format", "{{json .RepoDigests}}", reference]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        repository = reference.rpartition(":")[0]
        digests: list[str] = json.loads(done.stdout) or [] if not done.returncode else []
        found = [entry.partition("@")[2] for entry in digests if entry.partition("@")[0] == repository]
        if not found:
            raise ModelberthError(f"{reference} was pushed, and docker does not tell its digest: ask the registry")
        return found[-1]

    def _run(self, what: str, arguments: Sequence[str], given: str | None = None, advice: str = "") -> None:
        done = subprocess.run(
            [self.program, *arguments],
            input=given,
            text=True,
            stdout=sys.__stderr__,  # standard output is for the reference alone
            env={**os.environ, "BUILDX_NO_DEFAULT_ATTESTATIONS": "1"},  # an attestation would make it an OCI index
            check=False,
        )
        if done.returncode:
            hint = f"; {advice}" if advice else ""
            raise ModelberthError(f"{self.name} could not {what}: exit code {done.returncode}, see above{hint}")


def find(wanted: str | None) -> Builder:
    """The builder of that name, or the first of BUILDERS on the path.
    ModelberthError says how to get one, or why it does not answer."""
    for name in [wanted] if wanted else BUILDERS:
        program = shutil.which(name)
        if program:
            _check_alive(name, program)
            return Builder(name, program)
    missing = f"{wanted} was not found" if wanted else "no container builder was found"
    raise ModelberthError(
        f"{missing} on the path: install Docker (docs.docker.com/get-docker), Podman "
        "(podman.io/docs/installation) or Buildah (package buildah), or build elsewhere: "
        "modelberth image context DIRECTORY writes all that a builder needs"
    )


def _check_alive(name: str, program: str) -> None:
    try:
        done = subprocess.run(
            [program, *_ALIVE[name]], capture_output=True, text=True, timeout=_ANSWERS_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        reason = f"no answer within {_ANSWERS_SECONDS} s"
    else:
        if not done.returncode:
            return
        reason = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
    others = [other for other in BUILDERS if other != name and shutil.which(other)]
    choice = f", or choose --builder {others[0]}" if others else ""
    raise ModelberthError(f"{name} does not answer: {reason}", f"{_START[name]}{choice}")
