"""The stages of a picture: each is timed once, and whoever counts or traces stages is told.

Every process of the service times its own stages, in threads of any kind. Without an observer a stage costs about a
microsecond.
"""

from __future__ import annotations

import contextlib
import enum
import time
from collections.abc import Callable

from serve_app.domain import Call


class Stage(enum.StrEnum):
    """What is timed of a picture. ``preprocess`` and ``score`` are as the ingress sees them, with the way there."""

    BODY = "body"
    """Reading the body, as fast as the sender sends it."""
    KNOWN = "known"
    """Asking the lists for the digests of the body."""
    RECALL = "recall"
    """Asking the ledger for an earlier examination of the same bytes."""
    PREPROCESS = "preprocess"
    DECODE_WAIT = "decode_wait"
    """Waiting for an idle decode worker."""
    DECODE = "decode"
    """In a decode worker: from bytes to views and fingerprints."""
    SCORE = "score"
    BATCH_WAIT = "batch_wait"
    """Waiting for the first pass that has a view of the picture."""
    SCORE_PASS = "score_pass"  # noqa: S105 - no password
    """From the start of that pass to the end of the last one that has a view of the picture."""
    JUDGE = "judge"
    """Evaluating the policy."""
    NEAREST = "nearest"
    """Asking the lists for the fingerprints of the frames."""
    RECORD = "record"
    """Recording the decision in every sink."""


StageObserver = Callable[[Stage, Call, float, float], None]
"""Is told of a stage at its end: which, of which call, and when it began and ended, in seconds of ``time.monotonic``.

It returns at once and may be called in any thread. What it raises is ignored.
"""

_observers: list[StageObserver] = []


def observe_stages(observer: StageObserver) -> Callable[[], None]:
    """Have ``observer`` told of every stage of this process, until the returned function is called."""
    _observers.append(observer)
    return lambda: _observers.remove(observer)


def tell_stage(stage: Stage, call: Call, began_s: float, ended_s: float) -> None:
    """Tell the observers of a stage that was timed elsewhere."""
    for observer in _observers:
        with contextlib.suppress(Exception):
            observer(stage, call, began_s, ended_s)


class timed:  # noqa: N801 - a context manager, as contextlib's are
    """Times the block as a stage of ``call``, however it ends."""

    __slots__ = ("_began_s", "_call", "_stage")

    def __init__(self, stage: Stage, call: Call) -> None:
        self._stage = stage
        self._call = call

    def __enter__(self) -> None:
        self._began_s = time.monotonic()

    def __exit__(self, *_: object) -> None:
        if _observers:
            tell_stage(self._stage, self._call, self._began_s, time.monotonic())
