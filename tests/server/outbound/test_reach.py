"""Webhooks go where they may: to the address that was checked, and to nothing inside that was not allowed."""

from __future__ import annotations

import socket
from ipaddress import ip_address

import httpcore
import pytest

from qc.errors import InvalidInput
from server.outbound.reach import Allowed, CheckedNetwork, NotReachable, allowed_hosts

INNER = (
    *("127.0.0.1", "127.8.9.1", "0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.1.1", "100.64.0.1", "224.0.0.1"),
    *(
        "255.255.255.255",
        "169.254.169.254",
        "100.100.100.200",
        "168.63.129.16",
        "::1",
        "::",
        "fe80::1",
        "fd00:ec2::254",
    ),
    *("fc00::1", "ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "::127.0.0.1"),
)
OUTER = ("93.184.216.34", "8.8.8.8", "2606:4700:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808")


@pytest.mark.parametrize("address", INNER)
def test_an_inner_address_is_refused_in_whatever_clothes(address):
    with pytest.raises(NotReachable):
        Allowed().check("mes.example.com", ip_address(address))


@pytest.mark.parametrize("address", OUTER)
def test_the_outside_is_open(address):
    Allowed().check("mes.example.com", ip_address(address))


def test_an_allowed_host_may_be_inside_but_is_no_way_to_the_metadata_service():
    allowed = allowed_hosts(["MES.plant.local", "10.20.0.0/16", "169.254.7.7"])
    allowed.check("mes.plant.local", ip_address("192.168.1.4"))
    allowed.check("other.plant.local", ip_address("10.20.3.4"))
    allowed.check("other.plant.local", ip_address("::ffff:10.20.3.4"))
    allowed.check("169.254.7.7", ip_address("169.254.7.7"))
    for host, address in (
        ("other.plant.local", "10.21.3.4"),
        ("mes.plant.local.evil.example", "127.0.0.1"),
        ("mes.plant.local", "169.254.169.254"),
        ("mes.plant.local", "fe80::1"),
    ):
        with pytest.raises(NotReachable, match=host):
            allowed.check(host, ip_address(address))


@pytest.mark.parametrize("entry", ["10.20.0.1/16", "a b", "", "http://mes", "10.20", "mes/path"])
def test_an_entry_that_is_no_host_is_refused(entry):
    with pytest.raises(InvalidInput, match="allow"):
        allowed_hosts([entry])


@pytest.mark.parametrize("host", ["localhost", "2130706433", "0x7f000001", "127.1"])
def test_a_name_that_leads_inside_is_refused_before_anything_is_sent(host):
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(0.05)
        with pytest.raises(NotReachable, match="inner address"):
            CheckedNetwork(Allowed(), 5.0).connect_tcp(host, listening.getsockname()[1])
        with pytest.raises(TimeoutError):
            listening.accept()


def test_a_name_that_changes_its_mind_gains_nothing(monkeypatch):
    """DNS rebinding: the first answer is harmless, the second one is not. There is no second question."""
    real, asked = socket.getaddrinfo, []

    def answers(host, *rest, **more):
        if host != "rebind.example":
            return real(host, *rest, **more)
        asked.append(host)
        place = ("127.0.0.1" if len(asked) == 1 else "169.254.169.254", rest[0] if rest else 0)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", place)]

    monkeypatch.setattr(socket, "getaddrinfo", answers)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        stream = CheckedNetwork(allowed_hosts(["127.0.0.1"]), 5.0).connect_tcp("rebind.example", port)
        assert stream.get_extra_info("server_addr")[0] == "127.0.0.1"
        stream.close()
        with pytest.raises(NotReachable, match="metadata"):
            CheckedNetwork(allowed_hosts(["127.0.0.1"]), 5.0).connect_tcp("rebind.example", port)
    assert len(asked) == 2


def test_a_name_of_which_one_address_is_inside_is_refused_whole(monkeypatch):
    places = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (a, 443)) for a in ("93.184.216.34", "10.0.0.1")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: places)
    with pytest.raises(NotReachable, match=r"10\.0\.0\.1"):
        CheckedNetwork(Allowed(), 5.0).connect_tcp("mixed.example", 443)


def test_an_unknown_name_is_no_connection():
    with pytest.raises(httpcore.ConnectError, match="is not known"):
        CheckedNetwork(Allowed(), 5.0).connect_tcp("no-such-host.invalid", 443)
