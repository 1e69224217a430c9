"""Sockets that listen, as asyncio has to see them."""

from __future__ import annotations

import socket


def listening_socket(host: str, port: int, *, with_ipv4: bool = False) -> socket.socket:
    """A socket that listens at ``host``; close it after use. ``with_ipv4``: one for IPv6 takes IPv4 as well.

    Raises:
        OSError: the address is not free, or not this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio switches Nagle's algorithm off only where TCP is named: answers would wait 40 ms for the peer.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family is socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, not with_ipv4)
        listener.bind((host, port))
        listener.listen()  # two sockets may be bound to one address, as long as neither listens
    except BaseException:
        listener.close()
        raise
    return listener
