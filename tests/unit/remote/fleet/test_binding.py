"""No worker idles while a picture waits that it may have, whatever has become of the pictures before."""

from __future__ import annotations

import asyncio

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks.simulated_worker import MODEL, Machine, views_of
from benchmarks.virtual_time import play
from serve_app.domain import Call, Deadline, Lane, UnscannedError
from serve_app.remote.fleet import Member
from serve_app.remote.fleet.binding import Binding
from serve_app.remote.fleet.picture import Answered, Picture
from serve_app.remote.messages import PROTOCOL, FromFront, Hello, Offer, Refused, Scored
from tests.unit.remote.fleet.fleets import GPU, slower

MACHINES = st.sampled_from([GPU, slower(4), slower(50)])


class Line:
    """Leads nowhere."""

    unsent_bytes = 0

    def send(self, message: FromFront) -> None:
        pass

    def close(self, refused: Refused | None = None) -> None:
        pass


class NoFleet:
    """Does nothing about what a worker does."""

    def answered(self, member: Member, picture: Picture, outcome: Answered | UnscannedError) -> None:
        pass

    def late(self, member: Member, picture: Picture, why: str) -> None:
        pass

    def ended(self, member: Member, why: str, refused: Refused | None) -> None:
        pass

    def changed(self) -> None:
        pass


class Bound:
    """A binding over workers that answer when they are told to."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.members: list[Member] = []
        self.binding = Binding(lambda: self.members, self.loop.time)

    async def __aenter__(self) -> Bound:
        return self

    async def __aexit__(self, *_: object) -> None:
        for member in self.members:
            member.end(None)

    async def join(self, machine: Machine, *, is_measured: bool = True, in_flight: int = 0) -> Member:
        """A worker with so many pictures of four views in flight."""
        hello = Hello(PROTOCOL, "1", "desktop", "none", (Offer(MODEL, machine.pass_s),))
        member = Member(str(len(self.members)), "owner", hello, Line(), [("label",)], NoFleet(), self.loop.time)
        self.members.append(member)
        if is_measured:
            member.start(self.picture(1))
            await asyncio.sleep(machine.pass_s[1] + 0.01)
            member.received(Scored(1, np.zeros((1, 1), np.float32), 100.0, machine.pass_s[1]))
        for _ in range(in_flight):
            member.start(self.picture(4))
        return member

    def picture(
        self,
        views: int,
        deadline_s: float = 60.0,
        lane: Lane = Lane.LIVE,
        source: str = "unnamed",
        tried: tuple[str, ...] = (),
    ) -> Picture:
        call = Call("", Deadline.after(deadline_s, self.loop.time), lane, source)
        due_s = self.loop.time() + deadline_s
        return Picture(0, views_of(0, views), call, due_s, self.loop.create_future(), tried=list(tried))

    def wait(self, picture: Picture) -> Picture:
        """Have one wait that some have tried, or nobody."""
        (self.binding.waiting.put_back if picture.tried else self.binding.waiting.put)(picture)
        return picture

    def may_have(self, member: Member, picture: Picture) -> bool:
        """Whether it waits, and no live picture that ``member`` may have goes before it."""
        is_new = self.binding.waiting.has(picture) and member.name not in picture.tried
        is_live = picture.call.lane is Lane.LIVE
        return is_new and (is_live or not self.binding.waiting.waits_for(member.name, Lane.LIVE))

    def idle(self, pictures: list[Picture]) -> list[tuple[Member, Picture]]:
        """Workers with room, each with a picture that waits, though this worker would be the first to answer for it."""
        found = []
        for member in self.members:
            for picture in pictures:
                lane = picture.call.lane
                if not self.may_have(member, picture) or member.room_in_s(lane) > 0.0:
                    continue
                # A picture may wait behind a larger one, whose time is then what counts.
                finish_s = max(member.finish_s(each) for each in pictures)
                others = [each for each in self.binding.others(picture) if each is not member]
                is_sooner = all(each.load.remaining_s(lane) > finish_s for each in others)
                if is_sooner and self.loop.time() + finish_s < picture.due_s:
                    found.append((member, picture))
        return found


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.tuples(MACHINES, st.booleans(), st.integers(0, 12)), min_size=1, max_size=4),
    st.lists(
        st.tuples(
            st.sampled_from([1, 4, 20]),
            st.sampled_from([0.05, 1.0, 8.0]),
            st.sampled_from(list(Lane)),
            st.sampled_from(["a", "b"]),
            st.sets(st.sampled_from("0123"), max_size=3),
        ),
        min_size=1,
        max_size=12,
    ),
    st.sampled_from([0.0, 0.01, 0.3]),
)
def test_no_worker_with_room_idles_while_a_picture_waits_that_it_may_have(workers, waiting, later_s):
    async def scene():
        async with Bound() as bound:
            for machine, is_measured, in_flight in workers:
                await bound.join(machine, is_measured=is_measured, in_flight=in_flight)
            await asyncio.sleep(later_s)
            pictures = [
                bound.wait(bound.picture(views, deadline_s, lane, source, tuple(sorted(tried))))
                for views, deadline_s, lane, source, tried in waiting
            ]
            bound.binding.bind()
            assert not bound.idle(pictures)

    play(scene())


def test_a_picture_that_waits_for_another_worker_keeps_nobody_from_those_behind_it():
    async def scene():
        async with Bound() as bound:
            await bound.join(GPU)
            await bound.join(GPU, in_flight=40)
            handed_over = bound.wait(bound.picture(4, tried=("0",)))
            fresh, of_scan = bound.wait(bound.picture(4)), bound.wait(bound.picture(4, lane=Lane.BACKGROUND))
            bound.binding.bind()
            assert (handed_over.tried, fresh.tried, of_scan.tried) == (["0"], ["0"], ["0"])

    play(scene())


def test_a_slower_worker_takes_a_picture_that_the_faster_ones_have_had():
    async def scene():
        async with Bound() as bound:
            await bound.join(GPU)
            await bound.join(GPU, in_flight=12)
            await bound.join(slower(8))
            handed_over = [bound.wait(bound.picture(4, tried=("0",))) for _ in range(40)]
            assert bound.members[1].finish_s(handed_over[0]) < bound.members[2].finish_s(handed_over[0])
            bound.binding.bind()
            assert {each.tried[-1] for each in handed_over} == {"0", "1", "2"}

    play(scene())


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from([2.0, 4.0, 6.0, 8.0]), st.sampled_from(list(Lane)), st.booleans()), max_size=12),
    st.integers(1, 3),
)
def test_pictures_that_any_worker_may_have_go_by_lane_and_deadline(waiting, workers):
    async def scene():
        async with Bound() as bound:
            for _ in range(workers):
                await bound.join(GPU)
            pictures = [
                bound.wait(bound.picture(16, due_s, lane, tried=("gone",) if is_again else ()))
                for due_s, lane, is_again in waiting
            ]
            in_order = sorted(pictures, key=lambda each: (each.call.lane is not Lane.LIVE, not each.tried, each.due_s))
            bound.binding.bind()
            sent = [bound.binding.waiting.has(each) for each in in_order]
            assert sent == sorted(sent)

    play(scene())
