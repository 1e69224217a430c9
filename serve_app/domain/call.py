"""The call, which travels with a picture through every stage."""

from __future__ import annotations

import enum
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from serve_app.domain.errors import DeadlineExceededError

Clock = Callable[[], float]
"""Seconds on a clock that never goes back. Its zero differs from machine to machine."""


class Lane(enum.StrEnum):
    """Who waits for the answer: an uploader, who is served first, or work that can be done later.

    A background picture delays a live one by at most the pass and the decode that are running; of small pictures, a few
    may be decoded in one go.
    """

    LIVE = "live"
    BACKGROUND = "background"


@dataclass(frozen=True, slots=True)
class Deadline:
    """The moment after which an answer is useless, on this process's own clock.

    Processes send each other the time that is left (:meth:`remaining_s`), since the clocks of two nodes differ.
    """

    at_s: float
    clock: Clock = field(default=time.monotonic, repr=False, compare=False)

    @classmethod
    def after(cls, seconds: float, clock: Clock = time.monotonic) -> Deadline:
        """The deadline ``seconds`` from now."""
        return cls(clock() + seconds, clock)

    def remaining_s(self) -> float:
        """Seconds left; zero or negative once the deadline has passed."""
        return self.at_s - self.clock()

    def require(self, stage: str) -> float:
        """Seconds left, more than zero.

        Raises:
            DeadlineExceededError: nothing is left for ``stage``.
        """
        remaining_s = self.remaining_s()
        if remaining_s <= 0:
            raise DeadlineExceededError(f"no time was left for {stage}")
        return remaining_s

    def __reduce__(self) -> tuple[Callable[[float], Deadline], tuple[float]]:
        """Pickles the time that is left."""
        return Deadline.after, (self.remaining_s(),)


UNNAMED_SOURCE = "unnamed"
"""The source of a call from an instance without a name in the configuration."""

RESCAN_SOURCE = "rescan"
"""The source of the service's own calls about pictures that were let through."""

ADMIN_SOURCE = "admin"
"""The source of calls about stored pictures that an admin names."""

RESERVED_SOURCES = frozenset({UNNAMED_SOURCE, RESCAN_SOURCE, ADMIN_SOURCE})
"""Names that no instance can have in the configuration."""


@dataclass(frozen=True, slots=True)
class Call:
    """One request to scan a picture.

    ``request_id`` names it in answers, decisions and log lines; ``source`` is the instance that sent it, and ``share``
    the weight of its turns wherever pictures of several sources wait. ``traceparent`` names its span to the spans of
    its stages (W3C Trace Context); None where it is not traced.
    """

    request_id: str
    deadline: Deadline
    lane: Lane = Lane.LIVE
    source: str = UNNAMED_SOURCE
    share: float = 1.0
    traceparent: str | None = None


@dataclass(frozen=True, slots=True)
class LoadSignals:
    """The load as only the front sees it; a snapshot beside each call.

    ``demand`` is how many pictures recently arrived for each one that was let in. ``coming`` is how many live pictures
    are at the preprocessors, or wait to travel there, and will be scored next.
    """

    demand: float = 1.0
    coming: int = 0
