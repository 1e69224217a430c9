"""What becomes of a picture that a hunt has found: it is looked for in pict-rs, and purged if that is wanted."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Self

from serve_app.domain import PictrsUnavailableError
from serve_app.pictrs import STORED_WITHIN, PictrsClient, Purger, may_store, open_pictrs
from serve_app.purges import Audit, purges_since
from serve_app.settings import Settings
from serve_app.storage.hunt.suspects import Suspect
from serve_app.storage.rescan import Result


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

    async def caught(self, suspect: Suspect, is_still_rejected: Callable[[Suspect], Awaitable[bool]]) -> Caught | None:
        """What becomes of a suspect; None if it is a picture of the background lane that pict-rs does not have.

        Such a picture is the caller's own. ``is_still_rejected`` is asked right before a purge.

        Raises:
            SettingsError: see :meth:`open`.
            PictrsRefusedError: the settings have to be changed first.
        """
        is_of_server = suspect.recorded.decision.is_of_image_server
        caught = await self._caught(suspect, is_still_rejected)
        is_stored = bool(caught.aliases) or caught.result is Result.LATER
        return caught if is_of_server or is_stored else None

    async def _caught(self, suspect: Suspect, is_still_rejected: Callable[[Suspect], Awaitable[bool]]) -> Caught:
        settings = self._settings
        if settings.pictrs.url is None:
            return Caught(suspect, Result.REJECTED, why="set pictrs.url to find and purge it")
        if not may_store(settings.pictrs_source, suspect.recorded.decision):
            source = suspect.recorded.decision.source
            return Caught(suspect, Result.REJECTED, why=f"it is a picture of the source {source}: see pictrs.source")
        pictrs = await self.open()
        purger = None
        if self._is_purging:
            most_a_day = settings.pictrs.max_purges_per_day
            purger = Purger(pictrs, self._audit, self._actor, most_a_day, self._wall_clock)
        return await catch(suspect, pictrs, self._audit, purger, is_still_rejected, self._wall_clock())


async def catch(
    suspect: Suspect,
    pictrs: PictrsClient,
    audit: Audit,
    purger: Purger | None,
    is_still_rejected: Callable[[Suspect], Awaitable[bool]],
    now: datetime,
) -> Caught:
    """Find the picture in pict-rs, and purge it with all aliases. Without ``purger`` it stays.

    Args:
        suspect: whose picture.
        pictrs: where it may be.
        audit: knows what was purged.
        purger: of that pict-rs.
        is_still_rejected: asked right before the purge.
        now: pict-rs may not have stored yet what was decided a moment ago.

    Raises:
        PictrsRefusedError: the settings have to be changed first.
    """
    decision = suspect.recorded.decision
    try:
        picture = await pictrs.find(decision.sha256, decision.body_bytes)
        if picture is None:
            return await _missing(suspect, audit, now)
        if purger is None:
            return Caught(suspect, Result.REJECTED, picture.aliases)
        if not await is_still_rejected(suspect):
            return Caught(suspect, Result.ACCEPTED, picture.aliases, "the lists were changed meanwhile: it stays")
        if await purger.purge(picture, f"hunt: {suspect.cause_name}") is None:
            return Caught(suspect, Result.REJECTED, picture.aliases, "not purged: today's quota of purges is used up")
    except PictrsUnavailableError as error:
        return Caught(suspect, Result.LATER, why=str(error))
    return Caught(suspect, Result.PURGED, picture.aliases)


async def _missing(suspect: Suspect, audit: Audit, now: datetime) -> Caught:
    decision = suspect.recorded.decision
    for purge in await purges_since(audit, decision.decided_at):
        if purge.sha256 == decision.sha256 and purge.purged:
            return Caught(suspect, Result.GONE, why=f"it was purged ({purge.why})")
    if decision.is_of_image_server and decision.decided_at > now - STORED_WITHIN:
        # pict-rs stores a picture after it has our answer.
        return Caught(suspect, Result.LATER, why="pict-rs may not have stored it yet")
    return Caught(suspect, Result.GONE, why="pict-rs does not have it")
