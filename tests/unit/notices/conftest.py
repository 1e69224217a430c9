"""Somebody who sends, for tests: what was sent when, and addresses that fail."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from serve_app.notices.sending import Job, Outcome
from tests.virtual_clock import VirtualClock


@dataclass
class WatchedSender:
    """:class:`serve_app.notices.sending.Sender` that sends nothing. ``problems`` are by the number of an address."""

    clock: VirtualClock
    problems: dict[int, str] = field(default_factory=dict)
    taken: list[tuple[datetime, Job]] = field(default_factory=list)
    attempts: int = 0
    hangs: bool = False
    has_taken: asyncio.Event = field(default_factory=asyncio.Event)

    async def send(self, jobs: Sequence[Job]) -> Sequence[Outcome]:
        self.attempts += 1
        if self.hangs:
            await asyncio.Event().wait()
        outcomes = [Outcome(job.number, "Test", self.problems.get(job.number)) for job in jobs]
        self.taken += [
            (self.clock.now, job) for job, outcome in zip(jobs, outcomes, strict=True) if not outcome.problem
        ]
        if self.taken:
            self.has_taken.set()
        return outcomes

    def titles(self, number: int = 1) -> list[str]:
        return [job.message.title.removeprefix("Pictwarden: ") for _, job in self.taken if job.number == number]
