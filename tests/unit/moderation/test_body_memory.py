"""Memory for bodies: never more than there is, never lost, and the oldest unfinished body always gets on."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from serve_app.domain import Lane, OverloadedError
from serve_app.moderation import BodyMemory, Reservation

MB = 1_000_000


def read(
    memory: BodyMemory, stack: contextlib.ExitStack, body_bytes: int, lane: Lane = Lane.LIVE, source: str = "unnamed"
) -> Reservation:
    """A body of which as many bytes have arrived."""
    reservation = stack.enter_context(memory.reserve(None, lane, source))
    reservation.grow(body_bytes)
    return reservation


def test_a_declared_length_is_refused_unread_if_its_first_step_has_no_room() -> None:
    memory = BodyMemory(10 * MB)
    with contextlib.ExitStack() as stack:
        read(memory, stack, 9 * MB)
        for declared_bytes in (MB + 1, 40 * MB):
            with memory.reserve(declared_bytes) as large:
                assert memory.reserved_bytes == 10 * MB
                with pytest.raises(OverloadedError, match="10000000 bytes"), memory.reserve(1):
                    raise AssertionError("it is not read")
                with pytest.raises(OverloadedError):
                    large.grow(MB + 1)
        with memory.reserve(10) as small:
            small.grow(10)
            assert memory.reserved_bytes == 9 * MB + 10, "no more than it declares"
    assert memory.reserved_bytes == 0


def test_lengths_that_are_only_declared_leave_the_memory_to_bodies_that_arrive() -> None:
    memory = BodyMemory(512 * MB)
    with contextlib.ExitStack() as stack:
        idle = [stack.enter_context(memory.reserve(64 * MB)) for _ in range(8)]
        assert memory.reserved_bytes == 8 * MB
        honest = stack.enter_context(memory.reserve(40 * MB))
        for received_bytes in range(0, 40 * MB + 1, MB // 2):
            honest.grow(received_bytes)
        honest.finish(40 * MB)
        assert not any(each.is_refused for each in idle)
    assert memory.reserved_bytes == 0


def test_an_unknown_length_is_reserved_in_steps_and_what_is_not_needed_is_given_back() -> None:
    memory = BodyMemory(10 * MB)
    with memory.reserve(None) as reservation:
        assert memory.reserved_bytes == 0
        for received_bytes, reserved_bytes in ((1, MB), (MB, MB), (MB + 1, 2 * MB), (5 * MB, 5 * MB)):
            reservation.grow(received_bytes)
            assert memory.reserved_bytes == reserved_bytes
        reservation.finish(4 * MB + 7)
        assert memory.reserved_bytes == 4 * MB + 7
    assert memory.reserved_bytes == 0


def test_a_body_larger_than_all_memory_is_read_when_it_is_alone() -> None:
    memory = BodyMemory(MB)
    for declared_bytes in (3 * MB, None):
        with memory.reserve(declared_bytes) as reservation:
            reservation.grow(3 * MB)
            with pytest.raises(OverloadedError), memory.reserve(1):
                raise AssertionError("it is not read")


def test_the_youngest_unfinished_body_is_refused_for_an_older_one() -> None:
    memory = BodyMemory(3 * MB)
    told = []
    with contextlib.ExitStack() as stack:
        oldest, finished, youngest = (stack.enter_context(memory.reserve(None)) for _ in range(3))
        youngest.on_refused = lambda: told.append("youngest")
        for each in (oldest, finished, youngest):
            each.grow(MB)
        finished.finish(MB)
        oldest.grow(2 * MB)
        assert told == ["youngest"]
        assert (oldest.is_refused, finished.is_refused, youngest.is_refused) == (False, False, True)
        with pytest.raises(OverloadedError):
            youngest.grow(MB + 1)
        with pytest.raises(OverloadedError):
            oldest.grow(3 * MB)
        assert memory.reserved_bytes == MB, "what is finished stays"
    assert memory.reserved_bytes == 0


def test_background_bodies_have_a_quarter_and_are_refused_before_older_live_ones() -> None:
    memory = BodyMemory(8 * MB)
    with contextlib.ExitStack() as stack:
        read(memory, stack, 2 * MB, Lane.BACKGROUND).finish(2 * MB)
        with pytest.raises(OverloadedError), memory.reserve(1, Lane.BACKGROUND):
            raise AssertionError("it is not read")
        live = [read(memory, stack, 3 * MB) for _ in range(2)]
        assert memory.reserved_bytes == 8 * MB
    with contextlib.ExitStack() as stack:
        background = read(memory, stack, MB, Lane.BACKGROUND)
        live = [stack.enter_context(memory.reserve(None)) for _ in range(2)]
        live[0].grow(7 * MB)
        live[1].grow(MB)
        assert [each.is_refused for each in (background, *live)] == [True, False, False]
    assert memory.reserved_bytes == 0


def test_a_background_body_takes_nothing_from_a_live_one() -> None:
    memory = BodyMemory(8 * MB)
    with contextlib.ExitStack() as stack:
        background = stack.enter_context(memory.reserve(None, Lane.BACKGROUND))
        live = read(memory, stack, 8 * MB)
        with pytest.raises(OverloadedError):
            background.grow(1)
        assert not live.is_refused


def test_the_source_that_has_most_gives_way() -> None:
    memory = BodyMemory(10 * MB)
    with contextlib.ExitStack() as stack:
        older, younger = (read(memory, stack, 4 * MB, source="many") for _ in range(2))
        other = read(memory, stack, 5 * MB, source="few")
        assert (older.is_refused, younger.is_refused, other.is_refused) == (False, True, False)
        with pytest.raises(OverloadedError):
            read(memory, stack, 5 * MB, source="few")  # it had most
        assert not older.is_refused


@pytest.mark.parametrize("lane", Lane)
def test_whole_bodies_of_one_source_leave_memory_for_the_next_however_many_there_are(lane: Lane) -> None:
    memory = BodyMemory(4_000 * MB, has_sources=True)
    with contextlib.ExitStack() as stack:
        for source in ("a", "b", "c", "d"):
            with contextlib.suppress(OverloadedError):
                while True:
                    read(memory, stack, 2 * MB, lane, source).finish(2 * MB)
        held_bytes = memory.reserved_bytes
        with memory.reserve(1 * MB, lane, "e"):
            assert memory.reserved_bytes == held_bytes + MB, "a source that comes has room"


def test_half_read_bodies_of_a_source_give_way_to_its_older_ones_alone() -> None:
    memory = BodyMemory(16 * MB, has_sources=True)
    with contextlib.ExitStack() as stack:
        older, younger = (read(memory, stack, 5 * MB, source="many") for _ in range(2))
        other = read(memory, stack, MB, source="few")
        older.grow(7 * MB)
        assert (older.is_refused, younger.is_refused, other.is_refused) == (False, True, False)


def test_the_only_body_of_a_source_may_have_all_that_is_left() -> None:
    memory = BodyMemory(10 * MB, has_sources=True)
    with contextlib.ExitStack() as stack:
        for source, body_bytes in (("a", 4 * MB), ("b", 6 * MB)):
            read(memory, stack, body_bytes, source=source)
        assert memory.reserved_bytes == 10 * MB


class Bodies(RuleBasedStateMachine):
    """Any order of arrivals, growth, ends and departures."""

    def __init__(self) -> None:
        super().__init__()
        self.memory = BodyMemory(20 * MB)
        self.open: list[tuple[Reservation, contextlib.ExitStack]] = []
        self.received: dict[int, int] = {}
        self.finished: set[int] = set()

    @rule(declared_bytes=st.none() | st.integers(0, 9 * MB), lane=st.sampled_from(list(Lane)))
    def arrive(self, declared_bytes: int | None, lane: Lane) -> None:
        stack = contextlib.ExitStack()
        with contextlib.suppress(OverloadedError):
            self.open.append((stack.enter_context(self.memory.reserve(declared_bytes, lane)), stack))

    @precondition(lambda self: self.open)
    @rule(which=st.integers(0, 99), chunk_bytes=st.integers(1, 3 * MB))
    def receive(self, which: int, chunk_bytes: int) -> None:
        reservation, _ = self.open[which % len(self.open)]
        if id(reservation) in self.finished or reservation.is_refused:
            return
        unfinished = [each for each, _ in self.open if id(each) not in self.finished and not each.is_refused]
        received_bytes = min(self.received.get(id(reservation), 0) + chunk_bytes, 9 * MB)
        with contextlib.suppress(OverloadedError):
            reservation.grow(received_bytes)
            self.received[id(reservation)] = received_bytes
        refused = [each for each in unfinished if each.is_refused]
        for lane in Lane:
            of_lane = [each for each in unfinished if each.lane is lane]
            assert of_lane[len(of_lane) - sum(each.lane is lane for each in refused) :] == [
                each for each in refused if each.lane is lane
            ], "the youngest of its lane"
        if any(each.lane is Lane.LIVE for each in refused):
            assert all(each.is_refused for each in unfinished if each.lane is Lane.BACKGROUND), "background first"

    @precondition(lambda self: self.open)
    @rule(which=st.integers(0, 99))
    def finish(self, which: int) -> None:
        reservation, _ = self.open[which % len(self.open)]
        if not reservation.is_refused and id(reservation) not in self.finished:
            reservation.finish(self.received.get(id(reservation), 0))
            self.finished.add(id(reservation))

    @precondition(lambda self: self.open)
    @rule(which=st.integers(0, 99))
    def leave(self, which: int) -> None:
        reservation, stack = self.open.pop(which % len(self.open))
        stack.close()
        self.received.pop(id(reservation), None)
        self.finished.discard(id(reservation))

    @invariant()
    def what_is_reserved_is_the_sum_and_under_the_limit(self) -> None:
        assert self.memory.reserved_bytes == sum(each.reserved_bytes for each, _ in self.open)
        assert self.memory.reserved_bytes <= 20 * MB
        for reservation, _ in self.open:
            if not reservation.is_refused:
                assert reservation.reserved_bytes >= self.received.get(id(reservation), 0)

    @invariant()
    def what_is_finished_is_never_refused(self) -> None:
        assert not any(each.is_refused for each, _ in self.open if id(each) in self.finished)


TestBodies = Bodies.TestCase
