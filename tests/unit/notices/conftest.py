"""Somebody who sends, for tests: what was sent when, and addresses that fail."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from serve_app.notices.sending import Job, Outcome
from tests.virtual_clock import VirtualClock


@dataclass
class WatchedSender:
    """:class:`serve_app.notices.sending.Sender` that sends nothing. ``problems`` are by the number of an address.

    ``silent`` addresses take no message and say nothing.
    """

    clock: VirtualClock
    problems: dict[int, str] = field(default_factory=dict)
    taken: list[tuple[datetime, Job]] = field(default_factory=list)
    attempts: int = 0
    silent: set[int] = field(default_factory=set)
    fault: Exception | None = None
    has_taken: asyncio.Event = field(default_factory=asyncio.Event)

    async def send(self, jobs: Sequence[Job], note: Callable[[Outcome], None]) -> None:
        self.attempts += 1
        if self.fault is not None:
            raise self.fault
        for job in jobs:
            if job.number in self.silent:
                continue
            problem = self.problems.get(job.number)
            if problem is None:
                self.taken.append((self.clock.now, job))
                self.has_taken.set()
            note(Outcome(job.number, "Test", problem))
        if self.silent & {job.number for job in jobs}:
            await asyncio.Event().wait()

    def titles(self, number: int = 1) -> list[str]:
        return [job.message.title.removeprefix("Pictwarden: ") for _, job in self.taken if job.number == number]
