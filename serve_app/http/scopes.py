"""The secrets of each scope, as the environment and its files have them: read once, and again when a file changes."""

from __future__ import annotations

import itertools
import math
import os
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from serve_app.admin_api import ADMIN_SECRETS_ENV
from serve_app.domain import UNNAMED_SOURCE, SettingsError
from serve_app.host.secret_files import FILE_SUFFIX, SecretFiles, read_secrets, why_unusable
from serve_app.logs import EventLogger
from serve_app.settings import AuthenticationSettings, SourceSettings
from serve_app.settings.pictrs_safety import known_ids
from serve_app.wire import WORKER_SECRETS_ENV

logger = EventLogger(__name__)

Named = tuple[str, str]
"""A secret, after the name of who uses it."""

_NAME = re.compile(r"[a-z0-9_-]{1,32}")

# A file may be unreadable for a moment and never change again, as where the process has too many open files.
_TRY_AGAIN_AFTER_S = 1.0


@dataclass(frozen=True, slots=True)
class Scopes:
    """Secrets by what they permit; none permits what another one does."""

    scanners: tuple[tuple[str, bytes], ...]
    """Each with the source that it names."""
    admins: tuple[tuple[str, bytes], ...]
    """Each with the name of the admin."""
    workers: tuple[tuple[str, bytes], ...]
    """Each with the name of the owner of the workers."""
    misskey: tuple[bytes, ...]

    @classmethod
    def of(
        cls, scanners: Iterable[Named], admins: Iterable[Named], workers: Iterable[Named], misskey: Iterable[str]
    ) -> Self:
        """Of texts; those for scans with their source."""
        return cls(
            tuple((source, secret.encode()) for source, secret in scanners),
            tuple((name, secret.encode()) for name, secret in admins),
            tuple((name, secret.encode()) for name, secret in workers),
            tuple(map(str.encode, misskey)),
        )


@dataclass(frozen=True, slots=True, eq=False)
class _Variable:
    """One variable with secrets, which are replaced independently of those of other variables."""

    name: str
    read: Callable[[], tuple[Named, ...]]
    label: str
    """Its name in errors."""


class FollowedScopes:
    """What the environment has, and its files have now.

    Asked at each request: whoever changes a secret waits for nobody, and restarts nothing. A file that cannot be used
    leaves its own secrets as they were, since one that is being written is empty for a moment, and delays no change of
    another file. The files are read again a second later.
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
        self._variables = _variables(settings, sources, environment)
        self._files = SecretFiles((each.name for each in self._variables), environment)
        self._secrets = {each: each.read() for each in self._variables}
        if shared := _shared(self._secrets):
            raise SettingsError(_why_not_shared(shared))
        self._scopes = self._sorted()
        self._problems: dict[_Variable, tuple[str, object]] = {}
        self._clock = clock
        self._try_again_at_s = math.inf

    def __call__(self) -> Scopes:
        """The secrets that count now."""
        if self._files.have_changed() or self._clock() >= self._try_again_at_s:
            self._read_again()
        return self._scopes

    def unusable(self) -> tuple[str, ...]:
        """The variables whose file cannot be used now, so that their former secrets count."""
        self()
        return tuple(each.name + FILE_SUFFIX for each in self._problems)

    def _read_again(self) -> None:
        secrets, problems = dict(self._secrets), dict[_Variable, str]()
        for variable in self._variables:
            try:
                secrets[variable] = variable.read()
            except SettingsError as error:
                problems[variable] = str(error)
        # The former secrets have no conflict, so that each turn takes one change back at least.
        while shared := _shared(secrets):
            for variable in shared:
                if secrets[variable] != self._secrets[variable]:
                    secrets[variable], problems[variable] = self._secrets[variable], _why_not_shared(shared)
        self._tell(problems)
        self._try_again_at_s = self._clock() + _TRY_AGAIN_AFTER_S if problems else math.inf
        if secrets != self._secrets:
            logger.info("secrets_changed", "secrets have changed, and count from now on")
            self._secrets = secrets
            self._scopes = self._sorted()

    def _tell(self, problems: Mapping[_Variable, str]) -> None:
        """Once for each change of a file that leaves it unusable, or makes it so for another reason."""
        told, self._problems = self._problems, {}
        for variable, why in problems.items():
            problem = why, self._files.version(variable.name)
            if told.get(variable) != problem:
                text = f"the secrets of {variable.name} stay as they were: {why}"
                logger.error("secrets_unusable", text, variable=variable.name + FILE_SUFFIX, why=why)
            self._problems[variable] = problem

    def _sorted(self) -> Scopes:
        *scanners, admins, workers, misskey = self._secrets.values()
        return Scopes.of(itertools.chain.from_iterable(scanners), admins, workers, (secret for _, secret in misskey))


def _variables(
    settings: AuthenticationSettings, sources: Mapping[str, SourceSettings], environment: Mapping[str, str]
) -> tuple[_Variable, ...]:
    """Those for scans first, then those of admins, of workers and of Misskey."""

    def unnamed() -> tuple[Named, ...]:
        secrets = (*_usable(settings.secrets_env, environment), *known_ids(environment))
        if not secrets and not sources:
            raise SettingsError(
                f"no secret: set {settings.secrets_env} in the environment of the service's processes, for example to "
                'the output of `python -c "import secrets; print(secrets.token_urlsafe(32))"`, or '
                f"{settings.secrets_env}{FILE_SUFFIX} to a file that has it"
            )
        return tuple((UNNAMED_SOURCE, secret) for secret in secrets)

    def of_source(name: str, variable: str) -> _Variable:
        return _Variable(variable, lambda: _of_source(name, variable, environment), f"{variable} (sources.{name})")

    def of_misskey() -> tuple[Named, ...]:
        return tuple(("misskey", secret) for secret in _usable(settings.misskey_secrets_env, environment))

    return (
        _Variable(settings.secrets_env, unnamed, settings.secrets_env),
        *(of_source(name, source.secrets_env) for name, source in sources.items()),
        _Variable(ADMIN_SECRETS_ENV, lambda: _named(ADMIN_SECRETS_ENV, "admin", environment), ADMIN_SECRETS_ENV),
        _Variable(WORKER_SECRETS_ENV, lambda: _named(WORKER_SECRETS_ENV, "worker", environment), WORKER_SECRETS_ENV),
        _Variable(settings.misskey_secrets_env, of_misskey, settings.misskey_secrets_env),
    )


def _of_source(name: str, variable: str, environment: Mapping[str, str]) -> tuple[Named, ...]:
    secrets = _usable(variable, environment)
    if not secrets:
        raise SettingsError(
            f"sources.{name} has no secret: set {variable} in the environment of the service's processes, or "
            f"{variable}{FILE_SUFFIX} to a file that has it"
        )
    return tuple((name, secret) for secret in secrets)


def _shared(secrets: Mapping[_Variable, Sequence[Named]]) -> tuple[_Variable, _Variable] | None:
    """Two variables that have one secret, the later one first; None if no two have."""
    owners: dict[str, _Variable] = {}
    for owner, named in secrets.items():
        for _, secret in named:
            if owners.setdefault(secret, owner) is not owner:
                return owner, owners[secret]
    return None


def _why_not_shared(shared: tuple[_Variable, _Variable]) -> str:
    return (
        f"a secret in {shared[0].label} is also in {shared[1].label}: give each its own, since it says who asks and "
        "what is permitted, and pict-rs logs URLs with their secrets"
    )


def _named(variable: str, unnamed: str, environment: Mapping[str, str]) -> tuple[Named, ...]:
    """The secrets of a variable, with the names of their owners, who may have several, to replace one.

    One without a name is that of ``unnamed``.

    Raises:
        SettingsError: one is unusable.
    """
    named: list[Named] = []
    for given in read_secrets(variable, environment):
        name, separator, secret = given.partition(":")
        if not separator:
            name, secret = unnamed, given
        if not _NAME.fullmatch(name):
            raise SettingsError(
                f"a name in {variable} must have 1 to 32 characters of a-z, 0-9, _ and -, as in alice:SECRET"
            )
        named.append((name, secret))
    _require_usable(variable, (secret for _, secret in named))
    return tuple(named)


def _usable(variable: str, environment: Mapping[str, str]) -> tuple[str, ...]:
    secrets = read_secrets(variable, environment)
    _require_usable(variable, secrets)
    return secrets


def _require_usable(variable: str, secrets: Iterable[str]) -> None:
    for secret in secrets:
        if reason := why_unusable(secret):
            raise SettingsError(f"a secret in {variable} {reason}")
