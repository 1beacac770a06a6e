"""One control plane for the tests of this folder."""

from collections.abc import Iterator

import pytest

from sandbox.kubernetes import control_plane
from sandbox.kubernetes.control_plane import Cluster


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A control plane that runs, without a node."""
    with control_plane.running(tmp_path_factory.mktemp("cluster")) as running:
        yield running
