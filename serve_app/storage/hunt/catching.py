"""What becomes of a picture that a hunt has found: it is looked for in pict-rs, and purged if that is wanted."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Final, Self

from serve_app.domain import Judged, Judgement, PictrsRefusedError, PictrsUnavailableError, SettingsError
from serve_app.pictrs import STORED_WITHIN, PictrsClient, Purger, StoredPicture, may_store, open_pictrs
from serve_app.purges import Audit, Purge, purges_since
from serve_app.settings import Settings
from serve_app.storage.hunt.suspects import Suspect
from serve_app.storage.rescan import Result

_EVER: Final = datetime(1970, 1, 1, tzinfo=UTC)

_IsStillRejected = Callable[[Suspect], Awaitable[bool]]


@dataclass(frozen=True, slots=True)
class Caught:
    """What became of a suspect: the aliases of its picture, and why."""

    suspect: Suspect
    result: Result
    aliases: tuple[str, ...] = ()
    why: str = ""


class Catcher:
    """Catches suspects in the pict-rs of the settings, which is opened when it is needed; closed with the block."""

    def __init__(
        self, settings: Settings, audit: Audit, actor: str, wall_clock: Callable[[], datetime], *, is_purging: bool
    ) -> None:
        """``actor`` is who wants it, for the audit. Nothing is purged unless ``is_purging``."""
        self._settings = settings
        self._audit = audit
        self._actor = actor
        self._wall_clock = wall_clock
        self._is_purging = is_purging
        self._opened = contextlib.AsyncExitStack()
        self._pictrs: PictrsClient | None = None
        self._purges: Mapping[str, Purge] | None = None
        self._passed_over: set[str] = set()

    @property
    def passed_over(self) -> str:
        """How many rejected pictures nobody can say more about, for people; empty if there are none."""
        if not self._passed_over:
            return ""
        return (
            f"{len(self._passed_over):,} rejected pictures were scanned in the background and are not in pict-rs: "
            "those of a scanned store `pictwarden storage scan --all` looks at again, others are the caller's own"
        )

    async def __aenter__(self) -> Self:
        """Opens nothing yet."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close what was opened."""
        await self._opened.aclose()

    async def open(self) -> PictrsClient:
        """The pict-rs of the settings.

        Raises:
            SettingsError: a setting or the key is missing.
        """
        if self._pictrs is None:
            self._pictrs = await self._opened.enter_async_context(open_pictrs(self._settings.pictrs))
        return self._pictrs

    async def caught(self, suspect: Suspect, is_still_rejected: _IsStillRejected) -> Caught | None:
        """What becomes of a suspect; None if it is a picture of the background lane that pict-rs does not have.

        Such a picture is the caller's own, or lies in a store that is scanned: :attr:`passed_over` counts it.
        ``is_still_rejected`` is asked right before a purge.

        Raises:
            SettingsError: nothing can be purged: see :meth:`open`.
            PictrsRefusedError: nothing can be purged: the settings have to be changed first.
        """
        decision = suspect.recorded.decision
        try:
            caught = await self._caught(suspect, is_still_rejected)
        except (SettingsError, PictrsRefusedError) as error:
            if self._is_purging:
                raise
            caught = Caught(suspect, Result.REJECTED, why=str(error))
        if decision.is_of_image_server or caught.aliases or caught.result is Result.LATER:
            return caught
        if await self._purge_of(suspect) is None:
            self._passed_over.add(decision.sha256)
        return None

    async def _caught(self, suspect: Suspect, is_still_rejected: _IsStillRejected) -> Caught:
        decision = suspect.recorded.decision
        if (why := self._why_elsewhere(suspect)) is not None:
            return Caught(suspect, Result.ELSEWHERE, why=why)
        pictrs = await self.open()
        try:
            picture = await pictrs.find(decision.sha256, decision.body_bytes)
            if picture is None:
                return await self._missing(suspect)
            if not self._is_purging:
                return Caught(suspect, Result.REJECTED, picture.aliases)
            if not await is_still_rejected(suspect):
                return Caught(suspect, Result.ACCEPTED, picture.aliases, "the lists were changed meanwhile: it stays")
            return await self._purged(suspect, pictrs, picture)
        except PictrsUnavailableError as error:
            return Caught(suspect, Result.LATER, why=str(error))

    def _why_elsewhere(self, suspect: Suspect) -> str | None:
        settings, decision = self._settings, suspect.recorded.decision
        if settings.pictrs.url is None:
            which = "--policy" if isinstance(suspect.cause, Judgement) else "--all"
            return f"set pictrs.url to find and purge it with `pictwarden hunt {which} --purge`"
        if not may_store(settings.pictrs_source, decision):
            return f"it is a picture of the source {decision.source}: see pictrs.source"
        return None

    async def _purged(self, suspect: Suspect, pictrs: PictrsClient, picture: StoredPicture) -> Caught:
        most_a_day = self._settings.pictrs.max_purges_per_day
        purger = Purger(pictrs, self._audit, self._actor, most_a_day, self._wall_clock)
        purged = await purger.purge(picture, f"hunt: {suspect.cause_name}")
        if purged is None:
            why = "not purged: today's quota of purges is used up"
            return Caught(suspect, Result.REJECTED, picture.aliases, why)
        if not purged:
            return Caught(suspect, Result.GONE, picture.aliases, "somebody else purged it meanwhile")
        return Caught(suspect, Result.PURGED, picture.aliases)

    async def _missing(self, suspect: Suspect) -> Caught:
        recorded, decision = suspect.recorded, suspect.recorded.decision
        if (purge := await self._purge_of(suspect)) is not None:
            return Caught(suspect, Result.GONE, why=f"it was purged ({purge.why})")
        if recorded.is_pending and isinstance(decision.outcome, Judged) and decision.outcome.is_truncated:
            # pict-rs has named the whole picture by its own sha256.
            return Caught(suspect, Result.REJECTED, why="only its beginning was scanned: `pictwarden rescan` finds it")
        if decision.is_of_image_server and decision.decided_at > self._wall_clock() - STORED_WITHIN:
            # pict-rs stores a picture after it has our answer.
            return Caught(suspect, Result.LATER, why="pict-rs may not have stored it yet")
        return Caught(suspect, Result.GONE, why="pict-rs does not have it")

    async def _purge_of(self, suspect: Suspect) -> Purge | None:
        """The newest one of its bytes, if it was purged after the decision. The purges are read once."""
        if self._purges is None:
            newest_first = await purges_since(self._audit, _EVER)
            self._purges = {each.sha256: each for each in reversed(newest_first) if each.purged}
        decision = suspect.recorded.decision
        purge = self._purges.get(decision.sha256)
        return purge if purge is not None and purge.begun_at >= decision.decided_at else None
