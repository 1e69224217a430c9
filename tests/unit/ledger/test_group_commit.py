"""Group commit: what waits is written together, everybody learns of their own, and nobody waits for ever."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

import pytest

from serve_app.ledger.group_commit import MOST_WAITING, FullQueueError, GroupCommit


class Slow:
    """Writes numbers; the first time it waits. Odd ones fail."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.entered = threading.Event()
        self.go_on = threading.Event()

    def write(self, numbers: Sequence[int]) -> list[Exception | None]:
        self.batches.append(list(numbers))
        self.entered.set()
        assert self.go_on.wait(30)
        return [ValueError(number) if number % 2 else None for number in numbers]


async def entered(slow: Slow) -> None:
    await asyncio.to_thread(slow.entered.wait, 30)


async def test_what_waits_is_written_together_and_in_order() -> None:
    slow = Slow()
    commits: GroupCommit[int] = GroupCommit(slow.write, "test")
    first = asyncio.create_task(commits.put(0))
    await entered(slow)
    others = [asyncio.create_task(commits.put(2 * number)) for number in range(1, 5)]
    await asyncio.sleep(0)
    slow.go_on.set()
    await asyncio.gather(first, *others)
    assert slow.batches == [[0], [2, 4, 6, 8]]
    commits.close(30)


async def test_each_caller_has_the_result_of_their_own() -> None:
    slow = Slow()
    slow.go_on.set()
    commits: GroupCommit[int] = GroupCommit(slow.write, "test")
    results = await asyncio.gather(*(commits.put(number) for number in range(4)), return_exceptions=True)
    assert [str(result) for result in results] == ["None", "1", "None", "3"]
    commits.close(30)


async def test_a_caller_that_goes_away_leaves_their_item_to_be_written() -> None:
    slow = Slow()
    commits: GroupCommit[int] = GroupCommit(slow.write, "test")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await commits.put(1)
    slow.go_on.set()
    await commits.put(2)
    assert [number for batch in slow.batches for number in batch] == [1, 2]
    commits.close(30)


async def test_what_hangs_fills_no_memory() -> None:
    slow = Slow()
    commits: GroupCommit[int] = GroupCommit(slow.write, "test")
    waiting = [asyncio.create_task(commits.put(0))]
    await entered(slow)
    waiting += [asyncio.create_task(commits.put(0)) for _ in range(MOST_WAITING)]
    await asyncio.sleep(0)
    with pytest.raises(FullQueueError):
        await commits.put(0)
    slow.go_on.set()
    await asyncio.gather(*waiting)
    await commits.put(0)
    commits.close(30)


async def test_closing_writes_what_waits() -> None:
    slow = Slow()
    commits: GroupCommit[int] = GroupCommit(slow.write, "test")
    waiting = [asyncio.create_task(commits.put(number)) for number in (0, 2)]
    await entered(slow)
    slow.go_on.set()
    await asyncio.to_thread(commits.close, 30)
    await asyncio.gather(*waiting)


async def test_it_is_called_now_and_then_also_when_nothing_waits() -> None:
    ticked = threading.Event()

    def tick() -> bool:
        ticked.set()
        return False

    commits: GroupCommit[int] = GroupCommit(lambda numbers: [None] * len(numbers), "test", tick)
    assert await asyncio.to_thread(ticked.wait, 30)
    commits.close(30)
