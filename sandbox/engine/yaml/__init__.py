"""The engine's host of programs in YAML, built from its published Go module: an engine that was built brings none."""

from pathlib import Path

from sandbox.go_tools import GoProgram, build, cache_folder

_VERSION = "v1.38.0"
_PROGRAM = GoProgram(
    name="Pulumi's host of YAML programs",
    version=_VERSION,
    source=Path(__file__).parent,
    package="github.com/pulumi/pulumi-yaml/cmd/pulumi-language-yaml",
    executable="pulumi-language-yaml",
    space_bytes=2 * 1024**3,
    minutes="about a minute on two cores",
    without_go="There is no Go on this machine to build Pulumi's host of YAML programs: install Go 1.26 or later "
    "(https://go.dev/doc/install), or Pulumi (https://www.pulumi.com/docs/install/), which brings it.",
)


def ensure_yaml_host() -> Path:
    """The folder with `pulumi-language-yaml`, for the path; built once if it is not there.

    Raises:
        ModelberthError: there is no Go, or the build failed.
    """
    built = cache_folder() / "language-yaml" / _VERSION
    if not (built / "pulumi-language-yaml").exists():
        build(_PROGRAM, built)
    return built
