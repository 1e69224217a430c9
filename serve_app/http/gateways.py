"""The gateways of this machine, as the kernel's routes name them. Linux only.

Docker's proxy for published ports connects from the bridge's gateway, so that every stranger on the internet has its
private address. A gateway is therefore never a neighbour.
"""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Iterator
from pathlib import Path

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

PROC_NET = Path("/proc/net")

# Columns of /proc/net/route and /proc/net/ipv6_route; the first has a line of headings.
_IPV4_GATEWAY = 2
_IPV6_NEXT_HOP = 4


class UnknownRoutesError(Exception):
    """The routes of this system cannot be read."""


def gateways(proc_net: Path = PROC_NET) -> set[Address]:
    """Every next hop in the routes of IPv4 and IPv6, as they are now.

    Raises:
        UnknownRoutesError: see there.
    """
    ipv6_routes = proc_net / "ipv6_route"
    try:
        found = set[Address](_ipv4_gateways((proc_net / "route").read_text("ascii")))
        if ipv6_routes.exists():  # not where IPv6 is switched off
            found.update(_ipv6_gateways(ipv6_routes.read_text("ascii")))
    except (OSError, ValueError, IndexError) as error:
        raise UnknownRoutesError(f"the routes in {proc_net} cannot be read") from error
    return {address for address in found if not address.is_unspecified}


def _ipv4_gateways(routes: str) -> Iterator[ipaddress.IPv4Address]:
    for line in routes.splitlines()[1:]:
        # A number in the machine's own order of bytes.
        yield ipaddress.IPv4Address(struct.pack("=L", int(line.split()[_IPV4_GATEWAY], 16)))


def _ipv6_gateways(routes: str) -> Iterator[ipaddress.IPv6Address]:
    for line in routes.splitlines():
        yield ipaddress.IPv6Address(bytes.fromhex(line.split()[_IPV6_NEXT_HOP]))
