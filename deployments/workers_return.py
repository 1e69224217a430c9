"""On Ray Serve workers connect to the replica of the scorer: how an ingress replica learns that they are back."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Final

from serve_app.domain import UnavailableError

LOOK_EVERY_S: Final = 2.0
"""Seconds between two questions."""


async def watch_for_return(
    back_at: Callable[[], Awaitable[datetime | None]],
    came_back: asyncio.Event,
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
) -> None:
    """Set ``came_back`` whenever there is another moment at which the first worker came; until this is cancelled.

    ``back_at`` says that moment; while it raises UnavailableError, nothing is known.
    """
    known: datetime | None = None
    while True:
        with contextlib.suppress(UnavailableError):
            latest = await back_at()
            if latest is not None and latest != known:
                known = latest
                came_back.set()
        await sleep(LOOK_EVERY_S)
