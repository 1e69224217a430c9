"""Who may ask. pict-rs can only send what fits in a URL, so a secret may come in three places.

* a path segment: ``/api/v1/scan/SECRET``, which is what ``make run`` prints;
* HTTP Basic, which clients make of ``http://user:SECRET@host/...``; the user's name is not looked at;
* ``Authorization: Bearer SECRET``.

The path segment ``IPADDR`` (pictrs-safety's word) means "trust my address", where that is allowed and can be known.
"""

from __future__ import annotations

import base64
import hmac
import ipaddress
import os
from collections.abc import Mapping

from serve_app.domain import SettingsError, UnauthorisedError
from serve_app.settings import AuthenticationSettings

TRUST_MY_ADDRESS = "IPADDR"

# Shorter ones can be guessed over the network; `make run` draws 32 random bytes.
MIN_SECRET_CHARACTERS = 16


class Authenticator:
    """Knows the secrets; compares in constant time; never shows them."""

    def __init__(self, secrets: tuple[str, ...], trust_private_addresses: bool) -> None:
        self._secrets = tuple(secret.encode() for secret in secrets)
        self._trust_private_addresses = trust_private_addresses

    @classmethod
    def from_environment(
        cls, settings: AuthenticationSettings, environment: Mapping[str, str] = os.environ
    ) -> Authenticator:
        """Reads the secrets (several are separated by commas, so that one can be changed without a gap).

        Raises:
            SettingsError: none is set, or one is too short to be a secret.
        """
        secrets = tuple(filter(None, (part.strip() for part in environment.get(settings.secrets_env, "").split(","))))
        if not secrets:
            raise SettingsError(
                f"no secret: set {settings.secrets_env} in the environment of the Ray processes, for instance to what "
                '`python -c "import secrets; print(secrets.token_urlsafe(32))"` prints'
            )
        if not all(secret.isascii() and secret.isprintable() for secret in secrets):
            raise SettingsError(
                f"a secret in {settings.secrets_env} has other characters than printable ASCII ones, which a URL or a "
                "header cannot carry as they are: draw one of letters and digits"
            )
        if any(len(secret) < MIN_SECRET_CHARACTERS for secret in secrets):
            raise SettingsError(f"a secret in {settings.secrets_env} is under {MIN_SECRET_CHARACTERS} characters")
        return cls(secrets, settings.trust_private_addresses)

    def require(self, path_secret: str, authorization: str | None, client_host: str | None) -> None:
        """Lets pass or raises.

        Args:
            path_secret: the last segment of the path, or nothing.
            authorization: the header of that name.
            client_host: the address of the peer as this server sees it; forwarding headers are never believed.

        Raises:
            UnauthorisedError: nothing given fits.
        """
        offered = [path_secret, *_secrets_in(authorization)]
        # No shortcut: the time taken must not tell which secret, or how much of one, was right.
        matches = [hmac.compare_digest(secret, offer.encode()) for secret in self._secrets for offer in offered]
        if any(matches):
            return
        if path_secret == TRUST_MY_ADDRESS and self._trust_private_addresses and _is_private(client_host):
            return
        raise UnauthorisedError("a secret is needed: in the path, as Basic password or as Bearer token")


def _secrets_in(authorization: str | None) -> list[str]:
    scheme, _, value = (authorization or "").partition(" ")
    if scheme.lower() == "bearer":
        return [value.strip()]
    if scheme.lower() == "basic":
        try:
            _, _, password = base64.b64decode(value, validate=True).decode().partition(":")
        except ValueError:  # not base64, not ASCII or not UTF-8
            return []
        return [password]
    return []


def _is_private(host: str | None) -> bool:
    try:
        address = ipaddress.ip_address(host or "")
    except ValueError:
        return False
    return address.is_private or address.is_loopback
