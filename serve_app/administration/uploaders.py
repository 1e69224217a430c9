"""Who brought the picture of a decision, asked of pict-rs and Lemmy at the moment that an admin looks."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import UTC
from typing import Final

from serve_app.domain import Decision, LemmyUnavailableError
from serve_app.lemmy import Brought, open_lemmy
from serve_app.pictrs import PictrsClient, StoredPicture, may_store, open_pictrs, pictures_of
from serve_app.settings import Settings

WITHIN_S: Final = 120.0
"""Seconds for one look: Lemmy may have two hundred pages to give."""

_NOT_UPLOADED: Final = "it comes from another instance, as the thumbnail of a link or through the image proxy"


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """The aliases of a picture in pict-rs, none if it is not there, and who brought it."""

    aliases: tuple[str, ...]
    brought: Brought

    @property
    def notes(self) -> tuple[str, ...]:
        """What is not known, for people."""
        if not self.aliases:
            return (
                "pict-rs does not have the picture: it was refused, removed since, or belongs to another instance. "
                "Lemmy records no upload that was refused.",
            )
        notes, brought = list[str](), self.brought
        if brought.unlisted and brought.is_whole:
            notes.append(
                f"Lemmy lists no upload of {', '.join(brought.unlisted)}: {_NOT_UPLOADED}, or the account is deleted."
            )
        elif brought.unlisted:
            told = "are not all"
            if brought.back_to is not None:
                told = f"go back to {brought.back_to.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
            notes.append(
                f"No upload of {', '.join(brought.unlisted)} is among those that Lemmy lists, which {told}: it is "
                f"among the others, {_NOT_UPLOADED}, or the account is deleted."
            )
        if not brought.shown:
            notes.append(
                "No post or comment with it was found. Lemmy finds none that was removed or deleted, nor private "
                "messages, avatars and banners; 0.19 finds NSFW posts only if the token's account shows them."
            )
        if brought.unsearched:
            notes.append(f"Posts were not searched for the aliases {', '.join(brought.unsearched)}.")
        return tuple(notes)


class Uploaders:
    """Asks for names, and keeps none of them. The key of pict-rs and the token of Lemmy stay in this process."""

    def __init__(self, settings: Settings, environment: Mapping[str, str] = os.environ) -> None:
        self._settings = settings
        self._environment = environment

    async def of(self, decision: Decision) -> Whereabouts:
        """Where the picture of this decision is, and who brought it.

        Raises:
            SettingsError: pict-rs or Lemmy is not configured.
            PictrsError: pict-rs cannot be asked.
            LemmyError: Lemmy cannot be asked.
        """
        try:
            async with asyncio.timeout(WITHIN_S):
                return await self._look(decision)
        except TimeoutError:
            raise LemmyUnavailableError(
                f"pict-rs and Lemmy did not give all answers within {WITHIN_S:.0f} s: try again later"
            ) from None

    async def _look(self, decision: Decision) -> Whereabouts:
        async with (
            open_lemmy(self._settings.lemmy, self._environment) as lemmy,
            open_pictrs(self._settings.pictrs, self._environment) as pictrs,
        ):
            if not may_store(self._settings.pictrs_source, decision):
                return Whereabouts((), Brought())
            aliases = tuple([alias async for each in _pictures(pictrs, decision) for alias in each.aliases])
            return Whereabouts(aliases, await lemmy.who_brought(aliases))


async def _pictures(pictrs: PictrsClient, decision: Decision) -> AsyncIterator[StoredPicture]:
    """The stored pictures with these bytes; of what was refused only a copy that was stored at another time."""
    if decision.kept:
        async for each in pictures_of(pictrs, decision):
            yield each
    elif (found := await pictrs.find(decision.sha256, decision.body_bytes)) is not None:
        yield found
