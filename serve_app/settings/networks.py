"""Networks whose callers are let in by their address."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any

Network = IPv4Network | IPv6Network

# The widest that can be one house's: 10.0.0.0/8, and fc00::/7 of the private ones; else what a provider is given.
_MIN_IPV4_PREFIX = 8
_MIN_IPV6_PREFIX = 32
_PRIVATE_IPV6 = IPv6Network("fc00::/7")
_LINK_LOCAL_IPV6 = IPv6Network("fe80::/10")
_IPV4_MAPPED = IPv6Network("::ffff:0:0/96")


def trusted_network(given: Any) -> Network:
    """A network as a person writes it, ``172.18.0.0/16``; an address alone is a network of one.

    Raises:
        ValueError: it is none, or one that says nothing about who is in it.
    """
    if isinstance(given, IPv4Network | IPv6Network):
        return given
    if not isinstance(given, str):
        raise ValueError("a network is written as 172.18.0.0/16")  # noqa: TRY004 - pydantic catches this kind
    try:
        network = ip_network(given.strip(), strict=False)
    except ValueError:
        raise ValueError("a network is written as 172.18.0.0/16") from None
    if network != _as_written(given.strip()):
        raise ValueError(f"the address has bits beyond its prefix: the network is {network}")
    if isinstance(network, IPv6Network) and network.subnet_of(_IPV4_MAPPED):
        raise ValueError("it holds IPv4 addresses: write it as an IPv4 network")
    if _is_too_wide(network):
        raise ValueError("it is so wide that strangers are in it: list the networks of pict-rs alone")
    return network


def _as_written(given: str) -> Network | None:
    try:
        return ip_network(given)
    except ValueError:
        return None


def _is_too_wide(network: Network) -> bool:
    if isinstance(network, IPv4Network):
        return network.prefixlen < _MIN_IPV4_PREFIX
    if network.subnet_of(_PRIVATE_IPV6) or network.subnet_of(_LINK_LOCAL_IPV6):
        return False
    return network.prefixlen < _MIN_IPV6_PREFIX
