"""`modelberth image …`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

app = typer.Typer(
    help="Build the container image that serves models and runs jobs.", no_args_is_help=True, add_completion=False
)


More = Annotated[
    list[str] | None,
    typer.Option(
        "--with",
        metavar="PART",
        help="Another part of the image: catboost, gcp, grpc, huggingface, lightgbm, sign or xgboost; may be given "
        "again.",
    ),
]
Packages = Annotated[
    list[str] | None,
    typer.Option("--for", metavar="PACKAGE", help="A package that the image must serve; may be given again."),
]


@app.command()
def context(
    directory: Annotated[Path, typer.Argument(help="A new or empty folder.")],
    more: More = None,
    packages: Packages = None,
) -> None:
    """Write the image's build context: a Dockerfile, pinned requirements and this project as a wheel.

    Example: modelberth image context ./image --with xgboost
    """
    from model_packaging.image.context import write

    write(directory, more or (), packages or ())
    typer.echo(directory)


@app.command()
def build(
    tag: Annotated[str | None, typer.Option(help="The image's tag; left out: the project's version.")] = None,
    repository: Annotated[
        str | None, typer.Option(help="Registry and path to push to; left out: modelberth, on this machine only.")
    ] = None,
    push: Annotated[bool, typer.Option("--push", help="Push it; logs in to Amazon ECR where it is that.")] = False,
    builder: Annotated[
        Literal["docker", "podman", "buildah"] | None, typer.Option(help="Left out: the first that is installed.")
    ] = None,
    platform: Annotated[str, typer.Option(help="Operating system and processor.")] = "linux/amd64",
    run_as: Annotated[
        Literal["modelberth", "root"],
        typer.Option(help="The user in the container; SageMaker's guide expects root."),
    ] = "modelberth",
    more: More = None,
    packages: Packages = None,
) -> None:
    """Build the image, push it if asked, and print its reference with digest (unpushed: tag and image id).

    Example: modelberth image build --push --run-as root
    --repository 123456789012.dkr.ecr.eu-central-1.amazonaws.com/modelberth
    """
    import tempfile
    from importlib.metadata import version

    from model_packaging.image import builder as builders
    from model_packaging.image import registry
    from model_packaging.image.context import write

    if push and repository is None:
        raise typer.BadParameter("--push needs --repository, the registry and path to push to")
    name = repository or "modelberth"
    reference = registry.reference(name, tag or version("modelberth"))
    found = builders.find(builder)
    with tempfile.TemporaryDirectory(prefix="modelberth-image-") as folder:
        write(Path(folder), more or (), packages or ())
        identity = found.build(Path(folder), reference, platform, run_as)
    if not push:
        typer.echo(f"{reference} {identity}")
        return
    if credentials := registry.ecr_login(name):
        found.login(*credentials)
    typer.echo(f"{name}@{found.push(reference)}")
