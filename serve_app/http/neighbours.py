"""Callers that need no secret, because an admin has listed their networks.

lemmy-ansible deploys pict-rs with the path ``/api/v1/scan/IPADDR``: "trust my address". An address is a weak secret,
since every caller behind a proxy has the proxy's. So nobody is trusted by default, only the address of the connection
counts, and neither an address that strangers come with nor a request with a proxy's headers is ever let in.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from pathlib import Path

from fastapi import Request

from serve_app.domain import SettingsError
from serve_app.http.shared_addresses import PROC_NET, Address, UnknownRoutesError, shared_addresses
from serve_app.logs import EventLogger
from serve_app.settings.networks import Network

logger = EventLogger(__name__)

TRUST_MY_ADDRESS = "IPADDR"
"""The path segment that asks for it."""

_OF_PROXIES = frozenset({"forwarded", "via", "x-real-ip", "x-client-ip", "true-client-ip", "cf-connecting-ip"})
_OF_PROXIES_PREFIX = "x-forwarded-"
"""What proxies add on their way, unless they are told not to; one that adds nothing is taken for its caller."""

_INSTEAD = "Give pict-rs a secret instead: PICTRS__MEDIA__EXTERNAL_VALIDATION=http://HOST:14051/api/v1/scan/SECRET"


class Neighbours:
    """Trusted networks, less the addresses that strangers come with."""

    def __init__(self, networks: Sequence[Network] = (), proc_net: Path = PROC_NET) -> None:
        """Log a warning if any network is trusted.

        Args:
            networks: from the setting ``authentication.trusted_networks``.
            proc_net: the folder with the kernel's routes.

        Raises:
            SettingsError: networks are listed, and this system's routes are unknown.
        """
        self._networks = tuple(networks)
        self._proc_net = proc_net
        self._told: set[str] = set()
        if networks:
            self._require_known_routes()
            listed = ", ".join(map(str, networks))
            text = f"callers in {listed} need no secret (authentication.trusted_networks). {_INSTEAD}"
            logger.warning("networks_trusted", text, networks=listed)

    def include(self, client_host: str | None) -> bool:
        """Whether the caller with this address needs no secret."""
        address = _plain_address(client_host)
        why_not = self._why_not(address)
        if why_not and why_not not in self._told:  # once, so that strangers cannot fill the log
            self._told.add(why_not)
            text = f"refused {TRUST_MY_ADDRESS} to {address or 'a caller'}, which {why_not}. {_INSTEAD}"
            logger.warning("address_not_trusted", text, address=address, why=why_not)
        return not why_not

    def _why_not(self, address: Address | None) -> str:
        if address is None:
            return "came through a proxy, or has no address"
        if not any(address in network for network in self._networks):
            return "is in none of authentication.trusted_networks"
        try:
            # Read at each request, since a container can join a network while it runs.
            if what := shared_addresses(self._proc_net).get(address):
                return f"is {what}, which strangers may come with"
        except UnknownRoutesError as error:
            return f"cannot be told from a gateway: {error}"
        return ""

    def _require_known_routes(self) -> None:
        try:
            shared_addresses(self._proc_net)
        except UnknownRoutesError as error:
            raise SettingsError(
                f"authentication.trusted_networks works on Linux only, where routes are known: {error}. Remove the "
                f"setting. {_INSTEAD}"
            ) from error


def own_address(request: Request) -> str | None:
    """The address of a request's connection; None if a proxy has passed the request on.

    Serve's uvicorn replaces a loopback address by the one in ``X-Forwarded-For``, so that anybody behind a proxy on
    this machine could choose an address. pict-rs sends none of these headers.
    """
    if any(name in _OF_PROXIES or name.startswith(_OF_PROXIES_PREFIX) for name in request.headers):
        return None
    return request.client.host if request.client else None


def _plain_address(host: str | None) -> Address | None:
    """The address; an IPv4 address on an IPv6 socket that takes both is an IPv4 address."""
    try:
        address = _without_scope(ipaddress.ip_address(host or ""))
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _without_scope(address: Address) -> Address:
    return ipaddress.IPv6Address(int(address)) if isinstance(address, ipaddress.IPv6Address) else address
