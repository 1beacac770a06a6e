"""One live stack per platform, which the tests of a file change in order."""

import json
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
from modelberth.registry import PLATFORMS

from sandbox.examples import PACKAGING, digest_of
from sandbox.settings import HOME
from tests.conformance.world import HERE, World, train, world_class
from tests.node import needs_node

T = TypeVar("T")


def wait_for(probe: Callable[[], T], seconds: float, what: str) -> T:
    """Poll until the probe gives something true; fails by saying what did not happen."""
    deadline = time.monotonic() + seconds
    while not (found := probe()):
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        time.sleep(0.1)
    return found


@pytest.fixture(scope="session")
def packages() -> Path:
    """The packages that the tests deploy, trained once for each state of their sources."""
    folder = HOME / "conformance" / digest_of(PACKAGING, HERE / "model")[:16]
    if not folder.is_dir():
        shutil.rmtree(folder.parent, ignore_errors=True)
        unfinished = folder.with_suffix(".part")
        train(unfinished)
        unfinished.rename(folder)
    return folder


_OF_THEIR_OWN = {
    "kubernetes": needs_node,
    "vertex": pytest.mark.skip(reason="the suite has not been seen to pass on the Google emulator yet"),
}
"""What a platform's world asks of the machine."""


@pytest.fixture(
    scope="module", params=[pytest.param(name, marks=_OF_THEIR_OWN.get(name, ())) for name in sorted(PLATFORMS)]
)
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, packages: Path) -> Iterator[World]:
    """A platform, and the suite's stack with nothing deployed yet."""
    found = world_class(request.param)(request.param, tmp_path_factory.mktemp(request.param) / "project", packages)
    found.start()
    try:
        found.prepare()
        found.configure("good")
        found.before = found.everything()
        found.stack.ensure()
        yield found
    finally:
        found.stop()


@pytest.fixture
def outputs(world: World) -> dict[str, Any]:
    """What the stack exports of the suite's model."""
    return json.loads(world.stack.outputs())["tumours"]
