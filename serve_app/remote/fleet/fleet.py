"""The workers of a front: which of them scores which picture, and when (``docs/adr/0029``).

Work is bound late, as in :mod:`serve_app.batching`: a picture waits at the front until a worker needs it to stay busy
over a round trip and a pass. The earliest deadline goes first, to the worker that is predicted to finish it first;
live pictures come before background ones, and sources take turns. A picture whose worker is lost, silent or late is
handed over once to another one; the first answer counts. No caller waits beyond its deadline.

Not thread-safe: everything runs on one event loop.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

from serve_app.domain import (
    Body,
    Call,
    Clock,
    Deadline,
    DeadlineExceededError,
    LabelScores,
    Lane,
    ModelIdentity,
    NotScannedError,
    OverloadedError,
    UnavailableError,
    UnscannableError,
    UnscannedError,
    Views,
)
from serve_app.remote.fleet.admission import Admission, unique_name
from serve_app.remote.fleet.binding import Binding, nobody
from serve_app.remote.fleet.member import Member
from serve_app.remote.fleet.picture import Answered, Picture
from serve_app.remote.fleet.ports import FleetWatcher, Line
from serve_app.remote.fleet.rounds import Rounds
from serve_app.remote.fleet.stats import FleetStats
from serve_app.remote.messages import Hello, Refusal, Refused

_NEWEST_WEIGHT = 0.05
"""Of the mean number of rows of a picture."""


class Fleet:
    """Spreads pictures over workers."""

    def __init__(
        self,
        label_sets: Sequence[tuple[str, ...]],
        *,
        clock: Clock = time.monotonic,
        max_workers: int = 16,
        has_stand_in: Callable[[], bool] = lambda: False,
    ) -> None:
        """A fleet without workers.

        Args:
            label_sets: the labels of each kind of picture.
            clock: of everything but the timers, which are the event loop's.
            max_workers: at once.
            has_stand_in: whether somebody else would look at an upload that is refused because no worker is there: then
                none waits for one that is on trial, silent or at rest.
        """
        self._label_sets = tuple(label_sets)
        self._clock = clock
        self._admission = Admission(len(self._label_sets), max_workers)
        self._members: dict[str, Member] = {}
        self._has_stand_in = has_stand_in
        self._binding = Binding(self._members.values, clock, has_stand_in)
        # Bodies wait apart, so that a worker that takes views alone never stands still behind one.
        self._of_bodies = Binding(lambda: [each for each in self.members if each.takes_bodies], clock, has_stand_in)
        self._binding.beside, self._of_bodies.beside = self._of_bodies, self._binding
        self._mean_rows = [1.0] * len(self._label_sets)
        self._changed = asyncio.Event()
        self._rounds = Rounds((self._of_bodies, self._binding))
        self.watchers: list[FleetWatcher] = []

    @property
    def members(self) -> Sequence[Member]:
        """Those that are connected, in the order in which they joined."""
        return tuple(self._members.values())

    @property
    def stats(self) -> FleetStats:
        """What the fleet has now."""
        members = tuple(member.stats for member in self.members)
        return FleetStats(
            len(self._binding.waiting) + len(self._of_bodies.waiting), sum(each.in_flight for each in members), members
        )

    def join(self, hello: Hello, line: Line, owner: str) -> Member:
        """Take a worker.

        Raises:
            RefusedError: it is not taken: the error has what it should be told.
        """
        self._admission.require(hello, sum(not member.is_leaving for member in self._members.values()))
        name = unique_name(owner, hello.name, self._members)
        member = Member(name, owner, hello, line, self._label_sets, self, self._clock)
        self._members[name] = member
        for watcher in self.watchers:
            watcher.joined(member)
        self.changed()
        return member

    def end_former(self, hello: Hello, owner: str) -> None:
        """The same process has connected again: its connection of before is dead, whether that has shown or not."""
        for former in self.members:
            if hello.process and (former.owner, former.hello.process) == (owner, hello.process):
                former.lost("it has connected again")

    def dismiss(self, member: Member, refused: Refused) -> None:
        """Send a worker away; its pictures are handed over."""
        if not member.has_ended:
            self.ended(member, refused.message, refused)

    def close(self) -> None:
        """The front stops: all workers are told, and come back later."""
        for member in self.members:
            self.dismiss(member, Refused(Refusal.STOPPING, "the front stops"))

    async def wait_for_member(self) -> None:
        """Return once a worker is connected."""
        while not self._members:
            self._changed.clear()
            await self._changed.wait()

    async def identify(self, label_set: int, deadline: Deadline) -> ModelIdentity:
        """Which model the workers have.

        Raises:
            UnavailableError: no worker is connected; or none is usable, and somebody stands in.
            DeadlineExceededError: all are on trial, or silent, until the deadline.
        """
        while not (usable := self._binding.usable):
            if self._has_stand_in() or not self._binding.may_be_usable:
                raise nobody()
            try:
                async with asyncio.timeout(deadline.require("waiting for a worker")):
                    self._changed.clear()
                    await self._changed.wait()
            except TimeoutError:
                raise DeadlineExceededError("no worker has passed its trial yet") from None
        return usable[0].hello.offers[label_set].model

    @property
    def takes_bodies(self) -> bool:
        """Whether a worker that decodes may be given pictures."""
        return bool(self._of_bodies.usable)

    async def examine(self, label_set: int, body: Body, call: Call) -> Answered:
        """The scores of one picture, by whichever worker that takes bodies, and what it saw of it.

        Raises:
            UnscannableError: a worker says that these bytes can never be scanned.
            NotScannedError: as :meth:`score`.
        """
        picture = self._picture(label_set, None, call)
        picture.body, picture.expected_rows = body.content, max(1, round(self._mean_rows[label_set]))
        if self._of_bodies.usable and not self._of_bodies.can_in_time(picture):
            # Not even to one with nothing to do: what is on its link would delay the views that follow.
            raise OverloadedError("no worker can have the body and answer in time")
        self._of_bodies.require(picture)
        self.changed()
        return await self._outcome(picture)

    async def score(self, label_set: int, views: Views, call: Call) -> LabelScores:
        """The scores of one picture, by whichever worker; it is named in them.

        Raises:
            UnavailableError: no worker is there, nor will be in time; or two failed.
            OverloadedError: no worker can do it in time.
            DeadlineExceededError: none did.
        """
        try:
            picture = self._picture(label_set, views, call)
            self._binding.require(picture)
            self.changed()
            return (await self._outcome(picture)).scores
        except NotScannedError as error:
            for watcher in self.watchers:
                watcher.failed(call, error)
            raise

    async def score_by(self, member: Member, label_set: int, views: Views, call: Call) -> LabelScores:
        """The scores by exactly this worker, on trial or not.

        Raises:
            UnavailableError: it is gone.
            NotScannedError: as it failed.
        """
        if member.has_ended:
            raise UnavailableError(f"worker {member.name} is gone")
        picture = self._picture(label_set, views, call)
        picture.is_bound = True
        member.start(picture)
        return (await self._outcome(picture)).scores

    def _picture(self, label_set: int, views: Views | None, call: Call) -> Picture:
        remaining_s = call.deadline.require("scoring")
        future: asyncio.Future[list[Answered]] = asyncio.get_running_loop().create_future()
        return Picture(label_set, views, call, self._clock() + remaining_s, future)

    async def _outcome(self, picture: Picture) -> Answered:
        expiry = asyncio.get_running_loop().call_later(
            max(0.0, picture.due_s - self._clock()),
            picture.fail,
            DeadlineExceededError("no worker answered in time"),
        )
        try:
            [answered] = await picture.future
            return answered
        finally:
            expiry.cancel()
            self._binding_of(picture).waiting.remove(picture)
            for name in tuple(picture.holders):
                if (holder := self._members.get(name)) is not None:
                    holder.drop(picture)
            self.changed()

    def answered(self, member: Member, picture: Picture, outcome: Answered | UnscannedError) -> None:
        """See :class:`serve_app.remote.fleet.ports.Dispatcher`."""
        if isinstance(outcome, Answered):
            self._learn_rows(picture.label_set, len(outcome.scores.values))
            if not picture.future.done():
                picture.future.set_result([outcome])
                for watcher in self.watchers if not picture.is_bound else ():
                    watcher.scored(member, picture.label_set, outcome.views, picture.call, outcome.scores)
        elif isinstance(outcome, UnscannableError):
            picture.fail(outcome)
        elif not picture.holders:
            self._hand_over(member, picture, str(outcome), outcome)
        self.changed()

    def late(self, member: Member, picture: Picture, why: str) -> None:
        """See :class:`serve_app.remote.fleet.ports.Dispatcher`."""
        if self._binding_of(picture).can_in_time(picture):
            self._hand_over(member, picture, why, None)
        elif self._is_for_stand_in(picture):
            picture.fail(UnavailableError(f"worker {member.name}: {why}"))

    def _is_for_stand_in(self, picture: Picture) -> bool:
        """Whether somebody else may look at ``picture`` in time, and nobody who has it is likely to answer."""
        is_upload = picture.call.lane is Lane.LIVE and not picture.is_bound
        holders = (self._members[name] for name in picture.holders if name in self._members)
        return is_upload and self._has_stand_in() and not any(each.is_usable for each in holders)

    def ended(self, member: Member, why: str, refused: Refused | None) -> None:
        """See :class:`serve_app.remote.fleet.ports.Dispatcher`."""
        del self._members[member.name]
        member.why_ended = why
        if not self._members:
            self._admission.forget_models()
        pictures = member.end(refused)
        for watcher in self.watchers:
            watcher.left(member, why)
        for picture in pictures:
            if not picture.holders:
                self._hand_over(member, picture, why, UnavailableError(f"worker {member.name}: {why}"))
        self.changed()

    def changed(self) -> None:
        """See :class:`serve_app.remote.fleet.ports.Dispatcher`."""
        self._changed.set()
        self._rounds.soon()

    def _hand_over(self, member: Member, picture: Picture, why: str, error: UnscannedError | None) -> None:
        """Let another one score it; with ``error``, or nobody else, that is its end."""
        binding = self._binding_of(picture)
        if picture.future.done() or binding.waiting.has(picture):
            return
        is_second = len(picture.tried) > 1
        if picture.is_bound or is_second or not binding.may_have_others(picture):
            if error is not None:
                picture.fail(error)
            return
        binding.waiting.put_back(picture)
        for watcher in self.watchers:
            watcher.handed_over(member, picture.call, why)
        self.changed()

    def _binding_of(self, picture: Picture) -> Binding:
        return self._of_bodies if picture.views is None else self._binding

    def _learn_rows(self, label_set: int, rows: int) -> None:
        self._mean_rows[label_set] += _NEWEST_WEIGHT * (rows - self._mean_rows[label_set])
