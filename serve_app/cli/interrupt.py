"""Ctrl-C ends a long command in order: it waits for the pictures on their way, and keeps all answers."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType


@contextlib.contextmanager
def interruptible() -> Iterator[threading.Event]:
    """An event that the first SIGINT or SIGTERM sets; the second one ends the command at once."""
    stop = threading.Event()
    with _calling(stop.set):
        yield stop


@contextlib.contextmanager
def interruptible_loop() -> Iterator[asyncio.Event]:
    """:func:`interruptible` for the running event loop."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    with _calling(lambda: loop.call_soon_threadsafe(stop.set)):
        yield stop


@contextlib.contextmanager
def plain_interrupts() -> Iterator[None]:
    """For as long as the block, SIGINT and SIGTERM do what they do in any program: a question can be left by Ctrl-C."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _calling(on_first: Callable[[], object]) -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        on_first()
        restore()

    for number in before:
        signal.signal(number, on_signal)
    try:
        yield
    finally:
        restore()
