"""What pictures and workers give rise to, done in the background."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine

from serve_app.logs import EventLogger

logger = EventLogger(__name__)

Job = Callable[[], Coroutine[None, None, None]]


class Jobs:
    """Begins each job at once, beside the others, for as long as :meth:`run` does."""

    def __init__(self) -> None:
        self._jobs: asyncio.Queue[Job] = asyncio.Queue()

    def begin(self, job: Job) -> None:
        """Returns at once; before :meth:`run` the job waits."""
        self._jobs.put_nowait(job)

    async def run(self) -> None:
        """Do all jobs, until it is cancelled."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                tasks.create_task(self._do(await self._jobs.get()))

    async def _do(self, job: Job) -> None:
        try:
            await job()
        except Exception:
            # A fault in one job must not leave all workers on trial for ever.
            logger.exception("trust_failed", "a check of a worker failed: it is made again")
