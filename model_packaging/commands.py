"""The packaging commands. Whatever is heavy is imported by the function that needs it."""

import typer

from .errors import ModelberthError

Address = typer.Argument(help="A folder, a .tar, or a URL; may end in @sha256:<digest>.")


def pack() -> None:
    """Make a package of a model file."""
    raise ModelberthError("not built yet")


def show() -> None:
    """Print what a package holds."""
    raise ModelberthError("not built yet")


def check() -> None:
    """Judge a package by the gate."""
    raise ModelberthError("not built yet")


def publish() -> None:
    """Copy a package into a bucket."""
    raise ModelberthError("not built yet")


def pull() -> None:
    """Bring a published package to this machine."""
    raise ModelberthError("not built yet")
