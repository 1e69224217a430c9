"""Addresses that strangers may come with, as the kernel's tables name them. Linux only.

Whoever passes connections on may replace the sender's address by its own: Docker's proxy for published ports takes that
of the bridge, which is the first host of its network (an internal network has no route through it); the published ports
of a rootless container come with the container's own. Behind such an address stands anybody on the internet.
"""

from __future__ import annotations

import ipaddress
import re
import struct
from collections.abc import Iterator
from pathlib import Path

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

PROC_NET = Path("/proc/net")

# Columns of /proc/net/route and /proc/net/ipv6_route; the first has a line of headings.
_IPV4_DESTINATION, _IPV4_GATEWAY, _IPV4_MASK = 1, 2, 7
_IPV6_DESTINATION, _IPV6_PREFIX, _IPV6_NEXT_HOP = 0, 1, 4

_OWN_IPV4 = re.compile(r"\|-- (\S+)\n\s+/32 host LOCAL$", re.ASCII | re.MULTILINE)


class UnknownRoutesError(Exception):
    """The routes of this system cannot be read."""


def shared_addresses(proc_net: Path = PROC_NET) -> dict[Address, str]:
    """Gateways, first hosts of the connected networks, and this machine's addresses, each with what it is.

    Loopback addresses are none of them: only this machine has them, whatever else runs on it.

    Raises:
        UnknownRoutesError: see there.
    """
    try:
        routes, own = [*_ipv4_routes(proc_net)], [*_own_ipv4(proc_net)]
        if (proc_net / "ipv6_route").exists():  # not where IPv6 is switched off
            routes += _ipv6_routes(proc_net)
            own += _own_ipv6(proc_net)
    except (OSError, ValueError, IndexError) as error:
        raise UnknownRoutesError(f"the routes in {proc_net} cannot be read") from error
    found = {
        **dict.fromkeys(own, "an address of this machine"),
        **{_first_host(network): "the first host of its network" for network, via in routes if via.is_unspecified},
        **{via: "a gateway of this machine" for _, via in routes},
    }
    return {address: what for address, what in found.items() if not address.is_unspecified and not address.is_loopback}


def _first_host(network: Network) -> Address:
    """Unspecified for a network of one or two addresses, which are all hosts, and for all addresses at once."""
    has_many_hosts = 0 < network.prefixlen <= network.max_prefixlen - 2
    return network.network_address + 1 if has_many_hosts else type(network.network_address)(0)


def _ipv4_routes(proc_net: Path) -> Iterator[tuple[Network, Address]]:
    """Each destination with its gateway, which is unspecified where the network is connected."""
    for line in (proc_net / "route").read_text("ascii").splitlines()[1:]:
        columns = line.split()
        # Numbers in the machine's own order of bytes.
        destination, via, mask = (
            ipaddress.IPv4Address(struct.pack("=L", int(columns[each], 16)))
            for each in (_IPV4_DESTINATION, _IPV4_GATEWAY, _IPV4_MASK)
        )
        yield ipaddress.IPv4Network(f"{destination}/{mask}"), via


def _ipv6_routes(proc_net: Path) -> Iterator[tuple[Network, Address]]:
    for line in (proc_net / "ipv6_route").read_text("ascii").splitlines():
        columns = line.split()
        destination = bytes.fromhex(columns[_IPV6_DESTINATION])
        via = ipaddress.IPv6Address(bytes.fromhex(columns[_IPV6_NEXT_HOP]))
        yield ipaddress.IPv6Network((destination, int(columns[_IPV6_PREFIX], 16))), via


def _own_ipv4(proc_net: Path) -> Iterator[Address]:
    return map(ipaddress.IPv4Address, _OWN_IPV4.findall((proc_net / "fib_trie").read_text("ascii")))


def _own_ipv6(proc_net: Path) -> Iterator[Address]:
    for line in (proc_net / "if_inet6").read_text("ascii").splitlines():
        yield ipaddress.IPv6Address(bytes.fromhex(line.split()[0]))
