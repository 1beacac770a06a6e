"""Whether the tests that need a node of the sandbox's own are asked for: `make test-node`."""

import os

import pytest

WANTED = os.environ.get("MODELBERTH_NODE") == "1"
needs_node = pytest.mark.skipif(
    not WANTED,
    reason="runs in `make test-node`: the programs of a node of the sandbox's own, and its image, are built once, "
    "which takes most of an hour on two cores",
)
