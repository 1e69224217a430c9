"""Bodies on their way to other replicas: never too many bytes at once, live ones first, and nobody is forgotten."""

import asyncio
import contextlib

from hypothesis import given, settings
from hypothesis import strategies as st

from deployments.transfer_gate import TransferGate
from serve_app.domain import Call, Deadline, Lane


class Travellers:
    def __init__(self, max_bytes):
        self.gate = TransferGate(max_bytes)
        self.travelling = {}
        self.order = []
        self.most_bytes = 0

    async def _travel(self, name, size_bytes, lane, end):
        async with self.gate.through(size_bytes, Call("r", Deadline.after(8.0), lane)):
            self.order.append(name)
            self.travelling[name] = size_bytes
            self.most_bytes = max(self.most_bytes, sum(self.travelling.values()) if len(self.travelling) > 1 else 0)
            try:
                await end.wait()
            finally:
                del self.travelling[name]

    def start(self, name, size_bytes, lane=Lane.LIVE):
        end = asyncio.Event()
        return asyncio.create_task(self._travel(name, size_bytes, lane, end)), end


async def settle():
    for _ in range(10):
        await asyncio.sleep(0)


async def test_bodies_travel_together_up_to_the_limit_and_in_order():
    travellers = Travellers(10)
    tasks = [travellers.start(name, size) for name, size in (("a", 4), ("b", 6), ("c", 1), ("d", 9))]
    await settle()
    assert travellers.order == ["a", "b"]
    tasks[1][1].set()
    await settle()
    assert travellers.order == ["a", "b", "c"]
    tasks[0][1].set()
    await settle()
    assert travellers.order == ["a", "b", "c", "d"]
    for _, end in tasks:
        end.set()
    await asyncio.gather(*(task for task, _ in tasks))


async def test_a_body_larger_than_the_limit_travels_alone():
    travellers = Travellers(10)
    large, large_end = travellers.start("large", 50)
    await settle()
    small, small_end = travellers.start("small", 1)
    await settle()
    assert travellers.order == ["large"]
    large_end.set()
    small_end.set()
    await asyncio.gather(large, small)
    assert travellers.order == ["large", "small"]


async def test_live_bodies_go_first():
    travellers = Travellers(10)
    first, first_end = travellers.start("first", 10)
    await settle()
    others = [travellers.start(lane.value, 10, lane) for lane in (Lane.BACKGROUND, Lane.LIVE)]
    await settle()
    for _, end in others:
        end.set()
    first_end.set()
    await asyncio.gather(first, *(task for task, _ in others))
    assert travellers.order == ["first", "live", "background"]


@given(
    st.lists(
        st.tuples(st.sampled_from(["start", "end", "leave"]), st.integers(1, 15), st.sampled_from(list(Lane))),
        max_size=40,
    )
)
@settings(deadline=None, max_examples=100)
def test_the_limit_holds_and_everybody_who_stays_gets_through(steps):
    async def play():
        travellers = Travellers(10)
        tasks = []
        for number, (step, size, lane) in enumerate(steps):
            if step == "start":
                tasks.append(travellers.start(number, size, lane))
            elif tasks:
                task, end = tasks[size % len(tasks)]
                end.set() if step == "end" else task.cancel()
            if size % 2:
                await settle()
            assert travellers.most_bytes <= 10
        for _, end in tasks:
            end.set()
        for task, _ in tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task
        assert travellers.most_bytes <= 10
        last, end = travellers.start("last", 10)
        end.set()
        await last

    asyncio.run(play())
