"""What several suites share."""

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="module")
def aws() -> Iterator[str]:
    """The address of moto's server, in this process and on loopback."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()
