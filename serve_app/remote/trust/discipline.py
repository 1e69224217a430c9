"""Which workers are sent away, for how long, and since when their decisions are in doubt."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Final

from serve_app.remote.fleet import Fleet, Member, RefusedError
from serve_app.remote.messages import Refusal, Refused
from serve_app.remote.trust.environment import Environment, Moment
from serve_app.remote.trust.jobs import Jobs
from serve_app.remote.trust.recent import Recent
from serve_app.remote.trust.recorded_probes import RecordedProbes
from serve_app.remote.trust.reports import Disagreed, Distrusted, Suspended, TrustReports
from serve_app.remote.trust.standings import Standings
from serve_app.remote.trust.strikes import KeptOut, Strikes

_DISTRUSTED_FOR_S: Final = 1800.0
_SUSPENDED_FOR_S: Final = 600.0
_NAMES_KEPT: Final = 256
_MOST_SUSPENDED_NAMES: Final = 3
"""Within an hour: an owner whose workers come back under one name after another waits like each of them."""
_NAMES_COUNTED_FOR_S: Final = 3600.0
_LEFT_KEPT: Final = 16
"""Workers that have left: what they answered is judged within seconds, and each keeps its connection's memory."""


class Discipline:
    """Sends workers away, and remembers of 256 names when each was last found right, and of 256 that they decode."""

    def __init__(
        self,
        fleet: Fleet,
        reports: TrustReports,
        environment: Environment,
        standings: Standings,
        recorded: RecordedProbes,
        jobs: Jobs,
    ) -> None:
        """``reports`` are told of each that is sent away; ``recorded`` loses the scores of those that were wrong."""
        self._fleet, self._reports, self._environment = fleet, reports, environment
        self._standings, self._recorded, self._jobs = standings, recorded, jobs
        self._last_good: Recent[str, Moment] = Recent(_NAMES_KEPT)
        # When its connection ended: under the same name it may pass another trial before an answer of before is judged.
        self._good_until_it_left: Recent[Member, Moment] = Recent(_LEFT_KEPT)
        self._sent_away: set[Member] = set()
        self._decoded: Recent[str, None] = Recent(_NAMES_KEPT)
        self._strikes: Recent[str, Strikes] = Recent(_NAMES_KEPT)
        # For lies an owner with all workers; for slowness one machine, since another one of the owner's may be fine.
        self._distrusted, self._suspended = KeptOut(environment.clock), KeptOut(environment.clock)
        self._suspended_names: Recent[str, dict[str, float]] = Recent(_NAMES_KEPT)

    def require_welcome(self, owner: str, name: str | None = None) -> None:
        """Whether a worker of this owner is taken, with the name that it gives itself, or with some name.

        Raises:
            RefusedError: one was sent away recently.
        """
        refused = self._not_welcome(owner, name)
        if refused is not None:
            raise RefusedError(refused)

    def turn_away(self, member: Member) -> bool:
        """Whether a worker that has joined is not welcome any more: then it is sent away."""
        refused = self._not_welcome(member.owner, member.hello.name)
        if refused is not None:
            self._fleet.dismiss(member, refused)
        return refused is not None

    def _not_welcome(self, owner: str, name: str | None) -> Refused | None:
        if (remaining_s := self._distrusted.remaining_s(owner)) > 0:
            return Refused(Refusal.SUSPENDED, f"{_of_liar(owner)} for another {_minutes(remaining_s)}")
        if (remaining_s := self._suspended.remaining_s(owner)) > 0:
            text = f"workers of {owner} failed or were late too often, under several names: the front takes none for "
            return Refused(Refusal.SUSPENDED, text + _minutes(remaining_s))
        if name is not None and (remaining_s := self._suspended.remaining_s(f"{owner}/{name}")) > 0:
            return _suspended(owner, name, remaining_s)
        return None

    def passed(self, name: str, sent_at: datetime) -> None:
        """This worker scored a probe as it should, which was sent at ``sent_at``."""
        self._last_good[name] = self._environment.moment(sent_at)

    def decoded(self, name: str) -> None:
        """This worker said what is in a whole file."""
        self._decoded[name] = None

    def left(self, member: Member, why: str) -> None:
        """A worker has left: sent away from here, for a lie that the fleet has seen, its owner's fault, or a strike."""
        if member.name in self._last_good:
            self._good_until_it_left[member] = self._last_good[member.name]
        if member in self._sent_away:
            self._recorded.forget(member.name)
        elif member.refused is not None and member.refused.reason is Refusal.DISTRUSTED:
            self._recorded.forget(member.name)
            self._distrust(member, why)
        elif self._not_welcome(member.owner, member.hello.name) is not None:
            self._recorded.forget(member.name)
        else:
            self.strike(member, "its connection ended")

    def distrust(self, member: Member, why: str) -> None:
        """Send a worker away for wrong scores, also where its connection has ended before that was known."""
        self._recorded.forget(member.name)
        if member.refused is not None and member.refused.reason is Refusal.DISTRUSTED:
            return  # that is known
        text = (
            f"the scores of this worker are wrong ({why}): check its memory, its overclocking and its model; the front "
            f"takes no worker with the secret of {member.owner} for {_minutes(_DISTRUSTED_FOR_S)}"
        )
        self._send_away(member, Refused(Refusal.DISTRUSTED, text))
        self._distrust(member, why)

    def report_disagreement(self, member: Member, other: Member, request_id: str | None, how: str) -> None:
        """Two workers differ over a picture, or over probes, and nobody can say which of them is wrong."""
        names, on_trial = (member.name, other.name), request_id is None
        what = "neither gets pictures until it is known which of them is right" if on_trial else "both are probed"
        why = (
            f"workers {names[0]} and {names[1]} disagree: {how}. Nobody is there to say which of them is right: "
            f"{what}. Remove the secret of the one that you trust less, or connect a third worker"
        )
        good = [self._environment.since(self._last_good[name]) for name in names if name in self._last_good]
        last_good_at = min(good, default=None)
        at, has_decoded = self._environment.now(), self._has_decoded(names)
        never_good = tuple(name for name in names if name not in self._last_good)
        self._reports.disagreed(Disagreed(names, at, last_good_at, request_id, on_trial, why, has_decoded, never_good))

    def _distrust(self, member: Member, why: str) -> None:
        """Whoever has one worker that lies is not believed with the next."""
        self._distrusted.keep_out(member.owner, _DISTRUSTED_FOR_S)
        self._report_distrusted(member, why)
        of_liar = Refused(
            Refusal.SUSPENDED,
            f"{_of_liar(member.owner)} for {_minutes(_DISTRUSTED_FOR_S)}: the scores of {member.name} are wrong",
        )
        for other in self._fleet.members:
            if other.owner == member.owner and not other.has_ended:
                self._send_away(other, of_liar)
                self._report_distrusted(other, f"{member.name}, of the same owner, was sent away")

    def _send_away(self, member: Member, refused: Refused) -> None:
        if member.has_ended:
            member.refused = refused  # nobody is there to be told, and what else it answered wrongly is no news
            return
        self._sent_away.add(member)
        self._fleet.dismiss(member, refused)
        self._sent_away.remove(member)

    def _report_distrusted(self, member: Member, why: str) -> None:
        last_good = self._good_until_it_left.pop(member, None) or self._last_good.get(member.name)
        last_good_at = None if last_good is None else self._environment.since(last_good)
        self._last_good.pop(member.name, None)
        has_decoded, at = self._has_decoded([member.name]), self._environment.now()
        self._reports.distrusted(Distrusted(member.name, member.owner, at, last_good_at, why, has_decoded))

    def forgive(self, member: Member) -> None:
        """A worker scored a picture."""
        self._strikes_of(member.name).forgive()

    def strike(self, member: Member, why: str, *, may_be_needed: bool = True) -> None:
        """Count a strike; a worker with too many of them is sent away for a while, also once its connection has ended.

        One that is needed, since no other is there, stays however slow it is.
        """
        strikes = self._strikes_of(member.name)
        strikes.add(why)
        is_needed = may_be_needed and not self._standings.trusted_beside(member)
        if strikes.are_too_many and not is_needed:
            # The fleet may be about to tell others of what gave rise to it.
            self._jobs.begin(partial(self._suspend, member))

    async def _suspend(self, member: Member) -> None:
        strikes = self._strikes.pop(member.name, None)
        if strikes is None:
            return  # two things at once were too many, and it is away already
        self._suspended.keep_out(f"{member.owner}/{member.hello.name}", _SUSPENDED_FOR_S)
        self._note_suspended(member.owner, member.hello.name)
        self._fleet.dismiss(member, _suspended(member.owner, member.hello.name, _SUSPENDED_FOR_S))
        now, why = self._environment.now(), str(strikes)
        self._reports.suspended(Suspended(member.name, member.owner, now, _SUSPENDED_FOR_S, why))

    def _note_suspended(self, owner: str, name: str) -> None:
        now_s = self._environment.clock()
        before = self._suspended_names.get(owner, {}) | {name: now_s}
        names = {each: at_s for each, at_s in before.items() if now_s - at_s < _NAMES_COUNTED_FOR_S}
        self._suspended_names[owner] = names
        if len(names) >= _MOST_SUSPENDED_NAMES:
            self._suspended.keep_out(owner, _SUSPENDED_FOR_S)

    def _has_decoded(self, names: Sequence[str]) -> bool:
        """Whether one of these has said what is in a whole file."""
        return any(name in self._decoded for name in names)

    def _strikes_of(self, name: str) -> Strikes:
        self._strikes[name] = strikes = self._strikes.get(name) or Strikes(self._environment.clock)
        return strikes


def _of_liar(owner: str) -> str:
    return f"a worker with the secret of {owner} was sent away for wrong scores, and the front takes none"


def _suspended(owner: str, name: str, remaining_s: float) -> Refused:
    text = (
        f"the worker {name} of {owner} failed or was late too often: the front takes none of this name for "
        f"{_minutes(remaining_s)}. Look at its speed and its connection; another machine needs another name (--name)"
    )
    return Refused(Refusal.SUSPENDED, text)


def _minutes(seconds: float) -> str:
    minutes = max(1, round(seconds / 60))
    return f"{minutes} minute{'s' if minutes > 1 else ''}"
