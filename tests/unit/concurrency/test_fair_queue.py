"""Sources that wait for the same thing take turns, by their shares."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve_app.concurrency.fair_queue import FairQueue

SHARES = {"a": 1.0, "b": 2.0, "c": 0.5}


def filled(**counts: int) -> FairQueue[tuple[str, int]]:
    queue: FairQueue[tuple[str, int]] = FairQueue()
    for source, count in counts.items():
        for number in range(count):
            queue.put((source, number), source, SHARES[source])
    return queue


def popped(queue: FairQueue[tuple[str, int]], count: int) -> list[str]:
    return [queue.pop()[0] for _ in range(count)]


def test_one_source_waits_in_order() -> None:
    queue = filled(a=4)
    assert (len(queue), queue.head) == (4, ("a", 0))
    assert [queue.pop() for _ in range(4)] == [("a", number) for number in range(4)]
    assert (len(queue), queue.head) == (0, None)
    with pytest.raises(IndexError):
        queue.pop()


def test_what_comes_behind_a_long_queue_of_another_source_is_next() -> None:
    queue = filled(a=100)
    popped(queue, 50)
    queue.put(("b", 0), "b", SHARES["b"])
    assert popped(queue, 2).count("b") == 1


def test_turns_are_neither_saved_up_nor_paid_back() -> None:
    queue = filled(a=100)
    popped(queue, 100)
    for number in range(10):
        queue.put(("a", number), "a", 1.0)
        queue.put(("d", number), "d", 1.0)
    order = popped(queue, 20)
    assert all(Counter(order[: 2 * turn])["a"] in (turn - 1, turn, turn + 1) for turn in range(1, 11))


def test_whoever_leaves_takes_no_turn() -> None:
    queue = filled(a=3, b=1)
    first = queue.head
    assert first is not None
    queue.remove(first, first[0])
    queue.remove(first, first[0])
    assert len(queue) == 3
    assert queue.waiting("a") + queue.waiting("b") == 3
    assert sorted(queue.clear()) == sorted([("a", 1), ("a", 2), ("b", 0)])
    assert not queue


@given(st.lists(st.sampled_from("abc"), max_size=200))
def test_while_sources_wait_each_gets_its_share_whatever_came_when(arrivals: list[str]) -> None:
    queue = filled(a=200, b=200, c=200)
    for at, source in enumerate(arrivals):
        queue.put((source, 200 + at), source, SHARES[source])
    counts = Counter(popped(queue, 140))
    for one, other in (("a", "b"), ("a", "c"), ("b", "c")):
        # Start-time fair queueing: no two differ by more than a turn of each.
        assert abs(counts[one] / SHARES[one] - counts[other] / SHARES[other]) <= 1 / SHARES[one] + 1 / SHARES[other]


@given(st.lists(st.one_of(st.sampled_from("abc"), st.none()), max_size=200))
def test_nothing_is_lost_doubled_or_overtaken_by_its_own_source(steps: list[str | None]) -> None:
    queue: FairQueue[tuple[str, int]] = FairQueue()
    put: list[tuple[str, int]] = []
    taken: list[tuple[str, int]] = []
    for number, source in enumerate(steps):
        if source is not None:
            put.append((source, number))
            queue.put((source, number), source, SHARES[source])
        elif queue:
            head = queue.head
            taken.append(queue.pop())
            assert taken[-1] is head
    taken += [queue.pop() for _ in range(len(queue))]
    assert sorted(taken) == sorted(put)
    for source in SHARES:
        assert all(one < other for one, other in pairwise(each for each in taken if each[0] == source))
