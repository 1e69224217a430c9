"""Who may ask for what. pict-rs can only send what fits in a URL, so a secret may come in three places.

* a path segment: ``/api/v1/scan/SECRET``, which is what ``make run`` prints;
* HTTP Basic, which clients make of ``http://user:SECRET@host/...``; the user's name is not read;
* ``Authorization: Bearer SECRET``.

The path segment ``IPADDR`` (pictrs-safety's word) means "trust my address": see :mod:`serve_app.http.neighbours`.
"""

from __future__ import annotations

import base64
import enum
import hmac
import os
from collections.abc import Mapping, Sequence

from serve_app.domain import SettingsError, UnauthorisedError
from serve_app.http.neighbours import TRUST_MY_ADDRESS, Neighbours
from serve_app.settings import AuthenticationSettings

# Shorter ones can be guessed over the network; `make run` draws 32 random bytes.
MIN_SECRET_CHARACTERS = 16


class Scope(enum.Enum):
    """What a secret opens. The value is the setting that names its environment variable."""

    SCAN = "secrets_env"
    """To have pictures scanned."""


class Guard:
    """Knows the secrets of each scope; compares in constant time; never shows them."""

    def __init__(self, secrets: Mapping[Scope, Sequence[str]], neighbours: Neighbours | None = None) -> None:
        """``neighbours``: callers that may have pictures scanned without a secret; nobody, by default."""
        self._secrets = {scope: tuple(each.encode() for each in of_scope) for scope, of_scope in secrets.items()}
        self._neighbours = neighbours or Neighbours()

    @classmethod
    def from_environment(cls, settings: AuthenticationSettings, environment: Mapping[str, str] = os.environ) -> Guard:
        """Reads the secrets (several are separated by commas, so that one can be changed without a gap).

        Raises:
            SettingsError: a scope has no secret, or one that is none; or addresses cannot be trusted here.
        """
        secrets = {scope: _secrets_of(getattr(settings, scope.value), environment) for scope in Scope}
        return cls(secrets, Neighbours(settings.trusted_networks))

    def require(self, scope: Scope, path_secret: str, authorization: str | None, client_host: str | None) -> None:
        """Lets pass or raises.

        Args:
            scope: what is asked for.
            path_secret: the last segment of the path, or nothing.
            authorization: the header of that name.
            client_host: see :func:`serve_app.http.neighbours.own_address`.

        Raises:
            UnauthorisedError: nothing given fits.
        """
        offered = [path_secret, *_secrets_in(authorization)]
        # No shortcut: the time taken must not tell which secret, or how much of one, was right.
        matches = [
            hmac.compare_digest(secret, offer.encode()) for secret in self._secrets.get(scope, ()) for offer in offered
        ]
        if any(matches):
            return
        if scope is Scope.SCAN and path_secret == TRUST_MY_ADDRESS and self._neighbours.include(client_host):
            return
        raise UnauthorisedError("a secret is needed: in the path, as Basic password or as Bearer token")


def _secrets_of(variable: str, environment: Mapping[str, str]) -> tuple[str, ...]:
    secrets = tuple(filter(None, (part.strip() for part in environment.get(variable, "").split(","))))
    if not secrets:
        raise SettingsError(
            f"no secret: set {variable} in the environment of the service's processes, for instance to what "
            '`python -c "import secrets; print(secrets.token_urlsafe(32))"` prints'
        )
    if not all(secret.isascii() and secret.isprintable() for secret in secrets):
        raise SettingsError(
            f"a secret in {variable} has other characters than printable ASCII ones, which a URL or a header cannot "
            "carry as they are: draw one of letters and digits"
        )
    if any(len(secret) < MIN_SECRET_CHARACTERS for secret in secrets):
        raise SettingsError(f"a secret in {variable} is under {MIN_SECRET_CHARACTERS} characters")
    return secrets


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
