"""Secrets and their scopes. pict-rs sends only a URL, so that a secret may stand in three places.

* a path segment: ``/api/v1/scan/SECRET``, as ``make run`` prints it;
* HTTP Basic, which clients make of ``http://user:SECRET@host/...``; the user's name is ignored;
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

# A shorter secret can be guessed over the network.
MIN_SECRET_CHARACTERS = 16


class Scope(enum.Enum):
    """An action that a secret permits. The value is the setting that names its environment variable."""

    SCAN = "secrets_env"
    """To have pictures scanned."""


class Guard:
    """The secrets of each scope, compared in constant time and never shown."""

    def __init__(self, secrets: Mapping[Scope, Sequence[str]], neighbours: Neighbours | None = None) -> None:
        """``neighbours``: callers that need no secret for scans; nobody, by default."""
        self._secrets = {scope: tuple(each.encode() for each in of_scope) for scope, of_scope in secrets.items()}
        self._neighbours = neighbours or Neighbours()

    @classmethod
    def from_environment(cls, settings: AuthenticationSettings, environment: Mapping[str, str] = os.environ) -> Guard:
        """Read the secrets; commas separate several, so that one can be changed without a gap.

        Raises:
            SettingsError: a scope has no secret or an unusable one, or addresses cannot be trusted here.
        """
        secrets = {scope: _secrets_of(getattr(settings, scope.value), environment) for scope in Scope}
        return cls(secrets, Neighbours(settings.trusted_networks))

    def require(self, scope: Scope, path_secret: str, authorization: str | None, client_host: str | None) -> None:
        """Return if the caller may do this; raise otherwise.

        Args:
            scope: the action.
            path_secret: the last segment of the path, or an empty text.
            authorization: the header of that name.
            client_host: see :func:`serve_app.http.neighbours.own_address`.

        Raises:
            UnauthorisedError: no secret, or a wrong one.
        """
        offered = [path_secret, *_secrets_in(authorization)]
        # Every pair is compared: the time must not tell which secret, or how much of one, was right.
        matches = [
            hmac.compare_digest(secret, offer.encode()) for secret in self._secrets.get(scope, ()) for offer in offered
        ]
        if any(matches):
            return
        if scope is Scope.SCAN and path_secret == TRUST_MY_ADDRESS and self._neighbours.include(client_host):
            return
        raise UnauthorisedError("a secret is needed: in the path, as the Basic password or as a Bearer token")


def _secrets_of(variable: str, environment: Mapping[str, str]) -> tuple[str, ...]:
    secrets = tuple(filter(None, (part.strip() for part in environment.get(variable, "").split(","))))
    if not secrets:
        raise SettingsError(
            f"no secret: set {variable} in the environment of the service's processes, for example to the output of "
            '`python -c "import secrets; print(secrets.token_urlsafe(32))"`'
        )
    if not all(secret.isascii() and secret.isprintable() for secret in secrets):
        raise SettingsError(
            f"a secret in {variable} has characters that a URL or a header cannot carry: use printable ASCII "
            "characters only"
        )
    if any(len(secret) < MIN_SECRET_CHARACTERS for secret in secrets):
        raise SettingsError(f"a secret in {variable} is too short: use at least {MIN_SECRET_CHARACTERS} characters")
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
