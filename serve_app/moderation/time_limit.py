"""The deadline, enforced around a stage that may not keep it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from serve_app.domain import Deadline, DeadlineExceededError


@contextlib.asynccontextmanager
async def until(deadline: Deadline, stage: str) -> AsyncIterator[None]:
    """End the block, which may hang, at ``deadline``.

    Raises:
        DeadlineExceededError: no time was left for ``stage``, or it took longer than the time left.
    """
    try:
        async with asyncio.timeout(deadline.require(stage)) as limit:
            yield
    except TimeoutError as error:
        if not limit.expired():
            raise  # another time-out than ours
        raise DeadlineExceededError(f"{stage} took longer than the time left") from error
