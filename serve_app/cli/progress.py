"""The progress of a long command, on the standard error: a moving line on a terminal, a line a minute elsewhere."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

_LINE_EVERY_S = 60.0


@dataclass(frozen=True, slots=True)
class Reached:
    """How far a long command is.

    Attributes:
        done: in this run.
        before: were done by an earlier run.
        total: both, and what is left; None where that is not known.
        found: what became of them.
    """

    done: int
    before: int
    total: int | None
    found: str


@contextlib.contextmanager
def progress(console: Console, is_shown: bool = True) -> Iterator[Callable[[object], None]]:
    """Yield a function that shows its argument.

    Args:
        console: on the standard error.
        is_shown: False if the command's own output moves on the same terminal.
    """
    if not is_shown:
        yield lambda _: None
    elif not console.is_terminal:
        yield _a_line_a_minute(console)
    else:
        columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
        # Otherwise Rich would send the standard output to this console, which is the standard error.
        with Progress(*columns, console=console, transient=True, redirect_stdout=False, redirect_stderr=False) as bar:
            task = bar.add_task("no answer yet", total=None)
            yield lambda said: bar.update(task, description=str(said))


def _a_line_a_minute(console: Console) -> Callable[[object], None]:
    said_s = time.monotonic()

    def show(said: object) -> None:
        nonlocal said_s
        if time.monotonic() - said_s >= _LINE_EVERY_S:
            said_s = time.monotonic()
            console.print(str(said), markup=False, highlight=False, soft_wrap=True)

    return show


@contextlib.contextmanager
def rate_of(
    console: Console, what: str, clock: Callable[[], float] = time.monotonic
) -> Iterator[Callable[[Reached], None]]:
    """Yield a function that shows how many are done, how many a second, and how long the rest takes.

    Args:
        console: on the standard error.
        what: is counted, in the plural.
        clock: in seconds.
    """
    begun: tuple[float, int] | None = None

    def described(reached: Reached) -> str:
        nonlocal begun
        if begun is None:
            begun = clock(), reached.done
        of = "" if reached.total is None else f" of {reached.total:,}"
        elapsed_s, done = clock() - begun[0], reached.done - begun[1]
        rate = f", {done / elapsed_s:,.0f} a second" if done and elapsed_s else ""
        return f"{reached.done + reached.before:,}{of} {what}{rate}{reached.found and f': {reached.found}'}"

    if not console.is_terminal:
        show = _a_line_a_minute(console)
        yield lambda reached: show(described(reached))
        return
    columns = (
        SpinnerColumn(),
        BarColumn(),
        TextColumn("{task.description}", markup=False),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True, redirect_stdout=False, redirect_stderr=False) as bar:
        task = bar.add_task(what, total=None)

        def move(reached: Reached) -> None:
            done = reached.done + reached.before
            bar.update(task, completed=done, total=reached.total, description=described(reached))

        yield move


@contextlib.contextmanager
def progress_of(console: Console, what: str, total: int) -> Iterator[Callable[[int], None]]:
    """Yield a function that shows how many of ``total`` are done, as a bar with the time that is left.

    Args:
        console: on the standard error.
        what: is counted, in the plural.
        total: how many there are.
    """
    if not console.is_terminal:
        show = _a_line_a_minute(console)
        yield lambda done: show(f"{done:,} of {total:,} {what}")
    else:
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=console, transient=True, redirect_stdout=False, redirect_stderr=False) as bar:
            task = bar.add_task(what, total=total)
            yield lambda done: bar.update(task, completed=done)
