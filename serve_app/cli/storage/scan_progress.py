"""What a scan of a store tells while it goes on, and when it is over."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Callable, Iterator

from rich.console import Console
from rich.text import Text

from serve_app.cli.progress import Reached, rate_of
from serve_app.domain.storable_text import printable
from serve_app.storage.scan.outcome import FileOutcome, FileRecord
from serve_app.storage.scan.report import as_json, told_name
from serve_app.storage.scan.run import Progress

_MOVED_EVERY_S = 0.2

_SHOWN = (
    FileOutcome.FLAGGED,
    FileOutcome.REJECTED,
    FileOutcome.PURGED,
    FileOutcome.QUARANTINED,
    FileOutcome.TOO_LARGE,
    FileOutcome.UNREADABLE,
    FileOutcome.LATER,
)


class ScanShow:
    """Lines on the standard output, one a file; what moves is on the standard error."""

    def __init__(self, progress: Progress, *, prints_json: bool) -> None:
        """``progress`` is that of all runs of the command."""
        self.console = Console(stderr=True, highlight=False)
        self._progress = progress
        self._prints_json = prints_json
        # Asked once: a question for each line lets another thread in, and waits for it.
        self._is_terminal = self.console.is_terminal and sys.stdout.isatty()

    def note(self, record: FileRecord) -> None:
        """Show what became of a file, if people should know, or always for programs."""
        if self._prints_json:
            self._print(as_json(record))
        elif record.outcome in _SHOWN:
            why = f": {printable(record.why)}" if record.why else ""
            self._print(f"{record.outcome.word:<12} {told_name(record)}{why}")

    @contextlib.contextmanager
    def loading(self) -> Iterator[None]:
        """For as long as the block, show on a terminal that a model is loaded."""
        with self.console.status("loading the model") if self.console.is_terminal else contextlib.nullcontext():
            yield

    @contextlib.asynccontextmanager
    async def moving(self, total: Callable[[], int | None] = lambda: None) -> AsyncIterator[None]:
        """For as long as the block, show how far the run is; of ``total`` files, once that is known."""
        with rate_of(self.console, "files") as show:

            async def move() -> None:
                while True:
                    done, before = self._progress.done.total(), self._progress.skipped.total()
                    show(Reached(done, before, total(), self._counts(_SHOWN)))
                    await asyncio.sleep(_MOVED_EVERY_S)

            moving = asyncio.create_task(move())
            try:
                yield
            finally:
                moving.cancel()
                await asyncio.gather(moving, return_exceptions=True)

    @property
    def summary(self) -> str:
        """For people."""
        done, skipped = self._progress.done.total(), self._progress.skipped
        counts = self._counts(tuple(FileOutcome))
        rejected = f" ({skipped[FileOutcome.REJECTED]:,} rejected)" if skipped[FileOutcome.REJECTED] else ""
        before = f"; {skipped.total():,} were done before{rejected}" if skipped else ""
        return f"{done:,} {'file' if done == 1 else 'files'}{counts and f': {counts}'}{before}"

    def _counts(self, outcomes: tuple[FileOutcome, ...]) -> str:
        return ", ".join(f"{self._progress.done[each]:,} {each.word}" for each in outcomes if self._progress.done[each])

    def _print(self, line: str) -> None:
        if self._is_terminal:
            # Above what moves, on the same terminal. As a text: names have brackets and colons.
            self.console.print(Text(line), soft_wrap=True)
        else:
            # As typer would, which asks for each line what kind of output this is.
            sys.stdout.write(f"{line}\n")
            sys.stdout.flush()
