"""The private addresses of a cluster: one /16 that nothing else on this machine uses."""

import ipaddress
import json
import random
import socket
from dataclasses import dataclass
from pathlib import Path

import psutil

from model_packaging.errors import ModelberthError

_NUMBERS = range(200, 250)


@dataclass(frozen=True)
class Network:
    """The addresses 10.<number>.0.0/16 and what they are for."""

    number: int

    @property
    def whole(self) -> str:
        """All addresses of the cluster."""
        return f"10.{self.number}.0.0/16"

    @property
    def pods(self) -> str:
        """Where pods get their addresses."""
        return f"10.{self.number}.0.0/18"

    @property
    def host(self) -> str:
        """This machine, as the node and the pods see it; there only with a node."""
        return f"10.{self.number}.64.1"

    @property
    def node(self) -> str:
        """The node."""
        return f"10.{self.number}.64.2"

    @property
    def services(self) -> str:
        """Where Services get their addresses."""
        return f"10.{self.number}.128.0/17"

    @property
    def api_service(self) -> str:
        """The Service `kubernetes`, which always has the first address."""
        return f"10.{self.number}.128.1"

    @property
    def name_service(self) -> str:
        """The cluster's DNS."""
        return f"10.{self.number}.128.10"


def choose(folder: Path) -> Network:
    """Return the network of the cluster in `folder`: the one that it had, else a free one.

    Raises:
        ModelberthError: every candidate is in use.
    """
    file = folder / "network.json"
    if file.is_file():
        return Network(int(json.loads(file.read_text())["number"]))
    used = _used_networks()
    free = [n for n in _NUMBERS if not any(ipaddress.ip_network(Network(n).whole).overlaps(other) for other in used)]
    if not free:
        raise ModelberthError(
            f"a cluster needs one of the networks 10.{_NUMBERS[0]}.0.0/16 … 10.{_NUMBERS[-1]}.0.0/16 for itself, "
            "and this machine has an address in, or a route to, each of them"
        )
    network = Network(random.choice(free))
    file.write_text(json.dumps({"number": network.number}))
    return network


def _used_networks() -> list[ipaddress.IPv4Network]:
    """What this machine has an address in, or a route to other than the default."""
    found: list[ipaddress.IPv4Network] = []
    for addresses in psutil.net_if_addrs().values():
        for address in addresses:
            if address.family == socket.AF_INET and address.netmask:
                found.append(ipaddress.IPv4Network(f"{address.address}/{address.netmask}", strict=False))
    routes = Path("/proc/net/route")
    for line in routes.read_text().splitlines()[1:] if routes.exists() else ():
        destination, mask = (int.from_bytes(bytes.fromhex(line.split()[i]), "little") for i in (1, 7))
        if mask:
            found.append(ipaddress.IPv4Network((destination, mask.bit_count())))
    return found
