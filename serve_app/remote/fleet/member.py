"""One worker as a member of a fleet: whether it may be given pictures, and when it would have answered one."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence

from serve_app.domain import Clock, Lane, UnavailableError, UnscannableError, UnscannedError
from serve_app.remote.fleet.in_flight import InFlight
from serve_app.remote.fleet.link import Link
from serve_app.remote.fleet.outcomes import ImpossibleAnswerError, outcome_of
from serve_app.remote.fleet.picture import Answered, Picture
from serve_app.remote.fleet.pinging import Pinging
from serve_app.remote.fleet.ports import Dispatcher, Line
from serve_app.remote.fleet.resting import Resting
from serve_app.remote.fleet.stats import MemberStats
from serve_app.remote.fleet.timers import EARLY_S
from serve_app.remote.fleet.workload import Workload
from serve_app.remote.messages import Examined, Failed, Hello, Leaving, Pong, Refusal, Refused, Scored

# In flight beside a round trip: the pass that runs, and the next one, since a worker that has a little less than a pass
# when it is free runs a smaller one.
_ROOM_PASSES = 2.0

# Of background pictures on the link: as little as keeps it busy from one to the next.
_LINK_AHEAD_S = 0.01


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
        self._in_flight = InFlight(name, line, self._link, self._load, clock, self._was_late)
        self._pictures = self._rows = 0
        self._resting = Resting(clock)
        self._is_on_trial = self._is_contested = self._is_leaving = self._has_ended = False
        self.refused: Refused | None = None
        """What it was sent away with, once it was."""
        self.why_ended: str | None = None
        """In words, once it has."""
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
    def is_contested(self) -> bool:
        """Whether its trial has no end before somebody does something: no picture waits for it."""
        return self._is_contested

    @is_contested.setter
    def is_contested(self, is_contested: bool) -> None:
        self._is_contested = is_contested
        self._dispatcher.changed()

    @property
    def is_silent(self) -> bool:
        """Whether it owes an answer to a ping for too long."""
        return self._pinging.is_silent

    @property
    def owes_s(self) -> float:
        """Seconds for which it owes one; zero if it owes none."""
        return self._link.silent_s

    def ping(self) -> None:
        """Ask whether it is there, unless that was asked within the last second."""
        self._pinging.ping()

    @property
    def is_usable(self) -> bool:
        """Whether it may be given pictures."""
        is_away = self._is_on_trial or self._is_leaving or self._has_ended
        return not (is_away or self._pinging.is_silent or self._resting.is_resting)

    def may_be_usable_by(self, due_s: float) -> bool:
        """Whether it may be given pictures before a deadline: its trial, its silence or its rest can end."""
        is_away = self._is_contested or self._is_leaving or self._has_ended
        return not is_away and self._resting.is_over_by(due_s)

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
        return self._in_flight.pictures

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
        on_link_s = self._link.transfer_s(0)
        if lane is Lane.BACKGROUND:
            # It makes way at the worker, and on the link it cannot.
            return max(self._load.remaining_s(lane) - needed_s, on_link_s - _LINK_AHEAD_S)
        return max(self._load.remaining_s(lane), on_link_s) - needed_s

    def start(self, picture: Picture, first_due_s: float = math.inf) -> None:
        """Send ``picture``, ahead of those that wait, of which the earliest is due at ``first_due_s``."""
        if not self._in_flight:
            self._pinging.ping()
            if self._has_ended:
                picture.fail(UnavailableError(f"worker {self.name} is lost"))
                return
            if self._pinging.is_silent and not picture.is_bound:
                # It was idle, and nobody had noticed.
                self._dispatcher.answered(self, picture, UnavailableError(f"worker {self.name} is silent"))
                return
        self._in_flight.send(picture, first_due_s)

    def drop(self, picture: Picture) -> None:
        """Nobody waits for ``picture`` any more."""
        self._in_flight.cancel(picture)

    def end(self, refused: Refused | None) -> Sequence[Picture]:
        """Close the line: the pictures that are without a worker by it."""
        self._has_ended = True
        self.refused = refused
        self._pinging.stop()
        self._line.close(refused)
        return self._in_flight.clear()

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
        elif not self._in_flight.was_sent(message.number):
            self._distrust(f"it answered work {message.number}, which it was never sent")
        elif (picture := self._in_flight.of(message.number)) is not None:
            self._answered(message, picture)

    def lost(self, why: str) -> None:
        """The connection has ended."""
        if not self._has_ended:
            self._dispatcher.ended(self, why, None)

    def _answered(self, message: Scored | Examined | Failed, picture: Picture) -> None:
        place = picture.label_set
        try:
            outcome = outcome_of(message, picture, self._label_sets[place], self.hello.offers[place].model, self.name)
        except ImpossibleAnswerError as error:
            self._distrust(str(error))
            return
        if isinstance(outcome, Answered):
            self._in_flight.scored(message.number, message.held_s)
            self._pictures += 1
            self._rows += len(outcome.scores.values)
        else:
            self._in_flight.failed(message.number)
        self._note_fault(outcome)
        self._dispatcher.answered(self, picture, outcome)

    def _note_fault(self, outcome: Answered | UnscannedError) -> None:
        """Let a worker rest that fails by itself; one that is late, or has too much, has no fault."""
        if isinstance(outcome, UnavailableError):
            if rest_s := self._resting.failed():
                asyncio.get_running_loop().call_later(rest_s + EARLY_S, self._dispatcher.changed)
        elif isinstance(outcome, Answered | UnscannableError):
            self._resting.succeeded()

    def _distrust(self, flaw: str) -> None:
        refused = Refused(Refusal.DISTRUSTED, f"{flaw}: upgrade the worker, or look at its device")
        self._dispatcher.ended(self, flaw, refused)

    def _was_late(self, picture: Picture, why: str) -> None:
        self._dispatcher.late(self, picture, why)

    def _fell_silent(self, why: str) -> None:
        for picture in self.pictures:
            self._dispatcher.late(self, picture, why)
        self._dispatcher.changed()
