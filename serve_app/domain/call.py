"""What travels with a picture through every stage."""

from __future__ import annotations

import enum
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from serve_app.domain.errors import DeadlineExceededError

Clock = Callable[[], float]
"""Seconds on a clock that never goes back. Its zero means nothing, and differs from machine to machine."""


class Lane(enum.StrEnum):
    """Who waits for the answer: an uploader, who is served first, or work that can be done later.

    A picture in the background lane never delays a live one by more than the one pass, or the one decode, that is
    already running.
    """

    LIVE = "live"
    BACKGROUND = "background"


@dataclass(frozen=True, slots=True)
class Deadline:
    """The moment after which an answer is of no use, on this process's own clock.

    Between processes travels what is left (:meth:`remaining_s`), never the moment: clocks of two nodes never meet.
    """

    at_s: float
    clock: Clock = field(default=time.monotonic, repr=False, compare=False)

    @classmethod
    def after(cls, seconds: float, clock: Clock = time.monotonic) -> Deadline:
        """The deadline ``seconds`` from now."""
        return cls(clock() + seconds, clock)

    def remaining_s(self) -> float:
        """Seconds left; zero or negative when it has passed."""
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
        """What is left is what travels to another process."""
        return Deadline.after, (self.remaining_s(),)


UNNAMED_SOURCE = "unnamed"
"""The source of a call from an instance that has no name in the configuration."""


@dataclass(frozen=True, slots=True)
class Call:
    """One request to scan a picture.

    ``request_id`` names it in answers, decisions and log lines; ``source`` is the instance that sent it.
    """

    request_id: str
    deadline: Deadline
    lane: Lane = Lane.LIVE
    source: str = UNNAMED_SOURCE


@dataclass(frozen=True, slots=True)
class LoadSignals:
    """What the front knows of the load and no stage behind it can see; a snapshot beside each call.

    ``demand`` is how many pictures recently came for each that was let in; ``coming`` is how many live pictures are
    being preprocessed, and will be scored next.
    """

    demand: float = 1.0
    coming: int = 0
