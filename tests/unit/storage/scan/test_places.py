"""Small files that wait begin together; no file that finds a place waits, and no large one waits for small ones."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve_app.storage.scan.places import SMALL_BYTES, Places

SMALL, LARGE = SMALL_BYTES, SMALL_BYTES + 1


class Files:
    """Files that are scanned until :meth:`end`."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self.inside: list[int] = []
        self.most_inside = 0
        self._ends: dict[int, asyncio.Event] = {}
        self.tasks: list[asyncio.Task[None]] = []

    async def come(self, *sizes: int) -> None:
        for size in sizes:
            number = len(self.tasks)
            self._ends[number] = asyncio.Event()
            self.tasks.append(asyncio.create_task(self._scan(number, size)))
        await settle()

    async def end(self, *numbers: int) -> None:
        for number in numbers:
            self._ends[number].set()
            await settle()

    async def _scan(self, number: int, size: int) -> None:
        async with self._places.taken(size):
            self.inside.append(number)
            self.most_inside = max(self.most_inside, len(self.inside))
            await self._ends[number].wait()
            self.inside.remove(number)


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_whoever_finds_a_place_waits_for_nobody() -> None:
    files = Files(Places(4, small_together=4))
    await files.come(SMALL)
    await files.come(LARGE)
    assert files.inside == [0, 1]
    await files.end(0, 1)


async def test_small_ones_that_wait_begin_together() -> None:
    files = Files(Places(4, small_together=2))
    await files.come(*[SMALL] * 7)
    await files.end(0)
    assert files.inside == [1, 2, 3], "one place is free"
    await files.end(1)
    assert files.inside == [2, 3, 4, 5]
    await files.end(*range(2, 7))
    assert files.inside == []


async def test_a_large_one_begins_as_soon_as_a_place_is_free() -> None:
    files = Files(Places(2, small_together=2))
    await files.come(SMALL, SMALL, LARGE, SMALL)
    await files.end(0)
    assert files.inside == [1, 2]
    await files.end(1, 2, 3)


async def test_a_large_one_behind_small_ones_that_went_away_has_their_place() -> None:
    files = Files(Places(2, small_together=2))
    await files.come(SMALL, SMALL, SMALL, LARGE)
    await files.end(0)
    files.tasks[2].cancel()
    await settle()
    assert files.inside == [1, 3]
    await files.end(1, 3)


async def test_one_that_is_cancelled_as_it_has_its_place_gives_it_back() -> None:
    files = Files(Places(1))
    await files.come(SMALL, SMALL, SMALL)
    files.tasks[0].cancel()
    await asyncio.sleep(0)  # its place is handed to the next one, which has not begun
    files.tasks[1].cancel()
    await settle()
    assert files.inside[-1:] == [2]
    await files.end(2)
    with pytest.raises(asyncio.CancelledError):
        await files.tasks[1]


@given(
    at_once=st.integers(1, 6),
    together=st.integers(1, 8),
    sizes=st.lists(st.sampled_from([SMALL, LARGE]), max_size=20),
    cancelled=st.sets(st.integers(0, 19)),
)
def test_all_have_their_turn_and_never_more_than_there_are_places(
    at_once: int, together: int, sizes: Sequence[int], cancelled: set[int]
) -> None:
    async def run() -> Files:
        files = Files(Places(at_once, together))
        await files.come(*sizes)
        for number, task in enumerate(files.tasks):
            if number in cancelled and number not in files.inside:
                task.cancel()
        await settle()
        while files.inside:
            await files.end(files.inside[0])
        return files

    files = asyncio.run(run())
    assert all(task.done() for task in files.tasks)
    assert files.most_inside <= at_once
