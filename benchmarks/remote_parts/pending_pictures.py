"""Pictures that were let through unscanned: the decisions in a ledger, and a real pict-rs with the newest of them."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import itertools
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from benchmarks import load
from benchmarks.bodies import photo_like_jpeg, unique
from benchmarks.decision_parts.commits import sample_decision
from benchmarks.load import Target
from benchmarks.pictrs import FORM_TYPE, STORED, form_of
from benchmarks.pictrs_process import PictrsFailedError, Running, running_process
from serve_app.database.location import Location
from serve_app.domain import Decision, DecisionFilter, Unscanned, UnscannedReason
from serve_app.ledger import OpenLedger, open_archive, open_ledger
from serve_app.storage.rescan import Result

_PICTURE_BYTES = 5_000
_SHA256_BYTES = 32
_UPLOADERS = 16
_RECORDED_AT_ONCE = 1_000
_COMMIT_WAIT_S = 60.0
_AGE = timedelta(hours=1)
_APART = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class WorkedOff:
    """Pending pictures that were scanned while uploads came, and those that were left at the end."""

    pictures: int
    left: int


@contextlib.contextmanager
def pending_pictures(location: Location, pending: int, stored: int, api_key: str, seed: int) -> Iterator[Running]:
    """A pict-rs, and so many pending decisions in the ledger at ``location``.

    It has the pictures of the newest, ``stored`` of them: to store what nobody gets to would take longer than all else.
    They are small: what they cost beside their view is not what is measured.

    Raises:
        PictrsFailedError: it did not start, or did not store them all.
    """
    jpeg = photo_like_jpeg(_PICTURE_BYTES, seed)
    posted: list[str] = []

    def next_form() -> bytes:
        body = unique(jpeg)
        posted.append(hashlib.sha256(body).hexdigest())
        return form_of(body)

    with running_process(SERVER__API_KEY=api_key) as pictrs:
        uploads = load.each_in_turn(Target(f"{pictrs.url}/image", next_form, FORM_TYPE), stored, _UPLOADERS)
        if missing := sum(each.status != STORED for each in uploads.outcomes):
            raise PictrsFailedError(f"it did not store {missing} of {stored} pictures")
        names = itertools.chain(posted, (secrets.token_hex(_SHA256_BYTES) for _ in range(pending - stored)))
        body_bytes = len(unique(jpeg))
        record(location, [pending_decision(number, sha256, body_bytes) for number, sha256 in enumerate(names)])
        yield pictrs


def pending_decision(number: int, sha256: str, body_bytes: int) -> Decision:
    """One that let a picture through unscanned, an hour ago and so many seconds."""
    sample = sample_decision()
    return replace(
        sample,
        request_id=f"pending-{number}",
        decided_at=sample.decided_at - _AGE - number * _APART,
        sha256=sha256,
        body_bytes=body_bytes,
        outcome=Unscanned(UnscannedReason.UNAVAILABLE, "no worker is connected"),
        examination=None,
        labels=(),
    )


def record(location: Location, decisions: Sequence[Decision]) -> None:
    """Write decisions to a ledger of their own, which is made where it is missing."""

    async def write(ledger: OpenLedger) -> None:
        for first in range(0, len(decisions), _RECORDED_AT_ONCE):
            await asyncio.gather(*map(ledger.record, decisions[first : first + _RECORDED_AT_ONCE]))

    with contextlib.closing(open_ledger(location, commit_wait_s=_COMMIT_WAIT_S)) as ledger:
        asyncio.run(write(ledger))


def scanned_and_left(location: Location) -> WorkedOff:
    """How many pending pictures have been scanned and accepted so far, and how many wait."""

    async def count() -> WorkedOff:
        scanned = await archive.count(DecisionFilter(done_how=f"rescan: {Result.ACCEPTED}"))
        return WorkedOff(scanned, (await archive.pending_count()).count)

    with contextlib.closing(open_archive(location)) as archive:
        return asyncio.run(count())
