"""Retries for pictures that the service could not scan for now."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

_FIRST_WAIT_S = 1.0


class _Answer(Protocol):
    """The part of an answer that tells whether to try again."""

    @property
    def status(self) -> int | None: ...

    @property
    def may_be_sent_again(self) -> bool: ...

    @property
    def retry_after_s(self) -> float | None: ...


AnswerT = TypeVar("AnswerT", bound=_Answer)


@dataclass
class Patience:
    """Tries a picture at most ``tries`` times, and waits between tries as long as the service asks, within a bound.

    If the service asks for no time, the waits are 1, 2, 4... seconds. If nobody has ever answered there is no second
    try, since the address is probably wrong.
    """

    tries: int = 5
    longest_wait_s: float = 60.0
    _has_answered: threading.Event = field(default_factory=threading.Event, repr=False)

    def insist(self, send: Callable[[], AnswerT], stop: threading.Event) -> AnswerT:
        """The answer to ``send``; the last one, if no further try can help or ``stop`` is set."""
        answer = send()
        for attempt in range(1, self.tries):
            if answer.status is not None:
                self._has_answered.set()
            if not answer.may_be_sent_again or not self._has_answered.is_set():
                break
            asked_s = answer.retry_after_s
            wait_s = _FIRST_WAIT_S * 2 ** (attempt - 1) if asked_s is None else asked_s
            if stop.wait(min(wait_s, self.longest_wait_s)):
                break
            answer = send()
        return answer


IMPATIENT = Patience(tries=1)
"""Sends each picture once."""
