"""Which workers are sent away, for how long, and since when their decisions are in doubt."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from serve_app.remote.fleet import Fleet, Member, RefusedError
from serve_app.remote.messages import Refusal, Refused
from serve_app.remote.trust.environment import Environment
from serve_app.remote.trust.reports import Distrusted, Suspended, TrustReports
from serve_app.remote.trust.strikes import KeptOut, Strikes

_DISTRUSTED_FOR_S: Final = 1800.0
_SUSPENDED_FOR_S: Final = 600.0
_NAMES_KEPT: Final = 256


class Discipline:
    """Sends workers away, and remembers of 256 names when each was last found right, and of 256 that they decode."""

    def __init__(self, fleet: Fleet, reports: TrustReports, environment: Environment) -> None:
        """``reports`` are told of each that is sent away."""
        self._fleet, self._reports, self._environment = fleet, reports, environment
        self._last_good_at: OrderedDict[str, datetime] = OrderedDict()
        self._decoded: OrderedDict[str, None] = OrderedDict()
        self._strikes: OrderedDict[str, Strikes] = OrderedDict()
        self._kept_out = KeptOut(environment.clock)

    def require_welcome(self, owner: str) -> None:
        """Whether a worker of this owner is taken.

        Raises:
            RefusedError: one was sent away recently.
        """
        remaining_s = self._kept_out.remaining_s(owner)
        if remaining_s > 0:
            raise RefusedError(_suspended(owner, remaining_s))

    def is_kept_out(self, owner: str) -> bool:
        """Whether a worker of this owner was sent away recently."""
        return self._kept_out.remaining_s(owner) > 0

    def passed(self, name: str, sent_at: datetime) -> None:
        """This worker scored a probe as it should, which was sent at ``sent_at``."""
        self._last_good_at.pop(name, None)
        self._last_good_at[name] = sent_at
        if len(self._last_good_at) > _NAMES_KEPT:
            self._last_good_at.popitem(last=False)

    def decoded(self, name: str) -> None:
        """This worker said what is in a whole file."""
        self._decoded.pop(name, None)
        self._decoded[name] = None
        if len(self._decoded) > _NAMES_KEPT:
            self._decoded.popitem(last=False)

    def has_decoded(self, names: Sequence[str]) -> bool:
        """Whether one of these has said what is in a whole file."""
        return any(name in self._decoded for name in names)

    def last_good_at(self, names: Sequence[str]) -> datetime | None:
        """The earliest of the moments at which these were last found right; None if none of them was."""
        return min((self._last_good_at[name] for name in names if name in self._last_good_at), default=None)

    def distrust(self, member: Member, why: str) -> None:
        """Send a worker away for wrong scores."""
        if member.has_ended:
            return
        self._kept_out.keep_out(member.owner, _DISTRUSTED_FOR_S)
        text = (
            f"the scores of this worker are wrong ({why}): check its memory, its overclocking and its model; the front "
            f"takes no worker with the secret of {member.owner} for {_DISTRUSTED_FOR_S / 60:.0f} minutes"
        )
        refused = Refused(Refusal.DISTRUSTED, text)
        self._fleet.dismiss(member, refused)
        self._report_distrusted(member, why)
        self._send_away_others(member, refused)

    def remember_distrusted(self, member: Member, why: str) -> None:
        """The fleet has sent a worker away for answers that no honest one gives."""
        self._kept_out.keep_out(member.owner, _DISTRUSTED_FOR_S)
        self._report_distrusted(member, why)
        if member.refused is not None:
            self._send_away_others(member, member.refused)

    def _send_away_others(self, member: Member, refused: Refused) -> None:
        """Whoever has one worker that lies is not believed with the next."""
        for other in self._fleet.members:
            if other.owner == member.owner and not other.has_ended:
                self._fleet.dismiss(other, refused)
                self._report_distrusted(other, f"{member.name}, of the same owner, was sent away")

    def _report_distrusted(self, member: Member, why: str) -> None:
        last_good_at = self._last_good_at.pop(member.name, None)
        has_decoded, at = self.has_decoded([member.name]), self._environment.now()
        self._reports.distrusted(Distrusted(member.name, member.owner, at, last_good_at, why, has_decoded))

    def forgive(self, member: Member) -> None:
        """A worker scored a picture."""
        self._strikes_of(member.name).forgive()

    def strike(self, member: Member, why: str, *, is_needed: bool) -> bool:
        """Count a strike; whether there are too many, so that the worker has to be suspended.

        One that ``is_needed``, since no other is there, stays however slow it is.
        """
        strikes = self._strikes_of(member.name)
        strikes.add(why)
        return strikes.are_too_many and not is_needed

    def suspend(self, member: Member) -> None:
        """Send a worker away for a while; also one whose connection has ended."""
        strikes = self._strikes.pop(member.name, None)
        if strikes is None:
            return  # two things at once were too many, and it is away already
        why = str(strikes)
        self._kept_out.keep_out(member.owner, _SUSPENDED_FOR_S)
        self._fleet.dismiss(member, _suspended(member.owner, _SUSPENDED_FOR_S))
        report = Suspended(member.name, member.owner, self._environment.now(), _SUSPENDED_FOR_S, why)
        self._reports.suspended(report)

    def turn_away(self, member: Member) -> None:
        """Send away a worker whose owner is kept out."""
        self._fleet.dismiss(member, _suspended(member.owner, self._kept_out.remaining_s(member.owner)))

    def _strikes_of(self, name: str) -> Strikes:
        strikes = self._strikes.pop(name, None) or Strikes(self._environment.clock)
        self._strikes[name] = strikes
        if len(self._strikes) > _NAMES_KEPT:
            self._strikes.popitem(last=False)
        return strikes


def _suspended(owner: str, remaining_s: float) -> Refused:
    text = (
        f"a worker with the secret of {owner} was sent away; the front takes none for another "
        f"{max(1, round(remaining_s / 60))} minutes"
    )
    return Refused(Refusal.SUSPENDED, text)
