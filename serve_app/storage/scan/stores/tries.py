"""Tries of a store of which a call may fail and be made again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from serve_app.domain import PictwardenError, StorageUnavailableError

TRIES: Final = 5
"""How often a call is made in all; between tries 0.5, 1, 2 and 4 s pass."""

ANSWER_S: Final = 30.0
"""How long a store may be silent."""

_SLOWEST_BYTES_S = 64 * 1024

_Result = TypeVar("_Result")


def _is_unavailable(error: PictwardenError) -> bool:
    return isinstance(error, StorageUnavailableError)


async def with_tries(
    call: Callable[[], Awaitable[_Result]],
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    is_passing: Callable[[PictwardenError], bool] = _is_unavailable,
) -> _Result:
    """What ``call`` returns; it is made again where the store did not answer.

    Raises:
        PictwardenError: one that ``is_passing``, at each try; or another one.
    """
    wait_s = 0.5
    for _ in range(TRIES - 1):
        try:
            return await call()
        except PictwardenError as error:
            if not is_passing(error):
                raise
            await sleep(wait_s)
            wait_s *= 2
    return await call()


def longest_s(size_bytes: int, answer_s: float = ANSWER_S) -> float:
    """How long a body may take, even if it never stands still: it comes at 64 KiB/s at least."""
    return answer_s + size_bytes / _SLOWEST_BYTES_S


class Sent:
    """Whether a removal was sent once: a file that is gone afterwards is gone through us, even without an answer."""

    def __init__(self) -> None:
        self.is_sent = False
