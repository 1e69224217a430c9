"""Pictures that were let through are scanned again from each ledger, newest first, a page of them at a time."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import cast

from serve_app.domain import Decision, DecisionFilter, DecisionPage, Unscanned, UnscannedReason
from serve_app.storage import Finding, Rescanner, Result, rescan_pending
from tests.contract.conftest import NOON, FullLedger, Made

NOBODY_THERE = Unscanned(UnscannedReason.UNAVAILABLE, "no worker is connected")
MANY = 1050


class Pictures:
    """Of a rescanner what a run asks: no picture is fetched, and each is as it was told."""

    def __init__(self, results: dict[str, Result] | None = None) -> None:
        self.met: list[str] = []
        self._results = results or {}

    async def rescan(self, decision: Decision) -> Finding:
        self.met.append(decision.request_id)
        return Finding(decision, self._results.get(decision.request_id, Result.ACCEPTED))


class Watched:
    """An archive, and how many decisions it was asked for at once."""

    def __init__(self, ledger: FullLedger) -> None:
        self.sizes: list[int] = []
        self._ledger = ledger
        self.mark_done = ledger.mark_done

    async def search(self, wanted: DecisionFilter, limit: int = 100, cursor: str | None = None) -> DecisionPage:
        page = await self._ledger.search(wanted, limit, cursor)
        self.sizes.append(len(page.records))
        return page


async def run(archive: Watched, pictures: Pictures, seconds: float) -> int:
    """Of the decisions that were made within so much of noon: how many findings there were."""
    now = NOON + timedelta(seconds=seconds)
    return len([each async for each in rescan_pending(archive, cast(Rescanner, pictures), lambda: now)])


async def test_the_newest_comes_first_and_only_what_is_pending_comes(ledger: FullLedger, made: Made) -> None:
    for number in range(6):
        await ledger.record(made.decision(number, None if number == 2 else NOBODY_THERE, kept=number != 3))
    pictures = Pictures({"r-4": Result.LATER, "r-1": Result.REJECTED})
    assert await run(Watched(ledger), pictures, 5) == 3
    assert pictures.met == ["r-4", "r-1", "r-0"], "r-5 came after the run had begun"
    assert [each.decision.request_id for each in (await ledger.pending()).records] == ["r-1", "r-4", "r-5"]


async def test_what_was_reopened_comes_too(ledger: FullLedger, made: Made) -> None:
    await ledger.record(made.decision(0))
    await ledger.record(made.decision(1, NOBODY_THERE))
    assert await ledger.reopen("r-0", "a reason")
    pictures = Pictures()
    await run(Watched(ledger), pictures, 5)
    assert pictures.met == ["r-1", "r-0"]
    assert (await ledger.pending()).records == ()


async def test_many_are_worked_off_a_page_at_a_time(ledger: FullLedger, made: Made) -> None:
    await asyncio.gather(*(ledger.record(made.decision(number, NOBODY_THERE)) for number in range(MANY)))
    watched, pictures = Watched(ledger), Pictures()
    assert await run(watched, pictures, MANY) == MANY
    assert pictures.met == [f"r-{number}" for number in reversed(range(MANY))]
    assert max(watched.sizes) <= 100
    assert (await ledger.pending_count()).count == 0


async def test_those_that_come_meanwhile_are_next_and_none_comes_twice(ledger: FullLedger, made: Made) -> None:
    """A picture takes six seconds, and whoever lets new ones through stops after a while."""
    for number in range(60):
        await ledger.record(made.decision(number, NOBODY_THERE))
    seconds, new_ones = 60, iter(range(1000, 1040))

    class Busy(Pictures):
        async def rescan(self, decision: Decision) -> Finding:
            nonlocal seconds
            seconds += 6
            if (new := next(new_ones, None)) is not None:
                moment = NOON + timedelta(seconds=seconds - 1)
                await ledger.record(made.decision(new, NOBODY_THERE, decided_at=moment))
            return await super().rescan(decision)

    pictures = Busy({f"r-{number}": Result.LATER for number in (59, 7)} | {"r-1010": Result.REJECTED})
    watched = Watched(ledger)
    clock = lambda: NOON + timedelta(seconds=seconds)  # noqa: E731
    found = [each async for each in rescan_pending(watched, cast(Rescanner, pictures), clock)]
    old, new = [f"r-{number}" for number in range(60)], [f"r-{number}" for number in range(1000, 1040)]
    assert sorted(pictures.met) == sorted([*old, *new])
    assert len(found) == 100
    assert pictures.met[:20] == old[:-21:-1], "those that were read at once"
    assert pictures.met[20:40] == new[19::-1], "those that came meanwhile"
    assert pictures.met[-40:] == old[39::-1], "as soon as no newer ones come"
    assert max(watched.sizes) <= 20
    assert [each.decision.request_id for each in (await ledger.pending()).records] == ["r-7", "r-59", "r-1010"]
