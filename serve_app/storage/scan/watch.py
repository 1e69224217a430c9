"""A store that is watched: what is new is scanned within a minute."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Final

from serve_app.domain import StorageUnavailableError, UnavailableError
from serve_app.logs import EventLogger
from serve_app.storage.scan.outcome import FileOutcome, FileRecord
from serve_app.storage.scan.run import StorageScan
from serve_app.storage.scan.source import Wanted

logger = EventLogger(__name__)

LOOK_EVERY_S: Final = 30.0
"""Seconds between two looks at what is new."""

LISTINGS_APART: Final = 10
"""A pause is at least so many times as long as the listing before it: a large bucket would be listed all the time."""

MOST_PAUSE_S: Final = 3600.0
"""Of a store that takes long to list."""

OVERLAP: Final = timedelta(minutes=10)
"""A look goes back to before the one before it by this: a file may come with a time that is over already."""

_SCANNED_OFTEN: Final = (FileOutcome.REJECTED, FileOutcome.TOO_LARGE, FileOutcome.UNREADABLE)


async def watch_store(
    begin: Callable[[bool], StorageScan],
    wanted: Wanted,
    stop: asyncio.Event,
    note: Callable[[FileRecord], None],
    wall_clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    look_every_s: float = LOOK_EVERY_S,
) -> None:
    """Scan all that is wanted, and then, until ``stop``, what has changed; each day all of it again.

    A store or a service that does not answer is waited for. Once the quota of purges is used up, looks remove nothing
    until the next day, UTC. The whole listing of each day finds files that came with an old time, and removes those
    that the quota left. Files that could not be scanned for now are in the next look, however old they are; where the
    store tells no times, it goes back to where this look did.

    Args:
        begin: a run, anew for each look, which may remove something or not.
        wanted: which files.
        stop: ends it; what has begun is still finished.
        note: is told what became of each file.
        wall_clock: the days begin at midnight, UTC.
        look_every_s: seconds between two looks, if the store lists its files quickly (:func:`pause_s`).

    Raises:
        StorageRefusedError: the settings have to be changed first.
        UnauthorisedError: the secret is wrong.
    """
    listed_at: datetime | None = None
    oldest_left: datetime | None = None
    is_timeless_left = False
    used_up_on: date | None = None
    told = ""
    tell = _ToldOnce(note)

    def note_what_is_left(record: FileRecord) -> None:
        nonlocal oldest_left, is_timeless_left
        modified_at = record.file.modified_at
        if record.outcome is FileOutcome.LATER:
            is_timeless_left = is_timeless_left or modified_at is None
            oldest_left = min(filter(None, (oldest_left, modified_at)), default=None)
        tell(record)

    while not stop.is_set():
        now = wall_clock().astimezone(UTC)
        is_whole = listed_at is None or listed_at.date() != now.date()
        since = wanted.since
        if listed_at is not None and not is_whole:
            since = _later(since, min(listed_at - OVERLAP, oldest_left or listed_at))
        left_before, oldest_left, is_timeless_left = oldest_left, None, False
        if is_whole:
            tell.forget()
        run = begin(used_up_on != now.date())
        # The run ends its own, where the quota is used up; the next look begins another one.
        pass_over = asyncio.Event()
        ending = asyncio.create_task(_set_with(stop, pass_over))
        try:
            await run.run(replace(wanted, since=since), pass_over, note_what_is_left)
            told = ""
            if run.progress.is_quota_used_up:
                used_up_on = now.date()
                oldest_left = min(filter(None, (left_before, oldest_left)), default=None)
                logger.warning(
                    "storage_watch_quota_used_up",
                    "today's quota of purges is used up: until tomorrow, UTC, pictures are scanned and none is removed",
                )
                continue
            if not is_timeless_left:
                listed_at = now
        except (StorageUnavailableError, UnavailableError) as error:
            if str(error) != told:
                _tell_postponed(error)
            told = str(error)
            oldest_left = min(filter(None, (left_before, oldest_left)), default=None)
        finally:
            ending.cancel()
            await asyncio.gather(ending, return_exceptions=True)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(pause_s(run.listing_s, look_every_s)):
                await stop.wait()


def pause_s(listing_s: float, look_every_s: float = LOOK_EVERY_S) -> float:
    """Seconds between a look whose listing took ``listing_s`` and the next one."""
    return max(look_every_s, min(LISTINGS_APART * listing_s, MOST_PAUSE_S))


async def wait_for_store(
    ask: Callable[[], Awaitable[object]], stop: asyncio.Event, look_every_s: float = LOOK_EVERY_S
) -> None:
    """Return once the store has answered, or at ``stop``.

    Args:
        ask: asks it.
        stop: ends it.
        look_every_s: seconds between two tries.

    Raises:
        PictwardenError: as ``ask``, but StorageUnavailableError.
    """
    told = ""
    while not stop.is_set():
        try:
            await ask()
        except StorageUnavailableError as error:
            if str(error) != told:
                _tell_postponed(error)
            told = str(error)
        else:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(look_every_s):
                await stop.wait()


def _tell_postponed(error: Exception) -> None:
    logger.warning("storage_watch_postponed", f"the store is looked at again in a while: {error}", why=str(error))


class _ToldOnce:
    """Passes records on; that of a file that stays and that each look may scan again, only where it says more."""

    def __init__(self, note: Callable[[FileRecord], None]) -> None:
        self._note = note
        self._told: dict[str, FileRecord] = {}

    def __call__(self, record: FileRecord) -> None:
        if record.outcome in _SCANNED_OFTEN:
            before = self._told.get(record.file.name)
            self._told[record.file.name] = record
            if before is not None and (before.file, before.why) == (record.file, record.why):
                return
        self._note(record)

    def forget(self) -> None:
        self._told.clear()


async def _set_with(stop: asyncio.Event, other: asyncio.Event) -> None:
    await stop.wait()
    other.set()


def _later(given: datetime | None, looked: datetime) -> datetime:
    return looked if given is None else max(given, looked)
