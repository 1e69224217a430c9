"""The pictures that a worker has: sent, and not answered yet."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from serve_app.domain import Clock, Lane
from serve_app.remote.fleet.link import Link, Transfer
from serve_app.remote.fleet.picture import Picture
from serve_app.remote.fleet.ports import Line
from serve_app.remote.fleet.workload import Expected, Workload
from serve_app.remote.messages import BodyWork, Cancelled, Work

# A live picture is late after twice its predicted time, and a little more where that is short.
_LATE_TIMES, _LATE_BEYOND_S, _LATE_AGAIN_S = 2.0, 0.25, 0.5

# Of a body: how long it takes to decode is not known before.
_LATE_BODY_BEYOND_S = 2.0

# More than predictions of the link err, so that deadlines at the worker are in the order of the turns.
_AHEAD_S = 0.1


@dataclass(frozen=True, slots=True)
class _Sent:
    picture: Picture
    sent_s: float
    transfer: Transfer
    expected: Expected
    live_sent: int


class InFlight:
    """Those of one worker: sends them, tells when they are late, and has link and load learn from their answers."""

    def __init__(
        self, worker: str, line: Line, link: Link, load: Workload, clock: Clock, late: Callable[[Picture, str], None]
    ) -> None:
        """``late`` is told of a live picture that should have been answered, and why."""
        self._worker, self._line, self._link, self._load, self._clock = worker, line, link, load, clock
        self._tell = late
        self._sent: dict[int, _Sent] = {}
        self._late: dict[int, asyncio.TimerHandle] = {}
        self._numbers = 0
        self._live_sent = 0

    def __len__(self) -> int:
        return len(self._sent)

    @property
    def pictures(self) -> Sequence[Picture]:
        """In the order in which they were sent."""
        return [each.picture for each in self._sent.values()]

    def was_sent(self, number: int) -> bool:
        """Whether the worker was ever sent a work of this number."""
        return 1 <= number <= self._numbers

    def of(self, number: int) -> Picture | None:
        """The picture of a work; None if it was cancelled, or is answered already."""
        sent = self._sent.get(number)
        return None if sent is None else sent.picture

    def send(self, picture: Picture, first_due_s: float) -> None:
        """Send ``picture``, ahead of those that wait, of which the earliest is due at ``first_due_s``."""
        now_s = self._clock()
        transfer = self._link.began(picture.size_bytes)
        round_trip_s = self._link.round_trip_s
        on_link_s = transfer.expected_s + round_trip_s
        lane = picture.call.lane
        expected = self._load.add(picture.label_set, picture.rows, lane, on_link_s)
        held_s = expected.held_s(on_link_s)
        self._live_sent += lane is Lane.LIVE
        self._numbers += 1
        number = self._numbers
        beyond_s = _LATE_BODY_BEYOND_S if picture.views is None else _LATE_BEYOND_S
        late_s = (on_link_s + held_s) * _LATE_TIMES + beyond_s
        if lane is Lane.LIVE and not picture.is_bound:
            self._late[number] = asyncio.get_running_loop().call_later(late_s, self._tell_late, number)
        self._sent[number] = _Sent(picture, now_s, transfer, expected, self._live_sent)
        picture.holders.add(self._worker)
        picture.tried.append(self._worker)
        # The worker goes by deadlines: a picture whose source has its turn must not wait behind those of other sources
        # that are sent after it.
        due_s = picture.due_s
        if first_due_s < due_s:
            due_s = min(due_s, max(first_due_s - _AHEAD_S, now_s + late_s))
        remaining_s = max(due_s - now_s - round_trip_s, 0.001)
        if transfer.expected_s + held_s < remaining_s:
            remaining_s -= transfer.expected_s
        views = picture.views
        if views is None:
            content = np.frombuffer(picture.body, np.uint8)
            self._line.send(BodyWork(number, picture.label_set, remaining_s, lane, content))
        else:
            self._line.send(Work(number, picture.label_set, remaining_s, lane, views.pixels, views.faces.pixels))

    def cancel(self, picture: Picture) -> None:
        """Nobody waits for ``picture`` any more."""
        for number in [number for number, each in self._sent.items() if each.picture is picture]:
            self._take(number, is_answer=False)
            self._line.send(Cancelled(number))

    def failed(self, number: int) -> None:
        """The worker has answered with an error."""
        self._take(number, is_answer=True)

    def scored(self, number: int, held_s: float) -> None:
        """The worker has answered with scores, and says that it had the picture for ``held_s``."""
        sent = self._sent[number]
        since_s = self._clock() - sent.sent_s
        held_s = min(max(held_s, 0.0), since_s)
        self._link.arrived(sent.transfer, since_s - held_s)
        if sent.picture.call.lane is Lane.LIVE or sent.live_sent == self._live_sent:
            self._load.learn(sent.picture.rows, sent.expected.held_s(since_s - held_s), held_s)
        self._take(number, is_answer=True)

    def clear(self) -> Sequence[Picture]:
        """The worker is gone: those that it had."""
        pictures = self.pictures
        for number in tuple(self._sent):
            self._take(number, is_answer=False)
        return pictures

    def _take(self, number: int, *, is_answer: bool) -> None:
        sent = self._sent.pop(number)
        if (late := self._late.pop(number, None)) is not None:
            late.cancel()
        picture = sent.picture
        picture.holders.discard(self._worker)
        whose = picture.label_set, picture.rows, picture.call.lane
        if is_answer:
            self._load.answered(*whose, self._link.on_the_way_s)
        else:
            self._load.remove(*whose)

    def _tell_late(self, number: int) -> None:
        sent = self._sent[number]
        self._tell(sent.picture, f"no answer for {self._clock() - sent.sent_s:.1f} s")
        if number in self._sent and len(sent.picture.tried) == 1:
            # Another one may be there by then.
            self._late[number] = asyncio.get_running_loop().call_later(_LATE_AGAIN_S, self._tell_late, number)
