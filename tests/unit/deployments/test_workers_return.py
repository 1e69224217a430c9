"""That workers are back which connect to another process: known once for each return, whatever that process does."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from deployments.workers_return import watch_for_return
from serve_app.domain import UnavailableError

NOON = datetime(2026, 11, 26, 12, tzinfo=UTC)


async def returns(*answers: datetime | None) -> list[bool]:
    """After each answer, whether workers are known to have come back since the one before. None is no answer at all."""
    came_back, found, coming = asyncio.Event(), list[bool](), iter(answers)

    async def back_at() -> datetime | None:
        answer = next(coming)
        if answer is None:
            raise UnavailableError("the replica is being replaced")
        return answer

    async def sleep(_: float) -> None:
        found.append(came_back.is_set())
        came_back.clear()
        if len(found) == len(answers):
            raise asyncio.CancelledError

    watching = asyncio.create_task(watch_for_return(back_at, came_back, sleep))
    await asyncio.wait([watching])
    assert watching.cancelled()
    return found


async def test_each_return_is_told_once() -> None:
    later = NOON + timedelta(minutes=5)
    assert await returns(NOON, NOON, later, later) == [True, False, True, False]


async def test_a_replica_that_does_not_answer_is_no_return() -> None:
    assert await returns(None, NOON, None, NOON) == [False, True, False, False]


async def test_a_replica_that_was_replaced_has_a_return_of_its_own() -> None:
    replaced = NOON - timedelta(seconds=1)  # on a node whose clock is behind
    assert await returns(NOON, None, replaced) == [True, False, True]
