"""Secrets: who may have pictures scanned, who may have Misskey's questions answered, and who may administer.

pict-rs sends only a URL, so that a secret for scans may stand in three places:

* a path segment: ``/api/v1/scan/SECRET``, as ``make run`` prints it;
* HTTP Basic, which clients make of ``http://user:SECRET@host/...``; the user's name is ignored;
* ``Authorization: Bearer SECRET``.

Misskey and admins use the last one only. Each secret of an admin has a name, which the audit tells: ``alice:SECRET``.

The path segment ``IPADDR`` (pictrs-safety's word) means "trust my address": see :mod:`serve_app.http.neighbours`.
"""

from __future__ import annotations

import base64
import hmac
import os
import re
from collections.abc import Iterable, Mapping, Sequence

from serve_app.admin_api import ADMIN_SECRETS_ENV
from serve_app.domain import UNNAMED_SOURCE, SettingsError, UnauthorisedError
from serve_app.http.neighbours import TRUST_MY_ADDRESS, Neighbours
from serve_app.settings import AuthenticationSettings, SourceSettings

# A shorter secret can be guessed over the network.
MIN_SECRET_CHARACTERS = 16

_NAME = re.compile(r"[a-z0-9_-]{1,32}")


class Guard:
    """The secrets of each scope, compared in constant time and never shown."""

    def __init__(
        self,
        secrets: Sequence[str],
        neighbours: Neighbours | None = None,
        admin_secrets: Mapping[str, str] | None = None,
        misskey_secrets: Sequence[str] = (),
        source_secrets: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        """Create it.

        Args:
            secrets: that permit scans to a source without a name.
            neighbours: callers that need no secret for scans; nobody, by default.
            admin_secrets: those of admins, by name.
            misskey_secrets: that permit to use the detector API of Misskey.
            source_secrets: that permit scans, by the name of their source.
        """
        self._scanners = [
            (source, secret.encode())
            for source, of_source in {UNNAMED_SOURCE: secrets, **(source_secrets or {})}.items()
            for secret in of_source
        ]
        self._neighbours = neighbours or Neighbours()
        self._admin_secrets = {name: secret.encode() for name, secret in (admin_secrets or {}).items()}
        self._misskey_secrets = tuple(secret.encode() for secret in misskey_secrets)

    @classmethod
    def from_environment(
        cls,
        settings: AuthenticationSettings,
        environment: Mapping[str, str] = os.environ,
        sources: Mapping[str, SourceSettings] | None = None,
    ) -> Guard:
        """Read the secrets; commas separate several, so that one can be changed without a gap.

        Raises:
            SettingsError: no secret permits scans, or none those of a source; one is unusable, or two scopes share it;
                or addresses cannot be trusted here.
        """
        secrets = _secrets_of(settings.secrets_env, environment)
        source_secrets = _source_secrets(sources or {}, environment)
        _require_different({settings.secrets_env: secrets} | _by_variable(sources or {}, source_secrets))
        if not secrets and not source_secrets:
            raise SettingsError(
                f"no secret: set {settings.secrets_env} in the environment of the service's processes, for example to "
                'the output of `python -c "import secrets; print(secrets.token_urlsafe(32))"`'
            )
        admin_secrets = _admin_secrets(settings, environment)
        misskey_secrets = _secrets_of(settings.misskey_secrets_env, environment)
        for variable, others in ((settings.secrets_env, secrets), (ADMIN_SECRETS_ENV, admin_secrets.values())):
            if not set(misskey_secrets).isdisjoint(others):
                raise SettingsError(
                    f"a secret in {settings.misskey_secrets_env} is also in {variable}: give Misskey one of its own"
                )
        for name, of_source in source_secrets.items():
            if not set(of_source).isdisjoint([*misskey_secrets, *admin_secrets.values()]):
                raise SettingsError(
                    f"a secret of sources.{name} is also one of Misskey or of an admin: give each its own"
                )
        return cls(secrets, Neighbours(settings.trusted_networks), admin_secrets, misskey_secrets, source_secrets)

    @property
    def has_admins(self) -> bool:
        """Whether any secret permits administration."""
        return bool(self._admin_secrets)

    @property
    def has_misskey(self) -> bool:
        """Whether any secret permits to use the detector API of Misskey."""
        return bool(self._misskey_secrets)

    def require_scanner(self, path_secret: str, authorization: str | None, client_host: str | None) -> str:
        """The source of a caller that may have pictures scanned.

        Args:
            path_secret: the last segment of the path, or an empty text.
            authorization: the header of that name.
            client_host: see :func:`serve_app.http.neighbours.own_address`.

        Raises:
            UnauthorisedError: no secret, or a wrong one.
        """
        offered = [path_secret, *_passwords_in(authorization), *_tokens_in(authorization)]
        # Every pair is compared: see _is_among.
        matching = [
            source
            for source, secret in self._scanners
            for offer in offered
            if hmac.compare_digest(secret, offer.encode())
        ]
        if matching:
            return matching[0]
        if path_secret == TRUST_MY_ADDRESS and self._neighbours.include(client_host):
            return UNNAMED_SOURCE
        raise UnauthorisedError("a secret is needed: in the path, as the Basic password or as a Bearer token")

    def require_misskey(self, authorization: str | None) -> None:
        """Return if the caller may use the detector API of Misskey; raise otherwise.

        Raises:
            UnauthorisedError: no secret, or a wrong one, in the header ``authorization``.
        """
        if not _is_among(self._misskey_secrets, _tokens_in(authorization)):
            raise UnauthorisedError("the secret of the detector API is needed, as a Bearer token")

    def require_admin(self, authorization: str | None) -> str:
        """The name of the admin's secret in the header ``authorization``.

        Raises:
            UnauthorisedError: no secret, or a wrong one.
        """
        offered = _tokens_in(authorization)
        names = [
            name
            for name, secret in self._admin_secrets.items()
            for offer in offered
            if hmac.compare_digest(secret, offer.encode())
        ]
        if not names:
            raise UnauthorisedError("an admin's secret is needed, as a Bearer token")
        return names[0]


def _is_among(secrets: Iterable[bytes], offered: Sequence[str]) -> bool:
    # Every pair is compared: the time must not tell which secret, or how much of one, was right.
    matches = [hmac.compare_digest(secret, offer.encode()) for secret in secrets for offer in offered]
    return any(matches)


def _admin_secrets(settings: AuthenticationSettings, environment: Mapping[str, str]) -> dict[str, str]:
    """The secrets of admins by name; one without a name is called ``admin``.

    Raises:
        SettingsError: one is unusable, or two have one name.
    """
    named: dict[str, str] = {}
    for given in _split(ADMIN_SECRETS_ENV, environment):
        name, separator, secret = given.partition(":")
        if not separator:
            name, secret = "admin", given
        if not _NAME.fullmatch(name):
            raise SettingsError(
                f"a name in {ADMIN_SECRETS_ENV} must have 1 to 32 characters of a-z, 0-9, _ and -, as in alice:SECRET"
            )
        if name in named:
            raise SettingsError(
                f"two secrets in {ADMIN_SECRETS_ENV} are called {name!r}: name each one, as in alice:SECRET"
            )
        named[name] = secret
    _require_usable(ADMIN_SECRETS_ENV, named.values())
    scanners = set(_split(settings.secrets_env, environment))
    if scanners & set(named.values()):
        raise SettingsError(
            f"a secret in {ADMIN_SECRETS_ENV} is also in {settings.secrets_env}: pict-rs logs URLs with their secrets"
        )
    return named


def _source_secrets(
    sources: Mapping[str, SourceSettings], environment: Mapping[str, str]
) -> dict[str, tuple[str, ...]]:
    """The secrets of each source, by its name.

    Raises:
        SettingsError: a source has none, or one is unusable.
    """
    found = {name: _secrets_of(source.secrets_env, environment) for name, source in sources.items()}
    for name, secrets in found.items():
        if not secrets:
            raise SettingsError(
                f"sources.{name} has no secret: set {sources[name].secrets_env} in the environment of the service's "
                "processes"
            )
    return found


def _by_variable(
    sources: Mapping[str, SourceSettings], source_secrets: Mapping[str, tuple[str, ...]]
) -> dict[str, tuple[str, ...]]:
    """The secrets of sources by what a person knows them by: the source and its variable."""
    return {f"{sources[name].secrets_env} (sources.{name})": secrets for name, secrets in source_secrets.items()}


def _require_different(secrets_by_owner: Mapping[str, Sequence[str]]) -> None:
    owners: dict[str, str] = {}
    for owner, secrets in secrets_by_owner.items():
        for secret in secrets:
            if owners.setdefault(secret, owner) != owner:
                raise SettingsError(f"a secret in {owner} is also in {owners[secret]}: give each source its own")


def _secrets_of(variable: str, environment: Mapping[str, str]) -> tuple[str, ...]:
    secrets = _split(variable, environment)
    _require_usable(variable, secrets)
    return secrets


def _split(variable: str, environment: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(filter(None, (part.strip() for part in environment.get(variable, "").split(","))))


def _require_usable(variable: str, secrets: Iterable[str]) -> None:
    for secret in secrets:
        if not (secret.isascii() and secret.isprintable()):
            raise SettingsError(
                f"a secret in {variable} has characters that a URL or a header cannot carry: use printable ASCII "
                "characters only"
            )
        if len(secret) < MIN_SECRET_CHARACTERS:
            raise SettingsError(f"a secret in {variable} is too short: use at least {MIN_SECRET_CHARACTERS} characters")


def _tokens_in(authorization: str | None) -> list[str]:
    scheme, _, value = (authorization or "").partition(" ")
    return [value.strip()] if scheme.lower() == "bearer" else []


def _passwords_in(authorization: str | None) -> list[str]:
    scheme, _, value = (authorization or "").partition(" ")
    if scheme.lower() != "basic":
        return []
    try:
        _, _, password = base64.b64decode(value, validate=True).decode().partition(":")
    except ValueError:  # not base64, not ASCII or not UTF-8
        return []
    return [password]
