"""What a model needs beside a cluster ends with the cluster."""

from pathlib import Path

import pytest

from sandbox.kubernetes import cluster, services
from sandbox.kubernetes.processes import Processes
from tests.node import needs_node

pytestmark = [
    needs_node,
    # The first run on a machine builds what does not lie in the cache folder.
    pytest.mark.timeout(3600),
]


def test_nothing_runs_after_a_stop(tmp_path: Path) -> None:
    processes = Processes(tmp_path)
    try:
        services.start(cluster.start(tmp_path))
        assert {"pushgateway", "rules", "prometheus", "alertmanager", "kube-apiserver"} <= set(processes.names())
    finally:
        assert cluster.stop(tmp_path)

    assert processes.names() == []
