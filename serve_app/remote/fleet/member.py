"""One worker as a member of a fleet: what it has in flight, and what it answers."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from serve_app.domain import (
    Clock,
    DeadlineExceededError,
    LabelScores,
    Lane,
    NotScannedError,
    OverloadedError,
    TooLargeError,
    TruncatedError,
    UnavailableError,
    UndecodableError,
    UnscannableError,
    UnscannedError,
    UnscannedReason,
    UnsupportedError,
)
from serve_app.remote.fleet.answers import flaw_of, flaw_of_views, views_told
from serve_app.remote.fleet.dispatching import Dispatcher
from serve_app.remote.fleet.line import Line
from serve_app.remote.fleet.link import Link, Transfer
from serve_app.remote.fleet.picture import Answered, Picture
from serve_app.remote.fleet.pinging import Pinging
from serve_app.remote.fleet.resting import Resting
from serve_app.remote.fleet.stats import MemberStats
from serve_app.remote.fleet.workload import Expected, Workload
from serve_app.remote.messages import (
    BodyWork,
    Cancelled,
    Examined,
    Failed,
    Hello,
    Leaving,
    Pong,
    Refusal,
    Refused,
    Scored,
    Work,
)

# A live picture is late after twice its predicted time, and a little more where that is short.
_LATE_TIMES, _LATE_BEYOND_S, _LATE_AGAIN_S = 2.0, 0.25, 0.5

# Of a body: how long it takes to decode is not known before.
_LATE_BODY_BEYOND_S = 2.0

# More than predictions of the link err, so that deadlines at the worker are in the order of the turns.
_AHEAD_S = 0.1

# In flight beside a round trip: the pass that runs, and the next one, since a worker that has a little less than a pass
# when it is free runs a smaller one.
_ROOM_PASSES = 2.0

_ERRORS: dict[UnscannedReason, type[NotScannedError]] = {
    UnscannedReason.OVERLOADED: OverloadedError,
    UnscannedReason.DEADLINE: DeadlineExceededError,
}

# Of bodies alone: whoever gets views has nothing to decode.
_UNSCANNABLE: dict[UnscannedReason, type[UnscannableError]] = {
    UnscannedReason.UNDECODABLE: UndecodableError,
    UnscannedReason.TRUNCATED: TruncatedError,
    UnscannedReason.UNSUPPORTED: UnsupportedError,
    UnscannedReason.TOO_LARGE: TooLargeError,
}


@dataclass(frozen=True, slots=True)
class _InFlight:
    picture: Picture
    sent_s: float
    transfer: Transfer
    expected: Expected
    live_sent: int


class Member:
    """A worker that has joined. Made by :meth:`Fleet.join`.

    Attributes:
        name: unique in the fleet, recorded with each decision.
        owner: whose secret it came with.
        hello: what it says of itself.
        joined_at: seconds on the fleet's clock.
    """

    def __init__(
        self,
        name: str,
        owner: str,
        hello: Hello,
        line: Line,
        label_sets: Sequence[tuple[str, ...]],
        dispatcher: Dispatcher,
        clock: Clock,
    ) -> None:
        """``dispatcher`` is told what the worker does."""
        self.name, self.owner, self.hello = name, owner, hello
        self.joined_at = clock()
        self._line, self._label_sets, self._dispatcher, self._clock = line, label_sets, dispatcher, clock
        self._link = Link(line, clock)
        self._load = Workload(hello.offers, clock)
        self._in_flight: dict[int, _InFlight] = {}
        self._late: dict[int, asyncio.TimerHandle] = {}
        self._numbers = 0
        self._live_sent = 0
        self._pictures = self._rows = 0
        self._resting = Resting(clock)
        self._is_on_trial = self._is_leaving = self._has_ended = False
        self.refused: Refused | None = None
        """What it was sent away with, once it was."""
        self._pinging = Pinging(self._link, lambda: bool(self._in_flight), self._fell_silent, self.lost)

    @property
    def is_on_trial(self) -> bool:
        """Whether it gets no pictures yet but those of :meth:`Fleet.score_by`."""
        return self._is_on_trial

    @is_on_trial.setter
    def is_on_trial(self, is_on_trial: bool) -> None:
        self._is_on_trial = is_on_trial
        self._dispatcher.changed()

    @property
    def is_usable(self) -> bool:
        """Whether it may be given pictures."""
        is_away = self._is_on_trial or self._is_leaving or self._has_ended
        return not (is_away or self._pinging.is_silent or self._resting.is_resting)

    def may_be_usable_by(self, due_s: float) -> bool:
        """Whether it may be given pictures before a deadline: its trial, its silence or its rest can end."""
        return not (self._is_leaving or self._has_ended) and self._resting.is_over_by(due_s)

    @property
    def is_leaving(self) -> bool:
        """Whether it takes no more pictures, and ends."""
        return self._is_leaving

    @property
    def has_ended(self) -> bool:
        """Whether it is no member any more."""
        return self._has_ended

    @property
    def pictures(self) -> Sequence[Picture]:
        """In flight."""
        return [each.picture for each in self._in_flight.values()]

    @property
    def load(self) -> Workload:
        """What it has in flight."""
        return self._load

    @property
    def stats(self) -> MemberStats:
        """Counts since it joined, and what was measured."""
        return MemberStats(
            self.name,
            self._pictures,
            self._rows,
            len(self._in_flight),
            self._load.view_s * 1e3,
            self._link.round_trip_s * 1e3,
            self._link.bytes_per_s,
        )

    @property
    def takes_bodies(self) -> bool:
        """Whether it decodes."""
        return self.hello.decoders > 0

    def finish_s(self, picture: Picture) -> float:
        """Seconds until it would have answered for ``picture``, sent now."""
        on_link_s = self._link.transfer_s(picture.size_bytes) + self._link.round_trip_s
        return max(on_link_s, self._load.remaining_s(picture.call.lane)) + self.own_s(picture)

    def own_s(self, picture: Picture) -> float:
        """Seconds of its device for ``picture`` alone."""
        return self._load.cost_s({picture.label_set: picture.rows})

    def pace_s(self, rows: Mapping[int, int]) -> float:
        """Seconds for so many rows of each set of labels, by its device or its link, whichever is slower."""
        if not self._link.is_measured:
            return self._load.cost_s(rows)
        offers = self.hello.offers
        size_bytes = sum(3 * offers[label_set].model.image_size_px ** 2 * count for label_set, count in rows.items())
        return max(self._load.cost_s(rows), size_bytes / self._link.bytes_per_s)

    def room_in_s(self, lane: Lane) -> float:
        """Seconds until it needs another picture, to stay busy over a round trip and the pass after the running one.

        Zero or less if it does now; infinite if only an answer can tell.
        """
        if not self._load.rows:
            return 0.0
        # The first one measures the link.
        if not self._link.is_measured:
            return math.inf
        needed_s = self._link.round_trip_s + _ROOM_PASSES * self._load.good_pass_s
        return max(self._load.remaining_s(lane), self._link.transfer_s(0)) - needed_s

    def start(self, picture: Picture, first_due_s: float = math.inf) -> None:
        """Send ``picture``, ahead of those that wait, of which the earliest is due at ``first_due_s``."""
        if not self._in_flight:
            self._pinging.ping()
            if self._has_ended:
                picture.fail(UnavailableError(f"worker {self.name} is lost"))
                return
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
        self._in_flight[number] = _InFlight(picture, now_s, transfer, expected, self._live_sent)
        picture.holders.add(self.name)
        picture.tried.append(self.name)
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

    def drop(self, picture: Picture) -> None:
        """Nobody waits for ``picture`` any more."""
        for number in [number for number, each in self._in_flight.items() if each.picture is picture]:
            self._take(number, is_answer=False)
            if not self._has_ended:
                self._line.send(Cancelled(number))

    def end(self, refused: Refused | None) -> Sequence[Picture]:
        """Close the line: the pictures that are without a worker by it."""
        self._has_ended = True
        self.refused = refused
        self._pinging.stop()
        self._line.close(refused)
        pictures = self.pictures
        for number in tuple(self._in_flight):
            self._take(number, is_answer=False)
        return pictures

    def received(self, message: Scored | Examined | Failed | Pong | Leaving) -> None:
        """A message came from the worker."""
        if self._has_ended:
            return
        self._link.heard()
        if self._pinging.is_silent:
            self._pinging.is_silent = False
            self._dispatcher.changed()
        if isinstance(message, Pong):
            self._link.ponged(message.number)
        elif isinstance(message, Leaving):
            self._is_leaving = True
            self._dispatcher.changed()
        elif message.number > self._numbers or message.number < 1:
            self._distrust(f"it answered work {message.number}, which it was never sent")
        elif message.number in self._in_flight:
            self._answered(message)
        # Else it was cancelled, or is answered already.

    def lost(self, why: str) -> None:
        """The connection has ended."""
        if not self._has_ended:
            self._dispatcher.ended(self, why, None)

    def _answered(self, message: Scored | Examined | Failed) -> None:
        sent = self._in_flight[message.number]
        picture = sent.picture
        outcome: Answered | UnscannedError
        if not isinstance(message, Failed):
            if isinstance(message, Examined) is not (picture.views is None):
                self._distrust("it answered views as a body, or a body as views")
                return
            flaw, views = None, picture.views
            if isinstance(message, Examined):
                flaw = flaw_of_views(message)
                views = views_told(message) if flaw is None else None
            if views is not None:
                flaw = flaw_of(message, views, self._label_sets[picture.label_set])
            if flaw is not None or views is None:
                self._distrust(str(flaw))
                return
            model = self.hello.offers[picture.label_set].model
            scores = LabelScores(message.values, message.logit_scale, model, self.name)
            decoded_s = message.decoded_s if isinstance(message, Examined) else 0.0
            outcome = Answered(views, scores, decoded_s)
            self._measure(sent, message.held_s)
            self._resting.succeeded()
            self._pictures += 1
            self._rows += len(message.values)
        elif picture.views is None and message.reason in _UNSCANNABLE:
            outcome = _UNSCANNABLE[message.reason](f"worker {self.name}: {message.message}")
            self._resting.succeeded()
        else:
            outcome = _ERRORS.get(message.reason, UnavailableError)(f"worker {self.name}: {message.message}")
            if message.reason not in _ERRORS and (rest_s := self._resting.failed()):
                asyncio.get_running_loop().call_later(rest_s, self._dispatcher.changed)
        self._take(message.number, is_answer=True)
        self._dispatcher.answered(self, picture, outcome)

    def _measure(self, sent: _InFlight, held_s: float) -> None:
        since_s = self._clock() - sent.sent_s
        held_s = min(max(held_s, 0.0), since_s)
        self._link.arrived(sent.transfer, since_s - held_s)
        if sent.picture.call.lane is Lane.LIVE or sent.live_sent == self._live_sent:
            self._load.learn(sent.picture.rows, sent.expected.held_s(since_s - held_s), held_s)

    def _distrust(self, flaw: str) -> None:
        refused = Refused(Refusal.DISTRUSTED, f"{flaw}: upgrade the worker, or look at its device")
        self._dispatcher.ended(self, flaw, refused)

    def _take(self, number: int, *, is_answer: bool) -> None:
        sent = self._in_flight.pop(number)
        if (late := self._late.pop(number, None)) is not None:
            late.cancel()
        picture = sent.picture
        picture.holders.discard(self.name)
        whose = picture.label_set, picture.rows, picture.call.lane
        if is_answer:
            self._load.answered(*whose, self._link.on_the_way_s)
        else:
            self._load.remove(*whose)

    def _tell_late(self, number: int) -> None:
        sent = self._in_flight[number]
        self._dispatcher.late(self, sent.picture, f"no answer for {self._clock() - sent.sent_s:.1f} s")
        if number in self._in_flight and len(sent.picture.tried) == 1:
            # Another one may be there by then.
            self._late[number] = asyncio.get_running_loop().call_later(_LATE_AGAIN_S, self._tell_late, number)

    def _fell_silent(self, why: str) -> None:
        for picture in self.pictures:
            self._dispatcher.late(self, picture, why)
        self._dispatcher.changed()
