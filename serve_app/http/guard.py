"""Secrets: who may have pictures scanned, who may score them, who may ask for Misskey, and who may administer.

pict-rs sends only a URL, so that a secret for scans may stand in three places:

* a path segment: ``/api/v1/scan/SECRET``, as ``make run`` prints it;
* HTTP Basic, which clients make of ``http://user:SECRET@host/...``; the user's name is ignored;
* ``Authorization: Bearer SECRET``.

Misskey, workers and admins use the last one only. Each secret of an admin has a name, which the audit tells:
``alice:SECRET``. So has each of a worker, which its decisions tell.
Where they come from: :mod:`serve_app.http.scopes`.

The path segment ``IPADDR`` (pictrs-safety's word) means "trust my address": see :mod:`serve_app.http.neighbours`.
"""

from __future__ import annotations

import base64
import hmac
import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from serve_app.domain import UNNAMED_SOURCE, UnauthorisedError
from serve_app.http.neighbours import TRUST_MY_ADDRESS, Neighbours
from serve_app.http.scopes import FollowedScopes, Scopes
from serve_app.settings import AuthenticationSettings, SourceSettings


class Guard:
    """The secrets of each scope, compared in constant time and never shown."""

    def __init__(
        self,
        secrets: Sequence[str],
        neighbours: Neighbours | None = None,
        admin_secrets: Mapping[str, str] | None = None,
        misskey_secrets: Sequence[str] = (),
        source_secrets: Mapping[str, Sequence[str]] | None = None,
        worker_secrets: Mapping[str, str] | None = None,
    ) -> None:
        """Create it.

        Args:
            secrets: that permit scans.
            neighbours: callers that need no secret for scans; nobody, by default.
            admin_secrets: those of admins, by name.
            misskey_secrets: that permit to use the detector API of Misskey.
            source_secrets: that permit scans, by the name of their source.
            worker_secrets: those of workers, by the name of their owner.
        """
        by_source = {UNNAMED_SOURCE: secrets, **(source_secrets or {})}
        scanners = [(source, secret) for source, given in by_source.items() for secret in given]
        workers = (worker_secrets or {}).items()
        scopes = Scopes.of(scanners, (admin_secrets or {}).items(), workers, misskey_secrets)
        self._scopes: Callable[[], Scopes] = lambda: scopes
        self._unusable: Callable[[], Sequence[str]] = tuple
        self._neighbours = neighbours or Neighbours()

    @classmethod
    def from_environment(
        cls,
        settings: AuthenticationSettings,
        environment: Mapping[str, str] = os.environ,
        sources: Mapping[str, SourceSettings] | None = None,
    ) -> Guard:
        """With the secrets of the environment and of its files, as these are at each request.

        Raises:
            SettingsError: no secret permits scans, or none those of a source; one is unusable, or two scopes share it;
                or addresses cannot be trusted here.
        """
        guard = cls((), Neighbours(settings.trusted_networks))
        guard._scopes = followed = FollowedScopes(settings, sources or {}, environment)
        guard._unusable = followed.unusable
        return guard

    @property
    def has_admins(self) -> bool:
        """Whether any secret permits administration."""
        return bool(self._scopes().admins)

    @property
    def worker_owners(self) -> Collection[str]:
        """The names of all whose workers may score pictures."""
        return frozenset(name for name, _ in self._scopes().workers)

    @property
    def has_misskey(self) -> bool:
        """Whether any secret permits to use the detector API of Misskey."""
        return bool(self._scopes().misskey)

    @property
    def unusable(self) -> Sequence[str]:
        """The variables whose file of secrets cannot be used now: their former secrets count."""
        return self._unusable()

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
        if sources := _matching(self._scopes().scanners, offered):
            return sources[0]
        if path_secret == TRUST_MY_ADDRESS and self._neighbours.include(client_host):
            return UNNAMED_SOURCE
        raise UnauthorisedError("a secret is needed: in the path, as the Basic password or as a Bearer token")

    def require_worker(self, authorization: str | None) -> str:
        """The name of the owner of the worker's secret in the header ``authorization``.

        Raises:
            UnauthorisedError: no secret, or a wrong one.
        """
        names = _matching(self._scopes().workers, _tokens_in(authorization))
        if not names:
            raise UnauthorisedError("a worker's secret is needed, as a Bearer token")
        return names[0]

    def require_misskey(self, authorization: str | None) -> None:
        """Return if the caller may use the detector API of Misskey; raise otherwise.

        Raises:
            UnauthorisedError: no secret, or a wrong one, in the header ``authorization``.
        """
        if not _matching([("", secret) for secret in self._scopes().misskey], _tokens_in(authorization)):
            raise UnauthorisedError("the secret of the detector API is needed, as a Bearer token")

    def require_admin(self, authorization: str | None) -> str:
        """The name of the admin's secret in the header ``authorization``.

        Raises:
            UnauthorisedError: no secret, or a wrong one.
        """
        names = _matching(self._scopes().admins, _tokens_in(authorization))
        if not names:
            raise UnauthorisedError("an admin's secret is needed, as a Bearer token")
        return names[0]


def _matching(secrets: Iterable[tuple[str, bytes]], offered: Sequence[str]) -> list[str]:
    """The names of the secrets that were offered."""
    # Every pair is compared: the time must not tell which secret, or how much of one, was right.
    return [name for name, secret in secrets for offer in offered if hmac.compare_digest(secret, offer.encode())]


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
