"""The log lines of the service's parts, in a command that runs these itself: warnings and errors, for people."""

from __future__ import annotations

import contextlib
import logging
import math
import time
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.text import Text

from serve_app.domain.storable_text import printable
from serve_app.logs.events import OTHER_LINE, Event
from serve_app.logs.redaction import redact

_SAME_EVENT_EVERY_S = 60.0


@contextlib.contextmanager
def log_lines_on(console: Console, clock: Callable[[], float] = time.monotonic) -> Iterator[None]:
    """For as long as the block, show warnings and errors of the service's parts, above what moves on ``console``.

    An event is shown at most once a minute: a database that is busy says so for every picture.
    """
    service, handler = logging.getLogger("serve_app"), _Lines(console, clock)
    propagates = service.propagate
    service.addHandler(handler)
    service.propagate = False
    try:
        yield
    finally:
        service.propagate = propagates
        service.removeHandler(handler)


class _Lines(logging.Handler):
    def __init__(self, console: Console, clock: Callable[[], float]) -> None:
        super().__init__(logging.WARNING)
        self._console = console
        self._clock = clock
        self._told_s: dict[str, float] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """See :class:`logging.Handler`."""
        name, text = _event(record)
        if self._clock() - self._told_s.get(name, -math.inf) >= _SAME_EVENT_EVERY_S:
            self._told_s[name] = self._clock()
            line = Text(f"{record.levelname.lower()}: {printable(redact(text))}")
            self._console.print(line, soft_wrap=True)


def _event(record: logging.LogRecord) -> tuple[str, str]:
    """Its name, and its text without the request: that of the next one is another."""
    said = record.msg
    if not isinstance(said, Event):
        return OTHER_LINE, record.getMessage()
    return said.name, said.text if isinstance(said.text, str) else said.text()
