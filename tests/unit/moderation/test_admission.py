"""Who is let in, on a clock that only the tests move."""

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serve_app.domain import FullError, OverloadedError, SourceFullError
from serve_app.moderation import AdmissionControl

DEADLINE_S = 8.0


class Clock:
    def __init__(self):
        self.now_s = 500.0

    def __call__(self):
        return self.now_s


@pytest.fixture
def clock():
    return Clock()


class Service:
    """Pictures inside an admission control, and how many were refused."""

    def __init__(self, clock):
        self.admission = AdmissionControl(DEADLINE_S, clock)
        self.inside = []
        self.refused = 0

    def arrive(self):
        visit = contextlib.ExitStack()
        try:
            self.admission.require_room()
            visit.enter_context(self.admission.examining())
        except OverloadedError:
            self.refused += 1
        else:
            self.inside.append(visit)

    def answer(self):
        if self.inside:
            self.inside.pop(0).close()

    def run(self, clock, seconds, arrivals_per_s, answers_per_s):
        """Arrivals and answers, each evenly spread."""
        steps = round(seconds * 100)
        arrived = answered = 0
        for step in range(1, steps + 1):
            clock.now_s += 0.01
            while answered < step * answers_per_s / 100:
                self.answer()
                answered += 1
            while arrived < step * arrivals_per_s / 100:
                self.arrive()
                arrived += 1


@pytest.fixture
def service(clock):
    return Service(clock)


def test_an_idle_service_lets_a_burst_in(service):
    for _ in range(64):
        service.arrive()
    assert service.refused == 0
    service.arrive()
    assert service.refused == 1


def test_one_after_another_says_nothing_about_what_the_service_can_do(service, clock):
    for _ in range(20):
        service.arrive()
        clock.now_s += 0.5
        service.answer()
    assert service.admission.limit == 64


def test_what_came_out_of_a_service_with_room_is_the_least_that_it_can_do(service, clock):
    service.run(clock, 20, 60, 60)
    assert service.admission.limit == pytest.approx(60 * DEADLINE_S / 4, rel=0.1)
    for _ in range(100):
        service.arrive()
    assert service.refused == 0, "a burst that takes 1.7 s"


@pytest.mark.parametrize("answers_per_s", [20, 60, 200])
def test_under_a_fivefold_load_a_quarter_of_the_deadline_is_waited_for(service, clock, answers_per_s):
    service.run(clock, 20, 5 * answers_per_s, answers_per_s)
    assert service.admission.limit == pytest.approx(answers_per_s * DEADLINE_S / 4, rel=0.1)
    assert len(service.inside) == pytest.approx(service.admission.limit, abs=1)
    before = service.refused
    service.run(clock, 10, 5 * answers_per_s, answers_per_s)
    assert service.refused - before == pytest.approx(10 * 4 * answers_per_s, rel=0.1), "all that it cannot do, no more"


def test_passes_of_two_seconds_are_no_reason_to_refuse(service, clock):
    for _ in range(30):
        service.arrive()
    for _ in range(20):
        clock.now_s += 2.0
        for _ in range(16):
            service.answer()
        for _ in range(16):
            service.arrive()
    assert service.refused == 0


def test_a_slow_service_keeps_its_batches_full(service, clock):
    service.run(clock, 60, 20, 1)
    assert service.admission.limit == 16


def test_what_was_learnt_is_forgotten_when_it_is_old(service, clock):
    service.run(clock, 20, 100, 20)
    assert service.admission.limit < 100
    while service.inside:
        service.answer()
    clock.now_s += 61
    service.arrive()
    assert service.admission.limit == 64


def test_a_picture_that_failed_is_no_longer_inside_and_no_answer(service, clock):
    for _ in range(100):
        with pytest.raises(ValueError, match="broken"), service.admission.examining():
            raise ValueError("broken")
    service.arrive()
    assert service.refused == 0


def test_bodies_that_come_slowly_do_not_make_an_idle_service_look_full(service, clock):
    with contextlib.ExitStack() as reading:
        for _ in range(20):
            reading.enter_context(service.admission.inside())
        clock.now_s += 8
        service.arrive()
        clock.now_s += 8
        service.arrive()
    assert (service.refused, service.admission.limit) == (0, 64)


def test_a_body_that_is_being_read_takes_a_place_and_is_no_answer(service, clock):
    with contextlib.ExitStack() as reading:
        for _ in range(64):
            reading.enter_context(service.admission.inside())
        service.arrive()
        assert service.refused == 1
        clock.now_s += 5
    service.arrive()
    assert (service.refused, service.admission.limit) == (1, 64)


def test_the_demand_counts_what_was_refused(service, clock):
    assert service.admission.demand == 1
    service.run(clock, 20, 100, 20)
    assert service.admission.demand == pytest.approx(5, rel=0.1)
    service.run(clock, 20, 10, 20)
    assert service.admission.demand == 1


@pytest.mark.parametrize("strangers", [0, 5, 45])
def test_the_demand_counts_what_was_refused_without_asking_as_far_as_callers_are_authorised(service, clock, strangers):
    for _ in range(5):
        service.admission.count_arrival(is_authorised=True, refused_before=4)
        service.arrive()
        service.answer()
    for _ in range(strangers):
        service.admission.count_arrival(is_authorised=False)
    clock.now_s += 5
    service.admission.require_room()
    assert service.admission.demand == pytest.approx(1 + 4 * 5 / (5 + strangers))


def test_what_strangers_tell_orders_nothing(service, clock):
    service.arrive()
    service.admission.count_arrival(is_authorised=False, refused_before=10**6)
    clock.now_s += 5
    service.admission.require_room()
    assert service.admission.demand == 1


def test_what_comes_free_while_nobody_is_asked_is_little_of_what_waits(service, clock):
    service.run(clock, 20, 100, 20)
    assert 0 < service.admission.full_for_s * 20 <= service.admission.limit / 4


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 3)), max_size=300))
@settings(deadline=None)
def test_no_more_than_the_limit_are_ever_let_in(steps):
    clock = Clock()
    service = Service(clock)
    for is_arrival, passing_s in steps:
        clock.now_s += passing_s
        if is_arrival:
            before = len(service.inside)
            service.arrive()
            assert len(service.inside) <= max(before, service.admission.limit)
            assert len(service.inside) > before or before >= service.admission.limit
        else:
            service.answer()


@pytest.mark.parametrize("inside", [0, 1, 54, 60, 63, 64])
def test_several_pictures_are_let_in_together_or_not_at_all(service, inside):
    for _ in range(inside):
        service.arrive()
    admission = service.admission
    assert admission.is_full == (inside == admission.limit == 64)
    for pictures in range(1, 11):
        if inside + pictures <= 64:
            admission.require_room(pictures)
        else:
            with pytest.raises(OverloadedError):
                admission.require_room(pictures)


def test_all_pictures_of_a_refused_request_count_as_demand(service, clock):
    service.arrive()
    with contextlib.ExitStack() as others:
        for _ in range(63):
            others.enter_context(service.admission.inside())
        with pytest.raises(OverloadedError):
            service.admission.require_room(10)
    clock.now_s += 5
    service.admission.require_room(0)
    assert service.admission.demand == 11, "eleven came for the one that was let in"


# Several sources


class Rooms:
    """An admission control with the shares of sources, and the pictures of each that are inside."""

    def __init__(self, shares):
        self.admission = AdmissionControl(DEADLINE_S, Clock(), shares)
        self.inside: dict[str, list[contextlib.ExitStack]] = {source: [] for source in shares}

    def arrive(self, source, pictures=1):
        """How many are let in."""
        return sum(self._is_let_in(source) for _ in range(pictures))

    def _is_let_in(self, source):
        try:
            self.admission.require_room(source=source)
        except SourceFullError:
            return False
        visit = contextlib.ExitStack()
        visit.enter_context(self.admission.examining(source))
        self.inside[source].append(visit)
        return True

    def leave(self, source):
        if self.inside[source]:
            self.inside[source].pop().close()


def test_a_source_that_is_alone_has_all_the_room():
    rooms = Rooms({"a": 1.0, "b": 1.0})
    assert rooms.arrive("a", 100) == 64


def test_a_source_that_comes_to_a_full_service_has_its_share():
    rooms = Rooms({"a": 1.0, "b": 3.0})
    assert rooms.arrive("a", 100) == 64
    assert rooms.arrive("b", 100) == 48
    for _ in range(48):
        assert rooms.arrive("a") == 0, "it waits until the service is full of what it may have"
        rooms.leave("a")
    assert rooms.arrive("a", 100) == 0
    rooms.leave("b")
    assert rooms.arrive("a") == 1, "what the other does not use"


def test_bodies_for_which_no_room_was_asked_take_no_share_of_another_source():
    rooms = Rooms({"a": 1.0, "b": 1.0})
    with contextlib.ExitStack() as bodies:
        for _ in range(1000):
            bodies.enter_context(rooms.admission.inside("a", is_asked=False))
        assert rooms.arrive("b", 100) == 32, "its share beside the source that is there"
        assert rooms.arrive("a", 100) == 32, "nor do they take that of their own"
    assert rooms.admission.pictures_inside == 64


def test_a_refusal_of_one_of_several_sources_says_so(clock):
    with pytest.raises(FullError) as of_all:
        AdmissionControl(DEADLINE_S, clock).require_room(65)
    assert not isinstance(of_all.value, SourceFullError)
    with pytest.raises(SourceFullError, match="full for a"):
        AdmissionControl(DEADLINE_S, clock, {"a": 1.0}).require_room(65, "a")


@given(
    st.dictionaries(st.sampled_from("abcdef"), st.floats(0.1, 10), min_size=2),
    st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(-40, 90)), max_size=60),
)
@settings(deadline=None)
def test_every_source_gets_its_share_of_a_full_service_and_the_room_is_bounded(shares, steps):
    rooms = Rooms(shares)
    limit = rooms.admission.limit
    for source, change in steps:
        if source not in shares:
            continue
        for _ in range(-change):
            rooms.leave(source)
        rooms.arrive(source, change)
        inside = {each: len(visits) for each, visits in rooms.inside.items()}
        assert sum(inside.values()) <= 2 * limit
        if change > 0 and sum(inside.values()) < 2 * limit:
            there = [each for each in shares if inside[each] or each == source]
            share = shares[source] / sum(shares[each] for each in there)
            assert inside[source] >= min(change, int(max(1, limit * share))), "no other one keeps it out"
