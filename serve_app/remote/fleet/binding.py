"""Which waiting picture goes to which worker, and when."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from serve_app.domain import (
    Clock,
    DeadlineExceededError,
    Lane,
    NotScannedError,
    NoWorkerError,
    OverloadedError,
    UnavailableError,
)
from serve_app.remote.fleet.member import Member
from serve_app.remote.fleet.picture import Picture
from serve_app.remote.fleet.waiting import Waiting

# Long waits are predicted the worse: one that just suffices would be too long half of the time.
_WAITS_LONGER = 1.1


class Binding:
    """Binds pictures late: one that waits can still go to any worker, and make way for another picture."""

    def __init__(
        self, members: Callable[[], Iterable[Member]], clock: Clock, has_stand_in: Callable[[], bool] = lambda: False
    ) -> None:
        """``members`` are those that are connected now; ``has_stand_in`` is that of the fleet."""
        self._members = members
        self._clock = clock
        self._has_stand_in = has_stand_in
        self.waiting = Waiting()
        self.beside: Binding | None = None
        """Of other pictures, whose members are some of these or all."""

    @property
    def usable(self) -> Sequence[Member]:
        """Members that may be given pictures."""
        return [member for member in self._members() if member.is_usable]

    def others(self, picture: Picture) -> Sequence[Member]:
        """Those of them that have not had ``picture``."""
        return [member for member in self.usable if member.name not in picture.tried]

    def may_have_others(self, picture: Picture) -> bool:
        """Whether one of the others can take ``picture``; where no worker can take any, whether one may by then."""
        if self.usable:
            return bool(self.others(picture))
        return any(member.name not in picture.tried for member in self._usable_by(picture))

    @property
    def may_be_usable(self) -> bool:
        """Whether a member may be given pictures, now or later."""
        return any(member.may_be_usable_by(math.inf) for member in self._members())

    def can_in_time(self, picture: Picture) -> bool:
        """Whether one of the others can score it by its deadline, if it is sent now."""
        remaining_s = picture.due_s - self._clock()
        return any(member.finish_s(picture) <= remaining_s for member in self.others(picture))

    def require(self, picture: Picture) -> None:
        """Let a picture that has just come wait for a worker.

        Raises:
            UnavailableError: none is there, or can be by its deadline.
            OverloadedError: none can do it in time.
        """
        members = self.usable or self._usable_by(picture)
        if not members:
            raise nobody()
        remaining_s = picture.due_s - self._clock()
        wait_s = self.waiting.wait_s(picture, members, self._rows_beside(picture)) * _WAITS_LONGER
        finish_s = min(max(member.finish_s(picture), wait_s + member.own_s(picture)) for member in members)
        # One with nothing to do is always tried: it has to be able to show that it is fast again.
        is_idle = any(not (member.load.rows or self._has_work(member)) for member in members)
        if finish_s > remaining_s and not is_idle:
            raise OverloadedError(
                f"{len(self.waiting)} pictures wait for workers, about {finish_s:.1f} s; {remaining_s:.1f} s are left"
            )
        self.waiting.put(picture)

    def has(self, member: Member) -> bool:
        """Whether it is one of the members."""
        return member in self._members()

    def bind(self, lanes: Iterable[Lane] = Lane) -> float:
        """Send all that it is time to send: each worker gets background pictures while no live one waits for it.

        Returns the seconds until a worker has room for one that waits; infinite if none does, or only an answer can
        tell.
        """
        if not self.usable:
            for picture in self.waiting:
                if not self.may_have_others(picture):
                    self._give_up(picture, nobody())
        room_in_s = math.inf
        for lane in lanes:
            takers = self._takers(lane)
            while takers and self._bind_one(lane, takers):
                pass
            if self.waiting.waits(lane):
                rooms_in_s = (member.room_in_s(lane) for member in takers)
                room_in_s = min([room_in_s, *(each_s for each_s in rooms_in_s if each_s > 0.0)])
        return room_in_s

    def _usable_by(self, picture: Picture) -> Sequence[Member]:
        """Members that may be given pictures before the deadline of ``picture``, if it is to wait for them."""
        if picture.call.lane is Lane.LIVE and self._has_stand_in():
            return []
        return [member for member in self._members() if member.may_be_usable_by(picture.due_s)]

    def _has_work(self, member: Member) -> bool:
        """Whether a picture waits that ``member`` may have."""
        return any(self._waits_for(member, lane) for lane in Lane)

    def _waits_for(self, member: Member, lane: Lane) -> bool:
        beside = self.beside if self.beside is not None and self.beside.has(member) else None
        all_waiting = (self.waiting,) if beside is None else (self.waiting, beside.waiting)
        return any(waiting.waits_for(member.name, lane) for waiting in all_waiting)

    def _rows_beside(self, picture: Picture) -> Counter[int]:
        """That wait elsewhere for the same members, and go before ``picture``."""
        if self.beside is None or not self.beside.usable:
            return Counter()
        return self.beside.waiting.rows_before(picture.call.lane)

    def _takers(self, lane: Lane) -> Sequence[Member]:
        """Members for which no live picture waits, if ``lane`` is another one."""
        if lane is Lane.LIVE:
            return self.usable
        return [member for member in self.usable if not self._waits_for(member, Lane.LIVE)]

    def _bind_one(self, lane: Lane, takers: Sequence[Member]) -> bool:
        """Whether a picture of ``lane`` waits no longer, which one of ``takers`` may have been given."""
        # One that waits for another worker must not keep from those behind it a worker that has had it.
        return any(self._bind_head(picture, takers) for picture in self.waiting.heads(lane))

    def _bind_head(self, picture: Picture, takers: Sequence[Member]) -> bool:
        lane = picture.call.lane
        others = sorted((member.finish_s(picture), place, member) for place, member in enumerate(self.others(picture)))
        if not others:
            if picture.tried and self.usable:
                self._give_up(picture, UnavailableError("its worker failed, and there is no other"))
                return True
            return False
        finish_s, _, best = others[0]
        remaining_s = picture.due_s - self._clock()
        if finish_s > remaining_s and best.load.rows:
            idle = next((member for _, _, member in others if not member.load.rows), None)
            if idle is None:
                self._give_up(picture, DeadlineExceededError(f"{remaining_s:.2f} s are left; scoring takes longer"))
                return True
            best = idle
        with_room = {member: finish_s for finish_s, _, member in others if member.room_in_s(lane) <= 0.0}
        if best in with_room and best in takers:
            self._start(best, picture)
            return True
        return any(self._helps(member, finish_s, picture) for member, finish_s in with_room.items() if member in takers)

    def _helps(self, member: Member, finish_s: float, head: Picture) -> bool:
        """Let a worker that is not the fastest take a picture that would wait for longer than it takes."""
        faster = [each for each in self.others(head) if each is not member]
        if self.waiting.drained_s(head.call.lane, faster) < finish_s:
            return False
        picture = self.waiting.first_due_after(self._clock() + finish_s, head)
        if picture is None:
            return False
        self._start(member, picture)
        return True

    def _start(self, member: Member, picture: Picture) -> None:
        self.waiting.take(picture)
        member.start(picture, self.waiting.first_due_s(member.name, picture.call.lane))

    def _give_up(self, picture: Picture, error: NotScannedError) -> None:
        """No more work is spent on ``picture``; a worker that has it already may still answer."""
        self.waiting.remove(picture)
        if not picture.holders:
            picture.fail(error)


def nobody() -> NoWorkerError:
    """The error of a picture that comes while there is no worker."""
    return NoWorkerError("no worker is connected")
