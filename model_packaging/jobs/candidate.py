"""The two packages that the jobs compare. Opening one verifies every byte and runs nothing of it."""

from __future__ import annotations

from model_packaging.errors import ModelberthError
from model_packaging.jobs.layout import Layout
from model_packaging.package import Package, open_package


def open_candidate(layout: Layout) -> Package:
    """The training job's package, from the archive that SageMaker made of the model folder.
    PackageError where archive or package are damaged or hostile."""
    if not layout.candidate.is_file():
        raise ModelberthError(f"the candidate is missing: {layout.candidate} does not exist")
    return open_package(layout.candidate)


def open_champion(layout: Layout) -> Package | None:
    """The package that is served now, if there is one; SageMaker makes the folder even when its
    source is empty."""
    if not layout.champion.is_dir() or not any(layout.champion.iterdir()):
        return None
    return open_package(layout.champion)
