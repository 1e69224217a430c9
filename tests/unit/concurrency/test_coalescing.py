"""Items that wait are done in one go, each has its own outcome, and one that comes alone waits for nobody."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve_app.concurrency.coalescing import Coalescer


class Halving:
    """Halves numbers, and remembers which came together; odd ones fail. It waits once :meth:`hold` was called."""

    def __init__(self) -> None:
        self.calls: list[list[int]] = []
        self.begun = threading.Semaphore(0)
        self._go_on = threading.Event()
        self._go_on.set()

    def hold(self) -> Callable[[], None]:
        """What lets it go on."""
        self._go_on.clear()
        return self._go_on.set

    async def wait_begun(self) -> None:
        assert await asyncio.to_thread(self.begun.acquire, timeout=30)

    def __call__(self, numbers: Sequence[int]) -> list[int | Exception]:
        self.calls.append(list(numbers))
        self.begun.release()
        assert self._go_on.wait(30)
        return [ValueError(number) if number % 2 else number // 2 for number in numbers]


async def all_of(coalescer: Coalescer[int, int], numbers: Sequence[int]) -> list[int | BaseException]:
    return await asyncio.gather(*map(coalescer.do, numbers), return_exceptions=True)


async def test_one_that_comes_alone_is_done_alone() -> None:
    halving = Halving()
    coalescer = Coalescer(None, halving, at_once=2, most_items=8)
    assert [await coalescer.do(number) for number in (2, 4)] == [1, 2]
    assert halving.calls == [[2], [4]]


async def test_those_that_come_while_all_threads_are_busy_are_done_in_one_go() -> None:
    halving = Halving()
    coalescer = Coalescer(None, halving, at_once=1, most_items=3)
    go_on = halving.hold()
    first = asyncio.create_task(coalescer.do(0))
    await halving.wait_begun()
    others = asyncio.create_task(all_of(coalescer, [2, 4, 6, 8]))
    await asyncio.sleep(0)
    go_on()
    assert (await first, await others) == (0, [1, 2, 3, 4])
    assert halving.calls == [[0], [2, 4, 6], [8]]


async def test_a_busy_thread_keeps_no_other_from_beginning() -> None:
    halving = Halving()
    coalescer = Coalescer(None, halving, at_once=2, most_items=8)
    go_on = halving.hold()
    asked = [asyncio.create_task(coalescer.do(0))]
    await halving.wait_begun()
    asked.append(asyncio.create_task(coalescer.do(2)))
    await halving.wait_begun()
    go_on()
    assert await asyncio.gather(*asked) == [0, 1]


async def test_one_whose_caller_went_away_is_not_done() -> None:
    halving = Halving()
    coalescer = Coalescer(None, halving, at_once=1, most_items=8)
    go_on = halving.hold()
    first, gone, third = (asyncio.create_task(coalescer.do(number)) for number in (0, 2, 4))
    await asyncio.sleep(0)
    gone.cancel()
    await halving.wait_begun()
    go_on()
    assert (await first, await third) == (0, 2)
    with pytest.raises(asyncio.CancelledError):
        await gone
    assert halving.calls == [[0, 4]]


async def test_work_that_fails_as_a_whole_fails_for_all_of_it_and_for_nobody_else() -> None:
    def work(numbers: Sequence[int]) -> list[int]:
        if 1 in numbers:
            raise OSError("broken")
        return list(numbers)

    coalescer = Coalescer(None, work, at_once=1, most_items=2)
    outcomes = await all_of(coalescer, [0, 1, 2])
    assert [str(outcome) for outcome in outcomes] == ["broken", "broken", "2"]


async def test_once_its_threads_are_closed_every_caller_is_told() -> None:
    threads = ThreadPoolExecutor(1)
    coalescer = Coalescer(threads, Halving(), at_once=1, most_items=2)
    threads.shutdown()
    outcomes = await all_of(coalescer, [0, 2, 4])
    assert [type(outcome) for outcome in outcomes] == [RuntimeError] * 3


@given(
    numbers=st.lists(st.integers(0, 99), max_size=30),
    at_once=st.integers(1, 3),
    most_items=st.integers(1, 9),
)
def test_every_outcome_is_what_it_would_be_alone(numbers: list[int], at_once: int, most_items: int) -> None:
    halving = Halving()

    async def run() -> list[int | BaseException]:
        return await all_of(Coalescer(None, halving, at_once, most_items), numbers)

    outcomes = asyncio.run(run())
    assert list(map(str, outcomes)) == [str(each) for number in numbers for each in halving([number])]
    assert all(len(call) <= most_items for call in halving.calls)
