"""Pictures that go to workers as they came, which decode them in the place of the front."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from serve_app.domain import Body, Call, Deadline, Examination, UnavailableError
from serve_app.remote.fleet import Answered, Fleet

_SHARE: Final = 0.6
"""Of the time left, for workers that decode: in the rest the front can still decode by itself, and send views."""

MOST_SENT_BODY_BYTES: Final = 16_000_000
"""Larger ones are decoded by the front: their views are a hundredth of them."""

Examined = Callable[[int, Body, Call, Answered], None]
"""Is told of each answer: the set of labels, the body, its call, and what the worker said of it."""


class RemoteBodies:
    """:class:`serve_app.moderation.pipeline.Elsewhere` for one set of labels, over the workers that take bodies."""

    def __init__(self, fleet: Fleet, label_set: int, examined: Examined = lambda *_: None) -> None:
        """``label_set`` is the place of the labels in the fleet's sets; ``examined`` returns at once."""
        self._fleet = fleet
        self._label_set = label_set
        self._examined = examined

    @property
    def is_there(self) -> bool:
        """Whether a worker that takes bodies may be given pictures."""
        return self._fleet.takes_bodies

    async def examine(self, body: Body, call: Call) -> Examination:
        """The examination of a body, within a share of its time.

        Raises:
            UnscannableError: a worker says that these bytes can never be scanned.
            NotScannedError: no worker that takes bodies can do it in that time.
        """
        if len(body.content) > MOST_SENT_BODY_BYTES:
            raise UnavailableError("the body is too large to be sent")
        clock = call.deadline.clock
        remaining_s, began_s = call.deadline.require("scoring"), clock()
        within = replace(call, deadline=Deadline(began_s + remaining_s * _SHARE, clock))
        answered = await self._fleet.examine(self._label_set, body, within)
        self._examined(self._label_set, body, call, answered)
        took_s = clock() - began_s
        decoded_s = min(max(answered.decoded_s, 0.0), took_s)
        return Examination.of(answered.views, answered.scores, decoded_s * 1e3, (took_s - decoded_s) * 1e3)
