"""Which waiting picture goes to which worker, and when."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

from serve_app.domain import Clock, DeadlineExceededError, Lane, NotScannedError, OverloadedError, UnavailableError
from serve_app.remote.member import Member
from serve_app.remote.picture import Picture
from serve_app.remote.waiting import Waiting

# Long waits are predicted the worse: one that just suffices would be too long half of the time.
_WAITS_LONGER = 1.1


class Binding:
    """Binds pictures late: one that waits can still go to any worker, and make way for another picture."""

    def __init__(self, members: Callable[[], Iterable[Member]], clock: Clock) -> None:
        """``members`` are those that are connected now."""
        self._members = members
        self._clock = clock
        self.waiting = Waiting()

    @property
    def usable(self) -> Sequence[Member]:
        """Members that may be given pictures."""
        return [member for member in self._members() if member.is_usable]

    def others(self, picture: Picture) -> Sequence[Member]:
        """Those of them that have not had ``picture``."""
        return [member for member in self.usable if member.name not in picture.tried]

    def may_have_others(self, picture: Picture) -> bool:
        """Whether one of the others can take ``picture``, or may while it waits: nobody else would wait behind it."""
        if self.usable:
            return bool(self.others(picture))
        return any(member.may_return and member.name not in picture.tried for member in self._members())

    def can_in_time(self, picture: Picture) -> bool:
        """Whether one of the others can score it by its deadline, if it is sent now."""
        remaining_s = picture.due_s - self._clock()
        return any(member.finish_s(picture) <= remaining_s for member in self.others(picture))

    def require(self, picture: Picture) -> None:
        """Let a picture that has just come wait for a worker.

        Raises:
            UnavailableError: none is there.
            OverloadedError: none can do it in time.
        """
        usable = self.usable
        if not usable:
            raise nobody()
        remaining_s = picture.due_s - self._clock()
        wait_s = self.waiting.wait_s(picture, usable) * _WAITS_LONGER
        finish_s = min(max(member.finish_s(picture), wait_s + member.own_s(picture)) for member in usable)
        # One with nothing to do is always tried: it has to be able to show that it is fast again.
        is_idle = not len(self.waiting) and any(not member.load.rows for member in usable)
        if finish_s > remaining_s and not is_idle:
            raise OverloadedError(
                f"{len(self.waiting)} pictures wait for workers, about {finish_s:.1f} s; {remaining_s:.1f} s are left"
            )
        self.waiting.put(picture)

    def bind(self) -> float:
        """Send all that it is time to send. A background picture waits until no live one does.

        Returns the seconds until a worker has room for one that waits; infinite if none does, or only an answer can
        tell.
        """
        if not any(member.may_return for member in self._members()):
            for picture in self.waiting:
                self._give_up(picture, nobody())
        for lane in Lane:
            while self._bind_one(lane):
                pass
            if self.waiting.waits(lane):
                rooms_in_s = (member.room_in_s(lane) for member in self.usable)
                return min((room_in_s for room_in_s in rooms_in_s if room_in_s > 0.0), default=math.inf)
        return math.inf

    def _bind_one(self, lane: Lane) -> bool:
        """Whether a picture of ``lane`` waits no longer."""
        picture = self.waiting.head(lane)
        if picture is None:
            return False
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
        if best.room_in_s(lane) <= 0.0:
            self._start(best, picture)
            return True
        return any(
            self._helps(member, finish_s, lane) for finish_s, _, member in others if member.room_in_s(lane) <= 0.0
        )

    def _helps(self, member: Member, finish_s: float, lane: Lane) -> bool:
        """Let a worker that is not the fastest take a picture that would wait for longer than it takes."""
        if self.waiting.drained_s(lane, [each for each in self.usable if each is not member]) < finish_s:
            return False
        picture = self.waiting.first_due_after(self._clock() + finish_s, lane)
        if picture is None:
            return False
        self._start(member, picture)
        return True

    def _start(self, member: Member, picture: Picture) -> None:
        self.waiting.take(picture)
        member.start(picture, self.waiting.first_due_s(picture.call.lane))

    def _give_up(self, picture: Picture, error: NotScannedError) -> None:
        """No more work is spent on ``picture``; a worker that has it already may still answer."""
        self.waiting.remove(picture)
        if not picture.holders:
            picture.fail(error)


def nobody() -> UnavailableError:
    """The error of a picture that comes while there is no worker."""
    return UnavailableError("no worker is connected")
