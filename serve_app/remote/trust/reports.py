"""What becomes known about the trust in workers, for logs, metrics, notices and the list of decisions in doubt."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True)
class PassedProbe:
    """A worker scored a probe picture as it should.

    Attributes:
        worker: its name in decisions.
        owner: the name of its secret.
        at: when the probe was sent, with an offset; what the worker scored before that is not in doubt.
        compared_with: whose scores they were compared with, for people.
        share: of the differences in what the scores vary by: under 0.1 as a rule, 0.7 is the most.
        ends_trial: whether the worker gets pictures from now on, and did not before.
    """

    worker: str
    owner: str
    at: datetime
    compared_with: str
    share: float
    ends_trial: bool


@dataclass(frozen=True, slots=True)
class Distrusted:
    """A worker answered wrongly and was dropped.

    Attributes:
        worker: its name in decisions.
        owner: the name of its secret; none of its workers may connect for a while.
        at: when it was dropped, with an offset.
        last_good_at: when the last probe that it passed was sent, with an offset: its decisions from then until ``at``
            are in doubt. None where it never passed one, and so got no picture, since the start of the service.
        why: for people.
        has_decoded: whether it got whole files, and said what is in them.
    """

    worker: str
    owner: str
    at: datetime
    last_good_at: datetime | None
    why: str
    has_decoded: bool = False


@dataclass(frozen=True, slots=True)
class Disagreed:
    """Two workers scored the same views differently, and nobody is there to say which of them is right.

    Attributes:
        workers: their names in decisions.
        at: when, with an offset.
        last_good_at: the earlier of the two moments at which they last passed a probe: decisions of both from then on
            are in doubt; None as in :class:`Distrusted`.
        request_id: of the picture that both scored; None where it was a probe.
        on_trial: whether both get no pictures until it is known which of them is right.
        why: for people, with what to do.
        has_decoded: whether one of them got whole files, and said what is in them.
        never_good: those of the two that have passed no probe since the start of the service.
    """

    workers: tuple[str, str]
    at: datetime
    last_good_at: datetime | None
    request_id: str | None
    on_trial: bool
    why: str
    has_decoded: bool = False
    never_good: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Suspended:
    """A worker was dropped for a while, because too much of its work failed, came late or could not be read.

    Attributes:
        worker: its name in decisions; these are not in doubt.
        owner: the name of its secret.
        at: when, with an offset.
        for_s: seconds for which it may not connect.
        why: for people: what happened, by kind.
    """

    worker: str
    owner: str
    at: datetime
    for_s: float
    why: str


class TrustReports(Protocol):
    """Who is told. It returns at once, and raises nothing."""

    def passed(self, report: PassedProbe) -> None:
        """A probe was passed."""
        ...

    def distrusted(self, report: Distrusted) -> None:
        """A worker was dropped for wrong answers."""
        ...

    def disagreed(self, report: Disagreed) -> None:
        """Two workers contradict each other."""
        ...

    def suspended(self, report: Suspended) -> None:
        """A worker was dropped for a while."""
        ...
