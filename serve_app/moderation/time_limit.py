"""The deadline, held even where whoever is asked does not hold it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from serve_app.domain import Deadline, DeadlineExceededError


@contextlib.asynccontextmanager
async def until(deadline: Deadline, stage: str) -> AsyncIterator[None]:
    """Ends the block, which may hang, at ``deadline``.

    Raises:
        DeadlineExceededError: nothing was left for ``stage``, or it took longer than what was left.
    """
    try:
        async with asyncio.timeout(deadline.require(stage)) as limit:
            yield
    except TimeoutError as error:
        if not limit.expired():
            raise  # some other time-out, which says nothing of our deadline
        raise DeadlineExceededError(f"{stage} took longer than the time that was left") from error
