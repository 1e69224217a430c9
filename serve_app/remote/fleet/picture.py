"""One picture on its way through a fleet."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from serve_app.batching.job_queue import Job
from serve_app.domain import Call, LabelScores, Views


@dataclass(frozen=True, slots=True)
class Answered:
    """The scores of one picture, and what was scored: of a body that a worker decoded, all but the pixels."""

    views: Views
    scores: LabelScores
    decoded_s: float = 0.0
    """Seconds that the worker took until the views were cut."""


@dataclass(eq=False, slots=True)
class Picture:
    """The views of one picture, or its body, and who has had them.

    Attributes:
        label_set: the place of its set of labels.
        views: to be scored; None of a body.
        call: of the picture.
        due_s: its deadline, on the fleet's clock.
        future: of its scores.
        is_bound: to one worker: it is handed over to no other.
        body: to be decoded and scored, where there are no views.
        expected_rows: of the scores of a body, of which nobody knows the number yet.
        holders: the names of the workers that have it in flight.
        tried: the names of all that had it.
    """

    label_set: int
    views: Views | None = field(repr=False)
    call: Call
    due_s: float
    future: asyncio.Future[list[Answered]] = field(repr=False)
    is_bound: bool = False
    body: bytes = field(default=b"", repr=False)
    expected_rows: int = 1
    holders: set[str] = field(default_factory=set)
    tried: list[str] = field(default_factory=list)

    @property
    def rows(self) -> int:
        """Of its scores: views, then faces."""
        if self.views is None:
            return self.expected_rows
        return len(self.views.pixels) + len(self.views.faces.pixels)

    @property
    def size_bytes(self) -> int:
        """Of what is sent."""
        if self.views is None:
            return len(self.body)
        return self.views.pixels.nbytes + self.views.faces.pixels.nbytes

    def job(self) -> Job[Picture, Answered]:
        """For the queue. A turn of its source is worth a row, so that it pays for as many turns as it has."""
        return Job(
            self.due_s,
            [self],
            self.future,
            self.call.lane,
            (self.label_set, self.rows),
            source=self.call.source,
            share=self.call.share / max(1, self.rows),
        )

    def fail(self, error: Exception) -> None:
        """End it, unless it has ended."""
        if not self.future.done():
            self.future.set_exception(error)
