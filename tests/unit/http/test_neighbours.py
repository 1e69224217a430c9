"""Who is let in by an address: callers in a network that an admin has listed, and never one that strangers share."""

from __future__ import annotations

import ipaddress
import logging
import socket
import struct
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from serve_app.domain import SettingsError, UnauthorisedError
from serve_app.http.guard import Guard
from serve_app.http.neighbours import Neighbours
from serve_app.http.shared_addresses import Address, shared_addresses
from serve_app.settings import parse_settings

if TYPE_CHECKING:
    from tests.unit.conftest import Service

SCAN = "/api/v1/scan"
SECRET = "a-secret-of-these-tests"
HEADINGS = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
NOWHERE = "0" * 32

MakeNeighbours = Callable[..., Neighbours]


def ipv4_route(gateway: str, network: str = "0.0.0.0/0") -> str:
    """A line of /proc/net/route: numbers in the machine's own order of bytes."""
    there = ipaddress.IPv4Network(network)
    of = (str(there.network_address), gateway, str(there.netmask))
    destination, via, mask = (f"{struct.unpack('=L', socket.inet_aton(each))[0]:08X}" for each in of)
    return f"eth0\t{destination}\t{via}\t0003\t0\t0\t0\t{mask}\t0\t0\t0\n"


def ipv6_route(gateway: str, network: str = "::/0") -> str:
    """A line of /proc/net/ipv6_route."""
    there, via = ipaddress.IPv6Network(network), ipaddress.IPv6Address(gateway).packed.hex()
    destination = f"{there.network_address.packed.hex()} {there.prefixlen:02x}"
    return f"{destination} {NOWHERE} 00 {via} 00000400 00000003 00000000 00000003     eth0\n"


def ipv4_address(address: str) -> str:
    """Of /proc/net/fib_trie, an address of this machine."""
    return f"           |-- {address}\n              /32 host LOCAL\n"


def ipv6_address(address: str) -> str:
    """A line of /proc/net/if_inet6."""
    return f"{ipaddress.IPv6Address(address).packed.hex()} 02 40 00 80     eth0\n"


@pytest.fixture
def proc_net(tmp_path: Path) -> Path:
    """What the kernel tells of a container in Docker's network 172.18.0.0/16 and in an internal one, 172.20.0.0/28."""
    connected = ipv4_route("0.0.0.0", "172.18.0.0/16") + ipv4_route("0.0.0.0", "172.20.0.0/28")
    (tmp_path / "route").write_text(HEADINGS + ipv4_route("172.18.0.1") + connected, "ascii")
    own = ipv4_address("127.0.0.1") + ipv4_address("172.18.0.9") + ipv4_address("172.20.0.9")
    network = "           |-- 172.18.0.0\n              /16 link UNICAST\n"
    (tmp_path / "fib_trie").write_text(f"Main:\n{network}{own}Local:\n{own}", "ascii")
    connected = ipv6_route("::", "fd00::/64") + ipv6_route("::", "fd01::/64") + ipv6_route("::")
    (tmp_path / "ipv6_route").write_text(ipv6_route("fd00::fe") + ipv6_route("fe80::1") + connected, "ascii")
    (tmp_path / "if_inet6").write_text(ipv6_address("::1") + ipv6_address("fd00::9"), "ascii")
    return tmp_path


@pytest.fixture
def make_neighbours(proc_net: Path) -> MakeNeighbours:
    """Neighbours of that container."""

    def make(*networks: str) -> Neighbours:
        settings = parse_settings({"authentication": {"trusted_networks": list(networks)}})
        return Neighbours(settings.authentication.trusted_networks, proc_net)

    return make


@pytest.mark.parametrize(
    ("network", "address"),
    [
        ("172.18.0.0/16", "172.18.0.2"),
        ("172.18.0.0/16", "172.18.255.255"),
        ("172.18.0.0/16", "::ffff:172.18.0.2"),
        ("172.18.0.7", "172.18.0.7"),
        ("172.18.0.0/16", "172.18.1.1"),
        ("127.0.0.1", "127.0.0.1"),
        ("::1", "::1"),
        ("203.0.113.7/32", "203.0.113.7"),
        ("fd00::/64", "fd00::5"),
        ("fe80::/10", "fe80::5%eth0"),
    ],
)
def test_a_caller_in_a_listed_network_is_let_in(make_neighbours: MakeNeighbours, network: str, address: str) -> None:
    assert make_neighbours("192.0.2.0/24", network).include(address)
    assert not make_neighbours("192.0.2.0/24").include(address)
    assert not make_neighbours().include(address)


@pytest.mark.parametrize(
    "address",
    [
        *("172.19.0.2", "10.0.0.1", "127.0.0.1", "8.8.8.8", "100.64.0.1", "0.0.0.0", "::1", "fd00::5"),
        *("::ffff:8.8.8.8", "::172.18.0.2", "2002:ac12:2::1", "64:ff9b::172.18.0.2"),
        *("garbage", "", "172.18.0.2 ", "172.18.0.999", "172.18.2", "localhost", "172.18.0.2/32", None),
    ],
)
def test_another_caller_is_not(make_neighbours: MakeNeighbours, address: str | None) -> None:
    assert not make_neighbours("172.18.0.0/16").include(address)


@pytest.mark.parametrize(
    "address",
    [
        # Docker's proxy gives the bridge's address to everybody who comes through a published port.
        *("172.18.0.1", "::ffff:172.18.0.1", "fd00::fe", "fe80::1", "fe80::1%eth0"),
        # It does so in an internal network too, which no route leads out of.
        *("172.20.0.1", "fd00::1", "fd01::1"),
        # A rootless container's ports give its own address.
        *("172.18.0.9", "172.20.0.9", "fd00::9"),
    ],
)
def test_an_address_that_strangers_come_with_never_is(make_neighbours: MakeNeighbours, address: str) -> None:
    neighbours = make_neighbours("172.16.0.0/12", "fd00::/63", "fd01::/64", "fe80::/10", "172.18.0.1/32")
    assert not neighbours.include(address)


def test_a_gateway_is_known_from_the_moment_that_it_is_one(make_neighbours: MakeNeighbours, proc_net: Path) -> None:
    neighbours = make_neighbours("172.16.0.0/12")
    assert neighbours.include("172.19.0.1")
    (proc_net / "route").write_text(HEADINGS + ipv4_route("172.19.0.1"), "ascii")
    assert not neighbours.include("172.19.0.1")
    assert neighbours.include("172.18.0.1")


def test_where_ipv6_is_switched_off_its_routes_are_not_asked_for(
    make_neighbours: MakeNeighbours, proc_net: Path
) -> None:
    (proc_net / "ipv6_route").unlink()
    assert make_neighbours("172.18.0.0/16").include("172.18.0.2")


def test_nobody_is_let_in_while_the_tables_cannot_be_read(make_neighbours: MakeNeighbours, proc_net: Path) -> None:
    neighbours = make_neighbours("172.18.0.0/16")
    (proc_net / "route").unlink()
    assert not neighbours.include("172.18.0.2")
    (proc_net / "route").write_text(HEADINGS + "eth0\tnonsense\n", "ascii")
    assert not neighbours.include("172.18.0.2")


def test_a_system_without_routes_is_refused_at_the_start(make_neighbours: MakeNeighbours, proc_net: Path) -> None:
    (proc_net / "route").unlink()
    assert not make_neighbours().include("172.18.0.2")
    with pytest.raises(SettingsError, match=r"trusted_networks works on Linux only.*scan/SECRET"):
        make_neighbours("172.18.0.0/16")


IPV4_NETWORKS = st.tuples(st.ip_addresses(v=4), st.integers(1, 30)).map(lambda of: ipaddress.IPv4Network(of, False))
IPV6_NETWORKS = st.tuples(st.ip_addresses(v=6), st.integers(1, 126)).map(lambda of: ipaddress.IPv6Network(of, False))


@given(st.ip_addresses(v=4), st.ip_addresses(v=6), IPV4_NETWORKS, IPV6_NETWORKS)
def test_every_such_address_is_read_from_the_kernels_tables(
    tmp_path_factory: pytest.TempPathFactory,
    ipv4: ipaddress.IPv4Address,
    ipv6: ipaddress.IPv6Address,
    ipv4_network: ipaddress.IPv4Network,
    ipv6_network: ipaddress.IPv6Network,
) -> None:
    folder = tmp_path_factory.getbasetemp()
    routes = ipv4_route(str(ipv4)) + ipv4_route("0.0.0.0", str(ipv4_network))
    (folder / "route").write_text(HEADINGS + routes, "ascii")
    (folder / "ipv6_route").write_text(ipv6_route(str(ipv6)) + ipv6_route("::", str(ipv6_network)), "ascii")
    last = ipv4_network.broadcast_address - 1, ipv6_network.broadcast_address
    (folder / "fib_trie").write_text(ipv4_address(str(last[0])), "ascii")
    (folder / "if_inet6").write_text(ipv6_address(str(last[1])), "ascii")
    shared: set[Address] = {ipv4, ipv6, ipv4_network.network_address + 1, ipv6_network.network_address + 1, *last}
    assert set(shared_addresses(folder)) == {each for each in shared if not (each.is_unspecified or each.is_loopback)}


@pytest.mark.skipif(sys.platform != "linux", reason="routes are read from Linux's /proc")
def test_the_tables_of_this_machine_are_understood() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        try:
            asked.connect(("192.0.2.1", 9))  # sends nothing
        except OSError:
            pytest.skip("this machine has no route to anywhere")
        own = ipaddress.ip_address(asked.getsockname()[0])
    assert own.is_loopback or own in shared_addresses()


# What the log says


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.getMessage() for each in caplog.records if each.levelno == logging.WARNING]


def test_trust_is_said_at_the_start_with_the_way_out(
    make_neighbours: MakeNeighbours, caplog: pytest.LogCaptureFixture
) -> None:
    make_neighbours()
    assert warnings_of(caplog) == []
    make_neighbours("172.18.0.0/16", "fd00::/64")
    (line,) = warnings_of(caplog)
    assert "172.18.0.0/16, fd00::/64 need no secret" in line
    assert "PICTRS__MEDIA__EXTERNAL_VALIDATION=http://HOST:14051/api/v1/scan/SECRET" in line


@pytest.mark.parametrize(
    ("address", "why"), [("172.18.0.1", "a gateway"), ("10.0.0.7", "in none of"), (None, "a proxy")]
)
def test_a_refusal_is_said_once_with_the_reason(
    make_neighbours: MakeNeighbours, caplog: pytest.LogCaptureFixture, address: str | None, why: str
) -> None:
    neighbours = make_neighbours("172.18.0.0/16")
    caplog.clear()
    for _ in range(3):
        assert not neighbours.include(address)
    (line,) = warnings_of(caplog)
    assert why in line
    assert (address or "a caller") in line
    assert "scan/SECRET" in line


# Through the guard


def asked(neighbours: Neighbours, path_secret: str, authorization: str | None = None) -> bool:
    try:
        Guard([SECRET], neighbours).require_scanner(path_secret, authorization, "172.18.0.2")
    except UnauthorisedError:
        return False
    return True


def test_an_address_helps_only_who_asks_for_it(make_neighbours: MakeNeighbours) -> None:
    neighbours = make_neighbours("172.18.0.0/16")
    assert asked(neighbours, "IPADDR")
    assert asked(neighbours, SECRET)
    assert [each for each in ("", "wrong", "ipaddr", "IPADDR ", "IPADDR/x") if asked(neighbours, each)] == []
    assert not asked(neighbours, "", "Bearer IPADDR")


@pytest.mark.parametrize(
    "header",
    [
        *("x-forwarded-for", "X-Forwarded-Host", "x-forwarded-proto", "x-forwarded-port", "x-forwarded-server"),
        *("forwarded", "Via", "x-real-ip", "x-client-ip", "true-client-ip", "cf-connecting-ip"),
    ],
)
async def test_what_a_client_says_of_its_address_is_not_believed(
    make_service: Callable[..., Service], draw: Callable[..., bytes], header: str
) -> None:
    service = make_service(authentication={"trusted_networks": ["198.51.100.0/24"]})
    path, inside, outside = f"{SCAN}/IPADDR", "198.51.100.7", "8.8.8.8"
    service.answered(await service.scan(draw("white"), path, address=inside), 200)
    # The second is a stranger's that a proxy among the neighbours passes on.
    for address, said in ((outside, inside), (inside, outside), (inside, inside), (inside, "")):
        refused = await service.scan(service.unreadable(), path, address=address, headers={header: said})
        service.answered(refused, 401)


async def test_an_address_that_uvicorn_has_from_a_header_is_not_believed(
    make_service: Callable[..., Service], draw: Callable[..., bytes]
) -> None:
    service = make_service(authentication={"trusted_networks": ["198.51.100.0/24"]})
    # As uvicorn wraps every application by default, ours in one process and Serve's proxy.
    wrap: Any = ProxyHeadersMiddleware  # uvicorn and Starlette name the same interface with different types
    service = replace(service, app=wrap(service.app))
    for headers in ({"x-forwarded-for": "198.51.100.7"}, {}):
        refused = await service.scan(service.unreadable(), f"{SCAN}/IPADDR", address="127.0.0.1", headers=headers)
        service.answered(refused, 401)
    service.answered(await service.scan(draw("white"), f"{SCAN}/IPADDR", address="198.51.100.7"), 200)


async def test_nobody_is_trusted_by_default(service: Service) -> None:
    for address in ("127.0.0.1", "10.0.0.1", "::1"):
        service.answered(await service.scan(service.unreadable(), f"{SCAN}/IPADDR", address=address), 401)


# Networks as a person writes them


@pytest.mark.parametrize(
    ("network", "why"),
    [
        ("0.0.0.0/0", "strangers are in it"),
        ("128.0.0.0/1", "strangers are in it"),
        ("::/0", "strangers are in it"),
        ("2000::/3", "strangers are in it"),
        ("2001:db8::/31", "strangers are in it"),
        ("172.18.0.1/16", r"bits beyond its prefix: the network is 172\.18\.0\.0/16"),
        ("fd00::1/64", "bits beyond its prefix: the network is fd00::/64"),
        ("::ffff:10.0.0.0/104", "write it as an IPv4 network"),
        ("lemmy_default", "is written as"),
        ("10.0.0.0/33", "is written as"),
        ("", "is written as"),
        (10, "is written as"),
        (None, "is written as"),
    ],
)
def test_a_network_that_says_nothing_is_refused(network: object, why: str) -> None:
    with pytest.raises(SettingsError, match=rf"(?m)^  authentication\.trusted_networks\.1: .*{why}"):
        parse_settings({"authentication": {"trusted_networks": ["10.0.0.0/8", network]}})


@pytest.mark.parametrize("networks", ["10.0.0.0/8", {"a": "10.0.0.0/8"}, 10, None])
def test_networks_are_a_list(networks: Sequence[str] | None) -> None:
    with pytest.raises(SettingsError, match=r"(?m)^  authentication\.trusted_networks: "):
        parse_settings({"authentication": {"trusted_networks": networks}})
