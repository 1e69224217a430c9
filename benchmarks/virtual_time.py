"""An event loop whose clock jumps from one thing to do to the next: hours pass in seconds, always in the same way."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class _Jumping(selectors.DefaultSelector):
    """Waits for no time: the clock jumps to the end of the wait."""

    now_s = 1000.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("nothing will ever happen again: a deadlock")
        self.now_s += timeout
        return super().select(0) if timeout == 0 else []


class JumpingLoop(asyncio.SelectorEventLoop):
    """For code whose clock is :meth:`time`, and that waits for timers alone."""

    def __init__(self) -> None:
        """A loop at 1000 s."""
        self._jumping = _Jumping()
        super().__init__(self._jumping)

    def time(self) -> float:
        """Seconds on the clock that jumps."""
        return self._jumping.now_s


def play(scene: Coroutine[Any, Any, T]) -> T:
    """Run ``scene`` in a loop of its own."""
    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        return runner.run(scene)
