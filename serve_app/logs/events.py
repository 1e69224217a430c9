"""Events: what log lines are before they are formatted."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from serve_app.logs.context import current_request_id

# From the caller of a method to the standard library: the method, and the one that they share.
_OWN_FRAMES = 3

_TRACEBACKS = logging.Formatter()

OTHER_LINE = "line"
"""The name of what a library has logged: a text without fields."""


@dataclass(frozen=True, slots=True)
class Event:
    """What happened: its name and fields for programs, and a text for people.

    A text that only repeats the fields is a function: it is called where lines are text, and left out of JSON.
    """

    name: str
    text: str | Callable[[], str]
    fields: Mapping[str, object]
    request_id: str | None = None

    def __str__(self) -> str:
        text = self.text if isinstance(self.text, str) else self.text()
        return text if self.request_id is None else f"request {self.request_id}: {text}"


def name_request(record: logging.LogRecord) -> None:
    """Have the line of a library name the request on whose behalf the caller runs, if there is one."""
    if not isinstance(record.msg, Event) and (request_id := current_request_id()) is not None:
        with contextlib.suppress(Exception):  # a record that cannot be formatted is a lost line, later
            record.msg, record.args = Event(OTHER_LINE, record.getMessage(), {}, request_id), None


def traceback_of(record: logging.LogRecord) -> str | None:
    """The traceback of a record as text, if it has one."""
    if record.exc_text or not record.exc_info:
        return record.exc_text
    return _TRACEBACKS.formatException(record.exc_info)


class EventLogger:
    """A logger of the standard library for events. A line that cannot be written is lost, and the caller goes on.

    Every method takes the event's name, its text for people, and its fields. ``request_id`` is by default that of the
    request on whose behalf the caller runs.
    """

    def __init__(self, name: str) -> None:
        self._logger = logging.getLogger(name)

    def info(self, event: str, text: str | Callable[[], str], /, **fields: object) -> None:
        """Something happened as it should."""
        self._log(logging.INFO, event, text, None, fields)

    def warning(self, event: str, text: str | Callable[[], str], /, **fields: object) -> None:
        """Something that an admin may want to change."""
        self._log(logging.WARNING, event, text, None, fields)

    def error(
        self, event: str, text: str | Callable[[], str], /, *, exc_info: BaseException | None = None, **fields: object
    ) -> None:
        """Something failed; with the traceback of ``exc_info``."""
        self._log(logging.ERROR, event, text, exc_info, fields)

    def exception(self, event: str, text: str | Callable[[], str], /, **fields: object) -> None:
        """Something failed by the exception that is being handled: with its traceback."""
        self._log(logging.ERROR, event, text, True, fields)

    def _log(
        self,
        level: int,
        name: str,
        text: str | Callable[[], str],
        exc_info: BaseException | bool | None,
        fields: dict[str, object],
    ) -> None:
        # A handler may raise, as on a full disk.
        with contextlib.suppress(Exception):
            if self._logger.isEnabledFor(level):
                told_id = fields.pop("request_id", None)
                event = Event(name, text, fields, str(told_id) if told_id else current_request_id())
                self._logger.log(level, event, exc_info=exc_info, stacklevel=_OWN_FRAMES)
