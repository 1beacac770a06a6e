"""A cluster's addresses collide with nothing that this machine uses, and stay what they were."""

import ipaddress
from pathlib import Path

import pytest

from model_packaging.errors import ModelberthError
from sandbox.kubernetes import network


def test_a_used_network_is_not_chosen_and_the_choice_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    used = [ipaddress.IPv4Network(f"10.{n}.7.0/24") for n in range(200, 250) if n != 231]
    monkeypatch.setattr(network, "_used_networks", lambda: used)
    assert network.choose(tmp_path).whole == "10.231.0.0/16"

    monkeypatch.setattr(network, "_used_networks", lambda: [ipaddress.IPv4Network("10.0.0.0/8")])
    assert network.choose(tmp_path).whole == "10.231.0.0/16"


def test_it_is_said_when_every_network_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "_used_networks", lambda: [ipaddress.IPv4Network("10.0.0.0/8")])

    with pytest.raises(ModelberthError, match=r"10\.200\.0\.0/16 … 10\.249\.0\.0/16 for itself"):
        network.choose(tmp_path)


def test_the_parts_of_a_network_do_not_overlap() -> None:
    chosen = network.Network(231)
    pods, services = (ipaddress.ip_network(text) for text in (chosen.pods, chosen.services))
    assert not pods.overlaps(services)
    for address in (chosen.host, chosen.node):
        assert ipaddress.ip_address(address) not in pods
        assert ipaddress.ip_address(address) not in services
    for address in (chosen.api_service, chosen.name_service):
        assert ipaddress.ip_address(address) in services


def test_this_machines_own_addresses_are_seen() -> None:
    assert any(ipaddress.ip_address("127.0.0.1") in used for used in network._used_networks())
