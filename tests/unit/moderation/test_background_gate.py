"""Who is let through to the background lane, and in which order."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from serve_app.domain import Call, Deadline, Lane, OverloadedError
from serve_app.moderation.background_gate import BackgroundGate


class Gate:
    """A gate for two at once, and who has come through."""

    def __init__(self) -> None:
        self.gate = BackgroundGate(2)
        self.through: list[str] = []
        self.ends: list[asyncio.Event] = []

    def meet_live(self) -> contextlib.ExitStack:
        """A live picture is here until this is closed."""
        stack = contextlib.ExitStack()
        stack.enter_context(self.gate.beside_live())
        return stack

    async def _pass(self, source: str, end: asyncio.Event) -> None:
        async with self.gate.through(Call("r", Deadline.after(8.0), Lane.BACKGROUND, source)):
            self.through.append(source)
            await end.wait()

    async def come(self, source: str) -> asyncio.Task[None]:
        self.ends.append(asyncio.Event())
        task = asyncio.create_task(self._pass(source, self.ends[-1]))
        await settle()
        return task


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_more_are_let_through_while_there_is_no_upload() -> None:
    gate = Gate()
    first, second = gate.meet_live(), gate.meet_live()
    tasks = [await gate.come("one") for _ in range(9)]
    assert len(gate.through) == 2
    first.close()
    await settle()
    assert len(gate.through) == 2
    second.close()
    await settle()
    assert len(gate.through) == 8
    with gate.meet_live():
        for end in gate.ends[:6]:
            end.set()
        await settle()
        assert len(gate.through) == 8, "what is inside stays, and nothing follows until two are left"
        gate.ends[6].set()
        await settle()
        assert len(gate.through) == 9
    for end in gate.ends:
        end.set()
    await asyncio.gather(*tasks)


async def test_sources_are_let_through_by_turns_and_one_cannot_fill_the_gate() -> None:
    gate = Gate()
    upload = gate.meet_live()
    tasks = [await gate.come("many") for _ in range(10)]
    with pytest.raises(OverloadedError, match="8 pictures are waiting"):
        await (await gate.come("many"))
    tasks += [await gate.come("few") for _ in range(2)]
    for end in gate.ends:
        end.set()
    await asyncio.gather(*tasks)
    assert gate.through[:6].count("few") == 2
    assert sorted(gate.through) == ["few"] * 2 + ["many"] * 10
    upload.close()


async def test_whoever_goes_away_leaves_the_place_to_the_next() -> None:
    gate = Gate()
    upload = gate.meet_live()
    tasks = [await gate.come(source) for source in "abcde"]
    tasks[2].cancel()  # it waits
    gate.ends[0].set()
    await asyncio.sleep(0)
    tasks[3].cancel()  # as it is let through
    await settle()
    assert gate.through == ["a", "b", "e"]
    for end in gate.ends:
        end.set()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert len([await gate.come("again") for _ in range(2)]) == 2
    assert gate.through[-2:] == ["again", "again"], "no place is lost"
    for end in gate.ends:
        end.set()
    await settle()
    upload.close()
