"""The secrets of each scope, as the environment and its files have them: read once, and again when a file changes."""

from __future__ import annotations

import math
import os
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from serve_app.admin_api import ADMIN_SECRETS_ENV
from serve_app.domain import UNNAMED_SOURCE, SettingsError
from serve_app.logs import EventLogger
from serve_app.secret_files import FILE_SUFFIX, SecretFiles, read_secrets, why_unusable
from serve_app.settings import AuthenticationSettings, SourceSettings
from serve_app.settings.pictrs_safety import known_ids

logger = EventLogger(__name__)

_NAME = re.compile(r"[a-z0-9_-]{1,32}")

# A file may be unreadable for a moment and never change again, as where the process has too many open files.
_TRY_AGAIN_AFTER_S = 1.0


@dataclass(frozen=True, slots=True)
class Scopes:
    """Secrets by what they permit; none permits what another one does."""

    scanners: tuple[tuple[str, bytes], ...]
    """Each with the source that it names."""
    admins: Mapping[str, bytes]
    """By the name of the admin."""
    misskey: tuple[bytes, ...]

    @classmethod
    def of(cls, scanners: Mapping[str, Sequence[str]], admins: Mapping[str, str], misskey: Sequence[str]) -> Self:
        """Of texts; those for scans by their source."""
        return cls(
            tuple((source, secret.encode()) for source, secrets in scanners.items() for secret in secrets),
            {name: secret.encode() for name, secret in admins.items()},
            tuple(map(str.encode, misskey)),
        )


class FollowedScopes:
    """What the environment has, and its files have now.

    Asked at each request: whoever changes a secret waits for nobody, and restarts nothing. A change that cannot be used
    changes nothing, since a file that is being written is empty for a moment; the files are read again a second later.
    """

    def __init__(
        self,
        settings: AuthenticationSettings,
        sources: Mapping[str, SourceSettings],
        environment: Mapping[str, str] = os.environ,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Read all of them. ``clock`` gives seconds.

        Raises:
            SettingsError: no secret permits scans, or none those of a source; one is unusable; or two scopes share one.
        """
        self._settings = settings
        self._sources = sources
        self._environment = environment
        names = (settings.secrets_env, ADMIN_SECRETS_ENV, settings.misskey_secrets_env)
        of_sources = (source.secrets_env for source in sources.values())
        self._files = SecretFiles((*names, *of_sources), environment)
        self._scopes = _read(settings, sources, environment)
        self._told = ""
        self._clock = clock
        self._try_again_at_s = math.inf

    def __call__(self) -> Scopes:
        """The secrets that count now."""
        if self._files.have_changed() or self._clock() >= self._try_again_at_s:
            self._read_again()
        return self._scopes

    def _read_again(self) -> None:
        try:
            scopes = _read(self._settings, self._sources, self._environment)
        except SettingsError as error:
            if str(error) != self._told:
                logger.error("secrets_unusable", f"the secrets stay as they were: {error}", why=str(error))
            self._told = str(error)
            self._try_again_at_s = self._clock() + _TRY_AGAIN_AFTER_S
            return
        self._told = ""
        self._try_again_at_s = math.inf
        if scopes != self._scopes:
            logger.info("secrets_changed", "secrets have changed, and count from now on")
        self._scopes = scopes


def _read(
    settings: AuthenticationSettings, sources: Mapping[str, SourceSettings], environment: Mapping[str, str]
) -> Scopes:
    unnamed = (*_usable(settings.secrets_env, environment), *known_ids(environment))
    of_sources = {name: _of_source(name, source, environment) for name, source in sources.items()}
    if not unnamed and not of_sources:
        raise SettingsError(
            f"no secret: set {settings.secrets_env} in the environment of the service's processes, for example to the "
            'output of `python -c "import secrets; print(secrets.token_urlsafe(32))"`, or '
            f"{settings.secrets_env}{FILE_SUFFIX} to a file that has it"
        )
    admins = _admins(environment)
    owners = {settings.secrets_env: unnamed}
    owners |= {f"{source.secrets_env} (sources.{name})": of_sources[name] for name, source in sources.items()}
    misskey = _usable(settings.misskey_secrets_env, environment)
    owners |= {ADMIN_SECRETS_ENV: tuple(admins.values()), settings.misskey_secrets_env: misskey}
    _require_different(owners)
    return Scopes.of({UNNAMED_SOURCE: unnamed, **of_sources}, admins, misskey)


def _of_source(name: str, source: SourceSettings, environment: Mapping[str, str]) -> tuple[str, ...]:
    secrets = _usable(source.secrets_env, environment)
    if not secrets:
        raise SettingsError(
            f"sources.{name} has no secret: set {source.secrets_env} in the environment of the service's processes, or "
            f"{source.secrets_env}{FILE_SUFFIX} to a file that has it"
        )
    return secrets


def _require_different(secrets_by_owner: Mapping[str, Sequence[str]]) -> None:
    owners: dict[str, str] = {}
    for owner, secrets in secrets_by_owner.items():
        for secret in secrets:
            if owners.setdefault(secret, owner) != owner:
                raise SettingsError(
                    f"a secret in {owner} is also in {owners[secret]}: give each its own, since it says who asks and "
                    "what is permitted, and pict-rs logs URLs with their secrets"
                )


def _admins(environment: Mapping[str, str]) -> dict[str, str]:
    """The secrets of admins by name; one without a name is called ``admin``.

    Raises:
        SettingsError: one is unusable, or two have one name.
    """
    named: dict[str, str] = {}
    for given in read_secrets(ADMIN_SECRETS_ENV, environment):
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
    return named


def _usable(variable: str, environment: Mapping[str, str]) -> tuple[str, ...]:
    secrets = read_secrets(variable, environment)
    _require_usable(variable, secrets)
    return secrets


def _require_usable(variable: str, secrets: Iterable[str]) -> None:
    for secret in secrets:
        if reason := why_unusable(secret):
            raise SettingsError(f"a secret in {variable} {reason}")
