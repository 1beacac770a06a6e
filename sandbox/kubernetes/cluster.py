"""The whole of it: a control plane, and a node where the machine allows one."""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sandbox.kubernetes import control_plane, monitoring, node, object_store
from sandbox.kubernetes.control_plane import LOOPBACK, Cluster
from sandbox.kubernetes.node import Node


@dataclass(frozen=True)
class Running:
    """A cluster that runs."""

    cluster: Cluster
    node: Node | None
    """Nothing where the machine cannot run one."""

    reasons_against_node: list[str]
    """Why there is no node."""

    @property
    def address(self) -> str:
        """Where a server on this machine must listen for the cluster to reach it."""
        return LOOPBACK if self.node is None else self.cluster.network.host


def start(folder: Path) -> Running:
    """Start what does not run of the cluster in `folder`, with a node where the machine allows one.

    Raises:
        ModelberthError: a program cannot be built, or does not become ready; with the end of its log.
    """
    reasons = node.reasons_against()
    if reasons:
        return Running(control_plane.start(folder), None, reasons)
    address = node.prepare(folder).host
    cluster = control_plane.start(folder, address)
    return Running(cluster, node.start(cluster), [])


def stop(folder: Path) -> bool:
    """End everything of `folder`, also an object store and monitoring that were started there; its content stays.

    Tells whether anything ran.

    Raises:
        ModelberthError: something does not end.
    """
    if not folder.is_dir():
        return False
    # The node goes last, because with it goes the address at which the API server listens.
    parts = (monitoring.stop, object_store.stop, control_plane.stop, node.stop)
    return any([stop_part(folder) for stop_part in parts])


def remove(folder: Path) -> bool:
    """End everything of `folder` and forget all that was in it; tells whether there was one."""
    stop(folder)
    return control_plane.remove(folder)


@contextmanager
def running(folder: Path) -> Generator[Running]:
    """Run the cluster of `folder` for as long as the block takes.

    Raises:
        ModelberthError: see `start`.
    """
    try:
        yield start(folder)
    finally:
        stop(folder)
