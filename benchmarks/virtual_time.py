"""An event loop whose clock jumps from one thing to do to the next: hours pass in seconds, always in the same way."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class _Jumping(selectors.DefaultSelector):
    """Waits for no time: the clock jumps to the end of the wait, or to ``early_s`` before it."""

    now_s = 1000.0

    def __init__(self, early_s: float) -> None:
        super().__init__()
        self._early_s = early_s

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("nothing will ever happen again: a deadlock")
        self.now_s += max(0.0, timeout - self._early_s)
        return super().select(0) if timeout == 0 else []


class JumpingLoop(asyncio.SelectorEventLoop):
    """For code whose clock is :meth:`time`, and that waits for timers alone."""

    def __init__(self, early_s: float = 0.0) -> None:
        """A loop at 1000 s, whose timers end so much before their time."""
        self._jumping = _Jumping(early_s)
        super().__init__(self._jumping)
        self._clock_resolution = early_s + 1e-9  # asyncio ends what is due within it

    def time(self) -> float:
        """Seconds on the clock that jumps."""
        return self._jumping.now_s


def play(scene: Coroutine[Any, Any, T], early_s: float = 0.0) -> T:
    """Run ``scene`` in a loop of its own, whose timers end ``early_s`` before their time."""
    with asyncio.Runner(loop_factory=lambda: JumpingLoop(early_s)) as runner:
        return runner.run(scene)
